//! Tests of data paths beside real links.

mod byzantine;
mod failing;
mod living;

use super::*;
use crate::overlay::{
    ConnectionId, DataPath, DataPathProvider, Offer, OverlayLink, PathState, SendError, Unprepared,
    WINDOW,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc as threads;
use tokio::sync::mpsc;

/// A call that an overlay received.
#[derive(Debug)]
enum Told {
    Prepare(OverlayLink),
    Confirm(ConnectionId),
    Control(u8, Bytes),
    Stop(ConnectionId),
}

/// An overlay that records its calls.
struct Recorder {
    offer: Offer,
    told: mpsc::UnboundedSender<Told>,
    manner: Manner,
}

/// Behaviour of an overlay when it prepares a data path or receives a message.
#[derive(Clone)]
enum Manner {
    /// Behaves correctly.
    Prepares,
    /// Prepares no data path.
    Refuses,
    /// Panics when it receives a message, and when it is dropped.
    Panics,
    /// Waits for the gate before it consumes each message.
    Waits(Gate),
    /// Waits for the gate before it stops.
    Lingers(Gate),
}

type Gate = Arc<Mutex<threads::Receiver<()>>>;

struct Recorded {
    told: mpsc::UnboundedSender<Told>,
    connection: ConnectionId,
    manner: Manner,
}

impl DataPathProvider for Recorder {
    fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared> {
        if matches!(self.manner, Manner::Refuses) {
            return Err(Unprepared::new("the other end has no chacha"));
        }
        let connection = link.connection();
        let (told, manner) = (self.told.clone(), self.manner.clone());
        let _over = self.told.send(Told::Prepare(link)).is_err();
        Ok(Box::new(Recorded {
            told,
            connection,
            manner,
        }))
    }

    fn diagnostics(&self) -> BTreeMap<String, String> {
        [("queue".to_owned(), "7".to_owned())].into()
    }
}

impl DataPath for Recorded {
    fn confirm(&self) {
        let _over = self.told.send(Told::Confirm(self.connection)).is_err();
    }

    fn control(&self, kind: u8, payload: Bytes) {
        match &self.manner {
            Manner::Panics => panic!("planted"),
            Manner::Waits(gate) => gate.lock().unwrap().recv().unwrap(),
            Manner::Prepares | Manner::Refuses | Manner::Lingers(_) => {}
        }
        let _over = self.told.send(Told::Control(kind, payload)).is_err();
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        [("mtu".to_owned(), "1400".to_owned())].into()
    }

    fn stop(&self) {
        if let Manner::Lingers(gate) = &self.manner {
            gate.lock().unwrap().recv().unwrap();
        }
        let _over = self.told.send(Told::Stop(self.connection)).is_err();
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        assert!(!matches!(self.manner, Manner::Panics), "planted");
    }
}

/// A node with an overlay, and the recorded calls.
struct Overlaid {
    member: TestMember,
    told: mpsc::UnboundedReceiver<Told>,
}

fn named(name: &str) -> Offer {
    Offer::new(name).unwrap()
}

impl Overlaid {
    async fn start(identity: Identity, targets: &[SocketAddr], offer: Offer) -> Self {
        Self::with(identity, targets, offer, Manner::Prepares).await
    }

    async fn with(
        identity: Identity,
        targets: &[SocketAddr],
        offer: Offer,
        manner: Manner,
    ) -> Self {
        Self::trusting(identity, targets, offer, manner, TrustedSubnets::default()).await
    }

    async fn trusting(
        identity: Identity,
        targets: &[SocketAddr],
        offer: Offer,
        manner: Manner,
        trusted: TrustedSubnets,
    ) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let overlay = Arc::new(Recorder {
            offer,
            told: tell,
            manner,
        });
        let member = start_changed(identity, targets, |settings| {
            settings.overlay = Some(overlay);
            settings.trusted = trusted;
        })
        .await;
        Self { member, told }
    }

    async fn next(&mut self) -> Told {
        let told = time::timeout(DEADLINE, self.told.recv()).await;
        told.expect("the overlay is called within the deadline")
            .unwrap()
    }

    async fn prepares(&mut self) -> OverlayLink {
        match self.next().await {
            Told::Prepare(link) => link,
            other @ (Told::Confirm(_) | Told::Control(..) | Told::Stop(_)) => panic!("{other:?}"),
        }
    }

    async fn confirms(&mut self) -> ConnectionId {
        match self.next().await {
            Told::Confirm(connection) => connection,
            other @ (Told::Prepare(_) | Told::Control(..) | Told::Stop(_)) => panic!("{other:?}"),
        }
    }

    async fn gets(&mut self) -> (u8, Bytes) {
        match self.next().await {
            Told::Control(kind, payload) => (kind, payload),
            other @ (Told::Prepare(_) | Told::Confirm(_) | Told::Stop(_)) => panic!("{other:?}"),
        }
    }

    async fn stops(&mut self) -> ConnectionId {
        match self.next().await {
            Told::Stop(connection) => connection,
            other @ (Told::Prepare(_) | Told::Control(..) | Told::Confirm(_)) => {
                panic!("{other:?}")
            }
        }
    }

    /// Waits for a state of the only data path; returns the state.
    async fn is(&self, wanted: impl Fn(&PathState) -> bool) -> PathState {
        let look = async {
            loop {
                let status = self.member.node.overlay().unwrap();
                if let [path] = &status.paths[..]
                    && wanted(&path.state)
                {
                    return path.state.clone();
                }
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = time::timeout(DEADLINE, look).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.member.node.overlay()))
    }

    async fn ends(self) {
        self.member.ends().await;
    }
}

/// Returns two linked nodes with confirmed data paths; the second node dialled.
async fn two(ca: &TestAuthority) -> ([Overlaid; 2], [OverlayLink; 2]) {
    let offer = |cipher| named("udp").with("cipher", cipher).unwrap();
    let mut one = Overlaid::start(ca.node("one"), &[], offer("aes")).await;
    let address = one.member.address();
    let mut two = Overlaid::start(ca.node("two"), &[address], offer("chacha")).await;
    let links = [one.prepares().await, two.prepares().await];
    for end in [&mut one, &mut two] {
        assert_eq!(end.confirms().await, links[0].connection());
    }
    ([one, two], links)
}

fn is_event(notice: &Notice, wanted: impl Fn(&TransportEvent) -> bool) -> bool {
    matches!(notice, Notice::Transport(event) if wanted(event))
}
