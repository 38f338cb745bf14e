//! The measured programs, and the command that starts each.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The port of every process; each process has its own address.
const PORT: u16 = 7400;
const MESH: &str = "bench";

/// A program that forms meshes.
#[derive(Debug)]
pub(crate) enum Contender {
    /// Phalanx's daemon, and the tool that queries it.
    Phalanxd {
        daemon: PathBuf,
        tool: PathBuf,
        release: bool,
    },
    /// A small Go program of this repository around a library.
    Library {
        name: &'static str,
        program: PathBuf,
    },
}

impl Contender {
    pub(crate) const NAMES: [&'static str; 3] = ["phalanxd", "weave", "memberlist"];

    /// Returns the program of this name, and builds it if necessary.
    ///
    /// # Errors
    /// The error names the missing file or program.
    pub(crate) fn find(name: &str, top: &Path) -> Result<Self, String> {
        match name {
            "weave" => built("weave", "golang-github-weaveworks-mesh-dev", top),
            "memberlist" => built("memberlist", "golang-github-hashicorp-memberlist-dev", top),
            _ => {
                let found = |profile: &str| {
                    let folder = top.join("target").join(profile);
                    let (daemon, tool) = (folder.join("phalanxd"), folder.join("phalanx"));
                    (daemon.is_file() && tool.is_file()).then_some((daemon, tool))
                };
                let (release, debug) = (found("release"), found("debug"));
                let is_release = release.is_some();
                let (daemon, tool) = release
                    .or(debug)
                    .ok_or("it is not built: run `make release` or `make build` first")?;
                Ok(Self::Phalanxd {
                    daemon,
                    tool,
                    release: is_release,
                })
            }
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Phalanxd { .. } => "phalanxd",
            Self::Library { name, .. } => name,
        }
    }

    /// Returns a note on the interpretation of the program's figures.
    pub(crate) const fn note(&self) -> Option<&'static str> {
        match self {
            Self::Phalanxd { release: false, .. } => {
                Some("(a debug build: `make release` makes the one that ships)")
            }
            Self::Phalanxd { .. } | Self::Library { .. } => None,
        }
    }

    /// Returns the listening address of a node.
    pub(crate) fn address(host: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 1, u8::try_from(host + 1).unwrap_or(u8::MAX)], PORT))
    }

    /// Returns the name of a node.
    pub(crate) fn node(&self, host: usize) -> String {
        match self {
            // Weave Mesh names its nodes by hardware addresses.
            Self::Library { name: "weave", .. } => format!("02:00:00:00:00:{:02x}", host + 1),
            Self::Phalanxd { .. } | Self::Library { .. } => format!("n{}", host + 1),
        }
    }

    /// Creates, in a folder, the files that the program's nodes share.
    ///
    /// # Errors
    /// The error is the cause of the failure.
    pub(crate) fn prepare(&self, folder: &Path) -> Result<(), String> {
        let Self::Phalanxd { tool, .. } = self else {
            return Ok(());
        };
        let mut init = Command::new(tool);
        init.args(["ca", "init", "--mesh", MESH, "--cert-dir"]);
        output(init.arg(folder.join("pki"))).map(drop)
    }

    /// Returns the command that starts one node of a mesh of `nodes`. The process ends when its standard input ends.
    pub(crate) fn command(&self, host: usize, nodes: usize, folder: &Path) -> Command {
        let (me, first) = (
            Self::address(host).to_string(),
            Self::address(0).to_string(),
        );
        let mut command = match self {
            Self::Phalanxd { daemon, .. } => {
                let mut command = Command::new(daemon);
                command
                    .args(["--id", &self.node(host), "--mesh", MESH, "--listen", &me])
                    .args(["--log-format", "json", "--until-input-ends", "--cert-dir"])
                    .arg(folder.join("pki"))
                    .arg("--state-dir")
                    .arg(folder.join(format!("state-{host}")));
                if host > 0 {
                    command.args(["--target", &first]);
                }
                command
            }
            Self::Library { program, .. } => {
                let mut command = Command::new(program);
                command.args([&self.node(host), &me]);
                if host > 0 {
                    command.arg(first);
                }
                command
            }
        };
        command.env("PEERS", nodes.to_string());
        command
    }

    /// Returns the number of encoded bytes that a node reports as sent; `None` if the program does not report it.
    ///
    /// # Errors
    /// Returns an error if the node does not answer.
    pub(crate) fn encoded_sent(&self, host: usize, folder: &Path) -> Result<Option<u64>, String> {
        let Self::Phalanxd { tool, .. } = self else {
            return Ok(None);
        };
        let mut status = Command::new(tool);
        status
            .args([
                "status",
                "--json",
                "--node",
                &Self::address(host).to_string(),
            ])
            .arg("--cert-dir")
            .arg(folder.join("pki"));
        let text = output(&mut status)?;
        let status: Value = serde_json::from_slice(&text).map_err(|why| why.to_string())?;
        Ok(status["traffic"]["bytes_sent"].as_u64())
    }
}

/// Builds a Go program against Debian's libraries.
fn built(name: &'static str, package: &str, top: &Path) -> Result<Contender, String> {
    let folder = top.join("target/daemons");
    let program = folder.join(name);
    std::fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut build = Command::new("go");
    build
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", folder.join("cache"))
        .args(["build", "-o"])
        .arg(&program)
        .arg(top.join("sim/peers/daemons").join(format!("{name}.go")));
    output(&mut build)
        .map_err(|why| format!("needs golang-go and {package} (apt-get install): {why}"))?;
    Ok(Contender::Library { name, program })
}

/// Runs a command and returns its standard output.
fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|why| format!("{program}: {why}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}
