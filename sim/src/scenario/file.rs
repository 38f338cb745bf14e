//! A scenario file as it is written: the shape that `phalanx sim schema` publishes.
//!
//! Texts keep their position (`Spanned`), so that what is found wrong later still names its line.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;
use std::collections::BTreeMap;

/// A text and where it stands.
pub(crate) type Text = Spanned<String>;

/// A situation: who is there, what happens when, and what must come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Phalanx scenario")]
pub(crate) struct ScenarioFile {
    /// The version of this format: 1.
    #[schemars(with = "u32", range(min = 1, max = 1))]
    pub(crate) scenario: Spanned<u32>,
    /// The scenario's name: the file's name without `.toml`.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// The story: what happens and why it matters.
    #[schemars(with = "String")]
    pub(crate) about: Text,
    /// The engines it is written for: `model`, `wire`.
    #[schemars(with = "Vec<String>")]
    pub(crate) engines: Vec<Text>,
    /// Ends in one state whatever the order of events: `model` and `wire` are compared.
    #[serde(default)]
    pub(crate) confluent: bool,
    /// The time of faults and workload; afterwards every fault is lifted.
    #[schemars(with = "String")]
    pub(crate) duration: Text,
    /// After the faults are lifted, all views must be right within this time (default `20s`).
    #[schemars(with = "Option<String>")]
    pub(crate) recovery: Option<Text>,
    /// The nodes that everyone else joins by (default: the first node).
    #[schemars(with = "Option<String>")]
    pub(crate) seeds: Option<Text>,
    /// Nodes start at a random time within this (default `100ms`).
    #[schemars(with = "Option<String>")]
    pub(crate) spread: Option<Text>,
    /// Groups of nodes.
    #[schemars(with = "Vec<NodesTable>")]
    pub(crate) nodes: Vec<Spanned<NodesTable>>,
    /// The network between all nodes.
    #[serde(default)]
    pub(crate) network: NetworkTable,
    /// Exceptions for the network between some nodes; the last that fits wins.
    #[serde(default)]
    #[schemars(with = "Vec<LinkTable>")]
    pub(crate) link: Vec<Spanned<LinkTable>>,
    /// Settings of the protocol that differ from the defaults.
    #[serde(default)]
    pub(crate) tuning: TuningTable,
    /// What happens when.
    #[serde(default)]
    #[schemars(with = "Vec<StepTable>")]
    pub(crate) at: Vec<Spanned<StepTable>>,
    /// What must come of it.
    #[schemars(with = "Vec<ExpectTable>")]
    pub(crate) expect: Vec<Spanned<ExpectTable>>,
}

/// A group of nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodesTable {
    /// How many; named by `prefix` and a number from 1.
    #[schemars(with = "Option<u32>")]
    pub(crate) count: Option<Spanned<u32>>,
    /// The names' beginning (default `n`), and a word for all nodes of the group.
    #[schemars(with = "Option<String>")]
    pub(crate) prefix: Option<Text>,
    /// Explicit names instead of `count`.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) names: Option<Vec<Text>>,
    /// What they serve: `name/version`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) services: Vec<Text>,
    /// Free data they publish.
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// The class they publish (default `generic`).
    pub(crate) kind: Option<String>,
    /// Whether others can dial them (default true).
    pub(crate) dialable: Option<bool>,
    /// Started only by a `join` step.
    #[serde(default)]
    pub(crate) waits: bool,
    /// Earliest start (default `0s`).
    #[schemars(with = "Option<String>")]
    pub(crate) start: Option<Text>,
    /// Their clocks.
    pub(crate) clock: Option<ClockTable>,
}

/// How a node's clock differs from true time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ClockTable {
    /// The nodes (in a step).
    #[schemars(with = "Option<String>")]
    pub(crate) who: Option<Text>,
    /// The calendar is off by this: `-3s`.
    #[schemars(with = "Option<String>")]
    pub(crate) offset: Option<Text>,
    /// It runs fast (or, negative, slow) by this many millionths.
    #[schemars(with = "Option<i32>")]
    pub(crate) drift_ppm: Option<Spanned<i32>>,
    /// It jumps forward by this (in a step).
    #[schemars(with = "Option<String>")]
    pub(crate) jump: Option<Text>,
}

/// The network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NetworkTable {
    /// One way: `1ms` (default).
    #[schemars(with = "Option<String>")]
    pub(crate) latency: Option<Text>,
    /// The longest, when it varies from segment to segment.
    #[schemars(with = "Option<String>")]
    pub(crate) latency_max: Option<Text>,
    /// The share of TCP segments that are lost: `10%`.
    #[schemars(with = "Option<String>")]
    pub(crate) loss: Option<Text>,
    /// A node's bandwidth on one connection and direction: `100Mbit`; without it, unlimited.
    #[schemars(with = "Option<String>")]
    pub(crate) bandwidth: Option<Text>,
}

