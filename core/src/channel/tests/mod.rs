//! Tests of channels: single steps, and several nodes on links simulated by the tests.

mod admitting;
mod broadcasting;
mod counters;
mod forgetting;
mod fuzz;
mod losing;
mod maps;
mod merging;
mod once;
mod repairing;
pub(super) mod sample;
mod sending;
mod world;
