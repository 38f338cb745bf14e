//! Tests of the machine: alone, step by step, and among other machines in a small world.

mod anti_entropy;
pub(super) mod bench;
pub(super) mod context;
mod counters;
mod dialing;
mod dissemination;
mod failure_detector;
mod handshake;
mod inquiry;
mod kept_addresses;
mod local_health;
mod misdirected;
mod negotiation;
mod neighbours;
mod queries;
mod refusals;
mod renewal;
mod resolution;
mod returning;
mod self_record;
mod slow_links;
mod steps;
mod unreachable;
mod whole_meshes;
mod world;
