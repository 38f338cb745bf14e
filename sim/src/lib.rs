//! The simulator of Phalanx: scenarios, the model engine, invariants; for the mesh and for any other system of
//! machines.
//!
//! Start with [`scenario`], what a run is asked; then [`scenario::plan`], the same with every random choice made;
//! [`judge`], which watches a run of any engine; [`outcome`], what came of it; [`model`], the engine
//! that runs it; [`world`], what a world is made of, with [`mesh`] as the first; [`runner`], runs as a value.
//!
//! On top of runs: [`search`], which looks for a seed that fails, and [`shrink`], which makes a small scenario of it.

pub mod adapter;
pub mod address;
pub mod agenda;
pub mod arguments;
pub mod diff;
pub mod disk;
pub mod fakes;
pub mod invariant;
pub mod judge;
pub mod mesh;
pub mod model;
pub mod outcome;
pub mod record;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod search;
pub mod shrink;
pub mod systems;
pub mod timeline;
pub mod verdict;
pub mod world;

pub use model::{Options, run};
pub use runner::{Model, Runner};
pub use systems::Systems;
pub use world::Program;
