//! The actions of steps: changes to the network, and actions on nodes.

use super::argument::Arguments;
use super::host::Disk;
use super::names::Selector;
use super::network::{Direction, Latency, LinkSetting};
use super::words::word_for;
use crate::disk::DiskFault;
use core::time::Duration;
use serde_json::Value;

/// The action of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A change to the network.
    Network(NetworkAction),
    /// An action on the selected nodes.
    Nodes(Selector, NodeAction),
    /// Starts a clone: the host at this index.
    Clone(usize),
}

/// A change to the network.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkAction {
    /// Splits the network.
    Partition(Sides, Direction),
    /// Ends all partitions.
    Heal,
    /// Blocks traffic between single pairs; `true`: for good.
    Cut(Pairs, Direction, bool),
    /// Ends all cuts.
    Restore,
    /// Delays traffic between single pairs until the step ends.
    Hold(Pairs, Direction),
    /// Delays all traffic to and from the selected nodes until the step ends.
    Clog(Selector),
    /// Clogs the selected nodes one after another and frees them in another order.
    Swizzle(Selector),
    /// Sets the share of lost segments from the step on, in parts per million.
    Loss(u32),
    /// Sets the latency from the step on.
    Latency(Latency),
    /// Sets a property of chosen links from the step on.
    Links(Pairs, Direction, LinkSetting),
    /// Resets the connections between these nodes: both ends get a RST.
    Reset(Pairs),
}

/// An action on nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeAction {
    /// Kills the processes.
    Crash,
    /// Cuts the power of the machines.
    PowerLoss,
    /// Starts stopped nodes.
    Restart(Disk),
    /// Pauses the processes for this duration.
    Pause(Duration),
    /// Delays each input of the processes.
    Slow {
        /// The delay of an input.
        by: Duration,
        /// The duration of the fault; `None`: until all faults are lifted.
        length: Option<Duration>,
    },
    /// Changes the clocks.
    Clock {
        /// The jump.
        jump: Duration,
        /// Whether the calendar jumps back. A monotonic clock never does; it jumps forward, or not at all.
        back: bool,
        /// The drift from the step on, in parts per million; `None`: the drift does not change.
        drift_ppm: Option<i32>,
    },
    /// Makes the disks fail.
    Disk(DiskFault),
    /// Puts the machines under a lasting condition.
    Trouble(Trouble),
    /// Gives the machines another address at their next start.
    Move,
    /// Changes the certificates.
    Certificate(CertificateChange),
    /// Starts nodes for the first time.
    Join,
    /// Nodes leave gracefully.
    Leave,
    /// A step of the nodes' program, in its own vocabulary.
    Own(OwnAction),
    /// A command in the vocabulary of the system.
    Command {
        /// The command's name.
        name: String,
        /// The command's arguments.
        with: Value,
        /// Whether the nodes are expected to refuse the command.
        refused: bool,
    },
}

/// A step of a program's own vocabulary, without its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAction {
    /// The name of the program.
    pub program: &'static str,
    /// The name of the step.
    pub word: &'static str,
    /// The extent of the step: instantaneous, or one end of a lasting condition.
    pub extent: Extent,
    /// The arguments.
    pub arguments: Arguments,
}

/// The extent of a program's own step in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// The step is instantaneous.
    #[default]
    Once,
    /// The step lasts until the program's step of this name. The key `for` and the end of the fault phase schedule that
    /// step.
    Until(&'static str),
    /// The step ends the effect of the program's step of this name.
    Ends(&'static str),
}

impl OwnAction {
    /// Creates an instantaneous step without arguments.
    #[must_use]
    pub const fn new(program: &'static str, word: &'static str) -> Self {
        Self {
            program,
            word,
            extent: Extent::Once,
            arguments: Arguments::new(),
        }
    }

    /// Returns the step that ends this one; `None` if this step does not last.
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

/// A lasting condition of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The machine answers each dial from another machine with a RST. Its own dials work.
    Refuse,
    /// Each operation of the disk takes this much longer.
    SlowDisk(Duration),
    /// A NAT before the machine forgets connections that are idle for this long: later packets of them are lost.
    NatIdle(Duration),
}

impl Trouble {
    /// Returns the name of the step.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::SlowDisk(_) => "disk",
            Self::NatIdle(_) => "nat",
        }
    }
}

/// A change to a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateChange {
    /// The certificate expires: no new connections.
    Expired,
    /// The certificate is revoked: no connections, existing or new.
    Revoked,
    /// The certificate is replaced by a valid one.
    Rotated,
}

impl CertificateChange {
    /// Every change and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Expired, "expired"),
        (Self::Revoked, "revoked"),
        (Self::Rotated, "rotated"),
    ];

    /// Returns the name of the change.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_for(self, Self::ALL)
    }
}

/// The sides of a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Sides {
    /// One side for each selector.
    Sets(Vec<Selector>),
    /// Two random halves.
    Halves,
    /// Two random sides of random size.
    Random,
    /// The selected nodes against all others.
    Isolate(Selector),
}

/// The pairs of a cut, a hold, or a change of links.
#[derive(Clone, Debug, PartialEq)]
pub enum Pairs {
    /// All pairs.
    All,
    /// The pairs between two sets of nodes.
    Between(Selector, Selector),
    /// A random share of all pairs, in parts per million.
    Fraction(u32),
}

impl Action {
    /// Returns the name of the action in scenario files.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Network(action) => action.word(),
            Self::Nodes(_, action) => action.word(),
            Self::Clone(_) => "clone",
        }
    }

    /// Returns whether the action is a fault that the step itself can lift (`for`).
    pub(super) const fn can_end(&self) -> bool {
        match self {
            Self::Network(action) => !matches!(
                action,
                NetworkAction::Heal | NetworkAction::Restore | NetworkAction::Reset(_)
            ),
            Self::Nodes(_, action) => matches!(
                action,
                NodeAction::Crash
                    | NodeAction::PowerLoss
                    | NodeAction::Disk(_)
                    | NodeAction::Trouble(_)
                    | NodeAction::Certificate(
                        CertificateChange::Expired | CertificateChange::Revoked
                    )
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
            Self::Links(_, _, setting) => setting.word(),
            Self::Reset(_) => "reset",
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
            Self::Trouble(trouble) => trouble.word(),
            Self::Move => "move",
            Self::Certificate(_) => "certificate",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Own(action) => action.word,
            Self::Command { .. } => "command",
        }
    }
}
