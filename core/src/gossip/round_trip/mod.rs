//! Round trips to neighbours and dialled members, and the timeouts that follow from them.
//!
//! A round trip is measured by each dial (from its start to the connection, [`DIAL_ROUND_TRIPS`]), by each handshake
//! (`Hello` to `Welcome` at the dialer, the connection to `Hello` at the acceptor), and by echoes on links. A node
//! requests echoes only on links that are slow, and on links on which a message is late, so a fast mesh sends none.
//!
//! Timeouts are extended from their defaults up: a round trip below [`SLOW_FROM`] extends none. A
//! silence timeout grows by at most [`ALLOWANCE_MAX`], and a dial timeout is at most [`DIAL_TIMEOUT_MAX`]. A node dials
//! members that it has not measured with the timeout of a typical link: of its links, a quarter are slower, so one slow
//! neighbour of four does not delay the detection of other members.
//!
//! Bounds: one estimate for each link; an estimate for each slow member without a link, at most [`MEMBERS_MAX`]. One
//! echo is requested on a link in [`ECHO_INTERVAL_MIN`], and one is answered in [`ANSWER_INTERVAL`].
//!
//! Sources: RFC 6298 (Paxson et al., 2011) for the estimate; Karn and Partridge (SIGCOMM 1987) for the ambiguity of
//! retransmitted samples.

mod estimate;

pub(crate) use estimate::{ALLOWANCE_MAX, DIAL_TIMEOUT_MAX};

use super::context::Context;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::sorted::SortedMap;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use core::cmp::Reverse;
use estimate::{RoundTripEstimate, SLOW_FROM, WINDOW};
use std::collections::BTreeMap;

/// Round trips of a dial up to the connection: TCP, TLS 1.3, and the stream.
pub(crate) const DIAL_ROUND_TRIPS: u32 = 3;
/// Maximum number of estimates of members without a link. A further one replaces that of the lowest index.
const MEMBERS_MAX: usize = 256;
/// Time between two echoes on a link whose estimate is not settled, or that is checked.
const ECHO_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Time between two echoes on a slow link.
const ECHO_INTERVAL: Duration = Duration::from_secs(5);
/// Time after which an unanswered echo is requested again: the neighbour may not support echoes.
const ECHO_TIMEOUT: Duration = Duration::from_secs(15);
/// Minimum time between two answers to echoes on one link.
const ANSWER_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum time between two checks of a fast link on which messages are late.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The unit of the round trip that channels use, so that they are informed rarely.
const PACE_UNIT: Duration = Duration::from_millis(250);

/// The round trip of one link.
#[derive(Clone, Debug, PartialEq)]
struct LinkRoundTrip {
    member: MemberIndex,
    estimate: RoundTripEstimate,
    /// The number of the latest requested echo.
    echoes: u32,
    /// The time at which the latest echo was requested, until it is answered.
    requested: Option<Instant>,
    /// The earliest time of the next echo.
    next: Instant,
    /// Number of echoes that a check still requests.
    checks: usize,
    checked: Option<Instant>,
    /// The time of the latest answer to the neighbour's echo.
    answered: Option<Instant>,
}

/// The measured round trips of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RoundTrips {
    links: SortedMap<LinkId, LinkRoundTrip>,
    /// Estimates of slow members, from dials and from links that closed.
    members: BTreeMap<MemberIndex, RoundTripEstimate>,
    /// The latest estimate of a dial or of a link that closed, for a node without links.
    latest: Option<RoundTripEstimate>,
    /// The estimate of a typical link: a quarter of the links are slower. Of a node without links, the latest estimate.
    typical: Option<RoundTripEstimate>,
}

/// Measurements.
impl RoundTrips {
    /// A dial to a member connected after this time.
    pub(super) fn on_dialed(&mut self, member: MemberIndex, elapsed: Duration) {
        let estimate = RoundTripEstimate::new(elapsed / DIAL_ROUND_TRIPS);
        self.latest = Some(estimate);
        self.remember(member, estimate);
        self.choose_typical();
    }

    fn choose_typical(&mut self) {
        let mut all: Vec<&RoundTripEstimate> =
            self.links.values().map(|entry| &entry.estimate).collect();
        all.sort_by_key(|estimate| Reverse(estimate.timeout()));
        let typical = all.get(all.len() / 4).copied().copied();
        self.typical = typical.or(self.latest);
    }

