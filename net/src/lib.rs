//! Every side effect of Phalanx; it decides nothing.
//!
//! Start with [`wire`], the only parser of what arrives.

pub mod clock;
pub mod driver;
pub mod entropy;
pub mod identity;
pub mod service;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod wire;
