//! What one node knows of the mesh: values and pure functions.

pub mod record;
