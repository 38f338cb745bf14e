//! The values of a frame: looked up by key when the frame is built, and counted in bytes.

use super::super::context::Context;
use super::super::members::Members;
use super::super::message::{AgedReport, Gone};
use crate::size::{self, Encoded, FRAME_BYTES_MAX};
use crate::topology::MemberIndex;
use crate::topology::publication::{Key, PublicationId, PublicationKind};
use crate::topology::record::Record;
use std::sync::Arc;

/// Space reserved for a frame's own tags and lengths, in bytes.
const HEADROOM: usize = 64;

/// Looks up the values of one frame, as far as they fit.
pub(super) struct Filler<'a> {
    context: &'a Context,
    members: &'a Members,
    /// Bytes left.
    left: usize,
}

impl<'a> Filler<'a> {
    /// The filler of an empty frame.
    pub(super) const fn new(context: &'a Context, members: &'a Members) -> Self {
        Self {
            context,
            members,
            left: FRAME_BYTES_MAX - HEADROOM,
        }
    }

    pub(super) const fn context(&self) -> &'a Context {
        self.context
    }

    /// Reserves space for the tags and lengths of a chunk.
    pub(super) const fn keep(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Reserves space for one element. Returns false if the frame has no space left.
    pub(super) fn take(&mut self, encoded: usize) -> bool {
        let cost = size::delimited(encoded);
        if cost > self.left {
            return false;
        }
        self.left -= cost;
        true
    }

    /// Adds the current value of a key to a message. Returns false if the value does not fit.
    pub(super) fn put(
        &mut self,
        key: Key,
        records: &mut Vec<Arc<Record>>,
        reports: &mut Vec<AgedReport>,
    ) -> bool {
        let Some(slot) = self.context.topology.slot(key.member()) else {
            return true;
        };
        if slot.retired {
            return true;
        }
        if let Key::Record(_) = key {
            let Some(record) = slot.record else {
                return true;
            };
            let fits = self.take(record.encoded_len());
            if fits {
                records.push(Arc::clone(record));
            }
            return fits;
        }
        let Some(stored) = slot.report else {
            return true;
        };
        let now = self.context.now;
        let aged = AgedReport::of(stored, now);
        let fits = self.take(aged.encoded_len());
        if fits {
            reports.push(aged);
        }
        fits
    }

    /// Adds a member's record to a message of reconciliation, with its age if the member is down or left.
    pub(super) fn put_known(
        &mut self,
        member: MemberIndex,
        records: &mut Vec<Arc<Record>>,
        gone: &mut Vec<Gone>,
    ) -> bool {
        let Some(since) = self.gone(member) else {
            return self.put(Key::Record(member), records, &mut Vec::new());
        };
        let before = self.left;
        let fits = self.take(since.encoded_len())
            && self.put(Key::Record(member), records, &mut Vec::new());
        if fits {
            gone.push(since);
        } else {
            self.left = before;
        }
        fits
    }

    /// The time since a member was lost or left; none for other members. If this node has no other data about a member,
    /// the time is the one that a neighbour reported.
    fn gone(&self, member: MemberIndex) -> Option<Gone> {
        Some(Gone {
            age: self.members.gone_for(self.context, member)?,
            id: self.context.id_of(member)?,
        })
    }

    /// The name of the current value of a key.
    pub(super) fn name_of(&self, key: Key) -> Option<PublicationId> {
        let slot = self.context.topology.slot(key.member())?;
        if slot.retired {
            return None;
        }
        let (kind, epoch, version) = match key {
            Key::EdgeReport(_) => {
                let report = &slot.report?.report;
                (PublicationKind::EdgeReport, report.epoch, report.version)
            }
            Key::Record(_) => {
                let rank = slot.record?.rank();
                (PublicationKind::Record, rank.epoch, rank.version)
            }
        };
        Some(PublicationId {
            origin: slot.id.clone(),
            kind,
            epoch,
            version,
        })
    }
}
