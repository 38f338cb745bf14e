//! Silence of links: the time at which each neighbour was last heard, and the consequences of its silence.
//!
//! ```text
//!   heard ──silent for redial_after──► dialled again, each redial_interval
//!         ──silent for silent_after──► silent: the ring edge is reported down
//!         ──silent for silent_kept───► given up
//! ```
//!
//! The first two timeouts of a slow link are extended by its allowance, which follows from its round trip.
//!
//! The timer of a link is postponed before it fires, so a neighbour that is heard in time never wakes this node.

use super::super::context::Context;
use super::super::timer::Timer;
use crate::link::LinkId;
use crate::size::held;
use crate::sorted::SortedMap;
use crate::time::{Duration, Instant};

/// A neighbour heard within a heartbeat interval plus this time is alive.
const HEARTBEAT_SLACK: Duration = Duration::from_millis(100);
/// Time after which a broken link is checked.
const BROKEN_AFTER: Duration = Duration::from_millis(1);

/// The times at which the other end of one link was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reception {
    /// The latest of three times: the opening of the link, the arrival of a message, the end of a pause of this node.
    heard: Instant,
    /// The time of the latest message.
    received: Option<Instant>,
    /// The next check of the silence.
    due: Instant,
    silent: bool,
    /// The time of the latest redial.
    redialed: Option<Instant>,
    /// The time by which the round trip of the link extends its timeouts.
    allowance: Duration,
}

/// The consequence of a link's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// None yet.
    None,
    /// The neighbour has been silent for some time.
    Silent {
        /// Whether to dial the neighbour again.
        redial: bool,
        /// Whether the link became silent in this step.
        newly: bool,
    },
    /// The link is removed.
    GivenUp,
}

/// The silence of one node's links, in the order of [`Links`](super::super::links::Links).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Silence {
    links: SortedMap<LinkId, Reception>,
}

impl Silence {
    /// A link opened.
    pub(crate) fn on_open(&mut self, context: &mut Context, link: LinkId) {
        let entry = Reception {
            heard: context.now,
            received: None,
            due: Instant::ZERO,
            silent: false,
            redialed: None,
            allowance: Duration::ZERO,
        };
        self.links.insert(link, entry);
        let at = context.after(context.tuning().redial_after);
        self.schedule(context, link, at);
    }

    fn schedule(&mut self, context: &mut Context, link: LinkId, at: Instant) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.due = at;
        }
        context.timers.set(Timer::Silence(link), at);
    }

    /// A message arrived on a link. Returns whether the link was silent; none if there is no such link.
    pub(crate) fn on_received(&mut self, context: &mut Context, link: LinkId) -> Option<bool> {
        let now = context.now;
        let entry = self.links.get_mut(&link)?;
        entry.heard = now;
        entry.received = Some(now);
        let was_silent = core::mem::take(&mut entry.silent);
        let tuning = &context.config.tuning;
        if entry.due < now + tuning.heartbeat_interval_max + HEARTBEAT_SLACK + entry.allowance {
            entry.due = now + tuning.redial_after + entry.allowance;
            context.timers.set(Timer::Silence(link), entry.due);
        }
        Some(was_silent)
    }

    /// The connection of a link broke: the link is checked soon.
    pub(crate) fn on_broken(&mut self, context: &mut Context, link: LinkId) {
        let at = context.after(BROKEN_AFTER);
        self.schedule(context, link, at);
    }

    /// The silence of a link is due for a check; its connection may have `broken`.
    pub(crate) fn on_due(
        &mut self,
        context: &mut Context,
        link: LinkId,
        broken: bool,
    ) -> Consequence {
        let (now, soonest) = (context.now, context.at_once());
        let tuning = &context.config.tuning;
        let Some(entry) = self.links.get_mut(&link) else {
            return Consequence::None;
        };
        let (heard, age) = (entry.heard, now - entry.heard);
        let redial_after = tuning.redial_after + entry.allowance;
        if age < redial_after && !broken {
            let at = heard + redial_after;
            self.schedule(context, link, at);
            return Consequence::None;
        }
        if age >= tuning.silent_kept {
            return Consequence::GivenUp;
        }
        let waited = |at: Instant| now - at >= tuning.redial_interval;
        let redial = entry.redialed.is_none_or(waited);
        if redial {
            entry.redialed = Some(now);
        }
        let silent_after = tuning.silent_after + entry.allowance;
        let silent = age >= silent_after;
        let newly = silent && !entry.silent;
        entry.silent |= silent;
        let mut next = (now + tuning.redial_interval).min(heard + tuning.silent_kept);
        if !silent {
            next = next.min(heard + silent_after);
        }
        self.schedule(context, link, next.max(soonest));
        Consequence::Silent { redial, newly }
    }

    /// The round trip of a link extends its timeouts by this time.
    pub(crate) fn set_allowance(&mut self, link: LinkId, allowance: Duration) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.allowance = allowance;
        }
    }

    /// This node was paused: the silence of all links restarts.
    pub(crate) fn on_pause(&mut self, context: &Context) {
        for (_, entry) in self.links.iter_mut() {
            entry.heard = context.now;
            entry.silent = false;
        }
    }

    /// A link was removed. Returns the time at which the link was last heard, and the time of its latest message.
    pub(crate) fn on_closed(
        &mut self,
        context: &mut Context,
        link: LinkId,
    ) -> Option<(Instant, Option<Instant>)> {
        context.timers.cancel(&Timer::Silence(link));
        let entry = self.links.remove(&link)?;
        Some((entry.heard, entry.received))
    }
}

