//! The commands about channels.

use super::Ask;
use crate::channels::{MapVersion, Pair};
use crate::scale::Span;
use clap::{Args, Subcommand, ValueEnum};
use phalanx_core::channel::ChannelName;
use phalanx_core::identity::NodeId;

/// What a channel's broadcasts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelKind {
    /// Messages, each delivered once
    Messages,
    /// A map of keys and values (phalanx kv)
    Map,
    /// State that applications merge
    Custom,
}

/// `phalanx publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// The message; '-' or nothing: each line of standard input is one, as it comes
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// All of standard input is one message
    #[arg(long, conflicts_with = "text")]
    pub(crate) whole: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx subscribe`
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// The channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// What its broadcasts are
    #[arg(long, value_enum, default_value = "messages")]
    pub(crate) kind: ChannelKind,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

/// How long to listen, and from when on.
#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// First what the node holds: the latest messages of each member, or the map's values
    #[arg(long)]
    pub(crate) history: bool,
    /// Time between two comparisons with neighbours, which repair what was lost: 1s to 1h; the first who listens on a
    /// node chooses
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) interval: Span,
    /// End after so many; with --for, fewer in that time is exit code 1
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) length: Option<Span>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx send`
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The member
    #[arg(value_name = "NODE")]
    pub(crate) to: NodeId,
    /// The channel: a-z, 0-9, '.', '_' and '-'
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: ChannelName,
    /// The message; '-': all of standard input
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: String,
    /// Send once and do not wait for an answer: it may be lost, or come twice
    #[arg(long)]
    pub(crate) datagram: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx routes`
#[derive(Debug, Args)]
pub(crate) struct Routes {
    /// The tree of this member, over which what it sends reaches all others
    #[arg(long, value_name = "NODE")]
    pub(crate) from: Option<NodeId>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx kv …`
#[derive(Debug, Args)]
pub(crate) struct Kv {
    /// The channel whose map is meant
    #[arg(long, value_name = "CHANNEL", default_value = "kv", global = true)]
    pub(crate) map: ChannelName,
    #[command(subcommand)]
    pub(crate) command: KvCommand,
}

/// What is done with a map.
#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a key's value; exit code 1 if it has none
    Get {
        /// The key
        #[arg(id = "entry", value_name = "KEY")]
        key: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Write a key; exit code 1 if it is not as expected
    Put {
        /// The key: 1 to 128 bytes
        #[arg(id = "entry", value_name = "KEY")]
        key: String,
        /// Its value; '-': all of standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        only: OnlyIf,
        #[command(flatten)]
        ask: Ask,
    },
    /// Delete a key; exit code 1 if it is not as expected
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
        /// Only keys that begin with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Changes as they happen, and writes of the node that lost against another's
    Watch {
        #[command(flatten)]
        listen: Listen,
    },
    /// Compare and write several keys, all or none; exit code 1 if one is not as expected
    Txn(Txn),
}

/// What must hold for a write.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct OnlyIf {
    /// Only if the key has no value
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Only if the key has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) if_value: Option<String>,
    /// Only if the value was written by this version, as `list` and `get --json` show it
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<MapVersion>,
}

/// `phalanx kv txn`
#[derive(Debug, Args)]
pub(crate) struct Txn {
    /// Only if this key has this value
    #[arg(long = "if", value_name = "KEY=VALUE")]
    pub(crate) equal: Vec<Pair>,
    /// Only if this key has no value
    #[arg(long, value_name = "KEY")]
    pub(crate) if_absent: Vec<String>,
    /// Write this
    #[arg(long, value_name = "KEY=VALUE", required_unless_present = "delete")]
    pub(crate) put: Vec<Pair>,
    /// Delete this key
    #[arg(long, value_name = "KEY")]
    pub(crate) delete: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}
