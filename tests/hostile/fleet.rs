//! The attacked daemons, and the conditions that hold for them.

use crate::daemon::Daemon;
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_net::clock;
use phalanx_net::identity::{self, Identity, Source, Subject};
use phalanx_net::service::Client;
use phalanx_net::wire::proto::{
    ChannelKind, GetStatusRequest, GetTopologyRequest, ListChannelsRequest, MemberStatus, Phase,
    PublishRequest,
};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time;
use tonic::Code;

/// Time within which a daemon answers.
const ANSWER: Duration = Duration::from_secs(5);
/// Time within which the mesh forms.
const START: Duration = Duration::from_secs(60);
/// The id of the attacking member.
pub(crate) const ROGUE: &str = "evil";

/// Files of the state directory of each daemon.
pub(crate) type States = Vec<BTreeMap<String, String>>;

/// Ten daemons on loopback.
pub(crate) struct Fleet {
    daemons: Mutex<Vec<Daemon>>,
    addresses: Vec<SocketAddr>,
    ids: Vec<String>,
    folder: TempDir,
    admin: Identity,
}

/// A free port of loopback.
fn free_address() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    port.local_addr().expect("the port has an address")
}

fn identity(folder: &TempDir, subject: &Subject) -> Identity {
    let certificates = Source::Directory(folder.path().join("certs"));
    let opened = identity::open(&certificates, subject, clock::wall());
    opened.expect("a certificate is issued").identity
}

fn id(text: &str) -> NodeId {
    NodeId::new(text).expect("a valid id")
}

impl Fleet {
    /// Starts daemons that join through the first, and waits until the mesh is whole.
    pub(crate) async fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let admin = Subject::admin("test", id("ada")).expect("a valid name");
        let admin = identity(&folder, &admin);
        let addresses: Vec<_> = (0..count).map(|_| free_address()).collect();
        let ids: Vec<_> = (1..=count).map(|number| format!("n{number}")).collect();
        let daemons = ids.iter().zip(&addresses).enumerate();
        let daemons = daemons.map(|(index, (id, address))| {
            let targets = &addresses[..index.min(1)];
            let mut daemon = Daemon::new(id, *address, folder.path(), targets);
            daemon.start();
            daemon
        });
        let fleet = Self {
            daemons: Mutex::new(daemons.collect()),
            addresses,
            ids,
            admin,
            folder,
        };
        if let Err(why) = fleet.recovers(START, true).await {
            panic!(
                "the mesh does not form: {why}\n{}",
                fleet.lock()[0].log_end()
            );
        }
        fleet
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Daemon>> {
        self.daemons.lock().expect("no test thread panicked")
    }

