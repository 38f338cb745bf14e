//! Data paths beside real links: what both ends are told, in which order, and what becomes of liars.

use super::hostile::{RawLink, raw_link};
use super::*;
use crate::overlay::{
    ConnectionId, DataPath, Offer, Overlay, OverlayLink, PathState, SendError, Signal, Unprepared,
    WINDOW,
};
use crate::wire::Parts;
use crate::wire::proto;
use bytes::Bytes;
use phalanx_core::gossip::Message;
use phalanx_core::gossip::message::{Hello, VERSION_MAX, VERSION_MIN};
use phalanx_core::topology::record::{Rank, Record};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc as threads;
use tokio::sync::mpsc;

/// What an overlay was told.
#[derive(Debug)]
enum Told {
    Prepare(OverlayLink),
    Confirm(ConnectionId),
    Control(u8, Bytes),
    Stop(ConnectionId),
}

/// Passes on what it is told.
struct Recorder {
    offer: Offer,
    told: mpsc::UnboundedSender<Told>,
    manner: Manner,
}

/// What it does when it is to prepare a data path, or gets a message.
#[derive(Clone)]
enum Manner {
    /// All it should.
    Prepares,
    /// Prepares none.
    Refuses,
    /// Panics when it gets a message.
    Panics,
    /// Takes each message when it is let.
    Waits(Arc<Mutex<threads::Receiver<()>>>),
}

struct Recorded {
    told: mpsc::UnboundedSender<Told>,
    connection: ConnectionId,
    manner: Manner,
}

impl Overlay for Recorder {
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
            Manner::Prepares | Manner::Refuses => {}
        }
        let _over = self.told.send(Told::Control(kind, payload)).is_err();
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        [("mtu".to_owned(), "1400".to_owned())].into()
    }

    fn stop(&self) {
        let _over = self.told.send(Told::Stop(self.connection)).is_err();
    }
}

/// A node with an overlay, and what that was told.
struct Overlaid {
    member: Member,
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
        told.expect("it is told something").unwrap()
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

