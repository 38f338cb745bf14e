//! Every decision of Phalanx, and no side effect.
//!
//! Start with [`machine`], the one shape of everything that decides; then [`node`], the machine of one mesh
//! daemon; then [`gossip`], the protocol, and [`topology`], the state it moves.
//!
//! This crate reads no clock, opens no socket, starts no thread, writes no log and draws no ambient randomness.
//! Time, seeds and messages come in as data; orders go out as data.

pub mod bounded;
pub mod channel;
pub mod credentials;
pub mod data_path;
pub mod deadlines;
pub mod flow_control;
pub mod gossip;
pub mod identity;
pub mod lane;
pub mod link;
pub mod machine;
pub mod node;
pub mod pacing;
mod paged;
pub mod plumtree;
pub mod random;
pub mod reconcile;
pub mod sabotage;
pub mod size;
pub mod sketch;
pub mod sorted;
#[cfg(test)]
mod testing;
pub mod time;
pub mod topology;
