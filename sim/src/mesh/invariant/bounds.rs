//! Links, members and message sizes stay within their bounds.
//!
//! Reason: the cost of a misbehaving peer or a growing fleet is limited to the configured bounds; the production
//! transport rejects a message above the maximum frame size. Source: gossip's module doc, message.rs.

use super::{Program, Seen, node_of};
use crate::invariant::{Invariant, InvariantResult, Steps};
use phalanx_core::gossip::Tuning;
use phalanx_core::size::FRAME_BYTES_MAX;

/// The maximum number of connections in the handshake, in addition to the links.
const GREETINGS_MAX: usize = 1_024;

pub(super) struct Bounds {
    links_max: usize,
    members_max: usize,
    /// The number of checked steps at which the node had a link or knew another member.
    checked: u64,
}

impl Bounds {
    pub(super) const fn new(tuning: &Tuning) -> Self {
        Self {
            links_max: tuning.links_max,
            members_max: tuning.members_max,
            checked: 0,
        }
    }
}

impl Invariant for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn steps(&self) -> Steps {
        Steps::Busy
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let mesh = node_of(seen).mesh();
        let held = mesh.link_count();
        if held > self.links_max {
            let open = mesh.links(seen.local).count();
            let max = self.links_max;
            if open > max || held > max + GREETINGS_MAX {
                return Err(format!(
                    "holds {open} links of {held} connections; at most {max} are allowed"
                ));
            }
        }
        let members = mesh.topology().len();
        self.checked += u64::from(held > 0 || members > 1);
        if members > self.members_max {
            return Err(format!(
                "knows {members} members; at most {} are allowed",
                self.members_max
            ));
        }
        for bytes in seen.sizes.iter().copied() {
            if bytes > FRAME_BYTES_MAX {
                return Err(format!(
                    "sends a message of {bytes} bytes; at most {FRAME_BYTES_MAX} are allowed"
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
