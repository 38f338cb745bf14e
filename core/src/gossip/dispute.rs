//! Disputes about the node's id: claims under the id that the node did not publish, and the state of a node that gave
//! up the id.
//!
//! A node gives up its id only to a node that proves the id in person: in a handshake, with a certificate of that id. A
//! claim that a neighbour relays is not proof, because records are not signed. On such a claim the node dials the
//! claimed address, at most one dial each [`RAISE_INTERVAL`], and takes an epoch above the claim unless the dial
//! leads to a proof. Two nodes with one id that never meet in person outbid each other at this rate; both report this.
//!
//! ```text
//!   Undisputed ──claim──► Claimed ──dial ended without proof, RAISE_INTERVAL──► Raised ──second claim──► Duplicate
//!       ▲                                                                          │                         │
//!       └───────────────────────────── no claim for DISPUTE_ENDS ─────────────────┴─────────────────────────┘
//!   any ──proof in person──► Suspended ──the holder of the id is gone──► Undisputed, with a higher epoch
//! ```
//!
//! Bounds: one claim, the one with the highest epoch, is kept.

use super::context::Context;
use super::event::Event;
use super::timer::{Timer, Timers};
use crate::counter::BOUND_RISES;
use crate::identity::NodeId;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use crate::topology::record::Record;
use core::net::SocketAddr;

/// Minimum time between two epochs that the node takes because of relayed claims, and between two dials to claimed
/// addresses.
const RAISE_INTERVAL: Duration = Duration::from_secs(5);
/// Time without claims after which a dispute is over.
const DISPUTE_ENDS: Duration = Duration::from_secs(60);
/// Time between two inquiries of a node that gave up its id.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of nodes that one inquiry dials, one after the other, until one of them answers. The last one is a
/// seed address.
const ASKED_MAX: usize = 8;

/// The node's answer to a relayed claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClaimAnswer {
    /// The claim is noted.
    None,
    /// Dial the claimed address, where the node that holds the id has to prove it.
    Dial(SocketAddr),
    /// Take an epoch above this one.
    Raise(u64),
}

/// The state of a node that gave up its id.
#[derive(Clone, Debug, PartialEq)]
struct Suspension {
    since: Instant,
    /// The highest known epoch of the holder of the id.
    epoch: u64,
    /// The address of the holder.
    holder: Option<SocketAddr>,
    /// The member that was asked last. The next one follows in the order of ids, so that members that do not answer are
    /// not asked again before the others.
    asked: Option<MemberIndex>,
    /// Number of nodes that this inquiry may still ask.
    left: usize,
    /// The timers of the node, which continue when the node takes its id back.
    timers: Timers,
}

/// The claims under the node's id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dispute {
    /// The highest claimed epoch that the node did not exceed yet.
    claimed: Option<u64>,
    /// The earliest time of the next epoch.
    next_raise: Instant,
    /// The earliest time of the next dial to a claimed address.
    next_dial: Instant,
    /// Whether a dial to a claimed address is in progress.
    dialing: bool,
    /// Number of claims of other nodes that were answered with an epoch since the dispute began.
    answered: u32,
    /// The time of the latest claim of another node.
    latest: Option<Instant>,
    /// The time since which another node is known to use the id.
    duplicate_since: Option<Instant>,
    suspension: Option<Suspension>,
}

/// Relayed claims.
impl Dispute {
    pub(super) const fn new() -> Self {
        Self {
            claimed: None,
            next_raise: Instant::ZERO,
            next_dial: Instant::ZERO,
            dialing: false,
            answered: 0,
            latest: None,
            duplicate_since: None,
            suspension: None,
        }
    }

    /// `relay` sent a record under the node's id with a higher epoch or instance. `own` is the node's record. A record
    /// with the node's own address is taken for one of an earlier start of the node.
    pub(super) fn on_claim(
        &mut self,
        context: &mut Context,
        own: &Record,
        heard: &Record,
        relay: Option<&NodeId>,
    ) -> ClaimAnswer {
        let address = heard.content().address;
        let is_past = address.is_some() && address == own.content().address;
        self.claimed = self.claimed.max(Some(heard.rank().epoch));
        if !is_past {
            self.on_claim_of_another(context, heard, relay);
        }
        if let Some(address) = address.filter(|_| !is_past)
            && !self.dialing
            && context.now >= self.next_dial
        {
            self.next_dial = context.after(RAISE_INTERVAL);
            self.dialing = true;
            return ClaimAnswer::Dial(address);
        }
        self.settle(context, own)
    }

