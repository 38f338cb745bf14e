//! Places of authenticated connections: how many one holder may have, and which are reserved.
//!
//! One certificate must not take all connections of a node. Each holder has at most `of_one` connections, and a service,
//! of which many processes may run, [`SERVICE_FACTOR`] times as many. The last eighth
//! of all places is reserved for administrators and for holders without a connection, such as a member that joins.
//!
//! The caller counts a connection from its handshake to its end. Bounds: one entry for each holder with a connection.

use crate::subject::{CertificateRole, Subject};
use std::collections::BTreeMap;

/// Part of all places that is reserved.
const RESERVED_PART: usize = 8;
/// The number of connections of a service, as a multiple of those of another holder.
pub const SERVICE_FACTOR: usize = 4;
/// Open files of a node beside the accepted connections and their handshakes: links that it dialled, dials, files.
const OWN_FILES: usize = 160;
/// Minimum number of connections and of handshakes, whatever the limit of open files.
const SHARE_MIN: usize = 8;

/// Connections by holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    max: usize,
    of_one: usize,
    count: usize,
    holders: BTreeMap<Subject, usize>,
}

impl Places {
    /// At most `max` connections, of which each holder has at most `of_one`.
    #[must_use]
    pub const fn new(max: usize, of_one: usize) -> Self {
        Self {
            max,
            of_one,
            count: 0,
            holders: BTreeMap::new(),
        }
    }

    /// Whether a holder gets one more connection, which is then counted.
    pub fn admit(&mut self, holder: &Subject) -> bool {
        let held = self.holders.get(holder).copied().unwrap_or(0);
        let is_preferred = held == 0 || holder.role() == CertificateRole::Admin;
        let max = if is_preferred {
            self.max
        } else {
            self.max - self.max / RESERVED_PART
        };
        let of_one = match holder.role() {
            CertificateRole::Service => self.of_one.saturating_mul(SERVICE_FACTOR),
            CertificateRole::Node | CertificateRole::Admin => self.of_one,
        };
        if held >= of_one || self.count >= max {
            return false;
        }
        self.count += 1;
        self.holders.insert(holder.clone(), held + 1);
        true
    }

    /// A counted connection of a holder ended.
    pub fn release(&mut self, holder: &Subject) {
        let Some(held) = self.holders.get_mut(holder) else {
            return;
        };
        self.count -= 1;
        *held -= 1;
        if *held == 0 {
            self.holders.remove(holder);
        }
    }
}

/// The numbers of connections and of unfinished handshakes for which a limit of open files suffices, at most these.
#[must_use]
pub fn within_files(files: usize, connections: usize, handshakes: usize) -> (usize, usize) {
    let shared = files.saturating_sub(OWN_FILES);
    let handshakes = handshakes.min((shared / 4).max(SHARE_MIN));
    let connections = connections.min(shared.saturating_sub(handshakes).max(SHARE_MIN));
    (connections, handshakes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    fn member(name: &str) -> Subject {
        Subject::node("test", NodeId::new(name).unwrap()).unwrap()
    }

    #[test]
    fn one_holder_cannot_take_the_places_of_others() {
        let mut places = Places::new(64, 16);
        let admitted = (0..1_000).filter(|_| places.admit(&member("evil"))).count();
        assert_eq!(admitted, 16);
        assert!(places.admit(&member("n4")));
        places.release(&member("evil"));
        assert!(places.admit(&member("evil")));
        assert!(!places.admit(&member("evil")));
    }

    #[test]
    fn the_last_places_are_for_administrators_and_for_holders_without_a_connection() {
        let mut places = Places::new(16, 8);
        let admin = Subject::admin("test", NodeId::new("ada").unwrap()).unwrap();
        for name in ["a", "b"] {
            (0..8).for_each(|_| _ = places.admit(&member(name)));
        }
        assert!(!places.admit(&member("b")), "the reserved places are free");
        assert!(places.admit(&member("newcomer")));
        assert!(!places.admit(&member("newcomer")));
        assert!(places.admit(&admin));
        assert!(!places.admit(&admin), "all places are taken");
        places.release(&member("a"));
        assert!(places.admit(&admin));
    }

    #[test]
    fn the_limit_of_open_files_suffices() {
        assert_eq!(within_files(65_536, 1_024, 256), (1_024, 256));
        for files in [200, 256, 400, 1_024, 1_300] {
            let (connections, handshakes) = within_files(files, 1_024, 256);
            assert!(connections + handshakes + OWN_FILES <= files, "{files}");
        }
        assert_eq!(within_files(64, 1_024, 256), (SHARE_MIN, SHARE_MIN));
    }
}
