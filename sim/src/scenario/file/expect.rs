//! Expectations as they are written.

use super::own::{AgreeTable, HoldsTable, StateTable};
use super::spanned::{At, Text};
use schemars::JsonSchema;
use serde::Deserialize;

/// What must come of it: exactly one of `eventually`, `always`, `never`, `sometimes`, `metric`.
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
    /// With `metric`: whose (default `all`).
    pub(crate) who: Option<Text>,
}

/// A condition: exactly one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ConditionTable {
    /// All views are equal and right: exactly the running members are alive.
    pub(crate) converged: Option<At<bool>>,
    /// Some nodes see some members in a state.
    pub(crate) sees: Option<SeesTable>,
    /// Some nodes know this many members in a state.
    pub(crate) members: Option<MembersTable>,
    /// Some nodes find exactly these providers of a service.
    pub(crate) providers: Option<ProvidersTable>,
    /// Some nodes have this many links.
    pub(crate) links: Option<LinksTable>,
    /// Some nodes are in a phase of their life.
    pub(crate) phase: Option<PhaseTable>,
    /// Nodes reported an event this often since `from`.
    pub(crate) event: Option<EventTable>,
    /// Some nodes' states hold something under a key.
    pub(crate) state: Option<StateTable>,
    /// Some nodes' states are equal.
    pub(crate) agree: Option<AgreeTable>,
    /// A condition of the system's own.
    pub(crate) holds: Option<HoldsTable>,
}

/// Who sees whom how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SeesTable {
    /// The observers (default `all`); only those that run count.
    pub(crate) who: Option<Text>,
    /// The observed.
    pub(crate) of: Text,
    /// `alive`, `suspect`, `down`, `left`, `unknown`, `gone` (anything but alive or suspect).
    #[serde(rename = "as")]
    pub(crate) status: Text,
}

/// How many members are known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MembersTable {
    /// The observers (default `all`).
    pub(crate) who: Option<Text>,
    /// In which state (default: any).
    #[serde(rename = "as")]
    pub(crate) status: Option<Text>,
    /// At least.
    pub(crate) min: Option<u32>,
    /// At most.
    pub(crate) max: Option<u32>,
}

/// Who provides a service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ProvidersTable {
    /// The observers (default `all`).
    pub(crate) who: Option<Text>,
    /// `name/version`, or `name` for any version.
    pub(crate) of: Text,
    /// Exactly these nodes; an empty text for nobody.
    pub(crate) are: Text,
}

/// How many links.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LinksTable {
    /// The nodes (default `all`).
    pub(crate) who: Option<Text>,
    /// At least.
    pub(crate) min: Option<u32>,
    /// At most.
    pub(crate) max: Option<u32>,
}

/// Who is in which phase.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PhaseTable {
    /// The nodes.
    pub(crate) who: Text,
    /// `joining`, `running`, `isolated`, `leaving`, `left`, `name-taken`.
    pub(crate) is: Text,
}

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EventTable {
    /// `peer-up`, `peer-down`, `name-taken`, ...
    pub(crate) kind: Text,
    /// Who reports (default `all`).
    pub(crate) by: Option<Text>,
    /// About whom (default: anyone).
    pub(crate) about: Option<Text>,
    /// At least (default 1).
    pub(crate) min: Option<u32>,
}
