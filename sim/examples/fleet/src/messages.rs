//! Messages between the controller and the agents, and the events that both report.

use crate::release::Release;
use phalanx_core::identity::NodeId;
use phalanx_sim::world::{Message, ReportedEvent};

/// A message between the controller and an agent.
#[derive(Clone, Debug)]
pub enum ControllerMessage {
    /// The first message of an agent: the name of its host. An agent has no certificate that contains this name.
    Hello(String),
    /// The controller deploys a release.
    Deploy(Release),
    /// The state of an agent, which it sends after each change and every second.
    Status(AgentStatus),
    /// The controller received a status.
    Received,
}

/// The state of an agent, as the controller sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// The version that the agent's nginx serves; `None` while that is not certain.
    pub served: Option<u64>,
    /// The latest version whose configuration did not pass nginx's test.
    pub rejected: Option<u64>,
}

impl Message for ControllerMessage {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Hello(host) => 2 + host.len(),
            Self::Deploy(release) => 12 + release.directives.len(),
            Self::Status(_) => 19,
            Self::Received => 1,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Deploy(_) => "deploy",
            Self::Status(_) => "status",
            Self::Received => "received",
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
