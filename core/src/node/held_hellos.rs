//! Messages of dialers that wait until the revocations of both ends are exchanged.
//!
//! Bound: one message a connection in the handshake; gossip bounds the number and the duration of handshakes.

use crate::gossip::message::Hello;
use crate::link::LinkId;
use std::collections::BTreeMap;

/// The first messages of dialers, which wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HeldHellos {
    hellos: BTreeMap<LinkId, Hello>,
}

impl HeldHellos {
    /// Holds a message. Returns false if a message of the connection waits already.
    pub(super) fn hold(&mut self, link: LinkId, hello: Hello) -> bool {
        let first = !self.hellos.contains_key(&link);
        if first {
            self.hellos.insert(link, hello);
        }
        first
    }

    /// Removes and returns the message of a connection.
    pub(super) fn take(&mut self, link: LinkId) -> Option<Hello> {
        self.hellos.remove(&link)
    }
}
