//! Tests of the view of two linked nodes.

use super::super::Client;
use super::{Mesh, client, until};
use crate::transport::MeshNode;
use crate::wire;
use crate::wire::proto;
use phalanx_core::link::Address;
use std::collections::BTreeMap;

/// Nodes `a` and `b`, a client of each, and their view once it is the same on both.
struct Pair {
    nodes: [MeshNode; 2],
    clients: [Client; 2],
    view: proto::Topology,
}

async fn view(client: &Client) -> proto::Topology {
    let mut client = client.clone();
    let reply = client
        .calls()
        .get_topology(proto::GetTopologyRequest {})
        .await;
    reply.unwrap().into_inner()
}

async fn pair() -> Pair {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let (b, _) = mesh.start("b", vec![Address::Socket(a.address())]).await;
    let clients = [
        client(&a, &mesh.admin()).await,
        client(&b, &mesh.admin()).await,
    ];
    let view = until(async || {
        let (at_a, at_b) = (view(&clients[0]).await, view(&clients[1]).await);
        (at_a.members.len() == 2 && at_a.hash == at_b.hash).then_some(at_a)
    })
    .await;
    Pair {
        nodes: [a, b],
        clients,
        view,
    }
}

impl Pair {
    /// Returns the digests that a caller with a full copy holds.
    fn held(&self) -> BTreeMap<String, u64> {
        let held =
            |member: &proto::Member| Some((member.record.as_ref()?.id.clone(), member.digest));
        self.view.members.iter().filter_map(held).collect()
    }

    async fn sync(&self, held: BTreeMap<String, u64>) -> proto::SyncTopologyReply {
        let mut client = self.clients[1].clone();
        let reply = client
            .calls()
            .sync_topology(proto::SyncTopologyRequest { held })
            .await;
        reply.unwrap().into_inner()
    }

    async fn end(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

fn ids(members: &[proto::Member]) -> Vec<&str> {
    members
        .iter()
        .filter_map(|member| member.record.as_ref())
        .map(|record| record.id.as_str())
        .collect()
}

#[tokio::test]
async fn two_linked_nodes_return_the_same_view_with_the_digests_of_core() {
    let pair = pair().await;
    assert_eq!(pair.view.viewer, "a");
    assert_eq!(ids(&pair.view.members), ["a", "b"]);
    for member in &pair.view.members {
        let record = wire::record(member.record.clone().unwrap()).unwrap();
        assert_eq!(record.digest(), member.digest);
        assert_eq!(member.status(), proto::MemberStatus::Alive);
    }
    pair.end().await;
}

#[tokio::test]
async fn a_copy_is_updated_with_only_the_missing_members() {
    let pair = pair().await;
    let mut held = pair.held();
    let reply = pair.sync(held.clone()).await;
    assert_eq!(
        (reply.news.len(), reply.unknown.len(), reply.hash),
        (0, 0, pair.view.hash)
    );
    held.insert("b".to_owned(), 1);
    held.insert("stranger".to_owned(), 1);
    let reply = pair.sync(held).await;
    assert_eq!(
        (ids(&reply.news), reply.unknown),
        (vec!["b"], vec!["stranger".to_owned()])
    );
    assert_eq!(ids(&pair.sync(BTreeMap::new()).await.news), ["a", "b"]);
    pair.end().await;
}

#[tokio::test]
async fn providers_are_found_by_name_and_version() {
    let pair = pair().await;
    let find = async |name: &str, version: Option<&str>| {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        let mut client = pair.clients[0].clone();
        let reply = client
            .calls()
            .list_services(proto::ListServicesRequest { name, version })
            .await;
        let services = reply.unwrap().into_inner().services;
        services
            .into_iter()
            .map(|service| (service.version, service.providers))
            .collect::<Vec<_>>()
    };
    let both = vec![("1".to_owned(), vec!["a".to_owned(), "b".to_owned()])];
    assert_eq!(find("shop", None).await, both);
    assert_eq!(find("shop", Some("1")).await, both);
    assert_eq!(find("", None).await, both);
    assert_eq!(find("shop", Some("2")).await, []);
    assert_eq!(find("cart", None).await, []);
    pair.end().await;
}
