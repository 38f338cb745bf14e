//! The registry: regions, services, deployments, resources, and objects of the kinds that services register.
//!
//! - [`value`], [`name`], [`metadata`], [`object`], [`kind`], [`schema`]: the object model.
//! - [`query`]: filters, orders, masks and pages.

pub mod kind;
pub mod metadata;
pub mod name;
pub mod object;
pub mod query;
pub mod schema;
pub mod value;
