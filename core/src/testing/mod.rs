//! Helpers for tests of this crate's machines.

pub(crate) mod alone;
pub(crate) mod world;
