//! The directory of one test, with a CA, and clients for the daemons in it.

use crate::daemon::{RunningDaemon, SOON, phalanxd};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::time::Wall;
use phalanx_net::clock;
use phalanx_net::identity::{
    self, ExtraNames, Identity, IssuedFiles, Opened, Secret, Source, Subject, Validity, ca_init,
    ca_issue,
};
use phalanx_net::service::Client;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub(crate) struct Place {
    directory: TempDir,
}

pub(crate) fn node(id: &str) -> Subject {
    Subject::node("test", NodeId::new(id).unwrap()).unwrap()
}

pub(crate) fn days(days: u64) -> Validity {
    Validity::days(clock::wall(), days)
}

/// A validity period that ended in 2023.
pub(crate) fn past() -> Validity {
    Validity {
        not_before: Wall(0),
        not_after: Wall(1_700_000_000),
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Returns the command of a daemon in the mesh `test`, with its own state directory and the
    /// common certificates.
    pub(crate) fn command(&self, id: &str) -> Command {
        self.command_at("127.0.0.1:0", id)
    }

    /// Returns the command of such a daemon that listens on another address.
    pub(crate) fn command_at(&self, listen: &str, id: &str) -> Command {
        let (state, certificates) = (self.text(&format!("state-{id}")), self.text("certs"));
        phalanxd([
            "--id",
            id,
            "--mesh",
            "test",
            "--listen",
            listen,
            "--state-dir",
            &state,
            "--cert-dir",
            &certificates,
        ])
    }

    /// Starts a daemon with the others as seed nodes.
    pub(crate) fn start(&self, id: &str, others: &[&RunningDaemon]) -> RunningDaemon {
        let mut command = self.command(id);
        for other in others {
            command.args(["--target", &other.address.to_string()]);
        }
        RunningDaemon::start(command)
    }

    /// Starts such a daemon with the default level of its log.
    pub(crate) fn start_as_configured(&self, id: &str, others: &[&RunningDaemon]) -> RunningDaemon {
        let mut command = self.command(id);
        for other in others {
            command.args(["--target", &other.address.to_string()]);
        }
        RunningDaemon::start_as_configured(command)
    }

    /// Issues a node's certificate files from a separate CA.
    pub(crate) fn issued(
        &self,
        ca: &str,
        subject: &Subject,
        ca_life: Validity,
        life: Validity,
    ) -> IssuedFiles {
        let safe = self.path(ca);
        if !safe.exists() {
            ca_init(&safe, "test", ca_life).unwrap();
        }
        ca_issue(
            &safe,
            subject,
            &self.path(&format!("{ca}-{}", subject.id())),
            life,
            &ExtraNames::default(),
        )
        .unwrap()
    }

    /// Writes a file of secrets, readable by its owner only.
    pub(crate) fn secrets(&self, name: &str, secrets: &[&Secret]) -> PathBuf {
        let lines = secrets.iter().map(|secret| format!("{}\n", *secret.text()));
        let path = self.path(name);
        fs::write(&path, lines.collect::<String>()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Returns the command of a daemon in the mesh `test` that authenticates with the secrets in a
    /// file.
    pub(crate) fn command_with_secret(
        &self,
        id: &str,
        file: &Path,
        others: &[&RunningDaemon],
    ) -> Command {
        let state = self.text(&format!("state-{id}"));
        let mut command = phalanxd(["--id", id, "--mesh", "test", "--listen", "127.0.0.1:0"]);
        command.args(["--state-dir", &state]);
        command.arg("--secret-file").arg(file);
        for other in others {
            command.args(["--target", &other.address.to_string()]);
        }
        command
    }

    /// Connects to a daemon as an administrator with the secrets in a file.
    pub(crate) async fn ask_with_secret(&self, daemon: &RunningDaemon, file: &Path) -> Client {
        ask(daemon.address, Source::SecretFile(file.to_owned())).await
    }

    /// The identity of an administrator.
    pub(crate) fn admin(&self) -> Identity {
        administrator(&Source::Directory(self.path("certs")))
    }

    /// Connects to a daemon as an administrator.
    pub(crate) async fn ask(&self, daemon: &RunningDaemon) -> Client {
        self.ask_at(daemon.address).await
    }

    /// Connects to the daemon at an address as an administrator.
    pub(crate) async fn ask_at(&self, address: SocketAddr) -> Client {
        ask(address, Source::Directory(self.path("certs"))).await
    }
}

fn administrator(source: &Source) -> Identity {
    let subject = Subject::admin("test", NodeId::new("ada").unwrap()).unwrap();
    let Opened { identity, .. } = identity::open(source, &subject, clock::wall()).unwrap();
    identity
}

async fn ask(address: SocketAddr, source: Source) -> Client {
    let identity = administrator(&source);
    Client::connect(&Address::Socket(address), &identity, SOON)
        .await
        .unwrap()
}

/// Returns the flags that name these files.
pub(crate) fn flags(certificate: &Path, key: &Path, ca: &Path) -> [String; 6] {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    [
        "--tls-cert".into(),
        text(certificate),
        "--tls-key".into(),
        text(key),
        "--tls-ca".into(),
        text(ca),
    ]
}
