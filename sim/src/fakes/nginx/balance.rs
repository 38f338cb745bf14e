//! Smooth weighted round robin over an upstream's members; members that failed are set aside for a while.
//!
//! The rules are those of nginx without `zone`: each worker has its own state, times count whole seconds, backup
//! members are used when no other member is left, and a single member without backups is used despite its failures.

use super::configuration::UpstreamServer;
use phalanx_core::time::Instant;
use std::collections::BTreeSet;

/// One worker's state of one upstream.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    peers: Vec<Peer>,
}

#[derive(Clone, Debug)]
struct Peer {
    current: i64,
    effective: i64,
    fails: u64,
    /// The second of the latest failure.
    accessed: u64,
    /// The second of the latest failure or of the latest attempt after a failure.
    checked: u64,
}

/// The members that one request tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    members: BTreeSet<usize>,
    tries: usize,
    backup: bool,
}

impl Tried {
    pub(super) fn new(members: &[UpstreamServer]) -> Self {
        Self {
            members: BTreeSet::new(),
            tries: members.iter().filter(|member| !member.down).count(),
            backup: false,
        }
    }

    /// Whether the request may be passed to another member.
    pub(super) const fn may_go_on(&self) -> bool {
        self.tries > 0
    }
}

fn second(now: Instant) -> u64 {
    // The offset keeps the clock's zero from looking like a time long past.
    now.as_millis() / 1_000 + 1_000_000
}

fn is_single(members: &[UpstreamServer]) -> bool {
    members.len() == 1
}

impl Balance {
    pub(super) fn new(members: &[UpstreamServer]) -> Self {
        let peer = |member: &UpstreamServer| Peer {
            current: 0,
            effective: member.weight,
            fails: 0,
            accessed: 0,
            checked: 0,
        };
        Self {
            peers: members.iter().map(peer).collect(),
        }
    }

    /// The member that a request goes to next; none if no member is live.
    pub(super) fn pick(
        &mut self,
        members: &[UpstreamServer],
        tried: &mut Tried,
        now: Instant,
    ) -> Option<usize> {
        if is_single(members) {
            return (!members[0].down).then_some(0);
        }
        let mut found = self.best(members, tried, second(now));
        if found.is_none() && !tried.backup {
            tried.backup = true;
            found = self.best(members, tried, second(now));
        }
        tried.members.extend(found);
        found
    }

    fn best(&mut self, members: &[UpstreamServer], tried: &Tried, now: u64) -> Option<usize> {
        let (mut best, mut total) = (None, 0);
        for (at, member) in members.iter().enumerate() {
            if member.backup != tried.backup || member.down || tried.members.contains(&at) {
                continue;
            }
            let peer = &self.peers[at];
            let failed = member.max_fails > 0 && peer.fails >= member.max_fails;
            if failed && now.saturating_sub(peer.checked) <= member.fail_timeout.as_secs() {
                continue;
            }
            let peer = &mut self.peers[at];
            peer.current += peer.effective;
            total += peer.effective;
            if peer.effective < member.weight {
                peer.effective += 1;
            }
            let current = peer.current;
            if best.is_none_or(|other: usize| current > self.peers[other].current) {
                best = Some(at);
            }
        }
        let at = best?;
        let peer = &mut self.peers[at];
        peer.current -= total;
        if now.saturating_sub(peer.checked) > members[at].fail_timeout.as_secs() {
            peer.checked = now;
        }
        best
    }

    /// A member answered or failed. Returns whether the member is set aside from now on.
    pub(super) fn done(
        &mut self,
        members: &[UpstreamServer],
        tried: &mut Tried,
        at: usize,
        failed: bool,
        now: Instant,
    ) -> bool {
        if is_single(members) {
            tried.tries = 0;
            return false;
        }
        tried.tries = tried.tries.saturating_sub(1);
        let (member, peer) = (&members[at], &mut self.peers[at]);
        if !failed {
            if peer.accessed < peer.checked {
                peer.fails = 0;
            }
            return false;
        }
        peer.fails += 1;
        (peer.accessed, peer.checked) = (second(now), second(now));
        if member.max_fails == 0 {
            return false;
        }
        let step = member.weight / i64::try_from(member.max_fails).unwrap_or(i64::MAX);
        peer.effective = (peer.effective - step).max(0);
        peer.fails >= member.max_fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::nginx::ListenAddress;
    use core::time::Duration;

    fn members(weights: &[i64]) -> Vec<UpstreamServer> {
        let member = |&weight| UpstreamServer {
            target: ListenAddress::Unix(format!("/{weight}")),
            weight,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            down: false,
            backup: false,
        };
        weights.iter().map(member).collect()
    }

    /// The members that answer a number of requests while the members in `dead` refuse; 9 means that no member answers.
    fn served(members: &[UpstreamServer], dead: &[usize], requests: usize, at: u64) -> Vec<usize> {
        let (mut balance, now) = (Balance::new(members), Instant::from_millis(at));
        let request = |_| {
            let mut tried = Tried::new(members);
            while let Some(at) = balance.pick(members, &mut tried, now) {
                let failed = dead.contains(&at);
                balance.done(members, &mut tried, at, failed, now);
                if !failed {
                    return at;
                }
                if !tried.may_go_on() {
                    break;
                }
            }
            9
        };
        (0..requests).map(request).collect()
    }

    #[test]
    fn weights_are_spread_smoothly() {
        assert_eq!(served(&members(&[1, 1, 1]), &[], 6, 0), [0, 1, 2, 0, 1, 2]);
        assert_eq!(served(&members(&[3, 2, 1]), &[], 6, 0), [0, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn a_member_that_failed_is_asked_again_after_its_time() {
        let members = members(&[1, 1]);
        let mut balance = Balance::new(&members);
        let mut first = Tried::new(&members);
        assert_eq!(balance.pick(&members, &mut first, Instant::ZERO), Some(0));
        assert!(balance.done(&members, &mut first, 0, true, Instant::ZERO));
        // The member's weight grows back by one per request, so the member is chosen at the third request.
        for (second, expected) in [(1, 1), (10, 1), (11, 1), (12, 1), (13, 0), (14, 1)] {
            let now = Instant::from_millis(second * 1_000);
            let mut tried = Tried::new(&members);
            let picked = balance.pick(&members, &mut tried, now);
            balance.done(&members, &mut tried, picked.unwrap(), false, now);
            assert_eq!(picked, Some(expected), "after {second} s");
        }
    }

    #[test]
    fn backups_serve_when_all_others_fail_and_down_members_never() {
        let mut three = members(&[1, 1, 1]);
        three[2].backup = true;
        assert_eq!(served(&three, &[0, 1], 3, 0), [2, 2, 2]);
        three[1].down = true;
        assert_eq!(served(&three, &[], 3, 0), [0, 0, 0]);
        let mut one = members(&[1]);
        assert_eq!(served(&one, &[], 2, 0), [0, 0]);
        one[0].down = true;
        assert_eq!(served(&one, &[], 1, 0), [9]);
    }
}
