//! Local health: the reliability of this node's own observations.
//!
//! Three conditions of the node itself make other members look dead. A node that was paused restarts all its silence
//! timers, and treats evidence of life from before or during the pause as received at the end of the pause. A node
//! whose timers fire late has unread messages, so it postpones its verdicts. A node whose links all fell silent at once
//! is probably cut off itself, so it publishes no accusation for [`ISOLATION_HOLD`].

use super::super::context::Context;
use super::super::event::Event;
use super::super::timer::Timer;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};

/// Time for which an isolated node publishes no accusation.
pub(crate) const ISOLATION_HOLD: Duration = Duration::from_secs(1);
/// Timer lag that is ignored.
const LAG_TOLERATED: Duration = Duration::from_millis(10);
/// The factor by which lag postpones verdicts.
const DOUBT_FACTOR: u32 = 8;
/// Maximum time by which verdicts are postponed.
const DOUBT_MAX: Duration = Duration::from_secs(8);

/// The health of this node as the node itself observes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalHealth {
    /// The time since which all links have been silent.
    isolated_since: Option<Instant>,
    /// The end of the latest pause of this node.
    resumed: Instant,
    /// Recent timer lag, decaying.
    lag: Duration,
}

impl LocalHealth {
    pub(crate) const fn new() -> Self {
        Self {
            isolated_since: None,
            resumed: Instant::ZERO,
            lag: Duration::ZERO,
        }
    }

    /// A wake was late by this time. The lag decays by a sixteenth with each wake.
    pub(crate) fn on_wake(&mut self, late: Duration) {
        let kept = self.lag - self.lag / 16;
        // A greater lag would not postpone verdicts further, and would take longer to decay.
        let most = DOUBT_MAX / DOUBT_FACTOR;
        self.lag = (kept + late.saturating_sub(LAG_TOLERATED)).min(most);
    }

    /// Whether a wake was so late that this node must have been paused.
    pub(crate) fn was_paused(context: &Context, late: Duration) -> bool {
        late > context.tuning().pause_threshold && !context.has(Switch::NoPauseGuard)
    }

    /// This node was paused, and has resumed.
    pub(crate) fn on_pause(&mut self, context: &mut Context) {
        self.resumed = context.now;
        self.isolated_since = None;
        context.timers.cancel(&Timer::Isolation);
    }

    /// All links fell silent: this node is isolated.
    pub(crate) fn on_isolated(&mut self, context: &mut Context) {
        if self.isolated_since.is_some() || context.has(Switch::NoIsolationGuard) {
            return;
        }
        self.isolated_since = Some(context.now);
        let at = context.after(ISOLATION_HOLD);
        context.timers.set(Timer::Isolation, at);
        context.report(Event::Isolated);
    }

    /// A message arrived on a link.
    pub(crate) fn on_heard(&mut self, context: &mut Context) {
        if self.isolated_since.take().is_some() {
            context.timers.cancel(&Timer::Isolation);
            context.report(Event::Rejoined);
        }
    }

    pub(crate) const fn is_isolated(&self) -> bool {
        self.isolated_since.is_some()
    }

    /// The time before which an isolated node publishes no accusation; none if the node may publish accusations.
    pub(crate) fn held_until(&self, context: &Context) -> Option<Instant> {
        let until = self.isolated_since? + ISOLATION_HOLD;
        (context.now < until).then_some(until)
    }

    /// The end of the latest pause; evidence of life never counts as older than this time.
    pub(crate) const fn resumed(&self) -> Instant {
        self.resumed
    }

    /// The extra time that this node waits before it declares a member down, because unread messages may hold evidence
    /// of life. Modelled on Lifeguard's local health multiplier.
    pub(crate) fn doubt(&self, context: &Context) -> Duration {
        if context.has(Switch::NoPauseGuard) {
            return Duration::ZERO;
        }
        (self.lag * DOUBT_FACTOR).min(DOUBT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, events};

    #[test]
    fn an_isolated_node_accuses_no_member_for_a_second() {
        let (mut context, mut health) = (context(), LocalHealth::new());
        health.on_isolated(&mut context);
        health.on_isolated(&mut context);
        assert_eq!(events(&mut context), [Event::Isolated]);
        let until = context.after(ISOLATION_HOLD);
        assert_eq!(health.held_until(&context), Some(until));
        context.now = until;
        assert_eq!(health.held_until(&context), None);
        assert!(health.is_isolated());
        health.on_heard(&mut context);
        health.on_heard(&mut context);
        assert_eq!(events(&mut context), [Event::Rejoined]);
        assert_eq!(context.timers.next(), None);
    }

    #[test]
    fn a_pause_ends_isolation_and_ages_no_evidence() {
        let (mut context, mut health) = (context(), LocalHealth::new());
        health.on_isolated(&mut context);
        let late = context.tuning().pause_threshold;
        assert!(!LocalHealth::was_paused(&context, late));
        assert!(LocalHealth::was_paused(&context, late * 2));
        health.on_pause(&mut context);
        assert!(!health.is_isolated());
        assert_eq!(health.resumed(), context.now);
    }

    #[test]
    fn lag_adds_up_to_a_bounded_doubt_and_decays() {
        let (context, mut health) = (context(), LocalHealth::new());
        health.on_wake(LAG_TOLERATED);
        assert_eq!(health.doubt(&context), Duration::ZERO);
        for _ in 0..100 {
            health.on_wake(Duration::from_millis(200));
        }
        assert_eq!(health.doubt(&context), DOUBT_MAX);
        for _ in 0..100 {
            health.on_wake(Duration::ZERO);
        }
        assert!(health.doubt(&context) < DOUBT_MAX / 100);
    }
}
