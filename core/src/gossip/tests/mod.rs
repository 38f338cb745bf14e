//! The machine alone, step by step, and among its like in a small world.

mod meshes;
mod steps;
mod world;
