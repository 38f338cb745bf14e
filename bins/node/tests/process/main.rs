//! Tests of the daemon as a process: its log, its end, and its errors on bad input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod bad_input;
mod bootstrap;
mod channels;
mod daemon;
mod killing;
mod kinds;
mod life;
mod log;
mod mesh;
mod metrics;
mod network;
mod place;
mod postgres;
mod regions;
mod registry;
mod relay;
mod returning;
mod revoking;
mod secret;
mod slow;
mod supervision;
mod unreachable;
