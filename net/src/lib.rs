//! Every side effect of Phalanx; it decides nothing.
//!
//! Start with [`driver`], the one loop that owns a machine: what happened goes in, orders come out. The orders of
//! a mesh node are carried out by [`transport`], whose [`MeshNode`](transport::MeshNode) ties everything together.
//!
//! - [`wire`]: the message format, and the only parser of what arrives.
//! - [`identity`]: certificates, and the TLS they make; a peer is who its certificate says.
//! - [`transport`]: links over mutual TLS.
//! - [`channel`]: applications' data: broadcasts, messages, maps.
//! - [`registry`]: the registry of a region, and the library of its clients.
//! - [`postgres`]: connections to PostgreSQL, for stores.
//! - [`rest`]: HTTP with JSON beside gRPC.
//! - [`overlay`]: a data path of the embedder's own between linked nodes.
//! - [`service`]: what can be asked of a node, and the client that asks.
//! - [`store`]: what a node keeps across restarts.
//! - [`configuration`]: settings of a daemon from a file, the environment and flags.
//! - [`metrics`]: metrics and health, for monitoring systems.
//! - [`telemetry`], [`shutdown`], [`clock`], [`entropy`]: logs, signals, calendar and randomness of the system.
//!
//! Slow or blocking work runs outside the loop; its completion is an input of the machine.

pub mod channel;
pub mod clock;
pub mod configuration;
pub mod driver;
pub mod entropy;
pub mod identity;
pub mod metrics;
mod notices;
pub mod overlay;
pub mod postgres;
mod printable;
pub mod registry;
pub mod rest;
pub mod service;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod wire;

mod applications;
mod durable;
mod dynamic;
mod link;
