//! All decisions of Phalanx, without side effects.
//!
//! Start with [`machine`], the interface of every state machine in this crate. [`node`] is the machine of one mesh
//! daemon, [`gossip`] is the protocol, and [`topology`] is the state that the protocol replicates.
//!
//! This crate reads no clock, opens no socket, starts no thread, writes no log and uses no ambient randomness. Time,
//! seeds and messages are inputs; orders to the caller are outputs.

pub mod access;
pub mod advertised;
pub mod attempts;
pub mod backlog;
pub mod bounded;
pub mod calls;
pub mod channel;
pub mod counter;
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
mod number_ranges;
pub mod pacing;
mod paged;
pub mod places;
pub mod plumtree;
pub mod random;
pub mod reconcile;
pub mod registry;
pub mod reports;
pub mod revocation;
pub mod sabotage;
pub mod size;
pub mod sketch;
pub mod sorted;
pub mod subject;
pub mod supervision;
#[cfg(test)]
mod testing;
pub mod time;
pub mod topology;
pub mod unauthenticated;
