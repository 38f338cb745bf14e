//! The service of real nodes on loopback, asked over mutual TLS.

use super::{Api, Client, ConnectError, Journal, PING_BYTES_MAX, WATCH_LAG_MAX};
use crate::identity::{Authority, Identity, PemParts, Subject, Validity};
use crate::store::MemoryEpoch;
use crate::transport::{Bound, Limits, MeshNode, Notice, Settings, Tcp};
use crate::wire::proto::{self, health};
use crate::{clock, wire};
use phalanx_core::gossip::{Address, Config, Event};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::{Content, Service};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time;
use tonic::Code;
use tonic::service::Routes;

const SOON: Duration = Duration::from_secs(10);

struct Mesh {
    ca: Authority,
}

impl Mesh {
    fn new() -> Self {
        Self {
            ca: Authority::new("test", Validity::days(clock::wall(), 1))
                .unwrap()
                .0,
        }
    }

    fn identity(&self, subject: &Subject) -> Identity {
        let issued = self
            .ca
            .issue(subject, Validity::days(clock::wall(), 1))
            .unwrap();
        let parts = PemParts::issued(&issued, self.ca.certificate_pem());
        Identity::from_pem(&parts, subject, clock::wall()).unwrap()
    }

    fn node(&self, id: &str) -> Identity {
        self.identity(&Subject::node("test", NodeId::new(id).unwrap()).unwrap())
    }

    fn admin(&self) -> Identity {
        self.identity(&Subject::admin("test", NodeId::new("ada").unwrap()).unwrap())
    }

    /// Starts a node that serves `shop` in version 1.
    async fn start(&self, id: &str, targets: Vec<Address>) -> (MeshNode, Journal) {
        let identity = self.node(id);
        let bound = Bound::bind(Tcp, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let service = Service {
            name: "shop".to_owned(),
            version: "1".to_owned(),
        };
        let content = Content {
            nickname: format!("the {id}"),
            kind: "generic".to_owned(),
            address: Some(bound.local_address()),
            joined: Wall(1),
            services: [service].into(),
            metadata: BTreeMap::new(),
        };
        let config = Config::new(NodeId::new(id).unwrap(), "test", 1, 7, content, targets);
        let settings = Settings {
            config,
            seed: 1,
            identity: identity.clone(),
            store: MemoryEpoch::default(),
            limits: Limits::default(),
            observer: None,
        };
        let journal = Journal::new();
        let mine = journal.clone();
        let node = bound
            .start(settings, |node| {
                Routes::new(Api::server(node.clone(), identity, mine))
            })
            .unwrap();
        (node, journal)
    }
}

async fn client(node: &MeshNode, identity: &Identity) -> Client {
    Client::connect(&Address::Socket(node.address()), identity, SOON)
        .await
        .unwrap()
}

/// Asks again until the answer is right.
async fn until<T, F: Future<Output = Option<T>>>(mut question: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(SOON, asking).await.expect("it happens soon")
}

#[tokio::test]
async fn a_ping_comes_back_with_who_asked() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let mut client = client(&a, &mesh.admin()).await;
    assert_eq!(client.peer().subject.id().as_str(), "a");
    let reply = client
        .calls()
        .ping(proto::PingRequest {
            payload: vec![1, 2],
        })
        .await
        .unwrap()
        .into_inner();
    let expected = proto::PingReply {
        payload: vec![1, 2],
        id: "a".to_owned(),
        caller: "spiffe://test/admin/ada".to_owned(),
    };
    assert_eq!(reply, expected);
    let large = proto::PingRequest {
        payload: vec![0; PING_BYTES_MAX + 1],
    };
    assert_eq!(
        client.calls().ping(large).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    a.shutdown().await;
}

#[tokio::test]
async fn two_nodes_tell_the_same_topology_and_a_copy_is_kept_up_to_date() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let (b, _) = mesh.start("b", vec![Address::Socket(a.address())]).await;
    let (mut at_a, mut at_b) = (
        client(&a, &mesh.admin()).await,
        client(&b, &mesh.admin()).await,
    );
    let topology = until(|| {
        let (mut a, mut b) = (at_a.clone(), at_b.clone());
        async move {
            let a = a
                .calls()
                .get_topology(proto::GetTopologyRequest {})
                .await
                .unwrap()
                .into_inner();
            let b = b
                .calls()
                .get_topology(proto::GetTopologyRequest {})
                .await
                .unwrap()
                .into_inner();
            (a.members.len() == 2 && a.hash == b.hash).then_some(a)
        }
    })
    .await;
    assert_eq!(topology.viewer, "a");
    let records: Vec<_> = topology
        .members
        .iter()
        .filter_map(|member| member.record.clone())
        .collect();
    assert_eq!(
        records
            .iter()
            .map(|record| record.id.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        wire::record(records[1].clone()).unwrap().digest(),
        topology.members[1].digest
    );

    // A copy that is complete gets no news; one that knows an old b and a stranger gets b, and hears of the stranger.
    let mut held: BTreeMap<String, u64> = records
        .iter()
        .zip(&topology.members)
        .map(|(r, m)| (r.id.clone(), m.digest))
        .collect();
    let sync = |held: &BTreeMap<String, u64>| proto::SyncTopologyRequest { held: held.clone() };
    let reply = at_b
        .calls()
        .sync_topology(sync(&held))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (reply.news.len(), reply.unknown.len(), reply.hash),
        (0, 0, topology.hash)
    );
    held.insert("b".to_owned(), 1);
    held.insert("stranger".to_owned(), 1);
    let reply = at_b
        .calls()
        .sync_topology(sync(&held))
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<_> = reply
        .news
        .iter()
        .filter_map(|member| member.record.as_ref())
        .map(|r| r.id.as_str())
        .collect();
    assert_eq!(
        (ids, reply.unknown),
        (vec!["b"], vec!["stranger".to_owned()])
    );

