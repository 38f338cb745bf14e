//! Tests of the calls that both ends of a data path receive, and of their order.

use super::*;

#[tokio::test]
async fn both_ends_have_the_same_connection_id_and_key_and_know_each_other() {
    let ca = TestAuthority::new();
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
async fn an_unencrypted_link_reports_it_and_has_a_key_nevertheless() {
    let ca = TestAuthority::new();
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
async fn a_data_path_is_established_when_both_ends_report_it_and_stops_with_its_link() {
    let ca = TestAuthority::new();
    let ([mut one, mut two], links) = two(&ca).await;
    links[0].established();
    links[0].send(1, "after").unwrap();
    assert_eq!(two.gets().await, (1, "after".into()));
    assert_eq!(one.is(|_| true).await, PathState::Confirmed);
    links[1].established();
    for end in [&mut one, &mut two] {
        let up = |event: &TransportEvent| matches!(event, TransportEvent::DataPathUp { .. });
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
                |it| matches!(it, TransportEvent::DataPathDown { reason: of, .. } if of == reason),
            )
        })
        .await;
    one.ends().await;
    two.ends().await;
}

#[tokio::test]
async fn control_messages_arrive_in_order_in_both_directions_and_wait_for_room() {
    let ca = TestAuthority::new();
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
    for end in [&one, &two] {
        let traffic = end.member.node.traffic();
        assert!(
            traffic.messages_sent >= 500 && traffic.messages_received >= 500,
            "{traffic:?}"
        );
    }
    one.ends().await;
    two.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn back_pressure_reaches_the_sender_and_does_not_affect_the_link() {
    let ca = TestAuthority::new();
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
    assert_eq!(
        link.send(1, "x"),
        Err(SendError::Full),
        "no message is consumed"
    );
    for _ in 0..WINDOW {
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
async fn a_replacing_link_has_a_new_key_after_the_old_data_path_stopped() {
    let ca = TestAuthority::new();
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
    // The node with the new certificate dialled.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_data_path_that_is_slow_to_stop_delays_its_successor_but_not_the_link() {
    let ca = TestAuthority::new();
    let (let_go, gate) = threads::channel();
    let lingers = Manner::Lingers(Arc::new(Mutex::new(gate)));
    let mut one = Overlaid::with(ca.node("one"), &[], named("udp"), lingers).await;
    let address = one.member.address();
    let mut two = Overlaid::start(ca.node("two"), &[address], named("udp")).await;
    let old = one.prepares().await.connection();
    assert_eq!(one.confirms().await, old);
    two.prepares().await;
    assert_eq!(two.confirms().await, old);
    one.member.node.renew(ca.node("one")).unwrap();
    assert_eq!(two.stops().await, old);
    let new = two.prepares().await.connection();
    let both = [("one", Status::Alive), ("two", Status::Alive)];
    one.member.sees(&both).await;
    assert!(one.told.try_recv().is_err(), "the old path has not stopped");
    let_go.send(()).unwrap();
    assert_eq!(one.stops().await, old);
    assert_eq!(one.prepares().await.connection(), new);
    assert_eq!(two.confirms().await, new);
    let_go.send(()).unwrap();
    one.ends().await;
    two.ends().await;
}