/// Queries.
impl Silence {
    pub(crate) fn is_silent(&self, link: LinkId) -> bool {
        let entry = self.links.get(&link);
        entry.is_some_and(|entry| entry.silent)
    }

    /// Whether each link is silent, in the order of the links.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, bool)> {
        self.links.iter().map(|(link, it)| (*link, it.silent))
    }

    /// The time at which a link was last heard.
    pub(crate) fn heard(&self, link: LinkId) -> Option<Instant> {
        self.links.get(&link).map(|entry| entry.heard)
    }

    /// The time by which the round trip of a link extends its timeouts.
    pub(crate) fn allowance(&self, link: LinkId) -> Duration {
        let entry = self.links.get(&link);
        entry.map_or(Duration::ZERO, |entry| entry.allowance)
    }

    /// The time of the latest message on a link.
    pub(crate) fn received(&self, link: LinkId) -> Option<Instant> {
        self.links.get(&link)?.received
    }

    /// The time at which a link was last heard, if its neighbour counts as alive.
    pub(crate) fn heard_recently(&self, context: &Context, link: LinkId) -> Option<Instant> {
        let limit = context.tuning().heartbeat_interval_max + HEARTBEAT_SLACK;
        let entry = self.links.get(&link).filter(|entry| !entry.silent)?;
        (context.now - entry.heard <= limit + entry.allowance).then_some(entry.heard)
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        held::<(LinkId, Reception)>(self.links.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::context;

    const LINK: LinkId = LinkId(1);

    fn open() -> (Context, Silence) {
        let (mut context, mut silence) = (context(), Silence::default());
        silence.on_open(&mut context, LINK);
        (context, silence)
    }

    fn pass(context: &mut Context) -> Instant {
        let (due, timer) = context.timers.pop_due(Instant::FAR_FUTURE).unwrap();
        assert_eq!(timer, Timer::Silence(LINK));
        context.now = due;
        due
    }

    #[test]
    fn a_silent_neighbour_is_dialled_again_then_accused_then_given_up() {
        let (mut context, mut silence) = open();
        let (opened, tuning) = (context.now, context.tuning().clone());
        let (mut redials, mut silent_at) = (Vec::new(), None);
        loop {
            let now = pass(&mut context);
            match silence.on_due(&mut context, LINK, false) {
                Consequence::None => panic!("looked at before it is due"),
                Consequence::Silent { redial, newly } => {
                    redials.extend(redial.then_some(now));
                    if newly {
                        assert_eq!(silent_at.replace(now), None);
                    }
                }
                Consequence::GivenUp => break,
            }
        }
        assert_eq!(redials[0], opened + tuning.redial_after);
        assert!(
            redials
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= tuning.redial_interval)
        );
        assert_eq!(silent_at, Some(opened + tuning.silent_after));
        assert_eq!(context.now, opened + tuning.silent_kept);
    }

    #[test]
    fn a_neighbour_that_is_heard_in_time_never_wakes_the_node() {
        let (mut context, mut silence) = open();
        let interval = context.tuning().heartbeat_interval_max;
        for _ in 0..20 {
            context.now += interval;
            assert!(context.timers.next().unwrap() > context.now);
            assert_eq!(silence.on_received(&mut context, LINK), Some(false));
        }
    }

    #[test]
    fn a_message_ends_the_silence_and_a_pause_forgives_it() {
        let (mut context, mut silence) = open();
        context.now += context.tuning().silent_after;
        silence.on_due(&mut context, LINK, false);
        assert!(silence.is_silent(LINK));
        assert_eq!(silence.on_received(&mut context, LINK), Some(true));
        assert!(!silence.is_silent(LINK));
        let received = context.now;
        context.now += context.tuning().silent_after;
        silence.on_due(&mut context, LINK, false);
        silence.on_pause(&context);
        assert_eq!(silence.heard_recently(&context, LINK), Some(context.now));
        assert_eq!(silence.received(LINK), Some(received), "no message came");
    }

    #[test]
    fn a_broken_link_is_dialled_again_at_once() {
        let (mut context, mut silence) = open();
        silence.on_broken(&mut context, LINK);
        pass(&mut context);
        let consequence = silence.on_due(&mut context, LINK, true);
        assert_eq!(
            consequence,
            Consequence::Silent {
                redial: true,
                newly: false
            }
        );
        silence.on_closed(&mut context, LINK);
        assert_eq!(context.timers.next(), None);
        assert_eq!(silence.on_received(&mut context, LINK), None);
    }
}
