//! Dials in progress, and the back-off from members that could not be dialled.
//!
//! ```text
//!   begin ──adapter: connected──► handshake ──finished──► (a link)
//!     ├──timeout──► overdue ──adapter: connected──► handshake
//!     │                └──OVERDUE_KEPT──► (ended)
//!     └──────adapter: failed, refused, or the connection closed──► (ended)
//! ```
//!
//! A dial that times out has failed for the decisions that follow from it: the next address or member is dialled. It
//! stays overdue for some time, because the peer may only be far away: a connection that is established late is used
//! unless another link to the peer exists, and measures the round trip.
//!
//! The machine decides what follows the end of a dial, by the dial's purpose. Bounds: [`DIALS_MAX`] dials, of which
//! [`SEED_DIALS_MAX`] go to seed addresses, [`OVERDUE_MAX`] overdue dials, and one back-off for each member.

use super::context::Context;
use super::interface::Output;
use super::timer::Timer;
use crate::link::{DialId, LinkId};
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use core::net::SocketAddr;
use std::collections::BTreeMap;

/// Maximum number of dials in progress.
pub const DIALS_MAX: usize = 32;
/// Maximum number of dials in progress to seed addresses. The remaining dials are reserved for members, so that names
/// with many silent addresses do not delay dials to members.
pub(super) const SEED_DIALS_MAX: usize = 24;
/// Maximum number of overdue dials. A further one cancels the oldest.
const OVERDUE_MAX: usize = 32;
/// Time after its start up to which a dial may connect.
pub const OVERDUE_KEPT: Duration = Duration::from_secs(15);

/// Pause after a dial at which another node than the expected member answered. The pause doubles with each such dial,
/// [`MISDIRECTED_DOUBLED_MAX`] times.
const MISDIRECTED_PAUSE: Duration = Duration::from_secs(5);
const MISDIRECTED_DOUBLED_MAX: u32 = 6;

/// The reason of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialPurpose {
    /// A seed address, to join the mesh or to find a split-off part of it; holds the index among the seed addresses.
    Seed(usize),
    /// An address that an earlier start kept; holds the index among the kept addresses.
    Kept(usize),
    /// An address named in a refusal.
    Referral,
    /// A ring neighbour.
    Ring,
    /// A silent or broken neighbour.
    Redial,
    /// A member that is down.
    Probe,
    /// The extra random link.
    RandomLink,
    /// A member to which applications need a link.
    Requested,
    /// A neighbour whose open link is replaced by a new connection.
    Renewal,
    /// A neighbour that dialled its link itself, to check the address that it advertises. The connection is closed at
    /// once.
    AddressCheck,
    /// An address at which another node is said to hold this node's id.
    Claim,
    /// A node that may know whether the holder of the id that this node gave up is gone.
    Inquiry,
}

/// A dial in progress, up to the end of its handshake.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dial {
    purpose: DialPurpose,
    address: SocketAddr,
    /// The expected peer; once connected, the peer that answered.
    peer: Option<MemberIndex>,
    /// The connection, once it is established, and the session that this node proposed on the connection.
    connection: Option<(LinkId, u32)>,
    started: Instant,
    /// Time after which the dial counts as failed.
    timeout: Duration,
}

impl Dial {
    pub(super) const fn purpose(&self) -> DialPurpose {
        self.purpose
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn peer(&self) -> Option<MemberIndex> {
        self.peer
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.connection.map(|(link, _)| link)
    }
}

/// A back-off from one member.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BackOff {
    until: Instant,
    /// Number of consecutive failed dials.
    failures: u32,
}

/// The dials of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dialer {
    dials: BTreeMap<DialId, Dial>,
    /// The dials that timed out before a connection was established.
    overdue: BTreeMap<DialId, Dial>,
    /// Number of dials ever started.
    begun: u64,
    /// Number of dials that a timeout ended.
    timed_out: u64,
    back_offs: BTreeMap<MemberIndex, BackOff>,
    /// Back-offs from members at whose address another node answers. The address may be in use by another member or
    /// another mesh for as long as the member is known.
    misdirected: BTreeMap<MemberIndex, BackOff>,
}

