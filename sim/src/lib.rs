//! The simulator of Phalanx: scenarios, the model engine, invariants.
//!
//! Start with [`scenario`], what a run is asked; then [`scenario::plan`], the same with every random choice made;
//! [`judge`], which watches a run of any engine; [`outcome`] and [`projection`], what came of it; [`model`], the
//! engine that runs it.

pub mod event;
pub mod invariant;
pub mod judge;
pub mod model;
pub mod outcome;
pub mod projection;
pub mod record;
pub mod scenario;
pub mod world;
