//! The mesh as a simulated system: core's [`Node`](phalanx_core::node::Node) on the engine's links, with its epoch on
//! the host's disk, and applications that use its channels.

mod applications;
mod condition;
mod condition_words;
pub mod daemon;
mod event;
mod files;
pub mod hearing;
mod host_words;
pub mod invariant;
mod ledger;
mod liar;
pub mod life;
mod memory;
mod opening;
mod program;
pub mod projection;
mod publishing;
mod recoverability;
mod replay;
mod step_words;
pub mod trace;
mod view;
mod words;
mod workload;

pub use applications::{Act, Applications, payload};
pub use daemon::Daemon;
pub use event::{Asked, Event};
pub use host_words::channels;
pub use liar::{Lie, Told};
pub use memory::{Mesh, new};
pub use opening::Opening;
pub use program::{APPLICATIONS, MESH};
pub use publishing::{Published, publishing};
pub use replay::{NodeState, NodeView, facts, node_state};
pub use step_words::STEPS;
pub use words::{PROGRAM, daemon_of, sabotage, vocabulary, words};
pub use workload::{Order, Target, Written};
