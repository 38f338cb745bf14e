//! Tests of TLS between two ends in memory: which handshakes succeed, and with which identities.

use super::super::{Authority, Encryption, Identity, Peer, PeerError, PemParts, Subject, Validity};
use super::{admin, authority, identity, node, now};
use phalanx_core::time::Wall;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The identity that each end learnt, or its error.
pub(super) type Learnt = Result<Result<Peer, PeerError>, String>;

/// Performs a handshake and sends a byte each way: with TLS 1.3 only that byte tells the dialer
/// whether it was accepted.
async fn meet(
    dialer: Arc<rustls::ClientConfig>,
    own: &Identity,
    acceptor: &Identity,
) -> (Learnt, Learnt) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = TlsAcceptor::from(acceptor.server_config(Encryption::Demanded).unwrap());
    let accepting = async {
        let mut stream = server
            .accept(far)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .write_all(b"!")
            .await
            .map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Ok(acceptor.judge(stream.get_ref().1.peer_certificates()))
    };
    let dialing = async {
        let name = ServerName::try_from("phalanx.invalid").unwrap();
        let mut stream = TlsConnector::from(dialer)
            .connect(name, near)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .read_exact(&mut [0])
            .await
            .map_err(|error| error.to_string())?;
        Ok(own.judge(stream.get_ref().1.peer_certificates()))
    };
    tokio::join!(dialing, accepting)
}

pub(super) async fn meet_as(dialer: &Identity, acceptor: &Identity) -> (Learnt, Learnt) {
    meet(
        dialer.client_config(Encryption::Demanded).unwrap(),
        dialer,
        acceptor,
    )
    .await
}

pub(super) fn subject(learnt: &Learnt) -> Subject {
    learnt.as_ref().unwrap().as_ref().unwrap().subject.clone()
}

#[tokio::test]
async fn both_ends_learn_the_identity_of_the_other() {
    let ca = authority("prod");
    let (a, b) = (
        identity(&ca, &node("prod", "a")),
        identity(&ca, &node("prod", "b")),
    );
    let (dialer, acceptor) = meet_as(&a, &b).await;
    assert_eq!(subject(&dialer), node("prod", "b"));
    assert_eq!(subject(&acceptor), node("prod", "a"));
    let peer = acceptor.unwrap().unwrap();
    assert_eq!(peer.validity, a.validity());
    assert_eq!(
        super::super::CertificateFacts::of(&peer.certificate).unwrap(),
        *a.facts()
    );
}

#[tokio::test]
async fn an_administrator_may_dial_but_not_accept() {
    let ca = authority("prod");
    let (ada, a) = (
        identity(&ca, &admin("prod", "ada")),
        identity(&ca, &node("prod", "a")),
    );
    let (dialer, acceptor) = meet_as(&ada, &a).await;
    assert_eq!(
        (subject(&dialer), subject(&acceptor)),
        (node("prod", "a"), admin("prod", "ada"))
    );
    let (dialer, _) = meet_as(&a, &ada).await;
    let error = dialer.unwrap_err();
    assert!(error.contains("extended key usage"), "{error}");
}

#[tokio::test]
async fn a_dialer_without_a_certificate_is_rejected() {
    let ca = authority("prod");
    let a = identity(&ca, &node("prod", "a"));
    let mut config = (*a.client_config(Encryption::Demanded).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(Nobody);
    let (dialer, acceptor) = meet(Arc::new(config), &a, &a).await;
    assert!(dialer.unwrap_err().contains("CertificateRequired"));
    assert!(acceptor.unwrap_err().contains("peer sent no certificates"));
}

#[derive(Debug)]
struct Nobody;

impl rustls::client::ResolvesClientCert for Nobody {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_foreign_ca_is_rejected_by_both_ends() {
    let (ours, theirs) = (authority("prod"), authority("prod"));
    let (a, b) = (
        identity(&ours, &node("prod", "a")),
        identity(&theirs, &node("prod", "b")),
    );
    let (dialer, acceptor) = meet_as(&a, &b).await;
    assert!(dialer.unwrap_err().contains("invalid peer certificate"));
    assert!(acceptor.is_err());
    // The acceptor checks too: a dialer that trusts any CA is rejected.
    let mut trusting = (*b.client_config(Encryption::Demanded).unwrap()).clone();
    trusting.client_auth_cert_resolver = Arc::clone(
        &a.client_config(Encryption::Demanded)
            .unwrap()
            .client_auth_cert_resolver,
    );
    let (_, acceptor) = meet(Arc::new(trusting), &a, &b).await;
    assert!(acceptor.unwrap_err().contains("invalid peer certificate"));
}

#[tokio::test]
async fn an_expired_certificate_is_rejected_in_the_handshake() {
    let ca = Authority::new(
        "prod",
        Validity {
            not_before: Wall(0),
            not_after: Wall(7_000_000_000),
        },
    )
    .unwrap()
    .0;
    let past = Validity {
        not_before: Wall(0),
        not_after: Wall(1_700_000_000),
    };
    let subject = node("prod", "old");
    let parts = PemParts::issued(&ca.issue(&subject, past).unwrap(), ca.certificate_pem());
    let old = Identity::from_pem(&parts, &subject, Wall(1_600_000_000)).unwrap();
    let a = identity(&ca, &node("prod", "a"));
    let (_, acceptor) = meet_as(&old, &a).await;
    let error = acceptor.unwrap_err();
    assert!(error.contains("expired"), "{error}");
    let (dialer, _) = meet_as(&a, &old).await;
    let error = dialer.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn meshes_that_share_a_ca_key_are_distinguished_by_name() {
    // Two authorities with the same key are one CA to TLS; only the name of the mesh differs.
    let (ca, issued) = Authority::new("prod", Validity::days(now(), 1)).unwrap();
    let peer = identity(&ca, &node("prod", "b"));
    let outsider = identity(&authority("test"), &node("test", "a"));
    let presented = super::super::peer_identity(&certificate(&issued.certificate_pem));
    assert_eq!(
        presented.unwrap_err().to_string(),
        "names \"spiffe://prod\", which does not have the form spiffe://MESH/node/ID, spiffe://MESH/admin/NAME or \
         spiffe://MESH/service/NAME"
    );
    let (dialer, _) = meet_as(&peer, &peer).await;
    let certificate = dialer.unwrap().unwrap().certificate;
    let error = outsider.judge(Some(&[certificate])).unwrap_err();
    assert_eq!(
        error,
        PeerError::WrongMesh {
            found: "prod".to_owned(),
            ours: "test".to_owned()
        }
    );
    assert_eq!(outsider.judge(None).unwrap_err(), PeerError::None);
}

fn certificate(pem: &str) -> rustls::pki_types::CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
