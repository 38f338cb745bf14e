//! The command line, as clap reads it. What each command does is in the module of its name.

pub(crate) mod channel;

use crate::scale::Span;
use clap::{Args, Parser, Subcommand, ValueEnum};
use phalanx_core::gossip::Address;
use phalanx_core::topology::record::Service;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes: 0 fine; 1 the answer is no (an expectation failed, a node is unhealthy or out of reach);
2 wrong usage or a bad file; 3 the same seed gave two different runs.

A mesh to play with:   phalanx dev --nodes 5
A mesh to break:       phalanx sim run scenarios/partition-heals.toml --seed 1..10";

/// One tool for a fleet mesh: make identities, look at live nodes, simulate before it happens.
#[derive(Debug, Parser)]
#[command(name = "phalanx", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make and inspect the certificates of a mesh
    #[command(subcommand)]
    Ca(Ca),
    /// Run a mesh of real daemons on this machine; Ctrl-C leaves nothing behind
    Dev(Dev),
    /// Whether a node is well: its phase, members, links and certificate
    Status(Ask),
    /// The members a node knows, and whether they live
    Peers(Peers),
    /// The links a node holds, and what it fails to reach
    Links(Ask),
    /// A node's whole view: members, their services and the edges they report
    Topology(Ask),
    /// Who serves what
    Services(Services),
    /// Add, replace and forget the addresses a node joins by, and switch discovery
    Targets(Targets),
    /// Events of a node as they happen
    Watch(Watch),
    /// Broadcast messages on a channel
    Publish(channel::Publish),
    /// What is said on a channel, as it is said
    Subscribe(channel::Subscribe),
    /// Send a message to one member, and wait until it is delivered
    Send(channel::Send),
    /// A map of keys and values that every node holds
    Kv(channel::Kv),
    /// The channels a node knows
    Channels(Ask),
    /// Over which neighbours a node reaches the others, or the tree of one source
    Routes(channel::Routes),
    /// Run scenarios in the simulator
    #[command(subcommand)]
    Sim(Sim),
    /// Form, break and heal a mesh, and say what happens
    #[command(hide = true)]
    Demo(Demo),
}

/// `phalanx ca …`
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make a certificate authority for a mesh
    Init {
        /// Where its files go
        #[arg(long, value_name = "DIR")]
        cert_dir: PathBuf,
        /// The mesh's name
        #[arg(long, value_name = "NAME", default_value = "phalanx")]
        mesh: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Issue a node's certificate
    Issue {
        /// The node's id: a-z, 0-9, '.', '_' and '-'
        id: String,
        /// Where the authority's files are, and the node's go
        #[arg(long, value_name = "DIR")]
        cert_dir: PathBuf,
        /// For a person or a tool that asks nodes, instead of a node
        #[arg(long)]
        admin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a mesh's secret, for meshes without an authority: every machine that has it is a member
    Secret {
        /// Write it to this new file, which you alone may read, instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the fingerprints of the secrets in a file, as nodes and their messages name them
    Fingerprint {
        /// The file, one secret a line
        file: PathBuf,
        /// The mesh's name: one secret is another in another mesh
        #[arg(
            long,
            value_name = "NAME",
            env = "PHALANX_MESH",
            default_value = "phalanx"
        )]
        mesh: String,
        /// Print JSON, one object a secret
        #[arg(long)]
        json: bool,
    },
    /// Show what certificates say: those of a folder, or single files
    Show {
        /// PEM files
        #[arg(value_name = "FILE", required_unless_present = "cert_dir")]
        files: Vec<PathBuf>,
        /// A folder of certificates
        #[arg(long, value_name = "DIR", conflicts_with = "files")]
        cert_dir: Option<PathBuf>,
        /// Print JSON, one object a certificate
        #[arg(long)]
        json: bool,
    },
}

/// `phalanx dev`
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many daemons
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) nodes: u16,
    /// End by itself after this time: 10s, 2min
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) length: Option<Span>,
    /// Print JSON, one object a change
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which node to ask, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// The node's address
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "PHALANX_NODE",
        default_value = "127.0.0.1:7400"
    )]
    pub(crate) node: String,
    /// The mesh's certificate folder; asks as `admin`, with a certificate issued from the authority's key there
    #[arg(
        long,
        value_name = "DIR",
        env = "PHALANX_CERT_DIR",
        required_unless_present_any = ["cert", "secret_file"]
    )]
    pub(crate) cert_dir: Option<PathBuf>,
    /// The file of the mesh's secrets, one a line; asks as `admin`, with a certificate minted from it
    #[arg(
        long,
        value_name = "FILE",
        env = "PHALANX_SECRET_FILE",
        requires = "mesh",
        conflicts_with_all = ["cert_dir", "cert"]
    )]
    pub(crate) secret_file: Option<PathBuf>,
    /// The mesh's name, which goes with --secret-file; certificates name their mesh themselves
    #[arg(long, value_name = "NAME", env = "PHALANX_MESH")]
    pub(crate) mesh: Option<String>,
    /// Ask with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"], conflicts_with = "cert_dir")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The authority that signed the node's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) ca: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Span,
}

