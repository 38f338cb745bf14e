//! Channels step by step, and several nodes' channels on links of the test's own.

mod broadcasting;
mod fuzz;
mod maps;
mod merging;
pub(super) mod sample;
mod sending;
mod world;
