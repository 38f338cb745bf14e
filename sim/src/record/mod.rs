//! What an engine tells of a run while it goes on, to whoever wants to keep it.
//!
//! An engine numbers its events from 1: the steps of nodes and the orders of the plan. Each event knows its *cause*:
//! of a message, the step that sent it; of a timer, the step that set it; of anything that a fault did, the fault. A
//! run's causes form a tree that can be walked back from any event to the start.
//!
//! - [`Recorder`]: what an engine calls.
//! - [`Writer`] and [`Reader`]: traces as files.
//! - [`Recording`]: a run kept in memory.
//! - [`transcript`]: a small run as text.
//! - [`causes`]: what led to what.
//! - [`fault`]: the plan's orders as people see them.

pub mod causes;
pub mod fault;
mod line;
mod reader;
mod recorder;
mod recording;
#[cfg(test)]
mod tests;
pub mod transcript;

pub use crate::scenario::command_line::VERSION;
pub use line::{FORMAT, FaultLine, Header, Line, Lines, Word, Writer};
pub use reader::{Reader, TraceError};
pub use recorder::{Cause, Done, Held, Recorder, Said, Step};
pub use recording::{EVENTS_MAX, Event, HELD_MAX, Recording, Report};
