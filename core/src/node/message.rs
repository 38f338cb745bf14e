//! The messages that two nodes exchange over one link; each message belongs to one of a node's machines.

use crate::channel;
use crate::gossip;
use crate::lane::{Lane, Placement};
use crate::revocation;
use crate::size::{self, Encoded};

/// One message on a link, of at most [`size::FRAME_BYTES_MAX`] bytes encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message of the mesh: handshake, or a frame of gossip.
    Mesh(gossip::Message),
    /// A message about channels.
    Channel(channel::Data),
    /// A message about revocations.
    Revocation(revocation::Message),
}

impl Message {
    /// The lane of the message, and the lanes whose waiting messages it does not overtake.
    #[must_use]
    pub const fn placement(&self) -> Placement {
        match self {
            Self::Channel(_) => Placement::of(Lane::Channel),
            Self::Revocation(message) => Placement::of(message.lane()),
            Self::Mesh(message) => match message {
                // A goodbye is the last message on its link.
                gossip::Message::Goodbye(_) => Placement::behind(Lane::Control, Lane::Channel),
                gossip::Message::Frame(frame) if !frame.sync.is_empty() => {
                    Placement::of(Lane::Bulk)
                }
                // The hash covers all data that the mesh sent before this frame.
                gossip::Message::Frame(frame) if frame.hash.is_some() => {
                    Placement::behind(Lane::Control, Lane::Bulk)
                }
                gossip::Message::Frame(_)
                | gossip::Message::Hello(_)
                | gossip::Message::Welcome(_)
                | gossip::Message::Refuse(_) => Placement::of(Lane::Control),
            },
        }
    }

    /// Whether the message ends one side's part of a handshake. The offer of a data path is sent together with this
    /// message.
    #[must_use]
    pub const fn carries_offer(&self) -> bool {
        match self {
            Self::Mesh(gossip::Message::Hello(_) | gossip::Message::Welcome(_)) => true,
            Self::Mesh(
                gossip::Message::Refuse(_)
                | gossip::Message::Goodbye(_)
                | gossip::Message::Frame(_),
            )
            | Self::Channel(_)
            | Self::Revocation(_) => false,
        }
    }

    /// The lane of the message.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.placement().lane()
    }
}

impl From<gossip::Message> for Message {
    fn from(message: gossip::Message) -> Self {
        Self::Mesh(message)
    }
}

impl From<channel::Data> for Message {
    fn from(data: channel::Data) -> Self {
        Self::Channel(data)
    }
}

impl From<revocation::Message> for Message {
    fn from(message: revocation::Message) -> Self {
        Self::Revocation(message)
    }
}

impl Encoded for Message {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Mesh(message) => message.encoded_len(),
            Self::Channel(data) => size::delimited(data.encoded_len()),
            Self::Revocation(message) => size::delimited(message.encoded_len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::message::{Frame, Goodbye, Sync};
    use crate::identity::NodeId;
    use crate::topology::record::{Content, Rank, Record};
    use std::sync::Arc;

    #[test]
    fn bulk_and_application_data_do_not_delay_heartbeats() {
        let heartbeat = Message::Mesh(gossip::Message::Frame(Frame::default()));
        let snapshot = Message::Mesh(gossip::Message::Frame(Frame {
            sync: vec![Sync::Want(vec![1])],
            hash: Some(1),
            ..Frame::default()
        }));
        let data = Message::Channel(channel::Data::default());
        assert_eq!(heartbeat.lane(), Lane::Control);
        assert_eq!(snapshot.lane(), Lane::Bulk);
        assert_eq!(data.lane(), Lane::Channel);
    }

    #[test]
    fn the_messages_of_a_handshake_carry_the_offer_of_a_data_path() {
        let goodbye = Message::Mesh(gossip::Message::Goodbye(Goodbye::Unneeded));
        assert!(!goodbye.carries_offer());
        assert!(!Message::Channel(channel::Data::default()).carries_offer());
        assert!(!Message::Mesh(gossip::Message::Frame(Frame::default())).carries_offer());
        let record = Record::new(
            NodeId::new("a").unwrap(),
            Rank::default(),
            Content::default(),
        );
        let welcome = gossip::message::Welcome {
            version: 1,
            session: 1,
            hash: 0,
            record: Arc::new(record),
        };
        assert!(Message::Mesh(gossip::Message::Welcome(welcome)).carries_offer());
    }

    #[test]
    fn a_hash_and_a_goodbye_do_not_overtake_earlier_messages() {
        let hash = Message::Mesh(gossip::Message::Frame(Frame {
            hash: Some(1),
            ..Frame::default()
        }));
        let goodbye = Message::Mesh(gossip::Message::Goodbye(Goodbye::Leaving));
        let behind = |last| Placement::behind(Lane::Control, last);
        assert_eq!(hash.placement(), behind(Lane::Bulk));
        assert_eq!(goodbye.placement(), behind(Lane::Channel));
    }
}
