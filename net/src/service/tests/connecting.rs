//! Tests of failed connections and their errors.

use super::super::{Client, ConnectError};
use super::{Mesh, SOON};
use crate::clock;
use crate::identity::{Identity, PemParts, Subject, Validity};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use std::time::Duration;
use tokio::net::TcpSocket;

#[tokio::test]
async fn a_failed_connection_names_the_address_and_the_reason() {
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
    // The port is bound, so that no other process gets it, but it does not listen.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = Address::Socket(held.local_addr().unwrap());
    let error = Client::connect(&closed, &mesh.admin(), SOON)
        .await
        .unwrap_err();
    assert_eq!(error, ConnectError::Refused { address: closed });
    a.shutdown().await;
}

#[tokio::test]
async fn a_client_certificate_rejected_by_the_node_is_reported_by_its_alert() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    // The client trusts the node's CA but presents a certificate of another CA, so only the node
    // can reject it.
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
        matches!(&error, ConnectError::Untrusted { why, .. } if why.contains("does not accept the certificate of this end")),
        "{error}"
    );
    a.shutdown().await;
}
