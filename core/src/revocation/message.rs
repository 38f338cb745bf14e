//! Messages about revocations between two nodes.
//!
//! ```text
//!   A                                    B
//!   │ ◀── Hello, or Digest: hash ─────── │   hashes differ
//!   │ ─── Have: all digests ───────────▶ │
//!   │ ◀── Have: digests that A lacks ─── │
//!   │ ─── Want ─▶ ◀── Entries ────────── │   each end requests what it lacks, in portions
//!   │ ◀── Want ── ─── Entries ─────────▶ │
//!   │ ─── Done ─▶ ◀── Done ───────────── │
//! ```

use super::entry::Revocation;
use crate::lane::Lane;
use crate::size::{self, Encoded, FRAME_BYTES_MAX};
use std::sync::Arc;

/// Maximum number of digests in one message.
pub const DIGESTS_MAX: usize = 1_024;
/// Maximum number of revocations that one message requests.
pub const WANTED_MAX: usize = 1_024;
/// Maximum encoded size of the revocations in the answer to one request, in bytes, beyond the first revocation.
pub const ANSWER_BYTES_MAX: usize = 256 * 1_024;
/// Room for revocations in one message, in bytes.
const ENTRIES_BYTES_MAX: usize = FRAME_BYTES_MAX - 64;

/// A message about revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The hash of the sender's revocations.
    Digest(u64),
    /// Digests of revocations that the sender holds: all of them in the first list of an exchange, and in the second
    /// list those that are not in the first one. At most [`DIGESTS_MAX`] a message.
    Have {
        /// The digests.
        digests: Vec<u64>,
        /// Whether the list ends with this message.
        last: bool,
    },
    /// Requests the revocations with these digests; at most [`WANTED_MAX`].
    Want(Vec<u64>),
    /// Revocations.
    Entries {
        /// The revocations.
        revocations: Vec<Arc<Revocation>>,
        /// Whether the answer to a request ends with this message.
        last: bool,
    },
    /// The sender holds all that the receiver listed.
    Done,
}

impl Message {
    /// The lane of the message.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Have { .. } => Lane::Bulk,
            Self::Digest(_) | Self::Want(_) | Self::Entries { .. } | Self::Done => Lane::Control,
        }
    }

    /// A list of digests, in messages.
    pub(super) fn list(digests: &[u64]) -> Vec<Self> {
        let chunks = digests.chunks(DIGESTS_MAX);
        let mut list: Vec<_> = chunks
            .map(|chunk| Self::Have {
                digests: chunk.to_vec(),
                last: false,
            })
            .collect();
        match list.last_mut() {
            Some(Self::Have { last, .. }) => *last = true,
            _ => list.push(Self::Have {
                digests: Vec::new(),
                last: true,
            }),
        }
        list
    }

    /// Revocations, in messages. With `answers`, the last message ends an answer.
    pub(super) fn entries(revocations: &[Arc<Revocation>], answers: bool) -> Vec<Self> {
        let mut messages = Vec::new();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for revocation in revocations {
            let size = size::delimited(revocation.encoded_len());
            if bytes + size > ENTRIES_BYTES_MAX {
                messages.push(Self::Entries {
                    revocations: core::mem::take(&mut batch),
                    last: false,
                });
                bytes = 0;
            }
            batch.push(Arc::clone(revocation));
            bytes += size;
        }
        if answers || !batch.is_empty() {
            messages.push(Self::Entries {
                revocations: batch,
                last: answers,
            });
        }
        messages
    }
}

impl Encoded for Message {
    fn encoded_len(&self) -> usize {
        // Each variant is one field of a oneof.
        match self {
            Self::Digest(_) => 9,
            Self::Have { digests, last } => {
                size::delimited(size::packed_fixed64(digests.len()) + size::boolean(*last))
            }
            Self::Want(digests) => size::delimited(size::packed_fixed64(digests.len())),
            Self::Entries { revocations, last } => {
                let all = revocations.iter();
                let all: usize = all.map(|it| size::delimited(it.encoded_len())).sum();
                size::delimited(all + size::boolean(*last))
            }
            Self::Done => size::delimited(0),
        }
    }
}
