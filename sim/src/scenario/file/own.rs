//! What is written in the words of a system: conditions on states, conditions and commands of its own.

use super::spanned::Text;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What a key of the nodes' states is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StateTable {
    /// The nodes (default `all`); only those that run count.
    pub(crate) who: Option<Text>,
    /// The key; keys of inner tables follow after dots: `log.length`.
    pub(crate) key: Text,
    /// What it is.
    pub(crate) is: Value,
    /// At at least so many of them (without `min` and `max`: at all).
    pub(crate) min: Option<u32>,
    /// At at most so many of them.
    pub(crate) max: Option<u32>,
}

/// Who is of one mind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AgreeTable {
    /// The nodes (default `all`); only those that run count.
    pub(crate) who: Option<Text>,
    /// About this key of their state (default: all of it).
    pub(crate) key: Option<Text>,
}

/// A condition of the system's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HoldsTable {
    /// Its word.
    pub(crate) name: Text,
    /// The nodes (default `all`).
    pub(crate) who: Option<Text>,
    /// What goes with it.
    #[serde(default)]
    pub(crate) with: Value,
}

/// A command of the system's own, for its nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CommandTable {
    /// The nodes.
    pub(crate) who: Text,
    /// Its word.
    pub(crate) name: Text,
    /// What goes with it.
    #[serde(default)]
    pub(crate) with: Value,
}