/// Dials.
impl Dialer {
    /// Starts a dial, unless too many are in progress.
    pub(super) fn begin(
        &mut self,
        context: &mut Context,
        purpose: DialPurpose,
        (address, peer): (SocketAddr, Option<MemberIndex>),
        timeout: Duration,
    ) {
        if !self.has_room_for(purpose) {
            return;
        }
        self.begun += 1;
        let dial = DialId(self.begun);
        let attempt = Dial {
            purpose,
            address,
            peer,
            connection: None,
            started: context.now,
            timeout,
        };
        self.dials.insert(dial, attempt);
        set_time_out(context, dial, timeout);
        context.out.push(Output::Dial { dial, address });
    }

    /// The peer of a dial exchanges revocations with this node: the timeout begins again, but not beyond `latest`.
    pub(super) fn extend(&self, context: &mut Context, dial: DialId, latest: Instant) {
        if let Some(attempt) = self.dials.get(&dial) {
            let left = latest.since(context.now);
            set_time_out(context, dial, attempt.timeout.min(left));
        }
    }

    /// Restarts the timeout of every dial, after a pause of this node.
    pub(super) fn restart_time_outs(&self, context: &mut Context) {
        for (dial, attempt) in &self.dials {
            set_time_out(context, *dial, attempt.timeout);
        }
    }

    /// A dial is connected to a peer; this node proposes a session on the connection.
    pub(super) fn connected(
        &mut self,
        dial: DialId,
        link: LinkId,
        peer: MemberIndex,
        session: u32,
    ) {
        if let Some(attempt) = self.dials.get_mut(&dial) {
            attempt.connection = Some((link, session));
            attempt.peer = Some(peer);
        }
    }

    /// The answer to the handshake of a connected dial may take this long.
    pub(super) fn allow_answer(&mut self, context: &mut Context, dial: DialId, within: Duration) {
        let Some(attempt) = self.dials.get_mut(&dial) else {
            return;
        };
        let elapsed = context.now - attempt.started;
        if elapsed + within > attempt.timeout {
            attempt.timeout = elapsed + within;
            set_time_out(context, dial, within);
        }
    }

    /// A timeout ends a dial. The dial becomes overdue if no connection was established.
    pub(super) fn on_time_out(&mut self, context: &mut Context, dial: DialId) {
        self.timed_out += 1;
        let Some(attempt) = self.dials.get(&dial) else {
            return;
        };
        let for_a_link = !matches!(attempt.purpose, DialPurpose::Claim | DialPurpose::Inquiry);
        if attempt.connection.is_some() || !for_a_link || context.has(Switch::FixedTimeouts) {
            return;
        }
        self.overdue.insert(dial, attempt.clone());
        let now = context.now;
        self.overdue
            .retain(|_, attempt| now - attempt.started < OVERDUE_KEPT);
        if self.overdue.len() > OVERDUE_MAX
            && let Some((dial, _)) = self.overdue.pop_first()
        {
            context.out.push(Output::CancelDial { dial });
        }
    }

    /// An overdue dial.
    pub(super) fn overdue(&self, context: &Context, dial: DialId) -> Option<&Dial> {
        let attempt = self.overdue.get(&dial)?;
        (context.now - attempt.started < OVERDUE_KEPT).then_some(attempt)
    }

    /// Forgets an overdue dial, which ended.
    pub(super) fn forget_overdue(&mut self, dial: DialId) -> Option<Dial> {
        self.overdue.remove(&dial)
    }

    /// An overdue dial connected and is in progress again.
    pub(super) fn resume(&mut self, context: &mut Context, dial: DialId) {
        if let Some(mut attempt) = self.overdue.remove(&dial) {
            attempt.timeout = context.now - attempt.started;
            self.dials.insert(dial, attempt);
            context.timers.set(Timer::Dial(dial), context.at_once());
        }
    }

