//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// The mesh daemon of Phalanx.
///
/// Settings come from the configuration file, then from the environment, then from the command
/// line; later sources override earlier ones.
#[derive(Clone, Debug, Parser)]
#[command(name = "phalanxd", version, max_term_width = 100, after_long_help = crate::config::all_keys())]
pub(crate) struct Flags {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "PHALANX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Check the configuration and the certificates, report errors, and exit; starts and writes
    /// nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// End, as on SIGTERM, when standard input ends: for programs that start daemons and may be
    /// killed before they end them.
    #[arg(long, hide = true)]
    pub(crate) until_input_ends: bool,
    /// Id of the node, as in its certificate.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Name of the mesh.
    #[arg(long, value_name = "NAME")]
    mesh: Option<String>,
    /// Address to listen on; port 0 selects a free port.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Address that other nodes dial, or "none" if this node cannot be dialled. A name is resolved at
    /// the start and on SIGHUP.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Address of a seed node; may be repeated.
    #[arg(long = "target", value_name = "HOST:PORT")]
    targets: Vec<String>,
    /// Dial members learnt from other nodes: on (default), or off to dial only the targets.
    #[arg(long, value_name = "on|off")]
    discovery: Option<String>,
    /// A name for people.
    #[arg(long, value_name = "TEXT")]
    nickname: Option<String>,
    /// Class of the node, for filters; default: generic.
    #[arg(long, value_name = "TEXT")]
    kind: Option<String>,
    /// Service that this node provides; may be repeated.
    #[arg(long = "service", value_name = "NAME[/VERSION]")]
    services: Vec<String>,
    /// Free-form data; may be repeated.
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Network that needs no encryption, such as 10.0.0.0/8; may be repeated. Links to nodes that
    /// trust the network too are then authenticated but not encrypted.
    #[arg(long = "trusted-subnet", value_name = "ADDRESS/PREFIX")]
    trusted_subnets: Vec<String>,
    /// Directory where the node keeps its state.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Directory of certificates; missing ones are created (for development).
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<String>,
    /// Certificate of the node (PEM).
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Certificate of the CA (PEM).
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// File with the mesh's secrets, one per line (phalanx ca secret): certificates are minted from
    /// the first, all are accepted.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// Address at which metrics and health are served over HTTP, such as 127.0.0.1:7947; without it,
    /// they are not.
    #[arg(long, value_name = "IP:PORT")]
    metrics_listen: Option<String>,
    /// Format of log lines: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log lines to write: error, warn, info, debug, trace, or MODULE=LEVEL, separated by commas.
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
            ("--metrics-listen", &self.metrics_listen),
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
