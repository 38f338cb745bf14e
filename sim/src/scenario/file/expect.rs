//! The tables of expectations in a scenario file.

use super::own::{AgreeTable, HoldsTable, StateTable};
use super::spanned::{At, Text};
use schemars::JsonSchema;
use serde::Deserialize;

/// An expectation: exactly one of `eventually`, `always`, `never`, `sometimes`, `metric`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ExpectTable {
    /// Becomes true between `from` and `from` + `within`.
    pub(crate) eventually: Option<ConditionTable>,
    /// Is true at every check between `from` and `to`.
    pub(crate) always: Option<ConditionTable>,
    /// Is false at every check between `from` and `to`.
    pub(crate) never: Option<ConditionTable>,
    /// Is true at some check between `from` and `to`, in at least one run of a range of seeds.
    pub(crate) sometimes: Option<ConditionTable>,
    /// A figure that lies between `min` and `max`.
    pub(crate) metric: Option<Text>,
    /// From when (default `0s`).
    pub(crate) from: Option<Text>,
    /// Until when (default: the end of the run).
    pub(crate) to: Option<Text>,
    /// With `eventually`: how long it may take (default: until the end of the run).
    pub(crate) within: Option<Text>,
    /// With `metric`: the least.
    pub(crate) min: Option<At<u64>>,
    /// With `metric`: the most.
    pub(crate) max: Option<At<u64>>,
    /// With `metric`: the nodes it is measured on (default `all`).
    pub(crate) who: Option<Text>,
}

/// A condition: exactly one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ConditionTable {
    /// All views are equal and right: exactly the running members are alive.
    pub(crate) converged: Option<At<bool>>,
    /// Nodes reported an event this often since `from`.
    pub(crate) event: Option<EventTable>,
    /// Some nodes' states hold something under a key.
    pub(crate) state: Option<StateTable>,
    /// Some nodes' states are equal.
    pub(crate) agree: Option<AgreeTable>,
    /// A condition of the system's own.
    pub(crate) holds: Option<HoldsTable>,
}

/// Events and their reporters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EventTable {
    /// `peer-up`, `peer-down`, `name-taken`, ...
    pub(crate) kind: Text,
    /// The reporters (default `all`).
    pub(crate) by: Option<Text>,
    /// The subject of the event (default: any).
    pub(crate) about: Option<Text>,
    /// At least (default 1).
    pub(crate) min: Option<u32>,
}
