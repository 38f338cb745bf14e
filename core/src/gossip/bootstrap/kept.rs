//! Addresses of members that the node keeps for its next start, and the dials to the addresses of earlier starts.
//!
//! A restart must not depend on seed nodes that no longer exist. The node keeps the addresses at which members proved
//! their id to it: the dialled address, or the address in the record that a member presents in its own handshake.
//! After a restart, each kept address is dialled once, unless it belongs to a live member; while the node knows no
//! other member, failed addresses are dialled again after delays that grow like those of seed addresses.
//!
//! Bounds: [`KEPT_MAX`] addresses, one for each member. When full, the address that was proved longest ago is dropped,
//! addresses that this node did not dial first. A change is stored at most once in [`STORE_INTERVAL`].

use super::reach::{live_member_at, retry_wait};
use crate::gossip::context::Context;
use crate::identity::NodeId;
use crate::size::held;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;

/// Maximum number of kept addresses.
pub const KEPT_MAX: usize = 64;
/// Minimum time between two orders to store the addresses.
const STORE_INTERVAL: Duration = Duration::from_secs(10);

/// An address to keep.
#[derive(Clone, Debug, PartialEq)]
struct Proved {
    address: SocketAddr,
    /// The member that proved its id; none if an earlier start kept the address.
    member: Option<NodeId>,
    /// Whether this node dialled the address.
    dialed: bool,
}

/// An address that an earlier start kept.
#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    address: SocketAddr,
    /// Whether the address was dialled, or belongs to a live member.
    settled: bool,
    dialing: bool,
    failures: u32,
    /// Not dialled before this time.
    next: Instant,
}

/// The kept addresses of one node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeptAddresses {
    /// The addresses to keep, the latest first.
    proved: Vec<Proved>,
    candidates: Vec<Candidate>,
    /// Whether the set of addresses changed since the latest order to store it.
    changed: bool,
    stored_at: Option<Instant>,
}

impl KeptAddresses {
    /// The addresses that an earlier start kept, the latest first; further ones than [`KEPT_MAX`] are ignored.
    pub(super) fn new(kept: &[SocketAddr]) -> Self {
        let kept = || kept.iter().copied().take(KEPT_MAX);
        let proved = |address| Proved {
            address,
            member: None,
            dialed: true,
        };
        let candidate = |address| Candidate {
            address,
            settled: false,
            dialing: false,
            failures: 0,
            next: Instant::ZERO,
        };
        Self {
            proved: kept().map(proved).collect(),
            candidates: kept().map(candidate).collect(),
            changed: false,
            stored_at: None,
        }
    }

    /// A member proved its id at an address that this node dialled (`dialed`), or presented the address itself.
    pub(super) fn on_proved(&mut self, member: &NodeId, address: SocketAddr, dialed: bool) {
        let known = self.proved.len();
        let is_old = |it: &Proved| it.address == address || it.member.as_ref() == Some(member);
        let had = self.proved.iter().any(|it| it.address == address);
        self.proved.retain(|it| !is_old(it));
        self.changed |= !had || self.proved.len() + 1 != known;
        let fresh = Proved {
            address,
            member: Some(member.clone()),
            dialed,
        };
        self.proved.insert(0, fresh);
        if self.proved.len() > KEPT_MAX {
            let presented = self.proved.iter().rposition(|it| !it.dialed);
            self.proved.remove(presented.unwrap_or(KEPT_MAX));
        }
    }

    /// Takes the addresses to store, if they changed and the latest order is old enough.
    pub(super) fn take_changed(&mut self, now: Instant) -> Option<Vec<SocketAddr>> {
        let waits = self.stored_at.is_some_and(|at| now < at + STORE_INTERVAL);
        if !self.changed || waits {
            return None;
        }
        self.changed = false;
        self.stored_at = Some(now);
        Some(self.proved.iter().map(|it| it.address).collect())
    }

    /// Takes the next address of an earlier start to dial. Addresses that were not dialled yet precede.
    pub(super) fn take_next(&mut self, context: &Context) -> Option<(usize, SocketAddr)> {
        for candidate in &mut self.candidates {
            candidate.settled |= live_member_at(context, candidate.address).is_some();
        }
        let all = self.candidates.iter_mut().enumerate();
        let due = all.filter(|(_, candidate)| is_due(candidate, context));
        let (index, candidate) = due.min_by_key(|(_, it)| (it.settled, it.next))?;
        candidate.settled = true;
        candidate.dialing = true;
        Some((index, candidate.address))
    }

    /// Whether the node knows no member, and an address was not dialled yet.
    pub(super) fn is_any_untried(&self, context: &Context) -> bool {
        let untried = |it: &Candidate| !it.settled && !it.dialing && it.next <= context.now;
        is_alone(context) && self.candidates.iter().any(untried)
    }

