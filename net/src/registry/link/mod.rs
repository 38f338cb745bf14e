//! The link between the registries of two regions, on the ports of their nodes. It decides nothing.
//!
//! A registry dials each other region for a copy of its objects, and answers the registries that dial it. Both ends prove
//! by their certificates which region's registry they are (`spiffe://MESH/registry/REGION`).
//!
//! - `dialed`: the connections that this registry dials, and the writes that it routes on them.
//! - `handlers`: `RegistryLink` of `net/proto/registry_link.proto`, for registries that dial this one.
//! - `follower_session`: one stream of such a registry.
//! - `members`: the members of the mesh that announce registries.
//!
//! Bounds: messages have at most [`LINK_MESSAGE_BYTES_MAX`] bytes; at most [`FOLLOWER_BYTES_MAX`] bytes wait for one
//! follower, whose stream ends otherwise.

mod dialed;
mod follower_session;
mod handlers;
mod members;

pub(super) use dialed::{DialedLinks, JoinedNode};
pub(super) use follower_session::{FollowerArrival, FollowerStream};
pub use handlers::{LinkApi, LinkCallers};
pub(super) use members::{follow as follow_members, nearest_registry};

/// Maximum size of a message between registries, in bytes. A batch of 4 MiB may change the metadata of further objects.
pub(super) const LINK_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum size of the messages that wait for one follower, in bytes, besides the last one.
pub(super) const FOLLOWER_BYTES_MAX: usize = 32 * 1024 * 1024;
