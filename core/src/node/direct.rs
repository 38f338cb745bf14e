//! With whom a link of one's own is worth having.
//!
//! Messages to a member that is no neighbour pass other nodes. When this node sends somebody much, it asks the mesh
//! for a link there, in the background; when it has sent nothing for long, it gives the link up. An application may wish
//! for a link whatever is sent, as long as it likes; also to a member that is not known yet.

use crate::identity::NodeId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// What is sent within this time counts together.
const WINDOW: Duration = Duration::from_secs(10);
/// This much within a window is worth a link.
pub const DIRECT_BYTES: usize = 256 * 1024;
/// So many messages within a window are, too.
pub const DIRECT_MESSAGES: u32 = 200;
/// A link over which nothing was sent for this long is given up.
pub const DIRECT_IDLE: Duration = Duration::from_secs(60);
/// The most links asked for at one time.
pub const DIRECT_MAX: usize = 8;
/// The most members to whom an application wishes for a link; further wishes are passed over.
pub const WISHES_MAX: usize = 8;
/// The most members counted at one time; others are counted in a later window.
const COUNTED_MAX: usize = 256;

/// What was sent to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    bytes: usize,
    messages: u32,
    last: Instant,
    wanted: bool,
}

/// What was sent to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Direct {
    sent: BTreeMap<NodeId, Sent>,
    /// To whom an application wishes for a link.
    wishes: BTreeSet<NodeId>,
    due: Option<Instant>,
}

impl Direct {
    /// A message of this node went to a member; true if a link there is worth having from now on.
    pub(super) fn note(&mut self, now: Instant, to: &NodeId, bytes: usize) -> bool {
        let wanted = self.sent.values().filter(|sent| sent.wanted).count();
        if self.sent.len() >= COUNTED_MAX && !self.sent.contains_key(to) {
            return false;
        }
        self.due.get_or_insert(now + WINDOW);
        let sent = self.sent.entry(to.clone()).or_insert(Sent {
            bytes: 0,
            messages: 0,
            last: now,
            wanted: false,
        });
        sent.bytes += bytes;
        sent.messages += 1;
        sent.last = now;
        let worth = sent.bytes >= DIRECT_BYTES || sent.messages >= DIRECT_MESSAGES;
        if !worth || sent.wanted || wanted >= DIRECT_MAX {
            return false;
        }
        sent.wanted = true;
        true
    }

    /// An application wishes for a link to a member, or no longer; whether one is worth having from now on.
    pub(super) fn wish(&mut self, now: Instant, peer: &NodeId, wished: bool) -> bool {
        if !wished {
            self.wishes.remove(peer);
        } else if self.wishes.len() < WISHES_MAX {
            self.due.get_or_insert(now + WINDOW);
            self.wishes.insert(peer.clone());
        }
        self.wishes.contains(peer) || self.sent.get(peer).is_some_and(|sent| sent.wanted)
    }

    /// Begins a new window if the last is over: whose link is worth having, since wishes may have come before the member
    /// was known, and whose is not any more.
    pub(super) fn look(&mut self, now: Instant) -> Vec<(NodeId, bool)> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut told: Vec<_> = self.wishes.iter().map(|to| (to.clone(), true)).collect();
        self.sent.retain(|to, sent| {
            (sent.bytes, sent.messages) = (0, 0);
            if sent.wanted && now - sent.last >= DIRECT_IDLE {
                sent.wanted = false;
                if !self.wishes.contains(to) {
                    told.push((to.clone(), false));
                }
            }
            sent.wanted
        });
        let counts = !self.sent.is_empty() || !self.wishes.is_empty();
        self.due = counts.then(|| now + WINDOW);
        told
    }

    /// When to look again.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn much_sent_is_worth_a_link_until_nothing_is_sent_for_long() {
        let mut direct = Direct::default();
        let start = Instant::from_millis(5_000);
        assert!(!direct.note(start, &id("b"), DIRECT_BYTES - 1));
        assert!(direct.note(start, &id("b"), 1));
        assert!(!direct.note(start, &id("b"), DIRECT_BYTES));
        let mut now = start;
        let mut given_up = Vec::new();
        while let Some(due) = direct.next_deadline() {
            now = due;
            given_up.extend(direct.look(now));
        }
        assert_eq!(given_up, [(id("b"), false)]);
        assert_eq!(now, start + DIRECT_IDLE);
    }

    #[test]
    fn a_wish_is_told_in_every_window_until_it_is_withdrawn_and_keeps_what_is_idle() {
        let mut direct = Direct::default();
        let mut now = Instant::from_millis(5_000);
        assert!(direct.wish(now, &id("b"), true));
        assert!(direct.note(now, &id("b"), DIRECT_BYTES));
        for _ in 0..10 {
            now = direct.next_deadline().unwrap();
            assert_eq!(direct.look(now), [(id("b"), true)]);
        }
        assert!(
            !direct.wish(now, &id("b"), false),
            "nothing was sent for long"
        );
        now = direct.next_deadline().unwrap();
        assert!(direct.look(now).is_empty());
        assert_eq!(direct.next_deadline(), None);
        // What is sent is worth a link that nobody wishes for.
        assert!(direct.note(now, &id("c"), DIRECT_BYTES));
        assert!(direct.wish(now, &id("c"), true));
        assert!(direct.wish(now, &id("c"), false));
    }

    #[test]
    fn wishes_are_bounded() {
        let mut direct = Direct::default();
        let now = Instant::ZERO;
        let granted = (0..20).filter(|n| direct.wish(now, &id(&format!("n{n}")), true));
        assert_eq!(granted.count(), WISHES_MAX);
    }

    #[test]
    fn little_sent_in_each_window_is_not_worth_a_link() {
        let mut direct = Direct::default();
        for window in 0..10 {
            let now = Instant::from_millis(window * 11_000);
            assert!(direct.look(now).is_empty());
            assert!(!direct.note(now, &id("b"), DIRECT_BYTES / 2));
        }
    }

    #[test]
    fn many_small_messages_count_and_links_are_bounded() {
        let mut direct = Direct::default();
        let now = Instant::ZERO;
        let mut asked = 0;
        for member in 0..20 {
            for _ in 0..DIRECT_MESSAGES {
                asked += usize::from(direct.note(now, &id(&format!("n{member}")), 1));
            }
        }
        assert_eq!(asked, DIRECT_MAX);
    }
}
