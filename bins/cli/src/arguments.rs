//! The command line, as parsed by clap. Each command is implemented in the module of the same name.

pub(crate) mod channel;
pub(crate) mod registry;

use clap::{Args, Parser, Subcommand, ValueEnum};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::registry::name::RegionId;
use phalanx_core::revocation::Fingerprint;
use phalanx_core::topology::record::Service;
use phalanx_sim_cli::arguments::{Sim, TimeLimit};
use phalanx_sim_cli::scale::Span;
use std::net::IpAddr;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes: 0 fine; 1 negative result (an expectation failed, or a node is unhealthy or unreachable);
2 wrong usage or a bad file; 3 the same seed gave two different runs;
4 a run to explain passes.

Start a local mesh:    phalanx dev --nodes 5
Simulate a partition:  phalanx sim run scenarios/partition-heals.toml --seed 1..10";

/// Command-line tool for a Phalanx mesh: issue certificates, inspect live nodes, simulate failures
#[derive(Debug, Parser)]
#[command(name = "phalanx", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: ToolCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Create and inspect the certificates of a mesh
    #[command(subcommand)]
    Ca(Ca),
    /// Run a mesh of real daemons on this machine; Ctrl-C stops them and removes their files
    Dev(Dev),
    /// Show a node's health: phase, members, links and certificate
    Status(Ask),
    /// Measure round trips to a node
    Ping(Ping),
    /// List the members that a node knows, with their status
    Peers(Peers),
    /// List a node's links, and the addresses it failed to dial
    Links(Ask),
    /// Show a node's whole view: members, their services and the edges they report
    Topology(Ask),
    /// List services and their providers (service discovery)
    Services(Services),
    /// Add, replace or remove a node's seed addresses (targets), and switch discovery on or off
    Targets(Targets),
    /// Revoke certificates in the whole mesh: a machine or its key was stolen
    Revoke(Revoke),
    /// Forget a member that is down or left, on all nodes; otherwise it is forgotten after a day
    Forget(Forget),
    /// Show a node's events as they happen
    Watch(Watch),
    /// Broadcast messages on a channel
    Publish(channel::Publish),
    /// Print the messages on a channel as they arrive
    Subscribe(channel::Subscribe),
    /// Send a message to one member and wait until it is delivered
    Send(channel::Send),
    /// Read and write a replicated map of keys and values: in memory, not durable, last writer wins
    Kv(channel::Kv),
    /// List the channels that a node knows
    Channels(Ask),
    /// Show the next hop to each member, or the broadcast tree of one source
    Routes(channel::RoutesCommand),
    /// Read, write and watch the registry of a region: services, deployments, resources
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Run scenarios in the simulator
    #[command(subcommand)]
    Sim(Sim),
    /// Form, break and heal a mesh, and explain each step
    #[command(hide = true)]
    Demo(Demo),
}

/// `phalanx ca …`
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Create a certificate authority for a mesh
    Init {
        /// Directory to write the authority's files to
        #[arg(long, value_name = "DIR")]
        cert_dir: PathBuf,
        /// Name of the mesh
        #[arg(long, value_name = "NAME", default_value = "phalanx")]
        mesh: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Issue the certificate of a node, an administrator or a service
    #[command(group = clap::ArgGroup::new("holder").required(true))]
    Issue {
        /// The node's id: a-z, 0-9, '.', '_' and '-'
        #[arg(group = "holder")]
        id: Option<String>,
        /// Issue the certificate for the processes of this service, which use a registry and are no
        /// members of the mesh
        #[arg(long, value_name = "NAME", group = "holder", conflicts_with = "admin")]
        service: Option<String>,
        /// The node may run the registry of this region: 2 to 30 lower-case letters, digits and '-'
        #[arg(long, value_name = "REGION", conflicts_with_all = ["admin", "service"])]
        registry: Option<RegionId>,
        /// Directory with the authority's files; the node's files are written there too
        #[arg(long, value_name = "DIR")]
        cert_dir: PathBuf,
        /// Issue the certificate for an administrator or a tool that queries nodes, instead of for
        /// a node
        #[arg(long)]
        admin: bool,
        /// Further DNS name under which clients reach the node; may be repeated
        #[arg(long = "name", value_name = "NAME", conflicts_with_all = ["admin", "service"])]
        names: Vec<String>,
        /// Further IP address under which clients reach the node, such as its listening address; may
        /// be repeated
        #[arg(long = "ip", value_name = "IP", conflicts_with_all = ["admin", "service"])]
        addresses: Vec<IpAddr>,
        /// Begin the validity now instead of five minutes ago: for a replacement after `phalanx revoke
        /// --id`
        #[arg(long)]
        starts_now: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Generate a mesh secret, for a mesh without an authority: each machine that has the secret is
    /// a member
    Secret {
        /// Write the secret to this new file, readable only by you, instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the fingerprints of the secrets in a file, as they appear in the status and log of
    /// nodes
    Fingerprint {
        /// The secret file, one secret per line
        file: PathBuf,
        /// Name of the mesh; the same secret has a different fingerprint in another mesh
        #[arg(
            long,
            value_name = "NAME",
            env = "PHALANX_MESH",
            default_value = "phalanx"
        )]
        mesh: String,
        /// Print JSON, one object per secret
        #[arg(long)]
        json: bool,
    },
    /// Show the contents of certificates: all of a directory, or single files
    Show {
        /// PEM files
        #[arg(value_name = "FILE", required_unless_present = "cert_dir")]
        files: Vec<PathBuf>,
        /// Directory of certificates
        #[arg(long, value_name = "DIR", conflicts_with = "files")]
        cert_dir: Option<PathBuf>,
        /// Print JSON, one object per certificate
        #[arg(long)]
        json: bool,
    },
}

