//! The simulator of Phalanx: scenarios, the model engine and invariants, for the mesh and for any other system of
//! machines.
//!
//! Start with [`scenario`], the input of a run; then [`scenario::plan`], a scenario with every random choice made;
//! [`judge`], which checks a run of any engine; [`outcome`], the result of a run; [`model`], the engine that executes
//! it; [`world`], the parts of a simulated world, with [`mesh`] as the first system; [`runner`], the interface to runs.
//!
//! Three modules build on runs: [`search`] looks for a failing seed, [`shrink`] reduces a failing run to a small
//! scenario, and [`fault_set`] finds the faults that a failing run needs.

pub mod adapter;
pub mod address;
pub mod arguments;
pub mod diff;
pub mod disk;
pub mod explanation;
pub mod fakes;
pub mod fault_set;
pub mod finding;
pub mod invariant;
pub mod judge;
pub mod mesh;
pub mod model;
pub mod outcome;
pub mod prelude;
pub mod record;
pub mod replay;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod shrink;
pub mod systems;
pub mod timeline;
pub mod verdict;
pub mod world;

pub use model::{RunOptions, run};
pub use runner::{Model, Runner};
pub use systems::Systems;
pub use world::Program;
