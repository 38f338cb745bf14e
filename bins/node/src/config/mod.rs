//! The configuration of phalanxd: its table of keys, and the checks of its values.
//!
//! [`phalanx_net::configuration`] reads the file, the environment and the flags. [`DaemonSettings`] are the checked result;
//! every problem is reported at once.

mod certificates;
mod key;
mod registry;
mod settings;
#[cfg(test)]
mod tests;
mod tuning;

pub(crate) use key::all_keys;
pub(crate) use registry::{RegistryPlace, RegistrySettings};
pub(crate) use settings::{Advertise, DaemonSettings, Discovery, warn_local_only};
