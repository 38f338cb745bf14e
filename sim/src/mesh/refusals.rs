//! Attributes refusals to commands, for engines that see the reports of a host and not its single steps.

use super::event::Event;
use crate::scenario::plan::{Planned, ScheduledAction};
use crate::world::ReportedEvent;
use std::collections::BTreeMap;

/// The latest command of each host. A host answers a command before it gets the next one.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The step of the command, and whether it is to be refused.
    latest: BTreeMap<usize, (usize, bool)>,
}

impl Refusals {
    /// Notes that a host takes a command; returns the number of its effects until it is refused.
    pub fn command(&mut self, host: usize, planned: &Planned) -> u64 {
        let ScheduledAction::Command { refused, .. } = planned.action else {
            return 1;
        };
        if let Some(step) = planned.step {
            self.latest.insert(host, (step, refused));
        }
        u64::from(!refused)
    }

    /// Corrects the numbers of effects of all steps by a report: a refused command has an effect if its step expects the
    /// refusal, and none otherwise.
    pub fn on_report(&mut self, host: usize, event: &Event, affected: &mut [u64]) {
        if !event.refuses() {
            return;
        }
        let Some((step, expected)) = self.latest.remove(&host) else {
            return;
        };
        if let Some(affected) = affected.get_mut(step) {
            *affected = if expected {
                *affected + 1
            } else {
                affected.saturating_sub(1)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::AwaitedAnswer;
    use core::time::Duration;
    use phalanx_core::channel::{ChannelName, Done, Refusal};
    use serde_json::Value;

    fn planned(refused: bool) -> Planned {
        Planned {
            at: Duration::ZERO,
            step: Some(0),
            chaos: false,
            program: None,
            action: ScheduledAction::Command {
                host: 0,
                name: "publish".to_owned(),
                with: Value::Null,
                refused,
            },
        }
    }

    fn effects(refused: bool, result: Result<Done, Refusal>) -> u64 {
        let mut refusals = Refusals::default();
        let mut affected = [refusals.command(0, &planned(refused))];
        let asked = AwaitedAnswer::Publish(ChannelName::new("chat").unwrap());
        let answer = Event::Answered(asked, result);
        refusals.on_report(0, &answer, &mut affected);
        refusals.on_report(0, &answer, &mut affected);
        affected[0]
    }

    #[test]
    fn a_command_has_an_effect_if_it_is_answered_as_its_step_expects() {
        assert_eq!(effects(false, Ok(Done::Unchanged)), 1);
        assert_eq!(effects(false, Err(Refusal::NotOpen)), 0);
        assert_eq!(effects(true, Err(Refusal::NotOpen)), 1);
        assert_eq!(effects(true, Ok(Done::Unchanged)), 0);
    }
}