    fn remember(&mut self, member: MemberIndex, estimate: RoundTripEstimate) {
        if !estimate.is_slow() {
            self.members.remove(&member);
            return;
        }
        self.members.insert(member, estimate);
        if self.members.len() > MEMBERS_MAX {
            self.members.pop_first();
        }
    }

    /// A link opened, whose handshake took one round trip.
    pub(super) fn on_open(
        &mut self,
        context: &Context,
        link: LinkId,
        member: MemberIndex,
        handshake: Duration,
    ) {
        let estimate = RoundTripEstimate::new(handshake);
        let dialed = self.members.remove(&member);
        let estimate = dialed.map_or(estimate, |dialed| estimate.undercut(dialed));
        let entry = LinkRoundTrip {
            member,
            estimate,
            echoes: 0,
            requested: None,
            next: context.now,
            checks: 0,
            checked: None,
            answered: None,
        };
        self.links.insert(link, entry);
        self.choose_typical();
    }

    /// A link closed.
    pub(super) fn on_closed(&mut self, link: LinkId) {
        if let Some(entry) = self.links.remove(&link) {
            self.latest = Some(entry.estimate);
            self.remember(entry.member, entry.estimate);
            self.choose_typical();
        }
    }

    /// A member's slot in the view is freed.
    pub(super) fn forget(&mut self, member: MemberIndex) {
        self.members.remove(&member);
    }

    /// A message on a link is late, so the link may have become slow: its round trip is checked.
    pub(super) fn on_late(&mut self, context: &Context, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link) else {
            return;
        };
        let recent = |at: Instant| context.now - at < CHECK_INTERVAL;
        if !entry.checked.is_some_and(recent) {
            entry.checked = Some(context.now);
            entry.checks = WINDOW;
        }
    }

    /// Returns the number of the echo to request on a link, if one is due.
    pub(super) fn take_request(&mut self, context: &Context, link: LinkId) -> Option<u32> {
        let entry = self.links.get_mut(&link)?;
        if context.has(Switch::FixedTimeouts)
            || entry.checks == 0 && !entry.estimate.is_slow()
            || context.now < entry.next
        {
            return None;
        }
        let waits = |at: Instant| context.now - at < ECHO_TIMEOUT;
        if entry.requested.is_some_and(waits) {
            return None;
        }
        entry.checks = entry.checks.saturating_sub(1);
        let unsettled = entry.checks > 0 || !entry.estimate.is_settled();
        let interval = if unsettled {
            ECHO_INTERVAL_MIN
        } else {
            ECHO_INTERVAL
        };
        entry.next = context.now + interval;
        entry.requested = Some(context.now);
        // A frame without an echo has the number 0.
        entry.echoes = entry.echoes.checked_add(1).unwrap_or(1);
        Some(entry.echoes)
    }

    /// A neighbour requests an echo. Returns whether it is answered.
    pub(super) fn admits_answer(&mut self, context: &Context, link: LinkId) -> bool {
        let Some(entry) = self.links.get_mut(&link) else {
            return false;
        };
        let recent = |at: Instant| context.now - at < ANSWER_INTERVAL;
        if entry.answered.is_some_and(recent) {
            return false;
        }
        entry.answered = Some(context.now);
        true
    }

    /// A neighbour answered an echo. Other answers than that to the latest request are ignored.
    pub(super) fn on_echo(&mut self, context: &Context, link: LinkId, number: u32) {
        if let Some(entry) = self.links.get_mut(&link)
            && entry.echoes == number
            && let Some(requested) = entry.requested.take()
        {
            let sample = context.now - requested;
            entry.estimate.add(sample);
            if sample < SLOW_FROM {
                entry.checks = 0;
            }
            self.choose_typical();
        }
    }
}

/// Timeouts.
impl RoundTrips {
    /// The estimate of a typical link, if timeouts follow it.
    fn slow(&self, context: &Context) -> Option<&RoundTripEstimate> {
        let typical = self.typical.as_ref().filter(|it| it.is_slow());
        typical.filter(|_| !context.has(Switch::FixedTimeouts))
    }

    fn of_member(&self, member: MemberIndex) -> Option<&RoundTripEstimate> {
        let mut links = self.links.values();
        let linked = links.find(|entry| entry.member == member);
        let linked = linked.map(|entry| &entry.estimate);
        linked.or_else(|| self.members.get(&member))
    }