    /// The earliest time at which an address may be dialled.
    pub(super) fn next(&self, context: &Context) -> Option<Instant> {
        let alone = is_alone(context);
        let waiting = self.candidates.iter();
        let waiting = waiting.filter(|it| !it.dialing && (alone || !it.settled));
        waiting.map(|it| it.next).min()
    }

    /// A dial to the address of an earlier start led to a member.
    pub(super) fn on_linked(&mut self, context: &Context, index: usize) {
        if let Some(candidate) = self.candidates.get_mut(index) {
            candidate.dialing = false;
            candidate.failures = 0;
            candidate.next = context.after(context.tuning().retry_max);
        }
    }

    /// A dial to the address of an earlier start failed. Returns the time of the next dial, should the node still be
    /// alone by then.
    pub(super) fn on_failed(&mut self, context: &mut Context, index: usize) -> Option<Instant> {
        let candidate = self.candidates.get_mut(index)?;
        candidate.dialing = false;
        let wait = retry_wait(context, candidate.failures);
        candidate.failures = candidate.failures.saturating_add(1);
        candidate.next = context.after(wait);
        Some(candidate.next)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<Proved>(self.proved.len()) + held::<Candidate>(self.candidates.len())
    }
}

fn is_alone(context: &Context) -> bool {
    context.topology.len() <= 1
}

fn is_due(candidate: &Candidate, context: &Context) -> bool {
    let waiting = !candidate.dialing && candidate.next <= context.now;
    waiting && (!candidate.settled || is_alone(context))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, context, id, learn};

    fn stored(kept: &mut KeptAddresses, now: Instant) -> Option<Vec<SocketAddr>> {
        kept.take_changed(now)
    }

    #[test]
    fn the_addresses_of_members_are_kept_the_latest_first_and_one_for_each_member() {
        let mut kept = KeptAddresses::new(&[address(1)]);
        let mut now = Instant::from_millis(1);
        assert_eq!(stored(&mut kept, now), None);
        kept.on_proved(&id(1), address(1), true);
        assert_eq!(stored(&mut kept, now), None, "the address is stored");
        kept.on_proved(&id(2), address(2), false);
        assert_eq!(stored(&mut kept, now), Some(vec![address(2), address(1)]));
        // The member moved.
        kept.on_proved(&id(1), address(3), true);
        assert_eq!(stored(&mut kept, now), None, "it is too early");
        now += STORE_INTERVAL;
        assert_eq!(stored(&mut kept, now), Some(vec![address(3), address(2)]));
    }

    #[test]
    fn presented_addresses_do_not_push_out_dialled_ones() {
        let mut kept = KeptAddresses::new(&[]);
        for index in 0..10 {
            kept.on_proved(&id(index), address(index), true);
        }
        for index in 10..200 {
            kept.on_proved(&id(index), address(index), false);
        }
        let all = stored(&mut kept, Instant::from_millis(1)).unwrap();
        assert_eq!(all.len(), KEPT_MAX);
        assert!((0..10).all(|index| all.contains(&address(index))));
        assert!(all.contains(&address(199)), "the latest");
        for index in 200..300 {
            kept.on_proved(&id(index), address(index), true);
        }
        let now = Instant::from_millis(1) + STORE_INTERVAL;
        let all = stored(&mut kept, now).unwrap();
        assert_eq!((all.len(), all[0]), (KEPT_MAX, address(299)));
    }

    #[test]
    fn each_address_is_dialled_once_and_again_while_the_node_is_alone() {
        let mut context = context();
        let mut kept = KeptAddresses::new(&[address(1), address(2)]);
        assert_eq!(kept.take_next(&context), Some((0, address(1))));
        assert_eq!(kept.take_next(&context), Some((1, address(2))));
        assert_eq!(
            (kept.take_next(&context), kept.next(&context)),
            (None, None)
        );
        let next = kept.on_failed(&mut context, 0).unwrap();
        assert_eq!(kept.next(&context), Some(next));
        assert_eq!(kept.take_next(&context), None);
        context.now = next;
        assert_eq!(kept.take_next(&context), Some((0, address(1))));
        kept.on_failed(&mut context, 0);
        learn(&mut context, 3);
        context.now += Duration::from_secs(60);
        assert_eq!(
            (kept.take_next(&context), kept.next(&context)),
            (None, None)
        );
    }

    #[test]
    fn the_address_of_a_live_member_is_not_dialled() {
        let mut context = context();
        let mut kept = KeptAddresses::new(&[address(1), address(2)]);
        let member = learn(&mut context, 1);
        context.topology.set_alive(member, true);
        assert_eq!(kept.take_next(&context), Some((1, address(2))));
        assert_eq!(kept.next(&context), None);
    }
}