/// `phalanx dev`
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Number of daemons
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) nodes: u16,
    /// Regions, such as eu,us: one node runs the registry of each, the first one is the primary
    /// region; there are at least as many nodes
    #[arg(long, value_name = "REGION,...", value_delimiter = ',')]
    pub(crate) regions: Vec<RegionId>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    /// Print JSON, one object per change
    #[arg(long)]
    pub(crate) json: bool,
}

/// The node to query, and the identity to query it with.
#[derive(Debug, Args)]
pub(crate) struct NodeAccess {
    /// Address of the node; for `phalanx registry` also unix:PATH, the socket of a registry on this
    /// host, which needs no certificate
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "PHALANX_NODE",
        default_value = "127.0.0.1:7400"
    )]
    pub(crate) node: String,
    /// Certificate directory of the mesh; queries as `admin`, with a certificate issued from the
    /// authority's key in it
    #[arg(long, value_name = "DIR", env = "PHALANX_CERT_DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// File with the mesh's secrets, one per line; queries as `admin`, with a certificate minted
    /// from the first secret
    #[arg(
        long,
        value_name = "FILE",
        env = "PHALANX_SECRET_FILE",
        requires = "mesh",
        conflicts_with_all = ["cert_dir", "cert"]
    )]
    pub(crate) secret_file: Option<PathBuf>,
    /// Name of the mesh, needed with --secret-file; certificates name their mesh themselves, and
    /// another name beside them is an error
    #[arg(long, value_name = "NAME", env = "PHALANX_MESH")]
    pub(crate) mesh: Option<String>,
    /// Query with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"], conflicts_with = "cert_dir")]
    pub(crate) cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Certificate of the authority that signed the node's certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) ca: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Span,
}

/// A query to a node.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) access: NodeAccess,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `phalanx ping`
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Number of round trips, one a second
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx peers`
#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Show only these members: an id, a nickname, or a short id as the table shows it (#1a2)
    #[arg(value_name = "PEER")]
    pub(crate) who: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx targets`
#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Add this seed address; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) add: Vec<Address>,
    /// Remove this seed address; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) forget: Vec<Address>,
    /// Remove all earlier seed addresses first
    #[arg(long)]
    pub(crate) replace: bool,
    /// Dial members learnt from other nodes (on), or only the seed addresses (off)
    #[arg(long, value_name = "on|off")]
    pub(crate) discovery: Option<Switched>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switched {
    /// Enabled.
    On,
    /// Disabled.
    Off,
}

/// `phalanx revoke`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub(crate) struct Revoke {
    /// Revoke all certificates of this holder, a node unless flags say otherwise, that were issued until now
    #[arg(long, value_name = "ID", group = "target")]
    pub(crate) id: Option<NodeId>,
    /// With --id: the id is an administrator's, not a node's
    #[arg(long, requires = "id", conflicts_with_all = ["certificate", "fingerprint", "list"])]
    pub(crate) admin: bool,
    /// With --id: the id is a service's, not a node's
    #[arg(long, requires = "id", conflicts_with_all = ["admin", "certificate", "fingerprint", "list"])]
    pub(crate) service: bool,
    /// Revoke the certificate in this file (PEM)
    #[arg(long, value_name = "FILE", group = "target")]
    pub(crate) certificate: Option<PathBuf>,
    /// Revoke the certificate with this SHA-256 (phalanx ca show)
    #[arg(long, value_name = "SHA256", group = "target")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// List the revocations that the node holds
    #[arg(long, group = "target")]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx forget`
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The id of the member; refused if the member is alive or has an open link to the node
    #[arg(value_name = "NODE")]
    pub(crate) id: NodeId,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `phalanx services`
#[derive(Debug, Args)]
pub(crate) struct Services {
    /// Show only this service: NAME or NAME/VERSION
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
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
}

/// `phalanx demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Directory of scenario files
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub(crate) scenarios: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_definition_is_valid() {
        CommandLine::command().debug_assert();
    }
}