    /// The timeout of a dial to a member, or to an address of an unknown peer.
    pub(super) fn dial_timeout(&self, context: &Context, member: Option<MemberIndex>) -> Duration {
        let default = context.tuning().dial_timeout;
        let known = member.and_then(|member| self.of_member(member));
        let known = known.filter(|it| it.is_slow() && !context.has(Switch::FixedTimeouts));
        let slow = known.or_else(|| self.slow(context));
        slow.map_or(default, |estimate| default.max(estimate.dial_time()))
    }

    /// The time within which the answer to the handshake of a dial arrives that connected after this time; zero for a
    /// fast connection.
    pub(super) fn answer_within(&self, context: &Context, elapsed: Duration) -> Duration {
        let slow = elapsed / DIAL_ROUND_TRIPS >= SLOW_FROM;
        if slow && !context.has(Switch::FixedTimeouts) {
            elapsed
        } else {
            Duration::ZERO
        }
    }

    /// The time by which dials to unmeasured members exceed the default timeout.
    pub(super) fn dial_extension(&self, context: &Context) -> Duration {
        let timeout = self.dial_timeout(context, None);
        timeout.saturating_sub(context.tuning().dial_timeout)
    }

    /// The time by which the silence timeouts of a link are extended.
    pub(super) fn allowance(&self, context: &Context, link: LinkId) -> Duration {
        if context.has(Switch::FixedTimeouts) {
            return Duration::ZERO;
        }
        let entry = self.links.get(&link);
        entry.map_or(Duration::ZERO, |entry| entry.estimate.allowance())
    }

    /// The time by which a suspect may answer later than in a fast mesh: one and a half retransmission timeouts of a
    /// typical link, at most [`ALLOWANCE_MAX`].
    pub(super) fn grace(&self, context: &Context) -> Duration {
        let slow = self.slow(context);
        slow.map_or(Duration::ZERO, |it| {
            (it.timeout() * 3 / 2).min(ALLOWANCE_MAX)
        })
    }

    /// The retransmission timeout of a slow link, at most [`ALLOWANCE_MAX`]; zero for other links.
    pub(super) fn answer_time(&self, context: &Context, link: LinkId) -> Duration {
        let estimate = self.links.get(&link).map(|entry| &entry.estimate);
        let slow = estimate.filter(|it| it.is_slow() && !context.has(Switch::FixedTimeouts));
        slow.map_or(Duration::ZERO, |it| it.timeout().min(ALLOWANCE_MAX))
    }

    /// The retransmission timeout of a typical slow link, rounded up to [`PACE_UNIT`], at most [`ALLOWANCE_MAX`]; zero
    /// in a fast mesh.
    pub(super) fn pace(&self, context: &Context) -> Duration {
        let slow = self.slow(context);
        slow.map_or(Duration::ZERO, |it| {
            let units = it.timeout().as_millis().div_ceil(PACE_UNIT.as_millis());
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            PACE_UNIT.saturating_mul(units).min(ALLOWANCE_MAX)
        })
    }

