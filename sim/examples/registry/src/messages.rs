//! Messages between clients and the registry, on links.

use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::object::Object;
use phalanx_core::registry::replica::{FeedMessage, FeedRefusal, FeedRequest};
use phalanx_core::registry::sequencer::{WriteId, WriteRequest};
use phalanx_core::registry::watch::{WatchMessage, WatchRefusal, WatchRequest};
use phalanx_core::registry::write::{WriteBatch, WriteOutcome, WriteRefusal};
use phalanx_sim::world::Message;
use std::sync::Arc;

/// A message of a client.
#[derive(Clone, Debug)]
pub enum ClientMessage {
    /// Writes.
    Write {
        /// The id of the request.
        request: String,
        /// The operations.
        batch: WriteBatch,
        /// The number of copies in other regions that the client waits for.
        copies: usize,
    },
    /// Writes the records of a pod.
    Register {
        /// The id of the request.
        request: String,
        /// The operations.
        batch: WriteBatch,
    },
    /// Writes as an administrator.
    Administer {
        /// The id of the request.
        request: String,
        /// The operations.
        batch: WriteBatch,
    },
    /// Reads an object.
    Read {
        /// The id of the request.
        request: String,
        /// The object.
        name: ObjectName,
    },
    /// Opens the watch of the link for a service.
    Open(&'static str, WatchRequest),
    /// The watch may send more bytes.
    Grant(usize),
}

/// A message of the registry.
#[derive(Clone, Debug)]
pub enum RegistryMessage {
    /// The answer to a write.
    Written {
        /// The id of the request.
        request: String,
        /// The outcome.
        result: Result<WriteOutcome, WriteRefusal>,
    },
    /// The answer to a read; none while the registry is opening its store.
    Read {
        /// The id of the request.
        request: String,
        /// The object.
        found: Option<Option<Arc<Object>>>,
    },
    /// The watch is refused.
    Refused(WatchRefusal),
    /// A message of the watch.
    Watch(WatchMessage),
}

/// A message on the link of a copy to its owner.
#[derive(Clone, Debug)]
pub enum ToOwner {
    /// Asks for the feed.
    Follow(FeedRequest),
    /// Confirms batches, and grants bytes.
    Confirm {
        /// The sequence number up to which the copy is durable.
        sequence: u64,
        /// The number of bytes.
        bytes: usize,
    },
    /// Routes a write.
    Route(Box<WriteRequest>),
}

/// A message on the link of an owner to a copy.
#[derive(Clone, Debug)]
pub enum ToCopy {
    /// A message of the feed.
    Feed(FeedMessage),
    /// The copy is not served.
    Refused(FeedRefusal),
    /// The answer to a routed write.
    Routed {
        /// The number of the write.
        write: WriteId,
        /// The outcome.
        result: Result<WriteOutcome, WriteRefusal>,
    },
}

/// Bytes of the parts of a message that are not counted one by one.
const FRAME: usize = 48;

impl Message for ClientMessage {
    fn encoded_len(&self) -> usize {
        let content = match self {
            Self::Write { request, batch, .. }
            | Self::Register { request, batch }
            | Self::Administer { request, batch } => {
                request.len() + batch.operations.len() * (FRAME + 32)
            }
            Self::Read { request, name } => request.len() + name.as_str().len(),
            Self::Open(..) | Self::Grant(_) => 0,
        };
        FRAME + content
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Write { .. } => "write",
            Self::Register { .. } => "register",
            Self::Administer { .. } => "administer",
            Self::Read { .. } => "read",
            Self::Open(..) => "open",
            Self::Grant(_) => "grant",
        }
    }
}

impl Message for RegistryMessage {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Written { request, .. } => FRAME + request.len(),
            Self::Read { request, found } => {
                let found = found.iter().flatten();
                let object = found.map(|object| object.encoded_len() + 128);
                FRAME + request.len() + object.sum::<usize>()
            }
            Self::Refused(_) => FRAME,
            Self::Watch(message) => message.weight(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Written { .. } => "written",
            Self::Read { .. } => "found",
            Self::Refused(_) => "watch-refused",
            Self::Watch(WatchMessage::Snapshot { .. }) => "snapshot",
            Self::Watch(WatchMessage::Changes { .. }) => "changes",
            Self::Watch(WatchMessage::Bookmark { .. }) => "bookmark",
            Self::Watch(WatchMessage::Reset { .. }) => "reset",
        }
    }
}

impl Message for ToOwner {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Follow(_) | Self::Confirm { .. } => FRAME,
            Self::Route(write) => FRAME + write.batch.operations.len() * (FRAME + 32),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Follow(_) => "follow",
            Self::Confirm { .. } => "confirm",
            Self::Route(_) => "route",
        }
    }
}

impl Message for ToCopy {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Feed(message) => message.weight(),
            Self::Refused(_) | Self::Routed { .. } => FRAME,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Feed(FeedMessage::Opened { .. }) => "feed-opened",
            Self::Feed(FeedMessage::Batches { .. }) => "feed-batches",
            Self::Feed(FeedMessage::Snapshot { .. }) => "feed-snapshot",
            Self::Feed(FeedMessage::Head(_)) => "feed-head",
            Self::Refused(_) => "feed-refused",
            Self::Routed { .. } => "routed",
        }
    }
}
