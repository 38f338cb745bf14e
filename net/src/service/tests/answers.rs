//! Tests of single replies.

use super::super::PING_BYTES_MAX;
use super::{Mesh, client, until};
use crate::wire::proto::{self, health};
use phalanx_core::link::Address;
use tonic::Code;

#[tokio::test]
async fn a_ping_returns_the_identity_of_the_caller() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let mut client = client(&a, &mesh.admin()).await;
    assert_eq!(client.peer().unwrap().subject.id().as_str(), "a");
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
async fn the_status_describes_the_whole_node() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let target = Address::Socket(a.address());
    let (b, journal) = mesh.start("b", vec![target.clone()]).await;
    mesh.tasks.spawn(journal.follow(b.subscribe()));
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
            failure: String::new(),
            myself: false,
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
async fn another_node_may_not_read_internal_state() {
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
            .contains("spiffe://test/node/b may not do this"),
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
