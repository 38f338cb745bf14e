//! Messages between controller, agents and nginx, and the events that they report.

use phalanx_core::identity::NodeId;
use phalanx_sim::world::{Message, ReportedEvent};

/// A message between the controller and an agent.
#[derive(Clone, Debug)]
pub enum Control {
    /// Deploy this version.
    Push(u64),
    /// The agent's nginx serves this version.
    Served(u64),
}

impl Message for Control {
    fn encoded_len(&self) -> usize {
        9
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Push(_) => "push",
            Self::Served(_) => "served",
        }
    }
}

/// A message between an agent and the nginx of its host.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Load this version of the configuration.
    Reload(u64),
    /// This version is loaded.
    Reloaded(u64),
}

impl Message for Signal {
    fn encoded_len(&self) -> usize {
        9
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Reload(_) => "reload",
            Self::Reloaded(_) => "reloaded",
        }
    }
}

/// An event that a process of the fleet reports, by its word.
#[derive(Debug)]
pub struct Reported(pub &'static str);

impl ReportedEvent for Reported {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        (self.0, None)
    }
}
