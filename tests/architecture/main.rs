//! Rules of the layout that can be checked automatically. Each failure names the file and the fix.
//!
//! [`graph`] reads cargo's view of the packages; [`sources`] reads the source text; [`layout`]
//! checks the top level of the repository and the output of the binaries; [`flake`] evaluates
//! flake.nix without a network.

mod flake;
mod graph;
mod layout;
mod sources;
