//! Nothing outgrows its bound: links, members, messages.
//!
//! Reason: a peer that misbehaves, or a fleet that grows, must cost at most what was configured; a message over
//! the frame's size is cut off by the production transport. Source: gossip's module doc, message.rs.

use super::{Invariant, Seen, Shared, Verdict};
use phalanx_core::gossip::Output as Order;
use phalanx_core::gossip::Tuning;
use phalanx_core::gossip::message::FRAME_BYTES_MAX;
use phalanx_core::node::Output;
use phalanx_core::size::Encoded;

/// Links that may be open beyond the limit while they are refused or replaced.
const LINKS_SLACK: usize = 64;

pub(super) struct Bounds {
    links_max: usize,
    members_max: usize,
}

impl Bounds {
    pub(super) const fn new(tuning: &Tuning) -> Self {
        Self {
            links_max: tuning.links_max,
            members_max: tuning.members_max,
        }
    }
}

impl Invariant for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &Shared) -> Verdict {
        let mesh = seen.mesh();
        let links = mesh.link_count();
        if links > self.links_max + LINKS_SLACK {
            return Err(format!(
                "holds {links} links; at most {} are allowed",
                self.links_max
            ));
        }
        let members = mesh.topology().len();
        if members > self.members_max {
            return Err(format!(
                "knows {members} members; at most {} are allowed",
                self.members_max
            ));
        }
        for output in seen.outputs {
            let Output::Mesh(Order::Send { message, .. }) = output else {
                continue;
            };
            let bytes = message.encoded_len();
            if bytes > FRAME_BYTES_MAX {
                return Err(format!(
                    "sends a message of {bytes} bytes; at most {FRAME_BYTES_MAX} are allowed"
                ));
            }
        }
        Ok(())
    }
}
