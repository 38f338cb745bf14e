//! The simulator's commands for any table of systems: `run`, `replay`, `diff`, `search`, `shrink`, `explain`, `list`, `schema`.
//!
//! A crate with its own systems calls [`main`] with its table of systems. `phalanx sim` is the same code with the mesh,
//! and with the engines that are separate programs ([`Tool`]).
//!
//! - [`arguments`]: the command line; start there.
//! - `tool`: the table of systems, and the engines.
//! - `catalogue`: reads scenario files and lists them.
//! - `sweep`: many runs in parallel, reported in order; `pool`: its threads.
//! - `output`: checks of output files before the first run.
//! - `overseer`: wall-time limits, signals and progress of a command.
//! - `engine`: one run, in this process or in a child process.
//! - `record`: the result of a run, as JSON and as fields.
//! - `report`: the output of a sweep; `sometimes`: expectations that must hold in at least one
//!   run of it.
//! - `search`: searches for a failing seed; `shrink`: reduces a failing run to a small
//!   scenario; `explain`: finds the faults that a failing run needs.
//! - `picture`: a recorded run as an HTML page or a timeline, and the causes of a failure.
//! - `junit`: results as XML.
//! - `replay`: a run event by event; `state`: the state of its hosts; `node`: the state of mesh nodes.
//! - `diff`: the first event in which two runs differ.
//! - [`screen`], [`scale`], [`programs`], [`failure`], [`interrupt`]: output, flag values, child programs, exit codes,
//!   signals.

pub mod arguments;
mod catalogue;
mod diff;
mod engine;
mod explain;
pub mod failure;
pub mod interrupt;
mod junit;
mod node;
mod output;
mod overseer;
mod picture;
mod pool;
pub mod programs;
mod record;
mod replay;
mod report;
pub mod scale;
pub mod screen;
mod search;
mod shrink;
mod sometimes;
mod state;
mod sweep;
mod tool;

pub use tool::{ExternalEngine, Tool, exit, main};
