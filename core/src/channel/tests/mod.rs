//! Channels step by step, and several nodes' channels on links of the test's own.

mod broadcasting;
mod maps;
mod merging;
mod sending;
mod world;
