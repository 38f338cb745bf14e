//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// The mesh daemon of Phalanx.
///
/// Each setting may stand in the configuration file, in the environment, or on the command line; the later wins.
#[derive(Clone, Debug, Parser)]
#[command(name = "phalanxd", version, after_long_help = crate::config::all_keys())]
pub(crate) struct Flags {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "PHALANX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Checks the configuration and the certificates, says what is wrong, and ends; starts and writes nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Ends, as on SIGTERM, when standard input does: for whoever starts daemons and may die without ending them.
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
    /// The node's id, as in its certificate.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The mesh's name.
    #[arg(long, value_name = "NAME")]
    mesh: Option<String>,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// The address others dial, or "none" if this node cannot be dialled.
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<String>,
    /// The address of a member to join by; may be repeated.
    #[arg(long = "target", value_name = "HOST:PORT")]
    targets: Vec<String>,
    /// Whether members learnt from others are dialled: on (the usual), or off for the targets alone.
    #[arg(long, value_name = "on|off")]
    discovery: Option<String>,
    /// A name for people.
    #[arg(long, value_name = "TEXT")]
    nickname: Option<String>,
    /// The node's class, for filters; generic if unsaid.
    #[arg(long, value_name = "TEXT")]
    kind: Option<String>,
    /// A service this node serves; may be repeated.
    #[arg(long = "service", value_name = "NAME[/VERSION]")]
    services: Vec<String>,
    /// Free data; may be repeated.
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// A network that needs no encryption, such as 10.0.0.0/8; may be repeated. A link is then authenticated and not
    /// encrypted, if the node at its other end trusts the network too.
    #[arg(long = "trusted-subnet", value_name = "ADDRESS/PREFIX")]
    trusted_subnets: Vec<String>,
    /// The directory where the node keeps its state.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// A directory of certificates; what is missing is made (for development).
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<String>,
    /// The node's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The CA's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// A file of the mesh's secrets, one a line (phalanx ca secret): the first is used, all are accepted.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// How log lines look: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which log lines are written: error, warn, info, debug, trace, or MODULE=LEVEL, separated by commas.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Flags {
    /// The settings given on the command line: each flag with its text.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("--id", &self.id),
            ("--mesh", &self.mesh),
            ("--listen", &self.listen),
            ("--advertise", &self.advertise),
            ("--discovery", &self.discovery),
            ("--nickname", &self.nickname),
            ("--kind", &self.kind),
            ("--state-dir", &self.state_dir),
            ("--cert-dir", &self.cert_dir),
            ("--tls-cert", &self.tls_cert),
            ("--tls-key", &self.tls_key),
            ("--tls-ca", &self.tls_ca),
            ("--secret-file", &self.secret_file),
            ("--log-format", &self.log_format),
            ("--log-level", &self.log_level),
        ];
        let lists = [
            ("--target", &self.targets),
            ("--service", &self.services),
            ("--metadata", &self.metadata),
            ("--trusted-subnet", &self.trusted_subnets),
        ];
        let given = texts
            .into_iter()
            .filter_map(|(flag, text)| Some((flag, text.clone()?)));
        let repeated = lists
            .into_iter()
            .flat_map(|(flag, texts)| texts.iter().map(move |text| (flag, text.clone())));
        given.chain(repeated).collect()
    }
}
