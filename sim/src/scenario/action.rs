//! What a step does: to the network, or to nodes.

use super::argument::Arguments;
use super::host::Disk;
use super::names::Selector;
use super::network::{Direction, Latency};
use super::words::word_for;
use crate::disk::DiskFault;
use core::time::Duration;
use serde_json::Value;

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Something to the network.
    Network(NetworkAction),
    /// Something to these nodes.
    Nodes(Selector, NodeAction),
    /// A clone starts: this host.
    Clone(usize),
}

/// What happens to the network.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkAction {
    /// It splits.
    Partition(Sides, Direction),
    /// All partitions end.
    Heal,
    /// Single pairs cannot reach each other; `true`: for good.
    Cut(Pairs, Direction, bool),
    /// All cuts end.
    Restore,
    /// What single pairs send waits until the step ends.
    Hold(Pairs, Direction),
    /// What these send and get waits until the step ends.
    Clog(Selector),
    /// These are clogged one after another and freed in another order.
    Swizzle(Selector),
    /// The share of segments lost from here on, in parts per million.
    Loss(u32),
    /// The latency from here on.
    Latency(Latency),
}

/// What happens to nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeAction {
    /// Their processes are killed.
    Crash,
    /// Their machines lose power.
    PowerLoss,
    /// They start again.
    Restart(Disk),
    /// Their processes stop for a while.
    Pause(Duration),
    /// Their processes take longer for each input.
    Slow {
        /// By how much.
        by: Duration,
        /// How long; none: until the faults are lifted.
        length: Option<Duration>,
    },
    /// Their clocks change.
    Clock {
        /// They jump forward.
        jump: Duration,
        /// They drift from here on.
        drift_ppm: Option<i32>,
    },
    /// Their disks fail.
    Disk(DiskFault),
    /// Their certificates end or change.
    Certificate(Certificate),
    /// They waited and start.
    Join,
    /// They leave gracefully.
    Leave,
    /// They do something that is a step of their program's own.
    Own(OwnAction),
    /// They do something in the words of their system.
    Command {
        /// The word.
        name: String,
        /// What goes with it.
        with: Value,
    },
}

/// A step of a program's own, but for its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAction {
    /// The name of the program.
    pub program: &'static str,
    /// The step's word.
    pub word: &'static str,
    /// Whether it begins something that lasts.
    pub extent: Extent,
    /// The arguments.
    pub arguments: Arguments,
}

/// Whether a step of a program's own begins or ends something that lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// It is done at once.
    #[default]
    Once,
    /// It lasts until the program's step of this word. The steps' `for` and the end of the fault phase bring that.
    Until(&'static str),
    /// It ends what the program's step of this word began.
    Ends(&'static str),
}

impl OwnAction {
    /// A step without arguments that is done at once.
    #[must_use]
    pub const fn new(program: &'static str, word: &'static str) -> Self {
        Self {
            program,
            word,
            extent: Extent::Once,
            arguments: Arguments::new(),
        }
    }

    /// The step that ends this one; none: it does not last.
    #[must_use]
    pub fn end(&self) -> Option<Self> {
        match self.extent {
            Extent::Until(end) => Some(Self {
                extent: Extent::Ends(self.word),
                ..Self::new(self.program, end)
            }),
            Extent::Once | Extent::Ends(_) => None,
        }
    }
}

/// What becomes of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Its time is over: no new connection.
    Expired,
    /// It is called back: no connection at all.
    Revoked,
    /// It is replaced by a valid one.
    Rotated,
}

impl Certificate {
    /// Every fate and its word.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Expired, "expired"),
        (Self::Revoked, "revoked"),
        (Self::Rotated, "rotated"),
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_for(self, Self::ALL)
    }
}

/// How the network splits.
#[derive(Clone, Debug, PartialEq)]
pub enum Sides {
    /// Into these.
    Sets(Vec<Selector>),
    /// Into two random halves.
    Halves,
    /// Into two random sides of random size.
    Random,
    /// These against all others.
    Isolate(Selector),
}

/// Which pairs.
#[derive(Clone, Debug, PartialEq)]
pub enum Pairs {
    /// Those between two choices.
    Between(Selector, Selector),
    /// A drawn share of all, in parts per million.
    Fraction(u32),
}

impl Action {
    /// The word for it in scenario files.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Network(action) => action.word(),
            Self::Nodes(_, action) => action.word(),
            Self::Clone(_) => "clone",
        }
    }

    /// Whether it is a fault that a step can lift by itself (`for`).
    pub(super) const fn can_end(&self) -> bool {
        match self {
            Self::Network(action) => {
                !matches!(action, NetworkAction::Heal | NetworkAction::Restore)
            }
            Self::Nodes(_, action) => matches!(
                action,
                NodeAction::Crash
                    | NodeAction::PowerLoss
                    | NodeAction::Disk(_)
                    | NodeAction::Certificate(Certificate::Expired | Certificate::Revoked)
                    | NodeAction::Own(OwnAction {
                        extent: Extent::Until(_),
                        ..
                    })
            ),
            Self::Clone(_) => false,
        }
    }
}

impl NetworkAction {
    const fn word(&self) -> &'static str {
        match self {
            Self::Partition(..) => "partition",
            Self::Heal => "heal",
            Self::Cut(..) => "cut",
            Self::Restore => "restore",
            Self::Hold(..) => "hold",
            Self::Clog(_) => "clog",
            Self::Swizzle(_) => "swizzle-clog",
            Self::Loss(_) => "loss",
            Self::Latency(_) => "latency",
        }
    }
}

impl NodeAction {
    const fn word(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Slow { .. } => "slow",
            Self::Clock { .. } => "clock",
            Self::Disk(_) => "disk",
            Self::Certificate(_) => "certificate",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Own(action) => action.word,
            Self::Command { .. } => "command",
        }
    }
}
