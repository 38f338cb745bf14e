//! Tests with two members and a tunnel between them.

use super::member;
use super::seal;
use super::udp::Udp;
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_net::identity::Secret;
use phalanx_net::overlay::{
    DataPath, DataPathProvider, Offer, OverlayLink, PathState, SessionKey, Unprepared,
};
use phalanx_net::transport::MeshNode;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time;

const SOON: Duration = Duration::from_secs(60);

async fn start(
    name: &str,
    secret: &str,
    targets: Vec<Address>,
    overlay: Arc<dyn DataPathProvider>,
) -> (MeshNode, NodeId) {
    let id: NodeId = name.parse().unwrap();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let node = member::join(&id, secret, listen, targets, Some(overlay)).await;
    (node.unwrap(), id)
}

async fn is(node: &MeshNode, wanted: impl Fn(&PathState) -> bool) -> PathState {
    let look = async {
        loop {
            let paths = node.overlay().unwrap().paths;
            if let Some(path) = paths.iter().find(|path| wanted(&path.state)) {
                return path.state.clone();
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = time::timeout(SOON, look).await;
    found.unwrap_or_else(|_| panic!("{:?}", node.overlay()))
}

#[tokio::test]
async fn neighbours_ping_each_other_through_a_tunnel() {
    let secret = Secret::make().unwrap().text();
    let (ada_udp, bob_udp) = (Udp::new().unwrap(), Udp::new().unwrap());
    let (ada, ada_id) = start("ada", &secret, vec![], Arc::new(ada_udp.clone())).await;
    let targets = vec![Address::Socket(ada.address())];
    let (bob, bob_id) = start("bob", &secret, targets, Arc::new(bob_udp.clone())).await;
    for node in [&ada, &bob] {
        is(node, |state| *state == PathState::Established).await;
    }
    for _ in 0..3 {
        ada_udp.ping(&bob_id).await.unwrap();
        bob_udp.ping(&ada_id).await.unwrap();
    }
    let status = ada.overlay().unwrap();
    assert_eq!(status.diagnostics["tunnels"], "1");
    assert!(status.paths[0].attributes.contains_key("round-trip"));
    bob.shutdown().await;
    let gone = async {
        while !ada_udp.peers().is_empty() {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(SOON, gone).await.unwrap();
    assert!(ada_udp.ping(&bob_id).await.is_err());
    ada.shutdown().await;
}

/// An overlay that offers another cipher and keeps the key of its link.
struct Other(Arc<Mutex<Option<OverlayLink>>>, &'static str);

impl DataPathProvider for Other {
    fn offer(&self) -> Offer {
        Offer::new("udp").unwrap().with("cipher", self.1).unwrap()
    }

    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared> {
        *self.0.lock().unwrap() = Some(link);
        Err(Unprepared::new("it was only looking"))
    }
}

#[tokio::test]
async fn without_a_common_cipher_there_is_no_tunnel_but_the_link_stays() {
    let secret = Secret::make().unwrap().text();
    let udp = Udp::new().unwrap();
    let (ada, _) = start("ada", &secret, vec![], Arc::new(udp.clone())).await;
    let targets = vec![Address::Socket(ada.address())];
    let other = Other(Arc::default(), "rot13");
    let (bob, _) = start("bob", &secret, targets, Arc::new(other)).await;
    let failed = is(&ada, |state| matches!(state, PathState::Failed(_))).await;
    let reason = failed.reason().unwrap();
    assert!(
        reason == "requires chacha20-poly1305, not rot13"
            || reason.ends_with("it was only looking"),
        "{reason}"
    );
    assert!(udp.peers().is_empty());
    assert_eq!((ada.links(), bob.links()), (1, 1));
    bob.shutdown().await;
    ada.shutdown().await;
}

/// Returns the key of a link between two members.
async fn key() -> SessionKey {
    let secret = Secret::make().unwrap().text();
    let seen = Arc::default();
    let other = |seen: &Arc<_>| Arc::new(Other(Arc::clone(seen), "any"));
    let (ada, _) = start("ada", &secret, vec![], other(&seen)).await;
    let targets = vec![Address::Socket(ada.address())];
    let (bob, _) = start("bob", &secret, targets, other(&Arc::default())).await;
    is(&ada, |state| matches!(state, PathState::Failed(_))).await;
    let look = async {
        loop {
            let link: Option<OverlayLink> = seen.lock().unwrap().clone();
            if let Some(link) = link {
                return link.key().clone();
            }
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    let key = time::timeout(SOON, look).await.unwrap();
    bob.shutdown().await;
    ada.shutdown().await;
    key
}

#[tokio::test]
async fn a_datagram_is_decrypted_once_and_only_by_the_other_end() {
    let key = key().await;
    let (mut dialer, mut own) = seal::halves(&key, true).unwrap();
    let (_, mut acceptor) = seal::halves(&key, false).unwrap();
    let sealed: Vec<Vec<u8>> = (0..100_u8).map(|n| dialer.seal(&[n]).unwrap()).collect();
    assert_eq!(own.open(&sealed[0]), None, "its own datagram is reflected");
    for at in [1, 0, 2, 60] {
        let text = vec![u8::try_from(at).unwrap()];
        assert_eq!(acceptor.open(&sealed[at]), Some(text));
        assert_eq!(acceptor.open(&sealed[at]), None, "replayed");
    }
    let mut forged = sealed[99].clone();
    forged[9] ^= 1;
    assert_eq!(acceptor.open(&forged), None);
    assert_eq!(acceptor.open(&sealed[99]), Some(vec![99]));
    assert_eq!(acceptor.open(&sealed[20]), None, "outside the window");
    assert_eq!(acceptor.open(&sealed[61]), Some(vec![61]));
    for short in [&[][..], &[0; 7], &[0; 8]] {
        assert_eq!(acceptor.open(short), None);
    }
}
