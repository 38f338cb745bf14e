//! Tests of the service of real nodes on loopback, queried over mutual TLS.

mod answers;
mod calls;
mod channels;
mod connecting;
mod overlay;
mod targets;
mod topology;
mod watching;

use super::{Api, ChannelApi, Client, EventJournal};
use crate::clock;
use crate::identity::{Authority, Identity, PemParts, Subject, Validity};
use crate::overlay::DataPathProvider;
use crate::store::MemoryStore;
use crate::transport::{BoundPort, Limits, MeshNode, Settings, Tasks, Tcp, TrustedSubnets};
use phalanx_core::gossip::Config;
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::{Content, Service};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tonic::service::Routes;

const SOON: Duration = Duration::from_secs(60);

struct Mesh {
    ca: Authority,
    tasks: Tasks,
}

impl Mesh {
    fn new() -> Self {
        Self {
            ca: Authority::new("test", Validity::days(clock::wall(), 1))
                .unwrap()
                .0,
            tasks: Tasks::new(),
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

    /// Starts a node that provides version 1 of the service `shop`.
    async fn start(&self, id: &str, targets: Vec<Address>) -> (MeshNode, EventJournal) {
        self.start_with(id, targets, None).await
    }

    async fn start_with(
        &self,
        id: &str,
        targets: Vec<Address>,
        overlay: Option<Arc<dyn DataPathProvider>>,
    ) -> (MeshNode, EventJournal) {
        let identity = self.node(id);
        let bound = BoundPort::bind(Tcp, "127.0.0.1:0".parse().unwrap())
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
            store: MemoryStore::default(),
            trusted: TrustedSubnets::default(),
            limits: Limits::default(),
            observer: None,
            overlay,
        };
        let journal = EventJournal::new();
        let mine = journal.clone();
        let node = bound
            .start(settings, |node| {
                let channels = ChannelApi::server(node.clone());
                Routes::new(Api::server(node.clone(), mine)).add_service(channels)
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

/// Repeats a query until it returns a value.
async fn until<T, F: Future<Output = Option<T>>>(mut question: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(SOON, asking)
        .await
        .expect("the condition holds within the deadline")
}
