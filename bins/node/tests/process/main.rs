//! The daemon as a process: what it says, how it ends, and what it makes of bad input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod channels;
mod daemon;
mod life;
mod mesh;
mod network;
mod place;
mod secret;
