//! How a program plans its own steps and faults.
//!
//! While a plan is drawn, each program has a [`Planning`] that remembers what earlier steps did to its processes. It is
//! told what happens to hosts and answers with tasks; it sees neither the clock nor the orders of others.

use super::action::{Extent, OwnAction};
use core::time::Duration;
use phalanx_core::random::Random;
use std::collections::BTreeMap;

/// Something that a program's planning wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// The program's process on a host takes an order at once. The order's word is one of the program's steps.
    Order {
        /// The host.
        host: usize,
        /// The order.
        action: OwnAction,
    },
    /// [`Planning::due`] is called later.
    Later {
        /// The time from now.
        after: Duration,
        /// What comes due.
        due: Due,
    },
    /// A host stops and starts again.
    Restart(usize),
}

/// Something that a planning put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The host that it is about.
    pub host: usize,
    /// A number of the planning's own.
    pub number: u64,
    /// Whether it happens even after the fault phase, as what lifts a fault does.
    pub late: bool,
}

/// A fault that chaos wants done.
#[derive(Clone, Copy, Debug)]
pub struct Strike<'a> {
    /// The fault's word.
    pub fault: &'static str,
    /// The hosts that run and that no other fault touches, in random order.
    pub free: &'a [usize],
    /// The first few of these, which the fault may take down.
    pub victims: &'a [usize],
}

/// What a fault of chaos comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struck {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The hosts that no other fault may touch meanwhile.
    pub touched: Vec<usize>,
}

/// Plans the steps and faults of one program, for one plan.
pub trait Planning {
    /// A step is done to the host at a place among all hosts that it chose.
    fn step(&mut self, action: &OwnAction, hosts: &[usize], place: usize) -> Vec<Task>;

    /// Something that was put off comes due; `action` is the step that put it off, `runs` whether the host runs.
    fn due(&mut self, _action: Option<&OwnAction>, _due: Due, _runs: bool) -> Vec<Task> {
        Vec::new()
    }

    /// A host starts.
    fn start(&mut self, _host: usize) -> Vec<Task> {
        Vec::new()
    }

    /// Chaos strikes; none: it cannot now.
    fn strike(&mut self, strike: Strike<'_>, random: &mut Random) -> Option<Struck>;
}

/// The planning of a program that has none of its own: each step, and each fault at each victim, is one order.
#[derive(Debug)]
pub(super) struct Plain {
    /// The name of the program.
    pub(super) program: &'static str,
    /// How long each of its steps lasts.
    pub(super) extents: BTreeMap<&'static str, Extent>,
}

impl Planning for Plain {
    fn step(&mut self, action: &OwnAction, hosts: &[usize], place: usize) -> Vec<Task> {
        let (host, action) = (hosts[place], action.clone());
        vec![Task::Order { host, action }]
    }

    fn strike(&mut self, strike: Strike<'_>, _: &mut Random) -> Option<Struck> {
        if strike.victims.is_empty() {
            return None;
        }
        let order = |host: &usize| Task::Order {
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
