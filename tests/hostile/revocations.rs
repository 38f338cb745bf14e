//! Attacks by revocations.

use crate::packets;
use crate::rogue::{Rogue, RogueLink};
use phalanx_core::identity::NodeId;
use phalanx_core::revocation::{Fingerprint, RevocationContent, RevocationTarget};
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use phalanx_net::clock;
use phalanx_net::identity::{Authority, Validity};
use phalanx_net::wire::proto::{
    Packet, Revocation, RevocationEntries, RevocationMessage, RevocationsDone, RevocationsHeld,
    RevocationsWanted, packet, revocation_message,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time;

/// Number of revocations in one packet.
const IN_PACKET: u64 = 20;
/// Number of packets with revocations on one connection.
const PACKETS: u64 = 25;
/// Number of digests in one packet.
const DIGESTS: u64 = 1_000;
/// Time for which a handshake stays unfinished.
const HOLD: Duration = Duration::from_millis(500);

fn message(message: revocation_message::Message) -> Packet {
    packets::body(packet::Body::Revocation(RevocationMessage {
        message: Some(message),
    }))
}

/// The content of a revocation: of one certificate, of a daemon, or of the administrator.
fn content(number: u64) -> RevocationContent {
    let now = packets::seconds();
    let holder = |role, id: &str| {
        let id = NodeId::new(id).expect("a valid id");
        (RevocationTarget::Holder(role, id), Wall(now + 1))
    };
    let (target, begun_before) = match number % 3 {
        0 => {
            let mut fingerprint = [7; 32];
            fingerprint[..8].copy_from_slice(&number.to_be_bytes());
            let target = RevocationTarget::Certificate(Fingerprint(fingerprint));
            (target, Wall(0))
        }
        1 => holder(CertificateRole::Node, &format!("n{}", number % 10 + 1)),
        _ => holder(CertificateRole::Admin, "ada"),
    };
    RevocationContent {
        target,
        begun_before,
        ends: Wall(now + 86_400 + number),
        signed: Wall(now),
    }
}

/// Revocations that differ from each other: with a signature of another CA of the same name, and with changed ones.
fn forged(authority: &Authority, first: u64) -> Packet {
    let revocations = (first..first + IN_PACKET).map(|number| {
        let signed = authority.revoke(content(number));
        let mut revocation = Revocation::from(&signed.expect("the CA signs"));
        if number.is_multiple_of(2)
            && let Some(byte) = revocation.signature.last_mut()
        {
            *byte ^= 1;
        }
        revocation
    });
    message(revocation_message::Message::Entries(RevocationEntries {
        revocations: revocations.collect(),
        last: false,
    }))
}

/// All packets of forged revocations, and a list of revocations that do not exist.
async fn send(link: &RogueLink, authority: &Authority, number: u64) -> bool {
    let first = number * PACKETS * IN_PACKET;
    let entries = (0..PACKETS).map(|packet| forged(authority, first + packet * IN_PACKET));
    let lists = (0..60).map(|list| {
        let from = (number * 60 + list) * DIGESTS;
        message(revocation_message::Message::Have(RevocationsHeld {
            digests: (from..from + DIGESTS).collect(),
            last: list == 59,
        }))
    });
    let wanted = (0..4).map(|_| {
        message(revocation_message::Message::Want(RevocationsWanted {
            digests: (0..DIGESTS).collect(),
        }))
    });
    let done = message(revocation_message::Message::Done(RevocationsDone {}));
    link.send_all(entries.chain(lists).chain(wanted).chain([done]))
        .await
}

/// Floods a daemon with revocations on a link, and in handshakes that do not end.
pub(crate) async fn flood(rogue: &Rogue, to: SocketAddr, number: u64) -> bool {
    let validity = Validity::days(clock::wall(), 1);
    let (authority, _) = Authority::new("test", validity).expect("a CA is made");
    let mut taken = false;
    if let Some(link) = rogue.link(to).await {
        taken |= send(&link, &authority, 3 * number).await;
        let digest = message(revocation_message::Message::Digest(number));
        taken |= link.send(digest).await;
        link.close().await;
    }
    for handshake in 1..3 {
        if let Some(link) = rogue.greet(to, number + 1).await {
            taken |= send(&link, &authority, 3 * number + handshake).await;
            time::sleep(HOLD).await;
        }
    }
    taken
}