    /// The state of its only data path, once it is as wanted.
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

/// Two linked nodes, the second of which dialled, whose data paths are confirmed.
async fn two(ca: &Ca) -> ([Overlaid; 2], [OverlayLink; 2]) {
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

fn is_event(notice: &Notice, wanted: impl Fn(&Event) -> bool) -> bool {
    matches!(notice, Notice::Transport(event) if wanted(event))
}

#[tokio::test]
async fn both_ends_know_the_same_connection_and_each_other() {
    let ca = Ca::new();
    let ([one, two], links) = two(&ca).await;
    let [acceptor, dialer] = &links;
    assert_eq!((acceptor.is_dialer(), dialer.is_dialer()), (false, true));
    assert!(acceptor.is_encrypted() && dialer.is_encrypted());
    assert_eq!(acceptor.connection(), dialer.connection());
    assert_eq!(acceptor.key().as_bytes(), dialer.key().as_bytes());
    assert_ne!(acceptor.key().as_bytes(), &[0; 32]);
    assert_eq!(format!("{:?}", acceptor.key()), "SessionKey(secret)");
    assert!(!format!("{acceptor:?}").contains("ey"));
    assert_eq!(
        (acceptor.local(), acceptor.remote()),
        (dialer.remote(), dialer.local())
    );
    assert_eq!(dialer.remote().address, one.member.address());
    assert_eq!(
        (acceptor.local().id.as_str(), acceptor.remote().id.as_str()),
        ("one", "two")
    );
    for (end, link) in [(&one, acceptor), (&two, dialer)] {
        let instance = end.member.node.driver();
        let instance = instance.inspect(|node, _| node.mesh().record().rank().instance);
        assert_eq!(link.local().instance, instance.await.unwrap());
    }
    assert_eq!(acceptor.offer().to_string(), "udp cipher=chacha");
    assert_eq!(dialer.offer().to_string(), "udp cipher=aes");
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn a_link_that_is_not_encrypted_says_so_and_has_a_key_all_the_same() {
    let ca = Ca::new();
    let start = async |id, targets: &[SocketAddr]| {
        let trusted = TrustedSubnets::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
        let manner = Manner::Prepares;
        Overlaid::trusting(ca.node(id), targets, named("udp"), manner, trusted).await
    };
    let mut one = start("one", &[]).await;
    let mut two = start("two", &[one.member.address()]).await;
    let (acceptor, dialer) = (one.prepares().await, two.prepares().await);
    assert!(!acceptor.is_encrypted() && !dialer.is_encrypted());
    assert_eq!(acceptor.key().as_bytes(), dialer.key().as_bytes());
    assert_ne!(acceptor.key().as_bytes(), &[0; 32]);
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn a_data_path_is_established_when_both_ends_say_so_and_stops_with_its_link() {
    let ca = Ca::new();
    let ([mut one, mut two], links) = two(&ca).await;
    links[0].established();
    links[0].send(1, "after").unwrap();
    assert_eq!(two.gets().await, (1, "after".into()));
    assert_eq!(one.is(|_| true).await, PathState::Confirmed);
    links[1].established();
    for end in [&mut one, &mut two] {
        let up = |event: &Event| matches!(event, Event::DataPathUp { .. });
        end.member.hears("a data path", |it| is_event(it, up)).await;
        assert_eq!(end.is(|_| true).await, PathState::Established);
    }
    let status = one.member.node.overlay().unwrap();
    assert_eq!(status.offer.name(), "udp");
    assert_eq!(status.diagnostics["queue"], "7");
    let path = &status.paths[0];
    assert_eq!(
        (path.peer.as_str(), path.connection),
        ("two", links[0].connection())
    );
    assert_eq!(path.attributes["mtu"], "1400");
    assert_eq!(
        path.offer.as_ref().map(ToString::to_string),
        Some("udp cipher=chacha".to_owned())
    );
    two.member.node.shutdown().await;
    assert_eq!(two.stops().await, links[1].connection());
    assert_eq!(one.stops().await, links[0].connection());
    time::timeout(DEADLINE, links[0].over()).await.unwrap();
    assert_eq!(links[0].send(1, ""), Err(SendError::Over));
    one.member
        .hears("its end", |notice| {
            let reason = "its link ended";
            is_event(
                notice,
                |it| matches!(it, Event::DataPathDown { reason: of, .. } if of == reason),
            )
        })
        .await;
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn control_messages_arrive_in_order_both_ways_and_wait_for_room() {
    let ca = Ca::new();
    let ([mut one, mut two], links) = two(&ca).await;
    let send = |link: OverlayLink| async move {
        for number in 0..500_u32 {
            let payload = number.to_be_bytes().to_vec();
            while link.send(9, payload.clone()) == Err(SendError::Full) {
                link.room().await;
            }
        }
    };
    let take = async |end: &mut Overlaid| {
        for number in 0..500_u32 {
            assert_eq!(end.gets().await, (9, number.to_be_bytes().to_vec().into()));
        }
    };
    let [to_two, to_one] = links;
    let all = async { tokio::join!(send(to_two), send(to_one), take(&mut one), take(&mut two)) };
    time::timeout(DEADLINE, all).await.unwrap();
    one.ends().await;
    two.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sender_sees_that_the_other_end_is_slow_and_the_link_does_not_suffer() {
    let ca = Ca::new();
    let (let_go, gate) = threads::channel();
    let waits = Manner::Waits(Arc::new(Mutex::new(gate)));
    let mut one = Overlaid::with(ca.node("one"), &[], named("udp"), waits).await;
    let address = one.member.address();
    let mut two = Overlaid::start(ca.node("two"), &[address], named("udp")).await;
    let link = two.prepares().await;
    let sent = std::iter::from_fn(|| link.send(1, "x").ok()).count();
    assert_eq!(sent, WINDOW as usize);
    assert_eq!(link.send(1, "x"), Err(SendError::Full));
    drop(one.prepares().await);
    one.confirms().await;
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.member.sees(&both).await;
    // Nothing is credited before half the window is taken.
    for _ in 0..WINDOW / 2 {
        assert_eq!(link.send(1, "x"), Err(SendError::Full));
        let_go.send(()).unwrap();
        one.gets().await;
    }
    time::timeout(DEADLINE, link.room()).await.unwrap();
    link.send(2, "y").unwrap();
    for _ in 0..WINDOW {
        let_go.send(()).unwrap();
    }
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn a_link_that_takes_anothers_place_brings_a_new_key_after_the_old_path_stopped() {
    let ca = Ca::new();
    let ([mut one, mut two], links) = two(&ca).await;
    let old = links[0].connection();
    one.member.node.renew(ca.node("one")).unwrap();
    let mut renewed = Vec::new();
    for end in [&mut one, &mut two] {
        assert_eq!(end.stops().await, old);
        let link = end.prepares().await;
        assert_eq!(end.confirms().await, link.connection());
        renewed.push(link);
    }
    // Whose certificate is new dialled.
    let [dialer, acceptor] = &renewed[..] else {
        panic!()
    };
    assert!(dialer.is_dialer() && !acceptor.is_dialer());
    assert_ne!(acceptor.connection(), old);
    assert_ne!(acceptor.key().as_bytes(), links[0].key().as_bytes());
    assert_eq!(acceptor.key().as_bytes(), dialer.key().as_bytes());
    assert_eq!(links[0].send(1, ""), Err(SendError::Over));
    acceptor.send(3, "new").unwrap();
    assert_eq!(one.gets().await, (3, "new".into()));
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn a_data_path_that_fails_is_told_at_both_ends_and_its_link_stays() {
    let ca = Ca::new();
    let ([mut one, mut two], links) = two(&ca).await;
    links[1].fail("no answer\nfrom the port");
    for (end, reason) in [
        (&mut two, "no answer from the port"),
        (&mut one, "at the other end: no answer from the port"),
    ] {
        assert_eq!(end.stops().await, links[0].connection());
        end.member
            .hears("a failure", |notice| {
                is_event(
                    notice,
                    |it| matches!(it, Event::DataPathDown { reason: of, .. } if of == reason),
                )
            })
            .await;
        assert_eq!(end.is(|_| true).await, PathState::Failed(reason.to_owned()));
        assert_eq!(end.member.node.links(), 1);
    }
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn an_overlay_may_end_the_link_with_its_data_path_and_gets_another() {
    let ca = Ca::new();
    let ([mut one, mut two], links) = two(&ca).await;
    links[0].fail_with_link("start anew");
    let old = links[0].connection();
    for end in [&mut one, &mut two] {
        assert_eq!(end.stops().await, old);
    }
    // Both may dial at once, and make one link more than stays.
    let paths = |end: &Overlaid| end.member.node.overlay().unwrap().paths;
    let agree = async {
        loop {
            if let ([here], [there]) = (&paths(&one)[..], &paths(&two)[..])
                && here.connection == there.connection
                && [&here.state, &there.state] == [&PathState::Confirmed; 2]
            {
                return here.connection;
            }
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_ne!(time::timeout(DEADLINE, agree).await.unwrap(), old);
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn what_an_overlay_refuses_or_breaks_costs_the_data_path_alone() {
    let ca = Ca::new();
    for (manner, why) in [
        (Manner::Refuses, "the other end has no chacha"),
        (Manner::Panics, "the overlay panicked"),
    ] {
        let one = Overlaid::with(ca.node("one"), &[], named("udp"), manner).await;
        let address = one.member.address();
        let mut two = Overlaid::start(ca.node("two"), &[address], named("udp")).await;
        let link = two.prepares().await;
        link.send(1, "x").unwrap();
        let failed = |it: &PathState| matches!(it, PathState::Failed(_));
        assert_eq!(one.is(failed).await.reason(), Some(why));
        let there = format!("at the other end: {why}");
        assert_eq!(two.is(failed).await.reason(), Some(there.as_str()));
        let both = [("one", Status::Alive), ("two", Status::Alive)];
        one.member.sees(&both).await;
        two.member.sees(&both).await;
        assert_eq!((one.member.node.links(), two.member.node.links()), (1, 1));
        one.ends().await;
        two.ends().await;
    }
}

#[tokio::test]
async fn a_node_without_an_overlay_or_with_another_is_a_neighbour_like_any() {
    let ca = Ca::new();
    let bare = start(ca.node("one"), &[]).await;
    let mut two = Overlaid::start(ca.node("two"), &[bare.address()], named("udp")).await;
    let unfit = two
        .member
        .hears("that it has none", |notice| {
            is_event(notice, |it| matches!(it, Event::DataPathUnfit { .. }))
        })
        .await;
    let Notice::Transport(event) = unfit else {
        panic!()
    };
    assert_eq!(event.to_string(), "no data path to one: it has no overlay");
    assert!(bare.node.overlay().is_none());
    bare.ends().await;
    let targets = [two.member.address()];
    let three = Overlaid::start(ca.node("three"), &targets, named("wireguard")).await;
    let unfit = three.is(|it| matches!(it, PathState::Unfit(_))).await;
    assert_eq!(unfit.to_string(), "unfit: it has another overlay: udp");
    assert!(two.told.try_recv().is_err(), "nothing was prepared");
    three.ends().await;
    two.ends().await;
}

fn packet(parts: impl Into<Parts>) -> Vec<u8> {
    proto::Packet::from(&parts.into()).encode_to_vec()
}

fn hello(session: u32, offer: Option<Offer>) -> Vec<u8> {
    let id = NodeId::new("liar").unwrap();
    let rank = Rank {
        epoch: 1,
        instance: 1,
        ..Rank::default()
    };
    let hello = Hello {
        mesh: "test".to_owned(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        session,
        joining: true,
        hash: 0,
        record: Arc::new(Record::new(id, rank, Content::default())),
    };
    packet(Parts {
        message: Some(Message::Hello(hello)),
        signal: offer.map(Signal::Offer),
    })
}

/// Says these to a node, which names the liar and closes the link.
async fn is_found_out(member: &mut Member, identity: &Identity, said: Vec<Vec<u8>>, why: &str) {
    let mut link: RawLink = raw_link(identity, member).await.unwrap();
    for bytes in said {
        // The link may close before everything is said.
        let _closed = link.out.send(bytes).await.is_err();
    }
    let notice = member
        .hears(why, |notice| {
            is_event(notice, |it| matches!(it, Event::Malformed { .. }))
        })
        .await;
    let Notice::Transport(event) = notice else {
        panic!()
    };
    let text = event.to_string();
    assert!(
        text.starts_with("liar sent") && text.contains(why),
        "{text:?}, wanted {why:?}"
    );
    let end = async { while let Ok(Some(_)) = link.inbound.message().await {} };
    time::timeout(DEADLINE, end)
        .await
        .expect("the link is closed");
}

#[tokio::test]
async fn whoever_breaks_the_rules_is_named_and_loses_the_link() {
    let ca = Ca::new();
    let mut one = Overlaid::start(ca.node("one"), &[], named("udp")).await;
    let liar = ca.node("liar");
    let udp = || hello(1, Some(named("udp")));
    let control = || {
        let payload = Bytes::from_static(&[0; 64]);
        packet(Signal::Control(crate::overlay::Control {
            kind: 1,
            payload,
        }))
    };
    let entry = |at: usize| proto::Entry {
        key: format!("f{at}"),
        value: "x".repeat(8),
    };
    let mut giant = proto::Packet::decode(&udp()[..]).unwrap();
    giant.overlay = Some(proto::Overlay {
        signal: Some(proto::overlay::Signal::Offer(proto::Offer {
            name: "udp".to_owned(),
            features: (0..500).map(entry).collect(),
        })),
    });
    let cases = [
        (
            vec![giant.encode_to_vec()],
            "overlay.offer is refused: more than 16 features",
        ),
        (
            vec![control()],
            "uninvited: no overlay of this name was offered",
        ),
        (
            vec![hello(1, None), control()],
            "uninvited: no overlay of this name was offered",
        ),
        (vec![udp(), control()], "a control message before ready"),
        (
            vec![udp(), packet(Signal::Ready), packet(Signal::Ready)],
            "ready was said twice",
        ),
        (
            vec![udp(), packet(Signal::Taken(1))],
            "more control messages were taken",
        ),
        (
            vec![udp(), packet(Signal::Offer(named("udp")))],
            "overlay is misplaced",
        ),
    ];
    for (said, why) in cases {
        is_found_out(&mut one.member, &liar, said, why).await;
    }
    let mut bare = start(ca.node("bare"), &[]).await;
    let uninvited = "uninvited: no overlay of this name was offered";
    is_found_out(
        &mut bare,
        &liar,
        vec![udp(), packet(Signal::Ready)],
        uninvited,
    )
    .await;
    bare.ends().await;
    one.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_control_messages_ends_the_link() {
    let ca = Ca::new();
    let (let_go, gate) = threads::channel();
    let waits = Manner::Waits(Arc::new(Mutex::new(gate)));
    let mut one = Overlaid::with(ca.node("one"), &[], named("udp"), waits).await;
    let payload = Bytes::from_static(&[0; 64]);
    let control = packet(Signal::Control(crate::overlay::Control {
        kind: 1,
        payload,
    }));
    let mut said = vec![hello(1, Some(named("udp"))), packet(Signal::Ready)];
    said.extend(vec![control; 2 * WINDOW as usize]);
    let why = "more than 32 control messages that were not taken";
    is_found_out(&mut one.member, &ca.node("liar"), said, why).await;
    for _ in 0..WINDOW {
        let_go.send(()).unwrap();
    }
    one.ends().await;
}

#[tokio::test]
async fn a_second_link_on_one_connection_gets_no_key_and_so_no_data_path() {
    let ca = Ca::new();
    let mut one = Overlaid::start(ca.node("one"), &[], named("udp")).await;
    let liar = ca.node("liar");
    let first = raw_link(&liar, &one.member).await.unwrap();
    let mut second = first.another().await.unwrap();
    first.out.send(hello(1, Some(named("udp")))).await.unwrap();
    one.prepares().await;
    second.out.send(hello(2, Some(named("udp")))).await.unwrap();
    let answer = time::timeout(DEADLINE, second.inbound.message()).await;
    let answer = answer.unwrap().unwrap().unwrap();
    let answer = Parts::try_from(proto::Packet::decode(&answer[..]).unwrap()).unwrap();
    assert!(
        matches!(answer.message, Some(Message::Welcome(_))),
        "{answer:?}"
    );
    assert_eq!(
        answer.signal, None,
        "nothing is offered where the key is taken"
    );
    drop((first, second));
    one.ends().await;
}
