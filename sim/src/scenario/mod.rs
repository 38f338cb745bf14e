//! Scenarios: who is there, what happens when, and what must come of it.
//!
//! A scenario file (TOML) is read into a [`Scenario`], which knows nothing of engines; with a seed it becomes a
//! [`Plan`](plan::Plan), in which every random choice is made, so that every engine does the same. Start with
//! [`Scenario::parse_with`].

mod action;
mod capabilities;
mod channels;
mod chaos;
pub mod command_line;
mod conditions;
mod definition;
mod engine;
mod error;
mod expectations;
mod file;
mod host;
mod include;
mod load;
mod names;
mod network;
mod own;
pub mod plan;
mod read;
mod schema;
mod selection;
mod steps;
#[cfg(test)]
mod tests;
pub mod text;
mod value;
mod variant;
mod vocabulary;
mod words;
mod write;

pub use crate::disk::DiskFault;
pub use action::{Action, Certificate, NetworkAction, NodeAction, Pairs, Sides};
pub use channels::Opening;
pub use chaos::{Chaos, ChaosKind};
pub use conditions::{Bound, Condition, Expectation, Metric, Mode, SeenAs};
pub use definition::{DEFAULT_SYSTEM, Scenario};
pub use engine::Engine;
pub use error::{ScenarioError, nearest, suggestion};
pub use host::{Clock, Disk, Host, TuningChanges};
pub use names::Selector;
pub use network::{Direction, Latency, LinkRule, Network};
pub use schema::schema;
pub use steps::{Step, Trigger, When};
pub use variant::Variant;
pub use vocabulary::{Check, Vocabulary};