    let list = proto::ListServicesRequest {
        name: "shop".to_owned(),
        version: None,
    };
    let found = at_a
        .calls()
        .list_services(list)
        .await
        .unwrap()
        .into_inner()
        .services;
    assert_eq!(
        found
            .iter()
            .map(|s| (s.version.as_str(), s.providers.len()))
            .collect::<Vec<_>>(),
        [("1", 2)]
    );
    let list = proto::ListServicesRequest {
        name: "shop".to_owned(),
        version: Some("2".to_owned()),
    };
    assert_eq!(
        at_a.calls()
            .list_services(list)
            .await
            .unwrap()
            .into_inner()
            .services,
        []
    );
    b.shutdown().await;
    a.shutdown().await;
}

#[tokio::test]
async fn the_status_says_everything_about_a_node() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let target = Address::Socket(a.address());
    let (b, journal) = mesh.start("b", vec![target.clone()]).await;
    tokio::task::spawn(journal.follow(b.subscribe()));
    let admin = client(&b, &mesh.admin()).await;
    let status = until(|| {
        let mut admin = admin.clone();
        async move {
            let status = admin
                .calls()
                .get_status(proto::GetStatusRequest {})
                .await
                .unwrap()
                .into_inner();
            (status.phase() == proto::Phase::Running
                && status.links.len() == 1
                && status.members?.alive == 2)
                .then_some(status)
        }
    })
    .await;
    assert_eq!(
        status.health.as_ref().map(proto::Health::status),
        Some(health::Status::Healthy)
    );
    assert_eq!(status.listen, b.address().to_string());
    assert_eq!(
        status.targets,
        [proto::Target {
            address: target.to_string(),
            peer: "a".to_owned(),
            failure: String::new()
        }]
    );
    let link = &status.links[0];
    assert_eq!(
        (link.peer.as_str(), link.dialed, link.address.clone()),
        ("a", true, target.to_string())
    );
    assert_eq!(status.failed_dials, []);
    assert_eq!(
        status.certificate.as_ref().map(|c| c.subject.as_str()),
        Some("spiffe://test/node/b")
    );
    let node = status.node.unwrap();
    assert_eq!(
        (node.mesh.as_str(), node.record.unwrap().nickname.as_str()),
        ("test", "the b")
    );
    assert!(status.traffic.unwrap().messages_received > 0);
    b.shutdown().await;
    a.shutdown().await;
}

