//! The mesh as a simulated system: core's [`Node`](phalanx_core::node::Node) on the engine's links, with its epoch on
//! the host's disk, and applications that use its channels.

mod applications;
mod byzantine;
mod certainty;
mod condition;
mod condition_words;
mod coverage;
pub mod daemon;
mod delivery_log;
mod dial_remarks;
mod event;
pub mod event_observer;
mod failed_dials;
mod files;
mod findings;
mod host_words;
mod idle_steps;
pub mod invariant;
mod memory;
mod named;
pub mod node_start;
mod opening;
mod program;
pub mod projection;
mod publishing;
mod recoverability;
pub mod refusals;
mod replay;
mod step_words;
pub mod trace;
mod view;
mod words;
mod workload;

pub use applications::{AppRequest, HostApplications, payload};
pub use byzantine::{Forgery, ForgeryKind};
pub use daemon::Daemon;
pub use event::{AwaitedAnswer, Event};
pub use host_words::channels;
pub use memory::{Mesh, new};
pub use opening::ChannelOpening;
pub use program::{APPLICATIONS, MESH};
pub use publishing::{Published, publishing};
pub use replay::{NodeState, NodeView, facts, node_state};
pub use step_words::STEPS;
pub use words::{PROGRAM, daemon_of, sabotage, vocabulary, words};
pub use workload::{AppCommand, Receivers, Written};
