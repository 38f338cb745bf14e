//! Tests of certificates that expire while they are in use.

use super::*;
use crate::clock;
use phalanx_core::gossip::LinkEnd;

/// Validity in seconds: long enough to join on a busy machine.
const LIFE: u64 = 12;

#[tokio::test]
async fn a_link_closes_before_either_certificate_expires_and_reports_the_reason() {
    let ca = TestAuthority::new();
    let not_after = Wall(now().0 + LIFE);
    let mut one = start(ca.node("one"), &[]).await;
    let mut two = start(ca.node_until("two", not_after), &[one.address()]).await;
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.sees(&both).await;
    two.sees(&both).await;
    for member in [&mut one, &mut two] {
        // New connections were tried before, without success, because no certificate was new.
        member
            .hears("a link that closes for a certificate", |notice| {
                let wanted = LinkEnd::Expired;
                matches!(notice, Notice::Mesh(gossip::Event::LinkDown { reason, .. }) if *reason == wanted)
            })
            .await;
        assert!(
            clock::wall() <= not_after,
            "the link outlived the certificate"
        );
    }
    // The link is dialled again without success; after the expiry the other end reports the reason.
    two.fails_to_dial("does not accept the certificate of this end: expired")
        .await;
    one.sees(&[("one", Status::Alive), ("two", Status::Down)])
        .await;
    two.ends().await;
    // With a new certificate the node rejoins.
    let again = start_with(ca.node("two"), &[one.address()], Limits::default(), 101).await;
    one.sees(&both).await;
    again.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_call_ends_with_the_certificate_of_the_caller() {
    let ca = TestAuthority::new();
    let one = start(ca.node("one"), &[]).await;
    let not_after = Wall(now().0 + 4);
    let caller = ca.node_until("two", not_after);
    let address = Address::Socket(one.address());
    let call = Call::connect(&Tcp, &caller, &address, DEADLINE)
        .await
        .unwrap();
    let ended = async {
        while one.node.connections() > 0 {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    time::timeout(DEADLINE, ended).await.unwrap();
    assert!(
        clock::wall() > not_after,
        "the call ended before its certificate"
    );
    drop(call);
    one.ends().await;
}
