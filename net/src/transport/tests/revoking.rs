//! Tests of revocations while links and calls are open.

use super::hostile::raw_link;
use super::*;
use crate::identity::fingerprint_of;
use phalanx_core::gossip::LinkEnd;
use phalanx_core::gossip::Status::{Alive, Down};
use phalanx_core::revocation::{Revocation, RevocationContent, RevocationTarget};
use phalanx_core::subject::CertificateRole;
use rustls::pki_types::CertificateDer;

fn by_id(id: &str) -> RevocationContent {
    RevocationContent {
        target: RevocationTarget::Holder(CertificateRole::Node, NodeId::new(id).unwrap()),
        begun_before: Wall(now().0 + 1),
        ends: Wall(now().0 + 1_000_000),
        signed: now(),
    }
}

fn by_certificate(certificate: &CertificateDer<'_>) -> RevocationContent {
    RevocationContent {
        target: RevocationTarget::Certificate(fingerprint_of(certificate)),
        begun_before: Wall(0),
        ..by_id("any")
    }
}

impl TestMember {
    async fn holds(&self, revocations: usize) {
        let held = async {
            loop {
                let count = self
                    .node
                    .driver()
                    .inspect(|node, _| node.revocations().list().len());
                if count.await.unwrap() == revocations {
                    return;
                }
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = time::timeout(DEADLINE, held).await;
        assert!(found.is_ok(), "{revocations} revocations");
    }

    async fn drops_the_link_to(&mut self, wanted: &str) {
        self.hears("a link closed by a revocation", |notice| {
            matches!(
                notice,
                Notice::Mesh(gossip::Event::LinkDown { peer, reason: LinkEnd::Revoked, .. })
                    if peer.as_str() == wanted
            )
        })
        .await;
    }
}

#[tokio::test]
async fn a_revoked_member_loses_its_links_on_all_nodes_and_reaches_none_again() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let mut two = start(ca.node("two"), &[one.address()]).await;
    let thief = start(ca.node("thief"), &[one.address(), two.address()]).await;
    let all = [("one", Alive), ("thief", Alive), ("two", Alive)];
    for member in [&one, &two, &thief] {
        member.sees(&all).await;
    }
    let revocation = ca.authority.revoke(by_id("thief")).unwrap();
    one.node.revoke(revocation).await.unwrap();
    two.holds(1).await;
    one.drops_the_link_to("thief").await;
    for member in [&one, &two] {
        let rest = [("one", Alive), ("thief", Down), ("two", Alive)];
        member.sees(&rest).await;
    }
    let mut thief = thief;
    thief.fails_to_dial("revoked").await;
    two.turns_away("revoked").await;
    // A later certificate of the same id is accepted.
    thief.ends().await;
    let subject = Subject::node("test", NodeId::new("thief").unwrap()).unwrap();
    time::sleep(Duration::from_millis(1_100)).await;
    let validity = Validity {
        not_before: Wall(now().0),
        not_after: Wall(now().0 + 86_400),
    };
    let replaced = ca.issue(&subject, validity);
    let replaced = start_with(replaced, &[one.address()], Limits::default(), 200).await;
    replaced.sees(&all).await;
    for member in [one, two, replaced] {
        member.ends().await;
    }
}

#[tokio::test]
async fn calls_with_a_revoked_certificate_end_at_once_and_administrators_may_revoke() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let (boss, stolen) = (ca.admin("boss"), ca.admin("stolen"));
    let mut open = raw_link(&ca.node("thief"), &one).await.unwrap();
    let call = Call::connect(&Tcp, &stolen, &Address::Socket(one.address()), DEADLINE)
        .await
        .unwrap();
    let certificate = |identity: &Identity| identity.presented().next().unwrap();
    let of = |identity: &Identity| RevocationContent {
        target: RevocationTarget::Certificate(certificate(identity).fingerprint),
        begun_before: Wall(0),
        ..by_id("any")
    };
    one.node
        .revoke(boss.revoke(of(&stolen)).unwrap())
        .await
        .unwrap();
    one.node
        .revoke(boss.revoke(by_id("thief")).unwrap())
        .await
        .unwrap();
    // The idle link and the idle connection for calls end.
    let end = async { while let Ok(Some(_)) = open.inbound.message().await {} };
    time::timeout(DEADLINE, end).await.expect("the link ends");
    let mut client =
        crate::wire::proto::mesh_service_client::MeshServiceClient::new(call.channel.clone());
    let ping = client.ping(crate::wire::proto::PingRequest::default());
    let status = time::timeout(DEADLINE, ping).await.unwrap().unwrap_err();
    assert_ne!(status.code(), tonic::Code::Unimplemented, "{status:?}");
    let refused = Call::connect(&Tcp, &stolen, &Address::Socket(one.address()), DEADLINE).await;
    if let Ok(call) = refused {
        // With TLS 1.3 the refusal arrives after the handshake of this end.
        let mut client =
            crate::wire::proto::mesh_service_client::MeshServiceClient::new(call.channel.clone());
        let status = client
            .ping(crate::wire::proto::PingRequest::default())
            .await;
        let why = call.first_failure(&status.unwrap_err()).to_string();
        assert!(why.contains("revoked"), "{why}");
    }
    one.turns_away("revoked").await;
    one.ends().await;
}

#[tokio::test]
async fn only_the_ca_and_administrators_of_the_mesh_can_revoke() {
    let (ca, foreign) = (TestAuthority::new(), TestAuthority::new());
    let one = start(ca.node("one"), &[]).await;
    let certificate = ca.node("two").presented().next().unwrap();
    let content = RevocationContent {
        target: RevocationTarget::Certificate(certificate.fingerprint),
        ..by_certificate(&CertificateDer::from(vec![0]))
    };
    assert!(ca.node("two").revoke(content.clone()).is_err());
    let forged = foreign.authority.revoke(content.clone()).unwrap();
    let by_stranger = foreign.admin("boss").revoke(content.clone()).unwrap();
    let right = ca.admin("boss").revoke(content.clone()).unwrap();
    let changed = Revocation {
        content: RevocationContent {
            ends: Wall(content.ends.0 + 1),
            ..content
        },
        ..right.clone()
    };
    let mut without_chain = right.clone();
    without_chain.signature.chain = [].into();
    for wrong in [forged, by_stranger, changed, without_chain] {
        let error = one.node.revoke(wrong).await.unwrap_err();
        assert!(matches!(error, RevokeError::Signature(_)), "{error}");
    }
    one.holds(0).await;
    one.node.revoke(right.clone()).await.unwrap();
    one.node.revoke(right).await.unwrap();
    one.holds(1).await;
    one.ends().await;
}
