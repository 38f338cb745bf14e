//! Tests of the machine: alone, step by step, and among other machines in a small world.

pub(super) mod context;
mod doubting;
mod greeting;
mod listening;
mod meshes;
mod neighbourhood;
mod ownership;
mod reading;
mod renewing;
mod repairing;
mod resolving;
mod spreading;
mod steps;
mod weaving;
mod world;