    /// Ends a dial, with or without success.
    pub(super) fn end(&mut self, context: &mut Context, dial: DialId) -> Option<Dial> {
        let attempt = self.dials.remove(&dial)?;
        context.timers.cancel(&Timer::Dial(dial));
        Some(attempt)
    }

    /// Forgets all dials; the caller ends their connections.
    pub(super) fn clear(&mut self, context: &mut Context) {
        for dial in core::mem::take(&mut self.overdue).into_keys() {
            context.out.push(Output::CancelDial { dial });
        }
        for dial in core::mem::take(&mut self.dials).into_keys() {
            context.timers.cancel(&Timer::Dial(dial));
        }
    }

    /// The seed addresses were replaced: dials in progress to the former addresses count as referrals.
    pub(super) fn forget_seeds(&mut self) {
        let overdue = self.overdue.values_mut();
        for dial in self.dials.values_mut().chain(overdue) {
            if matches!(dial.purpose, DialPurpose::Seed(_)) {
                dial.purpose = DialPurpose::Referral;
            }
        }
    }
}

fn set_time_out(context: &mut Context, dial: DialId, timeout: Duration) {
    let at = context.after(timeout);
    context.timers.set(Timer::Dial(dial), at);
}

/// Back-off.
impl Dialer {
    /// Backs off from a member after a failed dial, for `dial_failed_for`; twice as long after the second consecutive
    /// failure, four times from the third on.
    pub(super) fn back_off(&mut self, context: &Context, member: MemberIndex) {
        let base = context.tuning().dial_failed_for;
        let entry = self.back_offs.entry(member).or_default();
        entry.until = context.now + base * (1 << entry.failures.min(2));
        entry.failures = entry.failures.saturating_add(1);
    }

    /// Backs off from a member that has all the links it may have, for `base`; twice as long after each further
    /// failure, up to 32 times.
    pub(super) fn back_off_full(&mut self, context: &Context, member: MemberIndex, base: Duration) {
        let entry = self.back_offs.entry(member).or_default();
        entry.until = context.now + base * (1 << entry.failures.min(5));
        entry.failures = entry.failures.saturating_add(1);
    }

    /// The time until which the dialer backs off from a member.
    pub(super) fn backed_off_until(&self, member: MemberIndex) -> Option<Instant> {
        self.back_offs.get(&member).map(|entry| entry.until)
    }

    /// Backs off from a member until a time. The member's count of failures is unchanged.
    pub(super) fn back_off_until(&mut self, member: MemberIndex, until: Instant) {
        self.back_offs.entry(member).or_default().until = until;
    }

    /// Another node than the expected member answered at the member's address. Returns whether this is the first such
    /// answer.
    pub(super) fn on_misdirected(&mut self, context: &Context, member: MemberIndex) -> bool {
        let entry = self.misdirected.entry(member).or_default();
        let doubled = entry.failures.min(MISDIRECTED_DOUBLED_MAX);
        entry.until = context.now + MISDIRECTED_PAUSE * (1 << doubled);
        entry.failures = entry.failures.saturating_add(1);
        entry.failures == 1
    }

    /// Ends the back-offs from a member.
    pub(super) fn reset_back_off(&mut self, member: MemberIndex) {
        self.back_offs.remove(&member);
        self.misdirected.remove(&member);
    }

    pub(super) fn is_backed_off(&self, context: &Context, member: MemberIndex) -> bool {
        let entry = self.back_offs.get(&member);
        entry.is_some_and(|entry| entry.until > context.now) || self.is_misdirected(context, member)
    }

    /// Whether dials to a member pause, because another node answered at its address.
    pub(super) fn is_misdirected(&self, context: &Context, member: MemberIndex) -> bool {
        let entry = self.misdirected.get(&member);
        entry.is_some_and(|entry| entry.until > context.now)
    }
}

/// Queries.
impl Dialer {
    /// The number of dials that a timeout ended.
    pub(super) const fn timed_out(&self) -> u64 {
        self.timed_out
    }

