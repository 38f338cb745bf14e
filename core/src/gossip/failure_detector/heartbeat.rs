//! Heartbeats: each open link carries a message at least every `heartbeat_interval_max`.
//!
//! One timer serves all links: heartbeats go round-robin, at most `heartbeat_spacing` apart, so that the node's traffic
//! is even.

use super::super::context::Context;
use super::super::timer::Timer;
use crate::link::LinkId;
use crate::time::Instant;

/// The round-robin state of heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heartbeat {
    /// The link of the latest heartbeat.
    last: LinkId,
}

impl Heartbeat {
    pub(crate) const fn new() -> Self {
        Self { last: LinkId(0) }
    }

    /// Schedules the first heartbeat after a random part of the spacing, so that nodes that start together do not send
    /// heartbeats at the same time.
    pub(crate) fn start(&self, context: &mut Context) {
        let wait = context
            .random
            .heartbeat
            .duration_below(context.config.tuning.heartbeat_spacing);
        let at = context.after(wait);
        context.timers.set(Timer::Heartbeat, at);
    }

    /// The timer that was `due` at a time fired. Returns how many of the `open` links are due; after a late timer, this
    /// includes the links that became due meanwhile.
    pub(crate) fn on_due(&self, context: &mut Context, due: Instant, open: usize) -> usize {
        let tuning = context.tuning();
        let share = tuning.heartbeat_interval_max / u32::try_from(open.max(1)).unwrap_or(1);
        let share = share.min(tuning.heartbeat_spacing);
        let at = context.after(share);
        context.timers.set(Timer::Heartbeat, at);
        let turns = 1 + (context.now - due).as_nanos() / share.as_nanos().max(1);
        usize::try_from(turns).unwrap_or(usize::MAX).min(open)
    }

    /// The next link in turn. `following` returns the open link after a given link; after the last link, it returns the
    /// first.
    pub(crate) fn next(
        &mut self,
        following: impl FnOnce(LinkId) -> Option<LinkId>,
    ) -> Option<LinkId> {
        let next = following(self.last)?;
        self.last = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::context;
    use crate::time::Duration;

    #[test]
    fn links_take_turns_and_a_late_timer_catches_up() {
        let (mut context, mut heartbeat) = (context(), Heartbeat::new());
        let interval = context.tuning().heartbeat_interval_max;
        let due = context.now;
        assert_eq!(heartbeat.on_due(&mut context, due, 10), 1);
        assert_eq!(context.timers.next(), Some(due + interval / 10));
        context.now += interval / 2;
        assert_eq!(heartbeat.on_due(&mut context, due, 10), 6);
        context.now += interval * 5;
        assert_eq!(heartbeat.on_due(&mut context, due, 10), 10);
        let links = [3, 5, 8].map(LinkId);
        let following = |after: LinkId| {
            let later = links.iter().find(|link| **link > after);
            later.or(links.first()).copied()
        };
        let turns: Vec<_> = (0..4).filter_map(|_| heartbeat.next(following)).collect();
        assert_eq!(turns, [3, 5, 8, 3].map(LinkId));
    }

    #[test]
    fn a_node_with_few_links_beats_at_the_spacing() {
        let (mut context, heartbeat) = (context(), Heartbeat::new());
        let (now, spacing) = (context.now, context.tuning().heartbeat_spacing);
        assert_eq!(heartbeat.on_due(&mut context, now, 1), 1);
        assert_eq!(context.timers.next(), Some(now + spacing));
        assert_eq!(heartbeat.on_due(&mut context, now, 0), 0);
        assert!(spacing > Duration::ZERO);
    }
}
