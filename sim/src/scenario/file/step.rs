//! The tables of steps in a scenario file.

use super::own::CommandTable;
use super::spanned::{At, Text, TextOr};
use schemars::JsonSchema;
use serde::Deserialize;

/// Something that happens: one of `time`, `between`, `after`, and exactly one action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StepTable {
    /// When, from the start of the run.
    pub(crate) time: Option<Text>,
    /// Some time between these two, drawn from the seed.
    pub(crate) between: Option<At<(String, String)>>,
    /// When a node reports an event, the first time.
    pub(crate) after: Option<At<AfterTable>>,
    /// Repeats the step at this interval.
    pub(crate) every: Option<Text>,
    /// How often in all (default: until the faults are lifted).
    pub(crate) times: Option<At<u32>>,
    /// The fault is lifted after this: cuts are healed, stopped nodes start again.
    #[serde(rename = "for")]
    pub(crate) length: Option<Text>,
    /// Does it to one node after another, this far apart.
    pub(crate) stagger: Option<Text>,
    /// A word for the nodes it draws, for later steps and expectations.
    pub(crate) named: Option<Text>,
    /// The network splits; links across become black holes.
    pub(crate) partition: Option<PartitionTable>,
    /// Ends all partitions.
    pub(crate) heal: Option<At<bool>>,
    /// Single pairs cannot reach each other.
    pub(crate) cut: Option<CutTable>,
    /// Ends all cuts.
    pub(crate) restore: Option<At<bool>>,
    /// Messages between these nodes are delayed until the step ends: single pairs.
    pub(crate) hold: Option<CutTable>,
    /// The same for all messages that these nodes send and receive.
    pub(crate) clog: Option<Text>,
    /// These nodes are clogged one after another, and freed in another order.
    pub(crate) swizzle_clog: Option<Text>,
    /// Kills processes (kill -9): the operating system closes their connections.
    pub(crate) crash: Option<Text>,
    /// Machines lose power: nothing closes their connections.
    pub(crate) power_loss: Option<Text>,
    /// Starts stopped nodes again; a node that runs is killed first.
    pub(crate) restart: Option<RestartTable>,
    /// Processes stop and go on later.
    pub(crate) pause: Option<PauseTable>,
    /// Processes take this much longer for each input.
    pub(crate) slow: Option<SlowTable>,
    /// Clocks jump or drift.
    pub(crate) clock: Option<ClockTable>,
    /// Disks fail.
    pub(crate) disk: Option<DiskTable>,
    /// Certificates expire, are revoked or are rotated.
    pub(crate) certificate: Option<CertificateTable>,
    /// Nodes that waited start.
    pub(crate) join: Option<Text>,
    /// Nodes leave gracefully.
    pub(crate) leave: Option<Text>,
    /// The share of segments that are lost from here on: `"25%"` on all links, or a table for chosen links.
    pub(crate) loss: Option<At<TextOr<LinkSettingTable>>>,
    /// The latency from here on; see `network`. A text for all links, or a table for chosen links.
    pub(crate) latency: Option<At<TextOr<LinkSettingTable>>>,
    /// The bandwidth of one connection from here on; see `network`. A text for all links, or a table for chosen links.
    pub(crate) bandwidth: Option<At<TextOr<LinkSettingTable>>>,
    /// Packets larger than this (`"1200B"`) vanish from here on. A text for all links, or a table for chosen links.
    pub(crate) mtu: Option<At<TextOr<LinkSettingTable>>>,
    /// The share of datagrams that arrive twice from here on. A text for all links, or a table for chosen links.
    pub(crate) duplicate: Option<At<TextOr<LinkSettingTable>>>,
    /// The share of datagrams that arrive damaged from here on. A text for all links, or a table for chosen links.
    pub(crate) corrupt: Option<At<TextOr<LinkSettingTable>>>,
    /// Connections get a RST at both ends: all of these nodes, or those of a table's pairs.
    pub(crate) reset: Option<At<TextOr<PairsTable>>>,
    /// Machines answer each dial with a RST; their own dials work.
    pub(crate) refuse: Option<Text>,
    /// A NAT before these machines forgets idle connections.
    pub(crate) nat: Option<NatTable>,
    /// Machines have another address from their next start on.
    #[serde(rename = "move")]
    pub(crate) moves: Option<Text>,
    /// Another machine starts under a node's id.
    pub(crate) clone: Option<CloneTable>,
    /// Nodes execute a command of their system.
    pub(crate) command: Option<CommandTable>,
}