    fn on_claim_of_another(
        &mut self,
        context: &mut Context,
        heard: &Record,
        relay: Option<&NodeId>,
    ) {
        if self.is_over(context.now) {
            self.answered = 0;
            self.duplicate_since = None;
        }
        let is_first = self.answered == 0;
        self.latest = Some(context.now);
        if is_first || self.duplicate_since.is_some() {
            return;
        }
        self.duplicate_since = Some(context.now);
        context.report(Event::DuplicateId {
            relay: relay.cloned(),
            epoch: heard.rank().epoch,
            instance: heard.rank().instance,
            address: heard.content().address,
        });
    }

    /// A dial to a claimed address ended without proof that another node holds the id.
    pub(super) fn on_unproven(&mut self, context: &mut Context, own: &Record) -> ClaimAnswer {
        self.dialing = false;
        self.settle(context, own)
    }

    /// The claims are answered with a higher epoch, if that is due.
    pub(super) fn settle(&mut self, context: &mut Context, own: &Record) -> ClaimAnswer {
        let Some(above) = self.claimed.filter(|above| *above >= own.rank().epoch) else {
            self.claimed = None;
            return ClaimAnswer::None;
        };
        if self.dialing {
            return ClaimAnswer::None;
        }
        if context.now < self.next_raise {
            context.timers.set_if_unset(Timer::Dispute, self.next_raise);
            return ClaimAnswer::None;
        }
        if above >= context.counter_max() {
            let at = context.after(BOUND_RISES);
            context.timers.set_if_unset(Timer::Dispute, at);
            return ClaimAnswer::None;
        }
        self.claimed = None;
        self.answered = self.answered.saturating_add(1);
        self.next_raise = context.after(RAISE_INTERVAL);
        ClaimAnswer::Raise(above)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.latest
            .is_none_or(|latest| now - latest >= DISPUTE_ENDS)
    }

    /// The time since which another node, which this node never met in person, is known to use the id.
    pub(super) fn duplicate_since(&self, now: Instant) -> Option<Instant> {
        self.duplicate_since.filter(|_| !self.is_over(now))
    }
}

/// The other members that have an address, in the order of ids, after a member.
fn members_after(
    context: &Context,
    last: Option<MemberIndex>,
) -> impl Iterator<Item = (MemberIndex, SocketAddr)> + '_ {
    let topology = &context.topology;
    let last = last.and_then(|member| topology.id_at(member));
    let others = topology.indices_after(last).filter(|it| *it != context.me);
    others.filter_map(|member| {
        let record = topology.known_record(member)?;
        Some((member, record.content().address?))
    })
}

/// The state of a node that gave up its id.
impl Dispute {
    /// The node gave up its id to a node that proved it. All timers stop.
    pub(super) fn suspend(&mut self, context: &mut Context, holder: &Record) {
        let timers = core::mem::replace(&mut context.timers, Timers::new());
        self.claimed = None;
        self.dialing = false;
        self.suspension = Some(Suspension {
            since: context.now,
            epoch: holder.rank().epoch,
            holder: holder.content().address,
            asked: None,
            left: 0,
            timers,
        });
        Self::schedule_inquiry(context);
    }

    /// Schedules the next inquiry whether the holder of the id is gone.
    pub(super) fn schedule_inquiry(context: &mut Context) {
        let at = context.after(RECLAIM_INTERVAL);
        context.timers.set(Timer::Reclaim, at);
    }

    /// An inquiry begins. The first inquiry starts at a random member.
    pub(super) fn begin_inquiry(&mut self, context: &mut Context) {
        if let Some(suspension) = &mut self.suspension {
            let others = members_after(context, None).take(ASKED_MAX).count();
            suspension.left = others.min(ASKED_MAX - 1) + 1;
            if suspension.asked.is_none() {
                let random = &mut context.random.inquiry;
                suspension.asked = context.topology.random_member(random);
            }
        }
    }

    /// The address to ask next in this inquiry, if another one may be asked: of the next member that has an address;
    /// at the end of the inquiry, a random one of `seeds`.
    pub(super) fn next_to_ask(
        &mut self,
        context: &mut Context,
        seeds: &[SocketAddr],
    ) -> Option<SocketAddr> {
        let suspension = self.suspension.as_mut()?;
        suspension.left = suspension.left.checked_sub(1)?;
        if suspension.left == 0 {
            return context.random.inquiry.pick(seeds).copied();
        }
        let in_turn = members_after(context, suspension.asked).chain(members_after(context, None));
        let (member, address) = { in_turn }.next()?;
        suspension.asked = Some(member);
        Some(address)
    }

    /// A node sent a record of the holder.
    pub(super) fn on_holder(&mut self, record: &Record) {
        if let Some(suspension) = &mut self.suspension
            && record.rank().epoch >= suspension.epoch
        {
            suspension.epoch = record.rank().epoch;
            suspension.holder = record.content().address;
        }
    }

