//! Helpers for tests of this crate's machines.

pub(crate) mod world;