#[tokio::test]
async fn another_node_may_not_look_inside() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let mut other = client(&a, &mesh.node("b")).await;
    let denied = other
        .calls()
        .get_status(proto::GetStatusRequest {})
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(
        denied
            .message()
            .contains("spiffe://test/node/b may not see this"),
        "{}",
        denied.message()
    );
    assert_eq!(
        other
            .calls()
            .list_links(proto::ListLinksRequest {})
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    assert_eq!(
        other
            .calls()
            .watch(proto::WatchRequest {})
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    let info = other
        .calls()
        .get_node_info(proto::GetNodeInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(info.record.unwrap().id, "a");
    assert!(
        other
            .calls()
            .get_health(proto::GetHealthRequest {})
            .await
            .is_ok()
    );
    let mut own = client(&a, &mesh.node("a")).await;
    assert!(
        own.calls()
            .get_status(proto::GetStatusRequest {})
            .await
            .is_ok()
    );
    a.shutdown().await;
}

#[tokio::test]
async fn a_watcher_hears_events_in_order_and_how_many_it_missed() {
    let mesh = Mesh::new();
    let (a, journal) = mesh.start("a", vec![]).await;
    let mut admin = client(&a, &mesh.admin()).await;
    let mut events = admin
        .calls()
        .watch(proto::WatchRequest {})
        .await
        .unwrap()
        .into_inner();
    let id = NodeId::new("b").unwrap();
    let down = Notice::Mesh(Event::PeerDown { id: id.clone() });
    journal.take(Duration::from_millis(5), &down);
    let event = events.message().await.unwrap().unwrap();
    assert_eq!(
        (
            event.sequence,
            event.at_ms,
            event.kind.as_str(),
            event.subject.as_str()
        ),
        (1, 5, "peer-down", "b")
    );
    assert_eq!(event.text, "b is down");
    // In one go, so that the watcher cannot read between: it lags by exactly what is over its bound, and hears so.
    let flood = WATCH_LAG_MAX as u64 + 10;
    for _ in 0..flood {
        journal.take(
            Duration::ZERO,
            &Notice::Mesh(Event::PeerCleared { id: id.clone() }),
        );
    }
    let lagged = events.message().await.unwrap().unwrap();
    assert_eq!((lagged.kind.as_str(), lagged.missed), ("lagged", 10));
    let next = events.message().await.unwrap().unwrap();
    assert_eq!((next.sequence, next.kind.as_str()), (12, "peer-cleared"));
    // The stream ends with the node.
    let reading = async { while let Ok(Some(_)) = events.message().await {} };
    let (_, ended) = tokio::join!(a.shutdown(), time::timeout(SOON, reading));
    assert!(ended.is_ok());
}

#[tokio::test]
async fn who_cannot_be_asked_is_named_with_the_reason() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let address = Address::Socket(a.address());
    let stranger = Mesh::new().admin();
    let error = Client::connect(&address, &stranger, SOON)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = Address::Socket(free.local_addr().unwrap());
    let silent = Client::connect(&nobody, &mesh.admin(), Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(silent, ConnectError::TimedOut { .. }), "{silent}");
    drop(free);
    let error = Client::connect(&nobody, &mesh.admin(), SOON)
        .await
        .unwrap_err();
    assert_eq!(error, ConnectError::Refused { address: nobody });
    a.shutdown().await;
}

#[tokio::test]
async fn the_end_of_a_certificate_the_node_takes_is_told_by_the_alert() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    // It trusts the node's CA but shows a certificate of another one: only the node can refuse.
    let other = Mesh::new();
    let subject = Subject::admin("test", NodeId::new("eve").unwrap()).unwrap();
    let issued = other
        .ca
        .issue(&subject, Validity::days(clock::wall(), 1))
        .unwrap();
    let both = format!(
        "{}{}",
        other.ca.certificate_pem(),
        mesh.ca.certificate_pem()
    );
    let eve =
        Identity::from_pem(&PemParts::issued(&issued, &both), &subject, clock::wall()).unwrap();
    let error = Client::connect(&Address::Socket(a.address()), &eve, SOON)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Untrusted { why, .. } if why.contains("does not take our certificate")),
        "{error}"
    );
    a.shutdown().await;
}

#[tokio::test]
async fn an_event_of_the_machine_reaches_the_journal() {
    let mesh = Mesh::new();
    let (a, journal) = mesh.start("a", vec![]).await;
    let mut watch = journal.watch();
    tokio::task::spawn(journal.follow(a.subscribe()));
    let (b, _) = mesh.start("b", vec![Address::Socket(a.address())]).await;
    let up = async {
        loop {
            let event = watch.recv().await.unwrap();
            if event.told.kind == "peer-up" {
                return event.told.subject.clone();
            }
        }
    };
    let subject = time::timeout(SOON, up).await.unwrap();
    assert_eq!(subject, Some(NodeId::new("b").unwrap()));
    b.shutdown().await;
    a.shutdown().await;
}
