//! The mesh as a simulated system: core's [`Node`] on the engine's links, with its epoch on the host's disk, and
//! applications that use its channels.

mod applications;
mod condition;
mod condition_words;
pub mod daemon;
mod event;
mod files;
pub mod hearing;
pub mod invariant;
mod ledger;
mod liar;
pub mod life;
mod memory;
mod program;
pub mod projection;
mod recoverability;
mod replay;
pub mod trace;
mod view;
mod words;
mod workload;

pub use applications::{Act, Applications, payload};
pub use daemon::Daemon;
pub use event::{Asked, Event};
pub use liar::{Lie, Told};
pub use memory::{Mesh, new};
pub use program::{APPLICATIONS, MESH};
pub use replay::{NodeState, NodeView, node_state};
pub use words::{PROGRAM, daemon_of, sabotage, vocabulary, words};
pub use workload::{Order, Target, Written};
