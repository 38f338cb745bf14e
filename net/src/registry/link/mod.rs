//! The link between the registries of two regions, on the ports of their nodes. It decides nothing.
//!
//! A registry dials each other region for a copy of its objects, and answers the registries that dial it. Both ends prove
//! by their certificates which region's registry they are (`spiffe://MESH/registry/REGION`).
//!
//! - `dialed`: the connections that this registry dials, and the writes that it routes on them.
//! - `follower_stream`: the queue to a registry that has dialled this one; its calls are in `follower` beside this folder.
//! - `members`: the members of the mesh that announce registries.
//!
//! Bounds: messages have at most [`LINK_MESSAGE_BYTES_MAX`](super::limits::LINK_MESSAGE_BYTES_MAX) bytes; at most
//! [`FOLLOWER_BYTES_MAX`](follower_stream::FOLLOWER_BYTES_MAX) bytes wait for one follower, whose stream ends otherwise.

mod dialed;
mod follower_stream;
mod members;

pub(super) use dialed::{DialedLinks, JoinedNode};
pub(super) use follower_stream::{FollowerArrival, FollowerStream};
pub(super) use members::{follow as follow_members, nearest_registry};