    /// The node takes its id back: the timers of before continue. Returns the time since which the node was suspended.
    pub(super) fn resume(&mut self, context: &mut Context) -> Option<Instant> {
        let suspension = self.suspension.take()?;
        context.timers = suspension.timers;
        Some(suspension.since)
    }

    /// The time since which another node holds the id.
    pub(super) fn suspended_since(&self) -> Option<Instant> {
        self.suspension.as_ref().map(|held| held.since)
    }

    /// The highest known epoch of the holder of the id, and the holder's address.
    pub(super) fn holder(&self) -> Option<(u64, Option<SocketAddr>)> {
        let held = self.suspension.as_ref()?;
        Some((held.epoch, held.holder))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let timers = self.suspension.as_ref().map_or(0, |held| held.timers.len());
        held::<(Instant, Timer)>(2 * timers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, context, events, id};
    use crate::topology::record::{Content, Rank};

    fn record(epoch: u64, address: Option<SocketAddr>) -> Record {
        let rank = Rank {
            epoch,
            instance: 77,
            ..Rank::default()
        };
        let content = Content {
            address,
            ..Content::default()
        };
        Record::new(id(0), rank, content)
    }

    #[test]
    fn claims_without_an_address_raise_the_epoch_once_in_five_seconds() {
        let (mut context, mut dispute) = (context(), Dispute::new());
        let mut own = record(1, Some(address(0)));
        let mut raised = Vec::new();
        for second in 0..20 {
            let heard = record(own.rank().epoch + 7, None);
            let mut answers = vec![dispute.on_claim(&mut context, &own, &heard, Some(&id(1)))];
            while let Some((_, timer)) = context.timers.pop_due(context.now) {
                assert_eq!(timer, Timer::Dispute);
                answers.push(dispute.settle(&mut context, &own));
            }
            if let Some(ClaimAnswer::Raise(above)) = answers.into_iter().max() {
                own = record(above + 1, Some(address(0)));
                raised.push(second);
            }
            context.now += Duration::from_secs(1);
        }
        assert_eq!(raised, [0, 5, 10, 15]);
        let reported = events(&mut context);
        assert!(
            matches!(&*reported, [Event::DuplicateId { relay, .. }] if *relay == Some(id(1))),
            "{reported:?}"
        );
        assert!(dispute.duplicate_since(context.now).is_some());
        assert_eq!(
            dispute.duplicate_since(context.now + DISPUTE_ENDS),
            None,
            "a dispute without claims is over"
        );
    }

    #[test]
    fn a_claimed_address_is_dialled_before_the_epoch_is_raised() {
        let (mut context, mut dispute) = (context(), Dispute::new());
        let own = record(1, Some(address(0)));
        let heard = record(9, Some(address(5)));
        let claim = |dispute: &mut Dispute, context: &mut Context, heard| {
            dispute.on_claim(context, &own, heard, None)
        };
        assert_eq!(
            claim(&mut dispute, &mut context, &heard),
            ClaimAnswer::Dial(address(5))
        );
        let other = record(12, Some(address(6)));
        assert_eq!(claim(&mut dispute, &mut context, &other), ClaimAnswer::None);
        assert_eq!(
            dispute.on_unproven(&mut context, &own),
            ClaimAnswer::Raise(12)
        );
    }

    #[test]
    fn a_record_of_an_earlier_start_is_not_a_duplicate() {
        let (mut context, mut dispute) = (context(), Dispute::new());
        let own = record(1, Some(address(0)));
        for epoch in [9, 19] {
            let past = record(epoch, Some(address(0)));
            assert_eq!(
                dispute.on_claim(&mut context, &own, &past, None),
                ClaimAnswer::Raise(epoch)
            );
            context.now += RAISE_INTERVAL;
        }
        assert_eq!(events(&mut context), []);
    }

    #[test]
    fn the_timers_of_a_suspended_node_continue_when_it_resumes() {
        let (mut context, mut dispute) = (context(), Dispute::new());
        let forget = context.after(Duration::from_secs(9));
        context.timers.set(Timer::Forget(3), forget);
        let since = context.now;
        dispute.suspend(&mut context, &record(9, None));
        assert_eq!(context.timers.next(), Some(context.after(RECLAIM_INTERVAL)));
        dispute.on_holder(&record(12, Some(address(7))));
        assert_eq!(dispute.holder(), Some((12, Some(address(7)))));
        context.now += Duration::from_secs(600);
        assert_eq!(dispute.resume(&mut context), Some(since));
        assert_eq!(context.timers.next(), Some(forget));
        assert_eq!(dispute.suspended_since(), None);
    }
}
