//! The engines by name.

use super::suggestion::suggestion;
use core::fmt;
use serde::Serialize;

/// An engine, which runs scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Machines of the core on an event heap.
    Model,
    /// Production adapters on a simulated network.
    Wire,
    /// The production driver with randomly scheduled tasks.
    Madsim,
}

impl Engine {
    /// Every engine and its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Model, "model"),
        (Self::Wire, "wire"),
        (Self::Madsim, "madsim"),
    ];

    /// Returns the engine's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Wire => "wire",
            Self::Madsim => "madsim",
        }
    }

    /// Returns the engine of this name.
    ///
    /// # Errors
    /// The error lists the engines.
    pub fn named(name: &str) -> Result<Self, String> {
        let words = Self::ALL.iter().map(|(_, name)| *name);
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(engine, _)| *engine)
            .ok_or_else(|| format!("`{name}` is not an engine{}", suggestion(name, words)))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