/// An event and its reporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AfterTable {
    /// `peer-down`, `isolated`, ...
    pub(crate) event: Text,
    /// The reporters (default `all`).
    pub(crate) by: Option<Text>,
    /// The subject of the event (default: any).
    pub(crate) about: Option<Text>,
    /// And this much later (default `0s`).
    pub(crate) delay: Option<Text>,
    /// Earlier reports do not count (default `0s`).
    pub(crate) from: Option<Text>,
    /// The report that counts, from 1 (default 1): 3 waits for the third.
    pub(crate) nth: Option<At<u32>>,
}

/// How the network splits: exactly one of `sets`, `halves`, `random`, `isolate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PartitionTable {
    /// Sides that cannot reach each other; nodes in none of them reach all.
    pub(crate) sets: Option<Vec<Text>>,
    /// Two random halves.
    pub(crate) halves: Option<At<bool>>,
    /// Two random sides of random size.
    pub(crate) random: Option<At<bool>>,
    /// These against all others.
    pub(crate) isolate: Option<Text>,
    /// `both` (default), `out` (the first side is not heard) or `in` (the first side hears nothing).
    pub(crate) direction: Option<Text>,
}

/// Pairs that cannot reach each other: `from` and `to`, or `fraction`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CutTable {
    /// One end.
    pub(crate) from: Option<Text>,
    /// The other end.
    pub(crate) to: Option<Text>,
    /// A random share of all pairs, drawn so that a path between any two nodes remains.
    pub(crate) fraction: Option<Text>,
    /// `both` (default), `out` (from does not reach to) or `in`.
    pub(crate) direction: Option<Text>,
    /// Stays when the faults are lifted at the end.
    #[serde(default)]
    pub(crate) kept: bool,
}

/// A property of chosen links: `from` and `to`, or `fraction`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LinkSettingTable {
    /// One end.
    pub(crate) from: Option<Text>,
    /// The other end.
    pub(crate) to: Option<Text>,
    /// A random share of all pairs, drawn so that a path between any two nodes remains unchanged.
    pub(crate) fraction: Option<Text>,
    /// `both` (default), `out` (traffic from `from` to `to`) or `in`.
    pub(crate) direction: Option<Text>,
    /// The value.
    pub(crate) is: Text,
}

/// Chosen pairs of nodes: `from` and `to`, or `fraction`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PairsTable {
    /// One end.
    pub(crate) from: Option<Text>,
    /// The other end.
    pub(crate) to: Option<Text>,
    /// A random share of all pairs.
    pub(crate) fraction: Option<Text>,
}

/// Nodes behind a NAT, and its memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NatTable {
    /// The nodes.
    pub(crate) who: Text,
    /// A connection without a packet for this long is forgotten: its later packets are lost.
    pub(crate) idle: Text,
}

/// Nodes to restart, and the content of their disks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RestartTable {
    /// The nodes.
    pub(crate) who: Text,
    /// The content of the disk: `keep` (all writes, default), `synced` (unsynced writes are lost) or `lose`.
    pub(crate) state: Option<Text>,
}

/// Nodes to pause, and the duration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PauseTable {
    /// The nodes.
    pub(crate) who: Text,
    /// How long.
    #[serde(rename = "for")]
    pub(crate) length: Text,
}

/// Nodes to slow down, the delay of each input, and the duration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SlowTable {
    /// The nodes.
    pub(crate) who: Text,
    /// Added to each input's handling.
    pub(crate) by: Text,
    /// How long (default: until the faults are lifted).
    #[serde(rename = "for")]
    pub(crate) length: Option<Text>,
}

/// A second machine under one id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CloneTable {
    /// The node whose id is used.
    pub(crate) of: Text,
    /// The other machine's name in this file.
    pub(crate) name: Text,
}

/// Nodes whose disk fails, and the kind of failure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct DiskTable {
    /// The nodes.
    pub(crate) who: Text,
    /// `full` (writes fail), `torn-write` (the write under way at a stop is half there), `io-error` (reads and writes fail).
    pub(crate) fault: Option<Text>,
    /// Each read, write and sync takes this much longer; instead of `fault`.
    pub(crate) slow: Option<Text>,
}

/// Nodes whose certificate changes, and the change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CertificateTable {
    /// The nodes.
    pub(crate) who: Text,
    /// `expired` (no new connection), `revoked` (no connection at all) or `rotated` (valid again).
    pub(crate) is: Text,
}

/// How a node's clock differs from true time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ClockTable {
    /// The nodes (in a step).
    pub(crate) who: Option<Text>,
    /// The calendar is off by this: `-3s`.
    pub(crate) offset: Option<Text>,
    /// It runs fast (or, negative, slow) by this many millionths.
    pub(crate) drift_ppm: Option<At<i32>>,
    /// It jumps forward by this (in a step); `-5s`: the calendar goes back, and monotonic clocks do not.
    pub(crate) jump: Option<Text>,
}
