//! Silence of links: when a neighbour was last heard, and what follows when it is not.
//!
//! ```text
//!   heard ──silent for redial_after──► dialled again, each redial_interval
//!         ──silent for silent_after──► silent: the ring edge is reported down
//!         ──silent for silent_kept───► given up
//! ```
//!
//! The timer of a link is set later before it fires, so that a neighbour that is heard in time never wakes this node.

use super::super::context::Context;
use super::super::timer::Timer;
use crate::link::LinkId;
use crate::size::held;
use crate::sorted::SortedMap;
use crate::time::{Duration, Instant};

/// A neighbour that was heard within a heartbeat interval plus this is alive.
const HEARTBEAT_SLACK: Duration = Duration::from_millis(100);
/// The time after which a broken link is looked at.
const BROKEN_AFTER: Duration = Duration::from_millis(1);

/// When the other end of one link was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hearing {
    /// When the link opened, or a message came, or this node resumed after a pause.
    heard: Instant,
    /// When a message came.
    received: Option<Instant>,
    /// When the silence is looked at next.
    due: Instant,
    silent: bool,
    /// When the neighbour was last dialled again.
    redialed: Option<Instant>,
}

/// The consequence of the silence on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing yet.
    None,
    /// The neighbour is silent for a while.
    Silent {
        /// It is to be dialled again.
        redial: bool,
        /// From now on the link counts as silent.
        newly: bool,
    },
    /// The link is given up.
    GivenUp,
}

/// The silence of one node's links, in the order of [`Links`](super::super::links::Links).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Silence {
    links: SortedMap<LinkId, Hearing>,
}

impl Silence {
    /// A link opens now.
    pub(crate) fn on_open(&mut self, context: &mut Context, link: LinkId) {
        let hearing = Hearing {
            heard: context.now,
            received: None,
            due: Instant::ZERO,
            silent: false,
            redialed: None,
        };
        self.links.insert(link, hearing);
        let at = context.after(context.tuning().redial_after);
        self.schedule(context, link, at);
    }

    fn schedule(&mut self, context: &mut Context, link: LinkId, at: Instant) {
        if let Some(hearing) = self.links.get_mut(&link) {
            hearing.due = at;
        }
        context.timers.set(Timer::Silence(link), at);
    }

    /// A message came on a link. Returns whether the link was silent; none without such a link.
    pub(crate) fn on_received(&mut self, context: &mut Context, link: LinkId) -> Option<bool> {
        let now = context.now;
        let hearing = self.links.get_mut(&link)?;
        hearing.heard = now;
        hearing.received = Some(now);
        let was_silent = core::mem::take(&mut hearing.silent);
        let tuning = &context.config.tuning;
        if hearing.due < now + tuning.heartbeat_interval_max + HEARTBEAT_SLACK {
            hearing.due = now + tuning.redial_after;
            context.timers.set(Timer::Silence(link), hearing.due);
        }
        Some(was_silent)
    }

    /// The connection of a link broke: it is looked at soon.
    pub(crate) fn on_broken(&mut self, context: &mut Context, link: LinkId) {
        let at = context.after(BROKEN_AFTER);
        self.schedule(context, link, at);
    }

    /// The silence of a link is due to be looked at; its connection may have `broken`.
    pub(crate) fn on_due(
        &mut self,
        context: &mut Context,
        link: LinkId,
        broken: bool,
    ) -> Consequence {
        let (now, soonest) = (context.now, context.at_once());
        let tuning = &context.config.tuning;
        let Some(hearing) = self.links.get_mut(&link) else {
            return Consequence::None;
        };
        let (heard, age) = (hearing.heard, now - hearing.heard);
        if age < tuning.redial_after && !broken {
            let at = heard + tuning.redial_after;
            self.schedule(context, link, at);
            return Consequence::None;
        }
        if age >= tuning.silent_kept {
            return Consequence::GivenUp;
        }
        let waited = |at: Instant| now - at >= tuning.redial_interval;
        let redial = hearing.redialed.is_none_or(waited);
        if redial {
            hearing.redialed = Some(now);
        }
        let silent = age >= tuning.silent_after;
        let newly = silent && !hearing.silent;
        hearing.silent |= silent;
        let mut next = (now + tuning.redial_interval).min(heard + tuning.silent_kept);
        if !silent {
            next = next.min(heard + tuning.silent_after);
        }
        self.schedule(context, link, next.max(soonest));
        Consequence::Silent { redial, newly }
    }

    /// This node was stopped: the silence of all links starts again.
    pub(crate) fn on_pause(&mut self, context: &Context) {
        for (_, hearing) in self.links.iter_mut() {
            hearing.heard = context.now;
            hearing.silent = false;
        }
    }

    /// A link is gone. Returns when it was last heard, and when a message last came on it.
    pub(crate) fn on_closed(
        &mut self,
        context: &mut Context,
        link: LinkId,
    ) -> Option<(Instant, Option<Instant>)> {
        context.timers.cancel(&Timer::Silence(link));
        let hearing = self.links.remove(&link)?;
        Some((hearing.heard, hearing.received))
    }
}

/// Reading.
impl Silence {
    pub(crate) fn is_silent(&self, link: LinkId) -> bool {
        let hearing = self.links.get(&link);
        hearing.is_some_and(|hearing| hearing.silent)
    }

    /// Whether each link is silent, in order of the links.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, bool)> {
        self.links.iter().map(|(link, it)| (*link, it.silent))
    }

    /// When a link was last heard.
    pub(crate) fn heard(&self, link: LinkId) -> Option<Instant> {
        self.links.get(&link).map(|hearing| hearing.heard)
    }

    /// When a message last came on a link.
    pub(crate) fn received(&self, link: LinkId) -> Option<Instant> {
        self.links.get(&link)?.received
    }

    /// When a link was last heard, if that is so recent that its neighbour is alive.
    pub(crate) fn heard_recently(&self, context: &Context, link: LinkId) -> Option<Instant> {
        let limit = context.tuning().heartbeat_interval_max + HEARTBEAT_SLACK;
        let hearing = self.links.get(&link).filter(|hearing| !hearing.silent)?;
        (context.now - hearing.heard <= limit).then_some(hearing.heard)
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        held::<(LinkId, Hearing)>(self.links.len())
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
