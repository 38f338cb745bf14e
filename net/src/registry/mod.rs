//! The registry of a region as a part of a daemon, and the library of its clients. It decides nothing.
//!
//! - `region`: the running sequencer; start there.
//! - [`store`]: the port to the region's store, and its adapters.
//! - `handlers`: `ObjectService`, on the port of the node.
//! - `kinds`: the typed services of the four kinds.
//! - `services`: all services on a port.
//! - `watch_session`: the watches on one stream.
//! - `backup_session`: a backup on its way to a caller.
//! - `local`: `ObjectService` on a Unix socket, for programs on the registry's host.
//! - `elsewhere`: `ObjectService` of a node that runs no registry.
//! - `link`: the links to the registries of other regions; `follower`: the calls of registries that dial this one.
//! - `endpoint`: how a client reaches a registry.
//! - `environment`: [`EnvRegistry`], for a service's process; `environment_api`: the same for other languages.
//! - `meters`: counts and times since the start.
//! - `message`: conversions of messages; [`proto`]: the generated types.
//!
//! Callers are administrators, holders of the node's own certificate and services; core decides what each may do.
//!
//! Bounds: those of the sequencer, of [`MESSAGE_BYTES_MAX`] and of [`WATCHES_PER_STREAM_MAX`].

mod backup_session;
mod elsewhere;
pub(crate) mod endpoint;
mod environment;
mod environment_api;
mod follower;
mod handlers;
mod kinds;
pub(crate) mod limits;
mod link;
mod local;
mod message;
mod meters;
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    missing_docs,
    unused_qualifications,
    reason = "generated code"
)]
pub mod proto;
mod region;
mod services;
pub mod store;
#[cfg(test)]
mod tests;
mod watch_session;

pub use elsewhere::ElsewhereApi;
pub use endpoint::{OwnRegistry, RegistryEndpoint, UNIX_SCHEME};
pub use environment::{
    EnvRegistry, EnvRegistryError, EnvironmentSubscription, EnvironmentUpdate, WaitingReasons,
};
pub use follower::{LinkApi, LinkCallers};
pub use handlers::{ObjectApi, RegistryCallers};
pub use limits::MESSAGE_BYTES_MAX;
pub use local::{LocalSocket, LocalSocketError, serve_local};
pub use message::InvalidField;
pub use message::status::{OtherRegistry, other_registry};
pub use region::{RegionRegistry, RegionWrite, RegistryStopped, WriteFailure};
pub use services::add_services;
pub use watch_session::WATCHES_PER_STREAM_MAX;