    /// The smoothed round trip of a link.
    pub(super) fn smoothed(&self, link: LinkId) -> Option<Duration> {
        let entry = self.links.get(&link)?;
        Some(entry.estimate.smoothed())
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(LinkId, LinkRoundTrip)>(self.links.len())
            + held::<(MemberIndex, RoundTripEstimate)>(self.members.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::context;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Opens one link for each round trip, to members from 1.
    fn linked(context: &Context, millis: &[u64]) -> RoundTrips {
        let mut round_trips = RoundTrips::default();
        for (member, millis) in (1..).zip(millis) {
            round_trips.on_open(context, LinkId(member.into()), member, ms(*millis));
        }
        round_trips
    }

    /// Requests echoes that return after this time, until none is due for a minute.
    fn echo(context: &mut Context, round_trips: &mut RoundTrips, link: LinkId, after: Duration) {
        for _ in 0..60 {
            if let Some(number) = round_trips.take_request(context, link) {
                context.now += after;
                round_trips.on_echo(context, link, number);
            }
            context.now += ms(1_000);
        }
    }

    #[test]
    fn a_fast_mesh_keeps_its_defaults_and_sends_no_echo() {
        let context = context();
        let mut round_trips = linked(&context, &[2, 80, 249]);
        let default = context.tuning().dial_timeout;
        for link in (1..=3).map(LinkId) {
            assert_eq!(round_trips.take_request(&context, link), None);
            assert_eq!(round_trips.allowance(&context, link), Duration::ZERO);
            assert_eq!(round_trips.answer_time(&context, link), Duration::ZERO);
        }
        assert_eq!(round_trips.dial_timeout(&context, None), default);
        assert_eq!(round_trips.dial_timeout(&context, Some(3)), default);
        assert_eq!(round_trips.grace(&context), Duration::ZERO);
        assert_eq!(round_trips.pace(&context), Duration::ZERO);
    }

    #[test]
    fn a_slow_link_is_measured_and_extends_its_timeouts() {
        let mut context = context();
        let mut round_trips = linked(&context, &[1_600]);
        let link = LinkId(1);
        assert_eq!(round_trips.allowance(&context, link), Duration::ZERO);
        echo(&mut context, &mut round_trips, link, ms(1_600));
        assert_eq!(round_trips.smoothed(link), Some(ms(1_600)));
        let allowance = round_trips.allowance(&context, link);
        assert!(allowance >= ms(2_200) && allowance <= ALLOWANCE_MAX);
        let timeout = round_trips.dial_timeout(&context, None);
        assert!(timeout >= ms(9_600) && timeout <= DIAL_TIMEOUT_MAX);
        assert!(round_trips.grace(&context) >= ms(2_400));
    }

    #[test]
    fn one_slow_neighbour_of_four_extends_only_the_timeouts_to_itself() {
        let context = context();
        let round_trips = linked(&context, &[2, 2, 1_600, 2]);
        let default = context.tuning().dial_timeout;
        assert_eq!(round_trips.dial_timeout(&context, None), default);
        assert_eq!(round_trips.dial_timeout(&context, Some(9)), default);
        assert!(round_trips.dial_timeout(&context, Some(3)) > default);
        assert_eq!(round_trips.grace(&context), Duration::ZERO);
    }

    #[test]
    fn a_dial_measures_a_member_and_a_faster_handshake_undercuts_it() {
        let context = context();
        let mut round_trips = RoundTrips::default();
        round_trips.on_dialed(7, ms(4_800));
        let default = context.tuning().dial_timeout;
        assert!(round_trips.dial_timeout(&context, Some(7)) > default);
        assert!(round_trips.dial_timeout(&context, None) > default);
        round_trips.on_open(&context, LinkId(1), 7, ms(2));
        assert_eq!(round_trips.dial_timeout(&context, Some(7)), default);
        round_trips.on_closed(LinkId(1));
        assert_eq!(round_trips.dial_timeout(&context, Some(7)), default);
        assert_eq!(round_trips.dial_timeout(&context, None), default);
    }

    #[test]
    fn a_link_that_becomes_slow_is_checked_because_its_messages_are_late() {
        let mut context = context();
        let mut round_trips = linked(&context, &[2]);
        let link = LinkId(1);
        round_trips.on_late(&context, link);
        echo(&mut context, &mut round_trips, link, ms(1_600));
        assert!(round_trips.allowance(&context, link) > Duration::ZERO);
        // The link is fast again.
        echo(&mut context, &mut round_trips, link, ms(2));
        assert_eq!(round_trips.allowance(&context, link), Duration::ZERO);
        assert_eq!(round_trips.take_request(&context, link), None);
    }

    #[test]
    fn only_the_answer_to_the_latest_echo_counts_and_answers_are_limited() {
        let mut context = context();
        let mut round_trips = linked(&context, &[1_600]);
        let link = LinkId(1);
        let number = round_trips.take_request(&context, link).unwrap();
        context.now += ms(1_000);
        round_trips.on_echo(&context, link, number + 1);
        assert_eq!(round_trips.smoothed(link), Some(ms(1_600)));
        round_trips.on_echo(&context, link, number);
        let smoothed = round_trips.smoothed(link);
        round_trips.on_echo(&context, link, number);
        assert_eq!(round_trips.smoothed(link), smoothed);
        assert!(round_trips.admits_answer(&context, link));
        assert!(!round_trips.admits_answer(&context, link));
        context.now += ANSWER_INTERVAL;
        assert!(round_trips.admits_answer(&context, link));
    }

    #[test]
    fn slow_members_without_links_are_bounded() {
        let mut round_trips = RoundTrips::default();
        for member in 0..1_000 {
            round_trips.on_dialed(member, ms(4_800));
        }
        assert_eq!(round_trips.members.len(), MEMBERS_MAX);
    }
}
