//! The registry of one region, simulated: a sequencer with its store, and clients that write, read and watch.
//!
//! The machines are those of `phalanx_core::registry`; this package adds a store on the simulated disk, the messages
//! between clients and the registry, a workload, and the invariants:
//!
//! - [`invariants`]: reads and writes are linearizable, acknowledged writes are durable, a request is executed at most
//!   once, a refused write is not applied, and each watcher hears each change once, whole and in order.
//! - [`linearizability`]: the search for an order of operations (Wing and Gong 1993, Lowe 2017).

pub mod archive;
pub mod client;
pub mod disk_store;
pub mod fact;
pub mod invariants;
pub mod linearizability;
pub mod links;
pub mod messages;
pub mod operator;
pub mod pod;
pub mod server;
pub mod shared_store;
pub mod system;
pub mod viewed_set;
pub mod workload;
