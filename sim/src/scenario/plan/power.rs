//! Losses of power whose end is known, and the starts that they prevent.

use super::{Plan, Planned, ScheduledAction};
use core::time::Duration;

impl Plan {
    /// Returns the action that takes the place of a triggered action: a start of a machine without power has no effect,
    /// which the trace states.
    pub(crate) fn in_place_of(&self, triggered: &Planned, now: Duration) -> Option<Planned> {
        let ScheduledAction::Start { host, .. } = triggered.action else {
            return None;
        };
        let mut cuts = self.power_cuts.iter();
        let cut = cuts.find(|cut| cut.host == host && cut.from <= now && now < cut.until)?;
        let until = Some(cut.until);
        Some(Planned {
            action: ScheduledAction::NoPower { host, until },
            ..triggered.clone()
        })
    }
}
