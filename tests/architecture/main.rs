//! Rules of the layout that can be checked automatically. Each failure names the file and the fix.
//!
//! [`graph`] reads cargo's own view of the packages; [`imports`] finds import cycles; [`components`] checks how
//! machines are divided; [`sources`] reads the source text; [`names`] compares the names of types; [`layout`] checks
//! the top level of the repository and the output of the binaries; [`flake`] evaluates flake.nix without a network.

mod components;
mod flake;
mod graph;
mod imports;
mod layout;
mod names;
mod sources;