/// The network between some nodes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LinkTable {
    /// One end.
    #[schemars(with = "String")]
    pub(crate) from: Text,
    /// The other end.
    #[schemars(with = "String")]
    pub(crate) to: Text,
    /// See `network`.
    #[schemars(with = "Option<String>")]
    pub(crate) latency: Option<Text>,
    /// See `network`.
    #[schemars(with = "Option<String>")]
    pub(crate) latency_max: Option<Text>,
    /// See `network`.
    #[schemars(with = "Option<String>")]
    pub(crate) loss: Option<Text>,
    /// See `network`.
    #[schemars(with = "Option<String>")]
    pub(crate) bandwidth: Option<Text>,
}

/// Settings of the protocol.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TuningTable {
    /// Members down or gone for this long are forgotten.
    #[schemars(with = "Option<String>")]
    pub(crate) forget_after: Option<Text>,
    /// The extra random link is replaced this often.
    #[schemars(with = "Option<String>")]
    pub(crate) random_link_interval: Option<Text>,
    /// View hashes are announced at least this often.
    #[schemars(with = "Option<String>")]
    pub(crate) hash_interval: Option<Text>,
    /// The most links of one node.
    pub(crate) links_max: Option<u16>,
}

/// Something that happens: `time` and exactly one action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StepTable {
    /// When, from the start of the run.
    #[schemars(with = "String")]
    pub(crate) time: Text,
    /// Repeats the step at this interval; with `times`.
    #[schemars(with = "Option<String>")]
    pub(crate) every: Option<Text>,
    /// How often in all.
    #[schemars(with = "Option<u32>")]
    pub(crate) times: Option<Spanned<u32>>,
    /// Does it to one node after another, this far apart.
    #[schemars(with = "Option<String>")]
    pub(crate) stagger: Option<Text>,
    /// A word for the nodes it draws, for later steps and expectations.
    #[schemars(with = "Option<String>")]
    pub(crate) named: Option<Text>,
    /// The network splits; links across become black holes.
    pub(crate) partition: Option<PartitionTable>,
    /// Ends all partitions.
    #[schemars(with = "Option<bool>")]
    pub(crate) heal: Option<Spanned<bool>>,
    /// Single pairs cannot reach each other.
    pub(crate) cut: Option<CutTable>,
    /// Ends all cuts.
    #[schemars(with = "Option<bool>")]
    pub(crate) restore: Option<Spanned<bool>>,
    /// Kills processes (kill -9): the operating system closes their connections.
    #[schemars(with = "Option<String>")]
    pub(crate) crash: Option<Text>,
    /// Machines lose power: nothing closes their connections.
    #[schemars(with = "Option<String>")]
    pub(crate) power_loss: Option<Text>,
    /// Starts stopped nodes again; a node that runs is killed first.
    pub(crate) restart: Option<RestartTable>,
    /// Processes stop and go on later.
    pub(crate) pause: Option<PauseTable>,
    /// Processes take this much longer for each input.
    pub(crate) slow: Option<SlowTable>,
    /// Clocks jump or drift.
    pub(crate) clock: Option<ClockTable>,
    /// Nodes that waited start.
    #[schemars(with = "Option<String>")]
    pub(crate) join: Option<Text>,
    /// Nodes leave gracefully.
    #[schemars(with = "Option<String>")]
    pub(crate) leave: Option<Text>,
    /// Nodes publish other services or metadata.
    pub(crate) announce: Option<AnnounceTable>,
    /// The share of segments that are lost from here on.
    #[schemars(with = "Option<String>")]
    pub(crate) loss: Option<Text>,
    /// The latency from here on.
    pub(crate) latency: Option<LatencyTable>,
    /// Nodes publish updates steadily.
    pub(crate) updates: Option<UpdatesTable>,
    /// Another machine starts under a node's id.
    pub(crate) clone: Option<CloneTable>,
}

/// How the network splits: exactly one of `sets`, `halves`, `isolate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PartitionTable {
    /// Sides that cannot reach each other; nodes in none of them reach all.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) sets: Option<Vec<Text>>,
    /// Two random halves.
    #[schemars(with = "Option<bool>")]
    pub(crate) halves: Option<Spanned<bool>>,
    /// These against all others.
    #[schemars(with = "Option<String>")]
    pub(crate) isolate: Option<Text>,
    /// `both` (default), `out` (the first side is not heard) or `in` (the first side hears nothing).
    #[schemars(with = "Option<String>")]
    pub(crate) direction: Option<Text>,
}

/// Which pairs cannot reach each other: `from` and `to`, or `fraction`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CutTable {
    /// One end.
    #[schemars(with = "Option<String>")]
    pub(crate) from: Option<Text>,
    /// The other end.
    #[schemars(with = "Option<String>")]
    pub(crate) to: Option<Text>,
    /// A random share of all pairs, drawn so that a path between any two nodes remains.
    #[schemars(with = "Option<String>")]
    pub(crate) fraction: Option<Text>,
    /// `both` (default), `out` (from does not reach to) or `in`.
    #[schemars(with = "Option<String>")]
    pub(crate) direction: Option<Text>,
    /// Stays when the faults are lifted at the end.
    #[serde(default)]
    pub(crate) kept: bool,
}

/// Which nodes start again, and with what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RestartTable {
    /// The nodes.
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// What is left on the disk: `keep` (default) or `lose`.
    #[schemars(with = "Option<String>")]
    pub(crate) state: Option<Text>,
}

