//! A release: the version and the directives that the controller deploys, and the nginx configuration made from both.
//!
//! The configuration is one file below [`PREFIX`]. The first and last lines of the file name the version, so that a
//! reader recognises a truncated file. `GET /version` returns the version that the running nginx has loaded.

use core::net::{Ipv4Addr, SocketAddr};
use phalanx_sim::fakes::nginx::ListenAddress;

/// nginx's folder on the disk of its host.
pub const PREFIX: &str = "/edge";
/// The configuration that nginx reads.
pub const LIVE: &str = "/edge/nginx.conf";
/// The configuration that is written and tested before it replaces [`LIVE`].
pub const CANDIDATE: &str = "/edge/nginx.conf.new";
/// The configuration that nginx served before [`LIVE`].
pub const PREVIOUS: &str = "/edge/nginx.conf.old";
/// The latest version that nginx refused, as a number.
pub const REJECTED: &str = "/edge/rejected";
/// The file with the process id of nginx's master.
pub const PID: &str = "/edge/run/nginx.pid";
/// The path at which nginx answers with the version.
pub const VERSION: &str = "/version";
/// The folders that exist before the first start of nginx.
pub const FOLDERS: [&str; 3] = ["/edge/logs", "/edge/run", "/edge/tmp"];
/// The arguments that start nginx.
pub const START: &[&str] = &["-p", PREFIX, "-c", LIVE, "-e", "logs/error.log"];
/// The arguments that test the candidate.
pub const TEST: &[&str] = &["-p", PREFIX, "-c", CANDIDATE, "-e", "stderr", "-t"];
/// The exit code of nginx for a configuration that it does not load.
pub const REFUSED: i32 = 1;

/// The port of nginx.
const PORT: u16 = 8_080;

/// Returns the address of nginx for processes of its own host.
#[must_use]
pub fn nginx() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

/// Returns the same address in the type of the nginx fake.
#[must_use]
pub fn target() -> ListenAddress {
    ListenAddress::Tcp(nginx())
}

/// A release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The version; later releases have larger versions.
    pub version: u64,
    /// Additional directives of the `server` block.
    pub directives: String,
}

impl Release {
    /// Returns the nginx configuration of the release.
    #[must_use]
    pub fn configuration(&self) -> NginxConfiguration {
        let Self {
            version,
            directives,
        } = self;
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path tmp/{kind};\n"))
            .concat();
        let text = format!(
            "# release {version}\n\
             worker_processes 2;\n\
             pid {PID};\n\
             error_log logs/error.log notice;\n\
             worker_shutdown_timeout 10s;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n\
             \x20 access_log off;\n\
             {temporary}\
             \x20 client_header_timeout 15s;\n\
             \x20 server {{\n\
             \x20   listen {PORT};\n\
             \x20   default_type text/plain;\n\
             \x20   location = {VERSION} {{ return 200 {version}; }}\n\
             \x20   location / {{ return 200 \"hello from release {version}\\n\"; }}\n\
             \x20   {directives}\n\
             \x20 }}\n\
             }}\n\
             # end of release {version}\n"
        );
        NginxConfiguration {
            version: *version,
            text,
        }
    }
}

/// A complete nginx configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxConfiguration {
    /// The version of its release.
    pub version: u64,
    /// The text.
    pub text: String,
}

impl NginxConfiguration {
    /// Parses the bytes of a file; `None` if the file is not complete.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let first = text.lines().next()?;
        let version = first.strip_prefix("# release ")?.parse().ok()?;
        text.ends_with(&format!("\n# end of release {version}\n"))
            .then(|| Self {
                version,
                text: text.to_owned(),
            })
    }
}