/// A question to a node.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `phalanx peers`
#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Only these: an id, a nickname, or a short id as the table shows it (#1a2)
    #[arg(value_name = "PEER")]
    pub(crate) who: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx targets`
#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Join by this address from now on too; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) add: Vec<Address>,
    /// Do not dial this address any more; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) forget: Vec<Address>,
    /// Forget all earlier addresses first
    #[arg(long)]
    pub(crate) replace: bool,
    /// Dial members learnt from others, or only the targets
    #[arg(long, value_name = "on|off")]
    pub(crate) discovery: Option<Switched>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switched {
    /// It is done.
    On,
    /// It is not.
    Off,
}

/// `phalanx services`
#[derive(Debug, Args)]
pub(crate) struct Services {
    /// Only this service: NAME or NAME/VERSION
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<Service>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) ask: Ask,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) length: Option<Span>,
}

/// `phalanx sim …`
#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// Run scenarios and judge them
    Run(SimRun),
    /// Go through one run, to an instant or an event, and look at its nodes
    Replay(SimReplay),
    /// Find the first event in which two runs differ; exit code 1 if they do
    Diff(SimDiff),
    /// Look for a seed that fails, with random faults on top of the scenarios' own
    Search(SimSearch),
    /// Turn a failing run into a small scenario file that fails the same way
    Shrink(SimShrink),
    /// List scenarios with their stories
    List {
        /// Files or folders
        #[arg(value_name = "FILE", default_value = "scenarios")]
        files: Vec<PathBuf>,
        /// Print JSON, one object a scenario
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of scenario files
    Schema,
}

/// `phalanx sim run`
#[derive(Debug, Args)]
pub(crate) struct SimRun {
    /// Scenario files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Of a file with a `[[matrix]]`, only the runs with these values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// A seed, or a range with both ends included: 1..50
    #[arg(long, value_name = "N or A..B", default_value = "1")]
    pub(crate) seed: crate::scale::Seeds,
    /// model, wire, madsim, or both (compares the states in which confluent scenarios end); unless said otherwise model,
    /// or what a scenario is written for
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<crate::scale::Engines>,
    /// Print JSON, one object a run
    #[arg(long)]
    pub(crate) json: bool,
    /// Run each seed twice, in two processes, and compare; exit code 3 if they differ
    #[arg(long)]
    pub(crate) check: bool,
    /// Write everything that happened to this file (one run alone)
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Write a page to look at: lanes, faults, causes, figures (one scenario in the model engine)
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Draw lanes and faults here (one scenario in the model engine)
    #[arg(long, conflicts_with = "json")]
    pub(crate) timeline: bool,
    /// Write the verdicts as JUnit XML
    #[arg(long, value_name = "FILE.xml")]
    pub(crate) junit: Option<PathBuf>,
    /// A fault that bit nothing fails the run
    #[arg(long)]
    pub(crate) strict: bool,
    /// Switch a mechanism off, or plant a bug, in every node
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) sabotage: Vec<String>,
}

/// `phalanx sim search`
#[derive(Debug, Args)]
pub(crate) struct SimSearch {
    /// Scenario files to start from
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Of a file with a `[[matrix]]`, only the runs with these values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// How long, unless something fails before
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    pub(crate) length: Span,
    /// End after so many runs
    #[arg(long, value_name = "N")]
    pub(crate) runs: Option<u64>,
    /// Runs at a time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Where the failing scenario is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Another seed draws other trials
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Switch a mechanism off, or plant a bug, in every node
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) sabotage: Vec<String>,
}

/// `phalanx sim shrink`
#[derive(Debug, Args)]
pub(crate) struct SimShrink {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which run of the file's `[[matrix]]`: its values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The seed that fails
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    /// Where the small scenario is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Give the smallest so far after this time
    #[arg(long = "for", value_name = "TIME", default_value = "10min")]
    pub(crate) length: Span,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Switch a mechanism off, or plant a bug, in every node
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) sabotage: Vec<String>,
}

/// `phalanx sim replay`
#[derive(Debug, Args)]
pub(crate) struct SimReplay {
    /// A scenario file, or the trace of a run
    pub(crate) file: PathBuf,
    /// Which run of the file's `[[matrix]]`: its values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The seed; a trace knows its own
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// To this instant: 12.5s; between two, 10s..12.5s shows what changed
    #[arg(long, value_name = "TIME", conflicts_with = "event")]
    pub(crate) until: Option<crate::scale::Reach<Span>>,
    /// To the event of this number; between two, 100..200 shows what changed
    #[arg(long, value_name = "N")]
    pub(crate) event: Option<crate::scale::Reach<u64>>,
    /// Go on from there event by event: Enter for the next, a number for so many, ? for help
    #[arg(long)]
    pub(crate) step: bool,
    /// Only this node
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `phalanx sim diff`
#[derive(Debug, Args)]
pub(crate) struct SimDiff {
    /// Two traces, or one scenario file with --seed A B
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub(crate) files: Vec<PathBuf>,
    /// Which run of the file's `[[matrix]]`: its values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// Two seeds of one scenario
    #[arg(long, value_name = "N", num_args = 2)]
    pub(crate) seed: Vec<u64>,
    /// Events to show before the first that differs
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) context: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `phalanx demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder of scenario files
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub(crate) scenarios: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
