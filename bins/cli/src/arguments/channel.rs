//! Arguments of the commands that use channels.

use super::Ask;
use crate::channels::{MapVersion, Pair};
use clap::{Args, Subcommand, ValueEnum};
use phalanx_core::channel::ChannelName;
use phalanx_core::identity::NodeId;
use phalanx_sim_cli::arguments::TimeLimit;
use phalanx_sim_cli::scale::Span;

/// Kind of a channel: how its broadcasts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelKind {
    /// Messages, each delivered once
    Messages,
    /// A map of keys and values (phalanx kv)
    Map,
    /// State merged by applications
    Custom,
}

/// `phalanx publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Name of the channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// The message; with '-' or without TEXT, each line of standard input is published as it
    /// arrives
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Publish all of standard input as one message
    #[arg(long, conflicts_with = "text")]
    pub(crate) whole: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx subscribe`
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Name of the channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// Kind of the channel
    #[arg(long, value_enum, default_value = "messages")]
    pub(crate) kind: ChannelKind,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// How long to listen, and from which point on.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// First print what the node holds: the latest messages of each member, or the values of the
    /// map
    #[arg(long)]
    pub(crate) history: bool,
    /// Time between two comparisons with neighbours (anti-entropy), which repair lost messages: 1s
    /// to 1h; the first subscriber on a node sets it
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) interval: Span,
    /// Stop after N messages; with --for, fewer than N in that time is exit code 1
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx send`
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The receiving member
    #[arg(value_name = "NODE")]
    pub(crate) to: NodeId,
    /// Name of the channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// The message; '-' reads all of standard input
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: String,
    /// Send once without waiting for an acknowledgement: the message may be lost or delivered twice
    #[arg(long)]
    pub(crate) datagram: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx routes`
#[derive(Debug, Args)]
pub(crate) struct RoutesCommand {
    /// Show the tree over which broadcasts of this member reach all others
    #[arg(long, value_name = "NODE")]
    pub(crate) from: Option<NodeId>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx kv …`
#[derive(Debug, Args)]
pub(crate) struct Kv {
    /// Channel that holds the map
    #[arg(long, value_name = "CHANNEL", default_value = "kv", global = true)]
    pub(crate) map: ChannelName,
    #[command(subcommand)]
    pub(crate) command: KvCommand,
}

/// Operations on a map.
#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a key's value, byte for byte unless standard output is a terminal; exit code 1 if the
    /// key has no value
    Get {
        /// The key
        #[arg(id = "entry", value_name = "KEY")]
        key: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Write a key; exit code 1 if a condition does not hold
    Put {
        /// The key: 1 to 128 bytes
        #[arg(id = "entry", value_name = "KEY")]
        key: String,
        /// The value; '-' reads all of standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        only: OnlyIf,
        #[command(flatten)]
        ask: Ask,
    },
    /// Delete a key; exit code 1 if a condition does not hold
    Delete {
        /// The key
        #[arg(id = "entry", value_name = "KEY")]
        key: String,
        #[command(flatten)]
        only: OnlyIf,
        #[command(flatten)]
        ask: Ask,
    },
    /// List keys and values
    List {
        /// List only the keys with this prefix
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Print changes as they happen, and writes of this node that lost against another node's
    Watch {
        #[command(flatten)]
        listen: Listen,
    },
    /// Compare and write several keys, all or none; exit code 1 if a condition does not hold
    Txn(Txn),
}

/// Conditions of a write.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct OnlyIf {
    /// Require that the key has no value
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Require that the key has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) if_value: Option<String>,
    /// Require that the value has this version, as `list` and `get --json` show it
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<MapVersion>,
}

/// `phalanx kv txn`
#[derive(Debug, Args)]
pub(crate) struct Txn {
    /// Require that this key has this value; may be repeated
    #[arg(long = "if", value_name = "KEY=VALUE")]
    pub(crate) equal: Vec<Pair>,
    /// Require that this key has no value; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) if_absent: Vec<String>,
    /// Write this value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", required_unless_present = "delete")]
    pub(crate) put: Vec<Pair>,
    /// Delete this key; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) delete: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}
