//! Tests of certificates and secrets that are replaced while links are open.

use super::*;
use crate::identity::Secret;
use phalanx_core::gossip::LinkEnd;
use std::collections::BTreeMap;

const SUBJECTS: [&str; 3] = ["one", "three", "two"];

fn secret() -> Secret {
    Secret::make().unwrap()
}

fn of_secrets(secrets: &[&Secret], id: &str) -> Identity {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| (*secret).clone()).collect();
    let subject = Subject::node("test", NodeId::new(id).unwrap()).unwrap();
    Identity::from_secrets(&secrets, &subject, Validity::days(now(), 1), now()).unwrap()
}

impl TestMember {
    /// Waits until the links to these peers have been replaced.
    async fn changes_the_links_to(&mut self, peers: &[&str]) {
        let mut waiting: BTreeMap<&str, bool> = peers.iter().map(|peer| (*peer, false)).collect();
        while !waiting.is_empty() {
            let notice = self
                .hears("a successor", |notice| {
                    matches!(
                        notice,
                        Notice::Mesh(gossip::Event::LinkDown { .. } | gossip::Event::LinkUp { .. })
                    )
                })
                .await;
            let Notice::Mesh(event) = notice else {
                continue;
            };
            let peer = event.subject().unwrap().as_str();
            let is_down = matches!(event, gossip::Event::LinkDown { .. });
            match waiting.get_mut(peer) {
                Some(down) if is_down => *down = true,
                Some(true) => drop(waiting.remove(peer)),
                Some(false) | None => {}
            }
        }
    }

    /// Waits until all links were made with the current identity.
    async fn renews_its_links(&self) {
        let renewed = async {
            while self.node.outdated_links() > 0 {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(DEADLINE, renewed).await.unwrap();
    }

    /// Checks the notices so far: no member was lost, and no link ended without a successor.
    fn lost_nothing(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.heard.push(notice);
        }
        let mut links: BTreeMap<&NodeId, i32> = BTreeMap::new();
        for notice in &self.heard {
            let Notice::Mesh(event) = notice else {
                continue;
            };
            let lost = ["peer-suspected", "peer-down", "isolated"];
            assert!(
                !lost.contains(&event.word()),
                "{event:?} in {:#?}",
                self.heard
            );
            if let gossip::Event::LinkUp { peer, .. } = event {
                *links.entry(peer).or_default() += 1;
            }
            if let gossip::Event::LinkDown { peer, reason, .. } = event {
                assert_eq!(*reason, LinkEnd::Superseded, "{:#?}", self.heard);
                *links.entry(peer).or_default() -= 1;
            }
        }
        assert!(links.values().all(|links| *links == 1), "{:#?}", self.heard);
    }
}

#[tokio::test]
async fn a_new_certificate_replaces_links_before_the_old_ones_close() {
    let ca = TestAuthority::new();
    let mut one = start(ca.node("one"), &[]).await;
    let mut two = start(ca.node("two"), &[one.address()]).await;
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.sees(&both).await;
    two.sees(&both).await;
    // The acceptor of the link renews its certificate, and then dials.
    one.node.renew(ca.node("one")).unwrap();
    two.changes_the_links_to(&["one"]).await;
    one.changes_the_links_to(&["two"]).await;
    // The dialer renews its certificate.
    two.node.renew(ca.node("two")).unwrap();
    one.changes_the_links_to(&["two"]).await;
    two.changes_the_links_to(&["one"]).await;
    let stranger = one.node.renew(ca.node("two")).unwrap_err().to_string();
    assert!(
        stranger.contains("is for \"spiffe://test/node/two\""),
        "{stranger}"
    );
    for member in [&mut one, &mut two] {
        member.lost_nothing();
        assert_eq!(member.node.links(), 1);
    }
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn secrets_rotate_without_interruption_and_the_old_one_is_rejected_afterwards() {
    let (old, new) = (secret(), secret());
    let mut one = start(of_secrets(&[&old], "one"), &[]).await;
    let two = start(of_secrets(&[&old], "two"), &[one.address()]).await;
    let three = start(of_secrets(&[&old], "three"), &[one.address()]).await;
    let all = SUBJECTS.map(|id| (id, Status::Alive));
    let mut members = [one, three, two];
    for member in &members {
        member.sees(&all).await;
    }
    for accepted in [[&new, &old].as_slice(), &[&new]] {
        for (member, id) in members.iter().zip(SUBJECTS) {
            member.node.renew(of_secrets(accepted, id)).unwrap();
            member.renews_its_links().await;
        }
    }
    for member in &mut members {
        member.sees(&all).await;
        member.lost_nothing();
    }
    [one, ..] = members;
    let mut late = start(of_secrets(&[&old], "late"), &[one.address()]).await;
    late.fails_to_dial("it has a different secret of the mesh")
        .await;
    one.turns_away("it has a different secret of the mesh")
        .await;
    late.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_any_more_loses_its_link() {
    let (old, new) = (secret(), secret());
    let mut one = start(of_secrets(&[&old], "one"), &[]).await;
    let two = start(of_secrets(&[&old], "two"), &[one.address()]).await;
    two.sees(&[("one", Status::Alive), ("two", Status::Alive)])
        .await;
    one.sees(&[("one", Status::Alive), ("two", Status::Alive)])
        .await;
    one.node.renew(of_secrets(&[&new], "one")).unwrap();
    one.hears("a link that is cut", |notice| {
        let reason = LinkEnd::Untrusted;
        matches!(notice, Notice::Mesh(gossip::Event::LinkDown { reason: of, .. }) if *of == reason)
    })
    .await;
    one.sees(&[("one", Status::Alive), ("two", Status::Down)])
        .await;
    two.ends().await;
    one.ends().await;
}

#[tokio::test]
async fn a_node_that_cannot_be_dialled_replaces_the_link_before_the_peers_certificate_expires() {
    let ca = TestAuthority::new();
    let not_after = Wall(now().0 + 20);
    let short = Validity {
        not_before: Wall(now().0 - 10),
        not_after,
    };
    let subject = Subject::node("test", NodeId::new("one").unwrap()).unwrap();
    let mut one = start(ca.issue(&subject, short), &[]).await;
    let mut two = start_hidden(ca.node("two"), &[one.address()]).await;
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.sees(&both).await;
    two.sees(&both).await;
    // Only the dialer of the link can replace it.
    one.node.renew(ca.node("one")).unwrap();
    one.changes_the_links_to(&["two"]).await;
    two.changes_the_links_to(&["one"]).await;
    assert!(now() < not_after);
    one.lost_nothing();
    two.lost_nothing();
    one.ends().await;
    two.ends().await;
}
