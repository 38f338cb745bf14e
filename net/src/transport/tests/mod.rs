//! Tests of the transport on loopback: real sockets, real mutual TLS.

mod expiring;
mod hostile;
mod joining;
mod limits;
mod link_requests;
mod names;
mod overlay;
mod renewing;
mod revoking;
mod supervision;
mod trusted;

use super::*;
use crate::identity::{Authority, Identity, PemParts, Subject, Validity};
use crate::store::MemoryStore;
use phalanx_core::gossip::{self, Config, Status, Tuning};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Content;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::broadcast;
use tokio::time;
use tonic::service::Routes;

/// Deadline for every awaited condition; over loopback, none takes this long.
const DEADLINE: Duration = Duration::from_secs(60);
const YEAR: u64 = 365 * 86_400;

/// The CA of one mesh.
pub(crate) struct TestAuthority {
    authority: Authority,
}

fn now() -> Wall {
    crate::clock::wall()
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let validity = Validity {
            not_before: Wall(now().0 - YEAR),
            not_after: Wall(now().0 + YEAR),
        };
        let (authority, _) = Authority::new("test", validity).unwrap();
        Self { authority }
    }

    fn issue(&self, subject: &Subject, validity: Validity) -> Identity {
        let issued = self.authority.issue(subject, validity).unwrap();
        let parts = PemParts::issued(&issued, self.authority.certificate_pem());
        Identity::from_pem(&parts, subject, validity.not_before).unwrap()
    }

    pub(crate) fn node(&self, id: &str) -> Identity {
        let subject = Subject::node("test", NodeId::new(id).unwrap()).unwrap();
        self.issue(&subject, Validity::days(now(), 1))
    }

    fn expired_node(&self, id: &str) -> Identity {
        let subject = Subject::node("test", NodeId::new(id).unwrap()).unwrap();
        let validity = Validity {
            not_before: Wall(now().0 - 1000),
            not_after: Wall(now().0 - 500),
        };
        self.issue(&subject, validity)
    }

    fn node_until(&self, id: &str, not_after: Wall) -> Identity {
        let subject = Subject::node("test", NodeId::new(id).unwrap()).unwrap();
        let validity = Validity {
            not_before: Wall(now().0 - 1000),
            not_after,
        };
        self.issue(&subject, validity)
    }

    fn admin(&self, name: &str) -> Identity {
        let subject = Subject::admin("test", NodeId::new(name).unwrap()).unwrap();
        self.issue(&subject, Validity::days(now(), 1))
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Returns an address without a listener; the port stays reserved while the socket is held.
fn unused_address() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A running node and the notices it has published.
pub(crate) struct TestMember {
    pub(crate) node: MeshNode,
    notices: broadcast::Receiver<Notice>,
    heard: Vec<Notice>,
}

pub(crate) async fn start(identity: Identity, targets: &[SocketAddr]) -> TestMember {
    start_with(identity, targets, Limits::default(), 100).await
}

async fn start_with(
    identity: Identity,
    targets: &[SocketAddr],
    limits: Limits,
    epoch: u64,
) -> TestMember {
    start_tuned(identity, targets, limits, epoch, |_| ()).await
}

async fn start_tuned(
    identity: Identity,
    targets: &[SocketAddr],
    limits: Limits,
    epoch: u64,
    tune: impl FnOnce(&mut Tuning),
) -> TestMember {
    let bound = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let content = Content {
        address: Some(bound.local_address()),
        ..Content::default()
    };
    start_bound(bound, content, identity, targets, limits, epoch, tune)
}

/// Starts a node that declares that it cannot be dialled.
async fn start_hidden(identity: Identity, targets: &[SocketAddr]) -> TestMember {
    let bound = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let content = Content::default();
    start_bound(
        bound,
        content,
        identity,
        targets,
        Limits::default(),
        100,
        |_| (),
    )
}

/// Starts a node with some of its settings changed.
async fn start_changed(
    identity: Identity,
    targets: &[SocketAddr],
    change: impl FnOnce(&mut Settings<MemoryStore>),
) -> TestMember {
    let bound = BoundPort::bind(Tcp, loopback()).await.unwrap();
    let content = Content {
        address: Some(bound.local_address()),
        ..Content::default()
    };
    let mut settings = settings(content, identity, targets, 100);
    change(&mut settings);
    run(bound, settings)
}

fn start_bound(
    bound: BoundPort<Tcp>,
    content: Content,
    identity: Identity,
    targets: &[SocketAddr],
    limits: Limits,
    epoch: u64,
    tune: impl FnOnce(&mut Tuning),
) -> TestMember {
    let mut settings = settings(content, identity, targets, epoch);
    settings.limits = limits;
    tune(&mut settings.config.tuning);
    run(bound, settings)
}

fn settings(
    content: Content,
    identity: Identity,
    targets: &[SocketAddr],
    epoch: u64,
) -> Settings<MemoryStore> {
    let id = identity.subject().id().clone();
    let targets = targets
        .iter()
        .map(|address| Address::Socket(*address))
        .collect();
    let instance = crate::entropy::instance().unwrap();
    Settings {
        config: Config::new(id, "test", epoch, instance, content, targets),
        seed: crate::entropy::seed().unwrap(),
        identity,
        store: MemoryStore::default(),
        trusted: TrustedSubnets::default(),
        limits: Limits::default(),
        observer: None,
        overlay: None,
    }
}

fn run<N: Network>(bound: BoundPort<N>, settings: Settings<MemoryStore>) -> TestMember {
    let mut early = None;
    let node = bound
        .start(settings, |node| {
            early = Some(node.subscribe());
            Routes::default()
        })
        .unwrap();
    TestMember {
        node,
        notices: early.unwrap(),
        heard: Vec::new(),
    }
}

impl TestMember {
    pub(crate) fn address(&self) -> SocketAddr {
        self.node.address()
    }

    /// Waits until the node publishes a matching notice.
    pub(crate) async fn hears(&mut self, what: &str, wanted: impl Fn(&Notice) -> bool) -> Notice {
        let search = async {
            loop {
                let notice = self.notices.recv().await.unwrap();
                self.heard.push(notice.clone());
                if wanted(&notice) {
                    return notice;
                }
            }
        };
        let found = time::timeout(DEADLINE, search).await;
        found.unwrap_or_else(|_| panic!("no notice of {what}; notices: {:#?}", self.heard))
    }

    /// Waits until a dial failed for this reason.
    async fn fails_to_dial(&mut self, wanted: &str) -> String {
        let what = format!("a failed dial with {wanted:?}");
        let notice = self
            .hears(&what, |notice| match notice {
                Notice::Mesh(gossip::Event::DialFailed { reason, .. }) => reason.contains(wanted),
                Notice::Mesh(_)
                | Notice::Channel(_)
                | Notice::Revocation(_)
                | Notice::RoutesChanged
                | Notice::Transport(_) => false,
            })
            .await;
        match notice {
            Notice::Mesh(gossip::Event::DialFailed { reason, .. }) => reason,
            other @ (Notice::Mesh(_)
            | Notice::Channel(_)
            | Notice::Revocation(_)
            | Notice::RoutesChanged
            | Notice::Transport(_)) => {
                panic!("{other:?}")
            }
        }
    }

    /// Waits until a handshake failed at this node for this reason.
    async fn turns_away(&mut self, wanted: &str) {
        let what = format!("a failed handshake with {wanted:?}");
        self.hears(&what, |notice| match notice {
            Notice::Transport(TransportEvent::HandshakeFailed { reason, .. }) => {
                reason.contains(wanted)
            }
            Notice::Mesh(_)
            | Notice::Channel(_)
            | Notice::Revocation(_)
            | Notice::RoutesChanged
            | Notice::Transport(_) => false,
        })
        .await;
    }

    /// Returns all members that the node knows, with their status.
    async fn view(&self) -> Vec<(String, Status)> {
        self.node
            .driver()
            .inspect(|node, _| {
                let members = node.mesh().members();
                members
                    .map(|m| (m.record.id().to_string(), m.status))
                    .collect()
            })
            .await
            .unwrap()
    }

    /// Waits until the node's view is exactly this.
    pub(crate) async fn sees(&self, wanted: &[(&str, Status)]) {
        let wanted: Vec<(String, Status)> = wanted
            .iter()
            .map(|(id, status)| ((*id).to_owned(), *status))
            .collect();
        let mut view = Vec::new();
        for _ in 0..DEADLINE.as_millis() / 10 {
            view = self.view().await;
            if view == wanted {
                return;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "the view is {view:?}, expected {wanted:?}; notices: {:?}",
            self.heard
        );
    }

    /// Ends the node; no task or connection of it may remain.
    pub(crate) async fn ends(self) {
        time::timeout(DEADLINE, self.node.shutdown()).await.unwrap();
        assert_eq!(self.node.tasks(), 0);
        assert_eq!(self.node.links(), 0);
        assert!(self.node.driver().inspect(|_, _| ()).await.is_err());
    }
}