/// Who pauses, for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PauseTable {
    /// The nodes.
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// How long.
    #[serde(rename = "for")]
    #[schemars(with = "String")]
    pub(crate) length: Text,
}

/// Who is slow, how much, for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SlowTable {
    /// The nodes.
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// Added to each input's handling.
    #[schemars(with = "String")]
    pub(crate) by: Text,
    /// How long (default: until the faults are lifted).
    #[serde(rename = "for")]
    #[schemars(with = "Option<String>")]
    pub(crate) length: Option<Text>,
}

/// Who publishes what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AnnounceTable {
    /// The nodes.
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// All they serve from here on: `name/version`.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) services: Option<Vec<Text>>,
    /// All metadata from here on.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

/// Latency from here on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LatencyTable {
    /// The shortest, one way.
    #[schemars(with = "String")]
    pub(crate) min: Text,
    /// The longest (default: the same).
    #[schemars(with = "Option<String>")]
    pub(crate) max: Option<Text>,
}

/// Steady publishing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UpdatesTable {
    /// The sources.
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// Each source publishes once in this time; the sources are spaced evenly.
    #[schemars(with = "String")]
    pub(crate) every: Text,
    /// How long.
    #[serde(rename = "for")]
    #[schemars(with = "String")]
    pub(crate) length: Text,
}

/// A second machine under one id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CloneTable {
    /// Whose id.
    #[schemars(with = "String")]
    pub(crate) of: Text,
    /// The other machine's name in this file.
    #[schemars(with = "String")]
    pub(crate) name: Text,
}

/// What must come of it: exactly one of `eventually`, `always`, `never`, `metric`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ExpectTable {
    /// Becomes true between `from` and `from` + `within`.
    pub(crate) eventually: Option<ConditionTable>,
    /// Is true at every check between `from` and `to`.
    pub(crate) always: Option<ConditionTable>,
    /// Is false at every check between `from` and `to`.
    pub(crate) never: Option<ConditionTable>,
    /// A figure that lies between `min` and `max`.
    #[schemars(with = "Option<String>")]
    pub(crate) metric: Option<Text>,
    /// From when (default `0s`).
    #[schemars(with = "Option<String>")]
    pub(crate) from: Option<Text>,
    /// Until when (default: the end of the run).
    #[schemars(with = "Option<String>")]
    pub(crate) to: Option<Text>,
    /// With `eventually`: how long it may take (default: until the end of the run).
    #[schemars(with = "Option<String>")]
    pub(crate) within: Option<Text>,
    /// With `metric`: the least.
    #[schemars(with = "Option<u64>")]
    pub(crate) min: Option<Spanned<u64>>,
    /// With `metric`: the most.
    #[schemars(with = "Option<u64>")]
    pub(crate) max: Option<Spanned<u64>>,
    /// With `metric`: whose (default `all`).
    #[schemars(with = "Option<String>")]
    pub(crate) who: Option<Text>,
}

/// A condition: exactly one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ConditionTable {
    /// All views are equal and right: exactly the running members are alive.
    #[schemars(with = "Option<bool>")]
    pub(crate) converged: Option<Spanned<bool>>,
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
}

/// Who sees whom how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SeesTable {
    /// The observers (default `all`); only those that run count.
    #[schemars(with = "Option<String>")]
    pub(crate) who: Option<Text>,
    /// The observed.
    #[schemars(with = "String")]
    pub(crate) of: Text,
    /// `alive`, `suspect`, `down`, `left`, `unknown`, `gone` (anything but alive or suspect).
    #[serde(rename = "as")]
    #[schemars(with = "String")]
    pub(crate) status: Text,
}

/// How many members are known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct MembersTable {
    /// The observers (default `all`).
    #[schemars(with = "Option<String>")]
    pub(crate) who: Option<Text>,
    /// In which state (default: any).
    #[serde(rename = "as")]
    #[schemars(with = "Option<String>")]
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
    #[schemars(with = "Option<String>")]
    pub(crate) who: Option<Text>,
    /// `name/version`, or `name` for any version.
    #[schemars(with = "String")]
    pub(crate) of: Text,
    /// Exactly these nodes; an empty text for nobody.
    #[schemars(with = "String")]
    pub(crate) are: Text,
}

/// How many links.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LinksTable {
    /// The nodes (default `all`).
    #[schemars(with = "Option<String>")]
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
    #[schemars(with = "String")]
    pub(crate) who: Text,
    /// `joining`, `running`, `isolated`, `leaving`, `left`, `name-taken`.
    #[schemars(with = "String")]
    pub(crate) is: Text,
}

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EventTable {
    /// `peer-up`, `peer-down`, `name-taken`, ...
    #[schemars(with = "String")]
    pub(crate) kind: Text,
    /// Who reports (default `all`).
    #[schemars(with = "Option<String>")]
    pub(crate) by: Option<Text>,
    /// About whom (default: anyone).
    #[schemars(with = "Option<String>")]
    pub(crate) about: Option<Text>,
    /// At least (default 1).
    pub(crate) min: Option<u32>,
}
