//! Tables in the vocabulary of a system: conditions on states, and the conditions and commands of programs.

use super::spanned::Text;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Compares a key of the nodes' states with a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StateTable {
    /// The nodes (default `all`); only those that run count.
    pub(crate) who: Option<Text>,
    /// The key; keys of inner tables follow after dots: `log.length`.
    pub(crate) key: Text,
    /// The value.
    pub(crate) is: Value,
    /// The least number of nodes (without `min` and `max`: all of them).
    pub(crate) min: Option<u32>,
    /// The greatest number of nodes.
    pub(crate) max: Option<u32>,
}

/// Compares the states of nodes with each other.
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
    /// The arguments.
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
    /// The arguments.
    #[serde(default)]
    pub(crate) with: Value,
    /// The nodes are expected to refuse the command: the refusal is its effect.
    #[serde(default)]
    pub(crate) refused: bool,
}
