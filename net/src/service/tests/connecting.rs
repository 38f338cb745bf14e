//! Who cannot be asked, and why.

use super::super::{Client, ConnectError};
use super::{Mesh, SOON};
use crate::clock;
use crate::identity::{Identity, PemParts, Subject, Validity};
use phalanx_core::gossip::Address;
use phalanx_core::identity::NodeId;
use std::time::Duration;
use tokio::net::TcpSocket;

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

    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silence = Address::Socket(mute.local_addr().unwrap());
    let silent = Client::connect(&silence, &mesh.admin(), Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(matches!(silent, ConnectError::TimedOut { .. }), "{silent}");
    // Bound, so that nobody else gets the port, and nobody listens.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = Address::Socket(held.local_addr().unwrap());
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
