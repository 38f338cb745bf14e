//! The registry: regions, services, deployments, resources, and objects of the kinds that services register.
//!
//! - [`value`], [`name`], [`metadata`], [`object`], [`kind`], [`schema`]: the object model.
//! - [`references`]: fields that name other objects, and what deletions do to them.
//! - [`query`]: filters, orders, masks and pages.
//! - [`policy`], [`placement`], [`rules`]: policies; the region that owns an object; rules about several objects.
//! - [`access`], [`audience`]: what a caller may read and write.
//! - [`write`](mod@write), [`state`], [`log`], [`store`]: writes, the state at a revision, the log of a region, the port to its store.
//! - [`replica`], [`region_logs`]: copies of other regions' objects, and the logs that watchers hear of.
//! - [`sequencer`]: the machine that decides about writes in a region.
//! - [`environment`]: the machine of a service's process: registration and discovery.
//! - [`watch`]: the watch server, and the machine of a watch client.

pub mod access;
pub mod audience;
pub mod environment;
pub mod kind;
pub mod log;
pub mod members;
pub mod metadata;
pub mod name;
pub mod object;
pub mod placement;
pub mod policy;
pub mod query;
pub mod references;
pub mod region_logs;
pub mod replica;
pub mod rules;
pub mod sabotage;
pub mod schema;
pub mod sequencer;
pub mod state;
pub mod store;
pub mod value;
pub mod volatile_store;
pub mod watch;
pub mod write;
