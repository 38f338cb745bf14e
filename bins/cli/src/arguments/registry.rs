//! Arguments of `phalanx registry`.

use super::NodeAccess;
use clap::{Args, Subcommand, ValueEnum};
use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::query::{ObjectFilter, ObjectSelector};
use phalanx_sim_cli::arguments::TimeLimit;
use std::path::PathBuf;

/// Format of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectFormat {
    /// One line per object
    Table,
    /// Documents separated by ---
    Yaml,
    /// One JSON object per line
    Json,
}

/// The format of the output.
#[derive(Debug, Args)]
pub(crate) struct ObjectOutput {
    /// Format of the output
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: ObjectFormat,
    /// Print JSON, as with -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl ObjectOutput {
    pub(crate) const fn format(&self) -> ObjectFormat {
        if self.json {
            ObjectFormat::Json
        } else {
            self.output
        }
    }
}

/// The node to query, and the format of the answer.
#[derive(Debug, Args)]
pub(crate) struct RegistryAsk {
    #[command(flatten)]
    output: ObjectOutput,
    #[command(flatten)]
    pub(crate) access: NodeAccess,
}

impl RegistryAsk {
    /// The format of the output.
    pub(crate) const fn format(&self) -> ObjectFormat {
        self.output.format()
    }
}

/// `phalanx registry …`
#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Print one object; exit code 1 if it does not exist
    Get {
        /// The name, such as services/shop or services/shop/deployments/eu
        #[arg(value_name = "NAME")]
        name: ObjectName,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// List objects
    List(RegistryList),
    /// Create or replace the objects in files, all of them or none
    Apply {
        /// File of YAML or JSON documents, or '-' for standard input; may be repeated
        #[arg(short, long = "file", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Wait until K other regions have a copy, for at most 5 s; exit code 1 if fewer have one, and
        /// the write stands
        #[arg(long, value_name = "K", default_value_t = 0, hide_default_value = true)]
        copies: u32,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Show what `apply` would change, and change nothing; exit code 1 if there is a difference
    Diff {
        /// File of YAML or JSON documents, or '-' for standard input; may be repeated
        #[arg(short, long = "file", value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Delete an object, unless it changes meanwhile; exit code 1 if it does not exist
    Delete {
        /// The name
        #[arg(value_name = "NAME")]
        name: ObjectName,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Print the objects that exist, and then each change as it happens
    Watch(RegistryWatch),
    /// Say which region owns a name and why, and what the registry has of it
    Explain {
        /// The name, which need not exist
        #[arg(value_name = "NAME")]
        name: ObjectName,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Take a deployment out of service: clients choose no address of it, and it can be deleted
    Disable {
        /// The name, such as services/shop/deployments/eu
        #[arg(value_name = "DEPLOYMENT")]
        name: ObjectName,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Take a deployment into service again
    Enable {
        /// The name, such as services/shop/deployments/eu
        #[arg(value_name = "DEPLOYMENT")]
        name: ObjectName,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Save the whole registry of a region, as it is at one revision, in a new file
    Backup {
        /// The file, which must not exist; only you can read it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        ask: RegistryAsk,
    },
    /// Put the registry of a backup into the state directory of a daemon that has none and is
    /// stopped
    Restore(RegistryRestore),
    /// Show the state of the registry: region, revision, store, watches, copies of other regions
    Status {
        #[command(flatten)]
        ask: RegistryAsk,
    },
}

/// `phalanx registry restore`
#[derive(Debug, Args)]
pub(crate) struct RegistryRestore {
    /// The file that `phalanx registry backup` made
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The state directory of the daemon
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Check the file and show its content, and write nothing
    #[arg(long, conflicts_with = "state_dir")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) output: ObjectOutput,
}

/// The objects of a list or a watch.
#[derive(Debug, Args)]
pub(crate) struct ObjectsWanted {
    /// A name, or a collection such as services or services/-/deployments; all objects if absent
    #[arg(value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) selector: ObjectSelector,
    /// Only objects that match, such as: metadata.labels.tier = "web" AND is_disabled IS NULL
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) filter: ObjectFilter,
}

/// `phalanx registry list`
#[derive(Debug, Args)]
pub(crate) struct RegistryList {
    #[command(flatten)]
    pub(crate) wanted: ObjectsWanted,
    /// Order, such as: display_name desc, name
    #[arg(
        long,
        value_name = "FIELDS",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) order_by: String,
    /// Print at most N objects
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) ask: RegistryAsk,
}

/// `phalanx registry watch`
#[derive(Debug, Args)]
pub(crate) struct RegistryWatch {
    #[command(flatten)]
    pub(crate) wanted: ObjectsWanted,
    /// Go on after the position of this token, as --json prints it, instead of printing what exists
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) resume: String,
    /// Stop after N changes, not counting what exists; with --for, fewer than N in that time is exit
    /// code 1
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    #[command(flatten)]
    pub(crate) ask: RegistryAsk,
}
