//! Layered configuration of a daemon: a file, then the environment, then flags; the later layer wins.
//!
//! A daemon declares its settings once, as an enum made by [`keys!`]: the name in the file, the environment variable,
//! the flag, the kind of value, and the unit and bounds of numbers. [`Layers::read`] reads the three sources into
//! values with their origins, so that each problem names its place: file and line, variable or flag. The daemon then
//! takes its typed values out of [`Layers`], which collects problems instead of stopping at the first, and
//! [`Layers::finish`] gives the checked settings or the whole list.
//!
//! - An unknown key of the file is an error that names the nearest known key. An unknown variable is a warning, since
//!   other programs may use the same prefix.
//! - A list in a later layer replaces the list of an earlier layer as a whole.
//! - A secret setting has no flag, because command lines are visible to other users, and no message shows its value.
//! - Reading has no side effect: a daemon that reloads on SIGHUP reads again and compares its checked settings.
//!
//! Flags come in as pairs of name and text, so a daemon may parse its command line as it likes.
//!
//! ```
//! use phalanx_net::configuration::{DaemonProgram, Layers, Setting, Unit, keys};
//!
//! keys! {
//!     /// A setting of the example.
//!     pub enum Key {
//!         Name = Setting::text("name", "EXAMPLE_NAME").flag("--name"),
//!         Retry = Setting::number("retry_ms", "EXAMPLE_RETRY_MS", Unit::Milliseconds, 1..=60_000),
//!     }
//! }
//!
//! const PROGRAM: DaemonProgram = DaemonProgram::new("example", "EXAMPLE_");
//!
//! let variables = [("EXAMPLE_RETRY_MS".into(), "250".into())];
//! let flags = [("--name", "first".to_owned())];
//! let mut layers = Layers::<Key>::read(&PROGRAM, None, variables, flags).expect("both sources are well formed");
//! let settings = (layers.required_text(Key::Name), layers.duration(Key::Retry));
//! let (name, retry) = layers.finish(Some(settings)).expect("no value is out of bounds");
//! assert_eq!(name.as_deref(), Some("first"));
//! assert_eq!(retry.map(|retry| retry.as_millis()), Some(250));
//! ```

mod environment;
mod file;
mod flags;
mod key;
mod keys;
mod layer;
mod layers;
mod nearest;
mod program;
#[cfg(test)]
mod tests;

pub use crate::configuration_keys as keys;
pub use key::{Setting, SettingKey, Unit, ValueKind, help, inconsistencies};
pub use layer::{Given, Origin, SettingSource, Value};
pub use layers::Layers;
pub use program::DaemonProgram;