    pub(super) fn get(&self, dial: DialId) -> Option<&Dial> {
        self.dials.get(&dial)
    }

    /// The dial whose handshake uses a connection.
    pub(super) fn over(&self, link: LinkId) -> Option<DialId> {
        let mut dials = self.dials.iter();
        dials
            .find(|(_, dial)| dial.link() == Some(link))
            .map(|(id, _)| *id)
    }

    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    /// The number of dials of one purpose.
    #[cfg(test)]
    pub(super) fn count(&self, purpose: DialPurpose) -> usize {
        let dials = self.dials.values();
        dials.filter(|dial| dial.purpose == purpose).count()
    }

    fn to(&self, member: MemberIndex) -> impl Iterator<Item = &Dial> {
        let dials = self.dials.values();
        dials.filter(move |dial| dial.peer == Some(member))
    }

    /// The number of dials in progress to a member.
    pub(super) fn attempts(&self, member: MemberIndex) -> usize {
        self.to(member).count()
    }

    pub(super) fn is_dialing(&self, member: MemberIndex) -> bool {
        self.to(member).next().is_some()
    }

    /// Whether another dial of this purpose may start.
    pub(super) fn has_room_for(&self, purpose: DialPurpose) -> bool {
        let in_progress = self.dials.len();
        match purpose {
            DialPurpose::Seed(_) | DialPurpose::Kept(_) => {
                let dials = self.dials.values();
                let to_seeds = dials.filter(|dial| {
                    matches!(dial.purpose, DialPurpose::Seed(_) | DialPurpose::Kept(_))
                });
                in_progress < DIALS_MAX && to_seeds.count() < SEED_DIALS_MAX
            }
            DialPurpose::Referral
            | DialPurpose::Ring
            | DialPurpose::Redial
            | DialPurpose::Probe
            | DialPurpose::RandomLink
            | DialPurpose::Requested
            | DialPurpose::Renewal
            | DialPurpose::AddressCheck
            | DialPurpose::Claim
            | DialPurpose::Inquiry => in_progress < DIALS_MAX,
        }
    }

    pub(super) fn is_dialing_seed(&self, index: usize) -> bool {
        self.to_seed(index).next().is_some()
    }

    /// Whether a dial to a seed address started less than this long ago.
    pub(super) fn is_dialing_seed_since(
        &self,
        context: &Context,
        index: usize,
        patience: Duration,
    ) -> bool {
        let mut dials = self.to_seed(index);
        dials.any(|dial| context.now - dial.started < patience)
    }

    /// The dials in progress to a seed address; a seed address that is a host name may have several.
    fn to_seed(&self, index: usize) -> impl Iterator<Item = &Dial> {
        let dials = self.dials.values();
        dials.filter(move |dial| dial.purpose == DialPurpose::Seed(index))
    }

    /// Whether a dial to a member started less than this long ago.
    pub(super) fn is_dialing_since(
        &self,
        context: &Context,
        member: MemberIndex,
        patience: Duration,
    ) -> bool {
        let mut dials = self.to(member);
        dials.any(|dial| context.now - dial.started < patience)
    }

    /// Whether any dial started less than this long ago.
    pub(super) fn has_begun_since(&self, context: &Context, duration: Duration) -> bool {
        let mut dials = self.dials.values();
        dials.any(|dial| context.now - dial.started < duration)
    }

    /// Whether the handshake of a connection that replaces the open link to a neighbour is in progress.
    pub(super) fn is_renewing(&self, member: MemberIndex) -> bool {
        self.to(member)
            .any(|dial| dial.purpose == DialPurpose::Renewal && dial.connection.is_some())
    }

