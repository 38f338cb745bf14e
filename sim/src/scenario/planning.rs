//! Planning of the steps and faults of a program's own vocabulary.
//!
//! Each program has a [`Planning`] while a plan is drawn. The planning keeps the effects of earlier steps on the
//! program's processes. A planning is notified of events of hosts and returns tasks; it has no access to the clock or
//! to other actions.

use super::action::{Extent, OwnAction};
use core::time::Duration;
use phalanx_core::random::Random;
use std::collections::BTreeMap;

/// Maximum number of planned tasks of one run: starts, steps at one time, ends of faults, draws of chaos, publications.
pub const TASKS_MAX: u64 = 1_000_000;

/// A task that a program's planning requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Executes a step at the program's process on a host immediately. The step is in the program's own vocabulary.
    Step {
        /// The host.
        host: usize,
        /// The step.
        action: OwnAction,
    },
    /// Calls [`Planning::due`] later.
    Later {
        /// The delay.
        after: Duration,
        /// The postponed task.
        due: Due,
    },
    /// Stops a host and starts it again.
    Restart(usize),
}

/// A postponed task of a planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The host that the task concerns.
    pub host: usize,
    /// An identifier that the planning chooses.
    pub number: u64,
    /// Whether the task is executed even after the fault phase, as it must be to lift a fault.
    pub late: bool,
}

/// A fault that chaos requests.
#[derive(Clone, Copy, Debug)]
pub struct Strike<'a> {
    /// The name of the fault.
    pub fault: &'static str,
    /// The running hosts that no other fault touches, in random order.
    pub free: &'a [usize],
    /// The hosts that the fault may take down: a prefix of `free`.
    pub victims: &'a [usize],
}

/// The result of a fault of chaos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struck {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The hosts that no other fault may touch until this one ends.
    pub touched: Vec<usize>,
}

/// Plans the steps and faults of one program, for one plan.
pub trait Planning {
    /// Plans a step for one host; `place` is the host's index among the selected hosts.
    fn step(&mut self, action: &OwnAction, hosts: &[usize], place: usize) -> Vec<Task>;

    /// Plans a postponed task. `action` is the step that postponed the task; `runs` is whether the host runs.
    fn due(&mut self, _action: Option<&OwnAction>, _due: Due, _runs: bool) -> Vec<Task> {
        Vec::new()
    }

    /// Plans the start of a host.
    fn start(&mut self, _host: usize) -> Vec<Task> {
        Vec::new()
    }

    /// Plans a fault of chaos; `None` if the fault cannot occur.
    fn strike(&mut self, strike: Strike<'_>, random: &mut Random) -> Option<Struck>;
}

/// The default planning of a program: each step, and each fault at each victim, is one action.
#[derive(Debug)]
pub(super) struct Plain {
    /// The name of the program.
    pub(super) program: &'static str,
    /// The extent of each step that the program defines.
    pub(super) extents: BTreeMap<&'static str, Extent>,
}

impl Planning for Plain {
    fn step(&mut self, action: &OwnAction, hosts: &[usize], place: usize) -> Vec<Task> {
        let (host, action) = (hosts[place], action.clone());
        vec![Task::Step { host, action }]
    }

    fn strike(&mut self, strike: Strike<'_>, _: &mut Random) -> Option<Struck> {
        if strike.victims.is_empty() {
            return None;
        }
        let order = |host: &usize| Task::Step {
            host: *host,
            action: OwnAction {
                extent: self.extents.get(strike.fault).copied().unwrap_or_default(),
                ..OwnAction::new(self.program, strike.fault)
            },
        };
        Some(Struck {
            tasks: strike.victims.iter().map(order).collect(),
            touched: strike.victims.to_vec(),
        })
    }
}