    /// The identity of the attacking member.
    pub(crate) fn rogue(&self) -> Identity {
        let subject = Subject::node("test", id(ROGUE)).expect("a valid name");
        identity(&self.folder, &subject)
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Waits until the mesh is whole. With `alone`, the attacking member must be gone and all views equal.
    pub(crate) async fn recovers(&self, within: Duration, alone: bool) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            let whole = self.is_whole(alone).await;
            let elapsed = begun.elapsed();
            match whole {
                Ok(()) => return Ok(elapsed),
                Err(why) if elapsed > within => return Err(why),
                Err(_) => time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn is_whole(&self, alone: bool) -> Result<(), String> {
        for daemon in self.lock().iter_mut() {
            if !daemon.runs() {
                return Err(format!("{} has ended", daemon.id));
            }
        }
        let mut hashes = BTreeMap::new();
        for (id, address) in self.ids.iter().zip(&self.addresses) {
            let hash = time::timeout(ANSWER, self.view(*address, alone)).await;
            let hash = hash.unwrap_or_else(|_| Err("no answer".to_owned()));
            hashes.insert(hash.map_err(|why| format!("{id}: {why}"))?, id);
        }
        if alone && hashes.len() > 1 {
            return Err(format!("{} different views", hashes.len()));
        }
        Ok(())
    }

    /// Checks the view of one daemon; returns its hash.
    async fn view(&self, address: SocketAddr, alone: bool) -> Result<u64, String> {
        let address = Address::Socket(address);
        let client = Client::connect(&address, &self.admin, ANSWER).await;
        let mut client = client.map_err(|error| error.to_string())?;
        let status = client.calls().get_status(GetStatusRequest {}).await;
        let status = status.map_err(|error| error.to_string())?.into_inner();
        if status.phase() != Phase::Running {
            return Err(format!("its phase is {:?}", status.phase()));
        }
        let view = client.calls().get_topology(GetTopologyRequest {}).await;
        let view = view.map_err(|error| error.to_string())?.into_inner();
        let alive = |wanted: &str| {
            view.members.iter().any(|member| {
                let record = member.record.as_ref();
                member.status() == MemberStatus::Alive
                    && record.is_some_and(|record| record.id == wanted)
            })
        };
        match self.ids.iter().find(|id| !alive(id)) {
            Some(id) => Err(format!("{id} is not alive in its view")),
            None if alone && alive(ROGUE) => Err(format!("{ROGUE} is alive in its view")),
            None => Ok(view.hash),
        }
    }

    /// Publishes on a new channel at one daemon. The channel must become known to another daemon, or the caller must hear
    /// that it does not.
    pub(crate) async fn publishes(&self, channel: &str) -> Result<(), String> {
        let [one, .., other] = &self.addresses[..] else {
            panic!("the fleet has many daemons");
        };
        let connect = |address: &SocketAddr| {
            let address = Address::Socket(*address);
            async move { Client::connect(&address, &self.admin, ANSWER).await }
        };
        let mut publisher = connect(one).await.map_err(|error| error.to_string())?;
        let request = PublishRequest {
            channel: channel.to_owned(),
            kind: ChannelKind::Messages.into(),
            payload: b"hello".to_vec(),
        };
        let published = publisher.channels().publish(request).await;
        if let Err(status) = published {
            let is_told = status.code() == Code::ResourceExhausted;
            return if is_told {
                Ok(())
            } else {
                Err(status.to_string())
            };
        }
        let mut reader = connect(other).await.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        while begun.elapsed() < ANSWER {
            let known = reader
                .channels()
                .list_channels(ListChannelsRequest {})
                .await;
            let known = known.map_err(|error| error.to_string())?.into_inner();
            if known.channels.iter().any(|known| known.name == channel) {
                return Ok(());
            }
            time::sleep(Duration::from_millis(100)).await;
        }
        Err("a new channel is lost, and its publisher was told nothing".to_owned())
    }

    /// The highest resident memory of a daemon in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let of_each =
            |daemons: MutexGuard<'_, Vec<Daemon>>| daemons.iter().map(Daemon::resident_kib).max();
        of_each(self.lock()).unwrap_or(0)
    }

    /// The log bytes of each daemon.
    pub(crate) fn log_bytes(&self) -> Vec<u64> {
        self.lock().iter().map(Daemon::log_bytes).collect()
    }

    /// The bounds of memory and log that daemons exceed.
    pub(crate) fn exceeded(&self, resident_kib: u64, log_bytes: u64) -> Vec<String> {
        let mut faults = Vec::new();
        for daemon in self.lock().iter() {
            let (resident, log) = (daemon.resident_kib(), daemon.log_bytes());
            if resident > resident_kib {
                faults.push(format!("{} has {resident} KiB of memory", daemon.id));
            }
            if log > log_bytes {
                let end = daemon.log_end();
                faults.push(format!(
                    "{} logged {log} bytes; the last lines:\n{end}",
                    daemon.id
                ));
            }
        }
        faults
    }

    /// The state of all daemons.
    pub(crate) fn state(&self) -> States {
        self.lock().iter().map(Daemon::state).collect()
    }

    /// The state files that are gone or empty, and stored revocations, none of which is valid. A restart shows whether the
    /// others can be used.
    pub(crate) fn worse_state(&self, before: &States) -> Vec<String> {
        let mut faults = Vec::new();
        for (before, daemon) in before.iter().zip(self.lock().iter()) {
            let after = daemon.state();
            if after.contains_key("revocations") && !before.contains_key("revocations") {
                faults.push(format!("{} stored revocations", daemon.id));
            }
            for (name, text) in before {
                let now = after.get(name).map_or("", String::as_str);
                if now.is_empty() && !text.is_empty() {
                    faults.push(format!("{}: state file {name} is gone or empty", daemon.id));
                }
            }
        }
        faults
    }

    /// Restarts the daemons one by one, each from its state, and waits until the mesh is whole.
    pub(crate) async fn restarts(&self) -> Result<Duration, String> {
        for index in 0..self.ids.len() {
            let mut daemons = self.lock();
            daemons[index].ends()?;
            daemons[index].start();
        }
        self.recovers(START, true).await
    }
}