    /// The highest session that this node proposed to a member in a handshake in progress.
    pub(super) fn session(&self, member: MemberIndex) -> Option<u32> {
        let connections = self.to(member).filter_map(|dial| dial.connection);
        connections.map(|(_, session)| session).max()
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(DialId, Dial)>(self.dials.len() + self.overdue.len())
            + held::<(MemberIndex, BackOff)>(self.back_offs.len() + self.misdirected.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, context};

    fn begin(
        dialer: &mut Dialer,
        context: &mut Context,
        purpose: DialPurpose,
        peer: MemberIndex,
    ) -> DialId {
        let timeout = context.tuning().dial_timeout;
        let to = (address(peer as usize), Some(peer));
        dialer.begin(context, purpose, to, timeout);
        DialId(dialer.begun)
    }

    #[test]
    fn a_dial_times_out_unless_it_ends() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        let (one, other) = (
            begin(&mut dialer, &mut context, DialPurpose::Ring, 1),
            begin(&mut dialer, &mut context, DialPurpose::Ring, 2),
        );
        let ended = dialer.end(&mut context, one).unwrap();
        assert_eq!(
            (ended.purpose(), ended.peer()),
            (DialPurpose::Ring, Some(1))
        );
        let due = context.after(context.tuning().dial_timeout);
        assert_eq!(context.timers.pop_due(due), Some((due, Timer::Dial(other))));
        assert_eq!(context.timers.pop_due(due), None);
        assert_eq!(context.out.len(), 2);
    }

    #[test]
    fn the_timeout_of_a_slow_peer_stays_long_while_revocations_are_exchanged() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        let dial = begin(&mut dialer, &mut context, DialPurpose::Ring, 1);
        let long = context.tuning().dial_timeout * 3;
        dialer.allow_answer(&mut context, dial, long);
        let latest = context.after(long * 2);
        context.now += Duration::from_millis(100);
        dialer.extend(&mut context, dial, latest);
        assert_eq!(context.timers.next(), Some(context.after(long)));
        context.now += long;
        dialer.extend(&mut context, dial, latest);
        assert_eq!(context.timers.next(), Some(latest));
    }

    #[test]
    fn dials_are_bounded() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        for peer in 0..100 {
            begin(&mut dialer, &mut context, DialPurpose::Probe, peer);
        }
        assert_eq!((dialer.len(), context.out.len()), (DIALS_MAX, DIALS_MAX));
    }

    #[test]
    fn dials_to_seed_addresses_leave_room_for_dials_to_members() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        for index in 0..100 {
            begin(&mut dialer, &mut context, DialPurpose::Seed(index), 200);
        }
        assert_eq!(dialer.len(), SEED_DIALS_MAX);
        for peer in 0..100 {
            begin(&mut dialer, &mut context, DialPurpose::Ring, peer);
        }
        assert!((0..8).all(|peer| dialer.is_dialing(peer)));
        assert_eq!(dialer.len(), DIALS_MAX);
    }

    #[test]
    fn a_connected_dial_is_found_by_its_link_and_by_the_peer_that_answered() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        let dial = begin(&mut dialer, &mut context, DialPurpose::Renewal, 1);
        assert!(!dialer.is_renewing(1));
        dialer.connected(dial, LinkId(9), 1, 7);
        assert_eq!(dialer.over(LinkId(9)), Some(dial));
        assert!(dialer.is_renewing(1));
        assert_eq!((dialer.session(1), dialer.session(2)), (Some(7), None));
    }

    #[test]
    fn the_back_off_grows_with_each_failure_to_four_times_its_base() {
        let (mut context, mut dialer) = (context(), Dialer::default());
        let base = context.tuning().dial_failed_for;
        for times in [1, 2, 4, 4] {
            dialer.back_off(&context, 1);
            context.now += base * times - Duration::from_millis(1);
            assert!(dialer.is_backed_off(&context, 1), "{times}");
            context.now += Duration::from_millis(1);
            assert!(!dialer.is_backed_off(&context, 1), "{times}");
        }
        dialer.reset_back_off(1);
        dialer.back_off(&context, 1);
        assert!(!dialer.is_backed_off(&context, 2));
        context.now += base;
        assert!(!dialer.is_backed_off(&context, 1));
    }
}
