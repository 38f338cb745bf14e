//! The record of a run, passed from an engine to recorders while the run is in progress.
//!
//! An engine numbers its events from 1: the steps of nodes and the actions of the plan. Each event
//! has a *cause*: for a message, the step that sent it; for a timer, the step that set it; for the
//! effect of a fault, the fault. The causes of a run form a tree that can be followed back from any
//! event to the start.
//!
//! - [`Recorder`]: the interface that an engine calls.
//! - [`Writer`] and [`TraceReader`]: traces as files.
//! - [`Recording`]: a run in memory.
//! - [`transcript`]: a small run as text.
//! - [`causes`]: chains of causes.
//! - [`fault`]: the plan's actions in readable form.

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
pub use reader::{TraceError, TraceReader};
pub use recorder::{Cause, ExecutedAction, Held, RecordedStep, Recorder, StepReport};
pub use recording::{EVENTS_MAX, FailedStart, HELD_MAX, RecordedEvent, RecordedReport, Recording};
