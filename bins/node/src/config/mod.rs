//! The configuration: a file, then the environment, then flags; the later wins.
//!
//! Each source is read into a [`Layer`]: settings by [`Key`], with where each came from, so that every error can
//! name the place. [`Settings`] are the checked result. All problems are collected and told at once.

mod environment;
mod file;
mod key;
mod layer;
mod settings;
#[cfg(test)]
mod tests;
mod tuning;

pub(crate) use key::{Key, all_keys};
pub(crate) use layer::{Given, Layer, Origin, Value};
pub(crate) use settings::{Advertise, Discovery, Settings};
