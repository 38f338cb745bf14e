//! The structure of a scenario file; `phalanx sim schema` publishes it.
//!
//! Values that are validated after parsing keep their position ([`At`]), so that errors can name their line. Steps and
//! expectations have their own files.

mod expect;
mod own;
mod own_keys;
mod spanned;
mod step;

pub(crate) use expect::{ConditionTable, ExpectTable};
pub(crate) use own::{AgreeTable, CommandTable, HoldsTable, StateTable};
pub(crate) use own_keys::{OwnKey, OwnKeys, OwnTables, words_beside};
pub(crate) use spanned::{At, Text, TextOr};
pub(crate) use step::{
    AfterTable, ClockTable, CutTable, DiskTable, LinkSettingTable, PairsTable, PartitionTable,
    StepTable,
};

use core::fmt;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A scenario: its nodes, its steps, and the expectations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Phalanx scenario")]
pub(crate) struct ScenarioFile {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) scenario: At<u32>,
    /// The scenario's name in reports; by convention the file's name without `.toml`.
    pub(crate) name: Text,
    /// The story: what happens and why it matters.
    pub(crate) about: Text,
    /// The name of the simulated system (default `mesh`).
    pub(crate) system: Option<Text>,
    /// The engines it is written for: `model`, `wire`, `madsim`.
    pub(crate) engines: Vec<Text>,
    /// Ends in one state whatever the order of events: `model` and `wire` are compared.
    #[serde(default)]
    pub(crate) confluent: bool,
    /// The time of faults and workload; afterwards every fault is lifted.
    pub(crate) duration: Text,
    /// After the faults are lifted, all views must be right within this time (default `20s`). `none`: the run ends with the
    /// time of faults, which are not lifted.
    pub(crate) recovery: Option<Text>,
    /// The seed nodes, through which the other nodes join (default: the first node); or a name of `[names]`, which every
    /// node has as its only seed address.
    pub(crate) seeds: Option<Text>,
    /// Nodes start at a random time within this (default `100ms`).
    pub(crate) spread: Option<Text>,
    /// Files with more tables (`[[nodes]]`, `[[at]]`, `[[expect]]`, ...), read as if they stood at the end of this one;
    /// paths are relative to this file.
    #[serde(default)]
    #[expect(dead_code, reason = "read beforehand: it makes up the text itself")]
    pub(crate) include: Vec<Text>,
    /// Values to run the scenario with: `"${word}"` in this file stands for the value.
    #[serde(default)]
    #[expect(dead_code, reason = "read beforehand: it makes up the text itself")]
    pub(crate) matrix: Vec<BTreeMap<String, Vec<MatrixValue>>>,
    /// Names that resolve to the addresses of nodes: `"seeds.example" = "n1..n3"`.
    #[serde(default)]
    pub(crate) names: BTreeMap<String, Text>,
    /// Groups of nodes.
    pub(crate) nodes: Vec<At<NodesTable>>,
    /// The network between all nodes.
    #[serde(default)]
    pub(crate) network: NetworkTable,
    /// Exceptions for the network between some nodes; the last that fits wins.
    #[serde(default)]
    pub(crate) link: Vec<At<LinkTable>>,
    /// Random faults within a budget, drawn from the seed.
    pub(crate) chaos: Option<At<ChaosTable>>,
    /// The steps.
    #[serde(default)]
    pub(crate) at: Vec<At<StepTable>>,
    /// The expectations.
    pub(crate) expect: Vec<At<ExpectTable>>,
}

/// A group of nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodesTable {
    /// How many; named by `prefix` and a number from 1.
    pub(crate) count: Option<At<u32>>,
    /// The names' beginning (default `n`), and a word for all nodes of the group.
    pub(crate) prefix: Option<Text>,
    /// Explicit names instead of `count`.
    pub(crate) names: Option<Vec<Text>>,
    /// Their role: `role:WORD` selects them.
    pub(crate) role: Option<Text>,
    /// Their region: `region:WORD` selects them.
    pub(crate) region: Option<Text>,
    /// Their zone within the region: `zone:WORD` selects them.
    pub(crate) zone: Option<Text>,
    /// Started only by a `join` step.
    #[serde(default)]
    pub(crate) waits: bool,
    /// Earliest start (default `0s`).
    pub(crate) start: Option<Text>,
    /// A process that exits at its start is started again after this time, as by a service manager; without it, the
    /// process stays down until a step starts it.
    pub(crate) restart_after: Option<Text>,
    /// Their clocks.
    pub(crate) clock: Option<ClockTable>,
}

/// The network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NetworkTable {
    /// One way: `1ms` (default), `1ms..5ms`, `exponential 5ms from 1ms` (the mean of what is added to the least),
    /// `log-normal 5ms p99 80ms` (median and 99th percentile).
    pub(crate) latency: Option<Text>,
    /// The share of TCP segments that are lost: `10%`.
    pub(crate) loss: Option<Text>,
    /// A node's bandwidth on one connection and direction: `100Mbit`; without it, unlimited.
    pub(crate) bandwidth: Option<Text>,
}

/// The network between some nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LinkTable {
    /// One end.
    pub(crate) from: Text,
    /// The other end.
    pub(crate) to: Text,
    /// `both` (default), `out` (from `from` to `to` alone) or `in`.
    pub(crate) direction: Option<Text>,
    /// See `network`.
    pub(crate) latency: Option<Text>,
    /// See `network`.
    pub(crate) loss: Option<Text>,
    /// See `network`.
    pub(crate) bandwidth: Option<Text>,
}

/// Random faults within a budget, drawn from the seed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ChaosTable {
    /// The kinds of faults: `crash`, `power-loss`, `wipe`, `leave`, `pause`, `slow`, `jump`, `drift`, `partition`, `cut`, `hold`,
    /// `loss`, `latency` (default: all that every engine of this scenario can do); `zone-partition` and `zone-power-loss` if
    /// they are named.
    pub(crate) kinds: Option<Vec<Text>>,
    /// The share of the faults of nodes that strike all nodes of a zone, which is drawn: `30%` (default: none).
    pub(crate) by_zone: Option<Text>,
    /// The most faults at once (default 2).
    pub(crate) at_once: Option<At<u32>>,
    /// The mean time between the beginnings of two faults (default `3s`).
    pub(crate) every: Option<Text>,
    /// The shortest fault (default `500ms`).
    pub(crate) shortest: Option<Text>,
    /// The longest fault (default `8s`).
    pub(crate) longest: Option<Text>,
    /// How many nodes no fault may touch at any time (default: half of all).
    pub(crate) stay_up: Option<At<u32>>,
    /// No fault before this (default `3s`).
    pub(crate) from: Option<Text>,
    /// No fault from here on (default: the end of `duration`).
    pub(crate) quiet: Option<Text>,
}

/// One value of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum MatrixValue {
    /// Replaces the word and the quotes around it.
    Number(i64),
    /// The same.
    Switch(bool),
    /// Replaces the word.
    Text(String),
}

impl fmt::Display for MatrixValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => on.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
