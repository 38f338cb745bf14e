//! `RegistryLink` of `net/proto/registry_link.proto`, for the registries of other regions that dial this one. It decides
//! nothing.
//!
//! - `handlers`: the calls. A caller proves by its certificate which region's registry it is.
//! - `session`: one stream of a registry that has a copy of this one.

mod handlers;
mod session;

pub use handlers::{LinkApi, LinkCallers};
