//! Tests of data paths that fail or are never established.

use super::*;

#[tokio::test]
async fn a_failed_data_path_is_reported_at_both_ends_and_its_link_stays() {
    let ca = TestAuthority::new();
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
                    |it| matches!(it, TransportEvent::DataPathDown { reason: of, .. } if of == reason),
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
async fn an_overlay_may_close_the_link_and_gets_a_new_data_path() {
    let ca = TestAuthority::new();
    let ([mut one, mut two], links) = two(&ca).await;
    let old = links[0].connection();
    // One end fails without closing the link; then the other end closes the link too.
    links[0].fail("no answer");
    for end in [&mut one, &mut two] {
        assert_eq!(end.stops().await, old);
    }
    links[1].fail_with_link("a new start");
    // Both ends may dial at the same time, which makes one link more than remains.
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
async fn a_refusal_or_panic_of_an_overlay_ends_only_the_data_path() {
    let ca = TestAuthority::new();
    for (manner, why) in [
        (Manner::Refuses, "the other end has no chacha"),
        (Manner::Panics, "the overlay panicked"),
    ] {
        let breaks = matches!(manner, Manner::Panics);
        let mut one = Overlaid::with(ca.node("one"), &[], named("udp"), manner).await;
        let address = one.member.address();
        let mut two = Overlaid::start(ca.node("two"), &[address], named("udp")).await;
        let link = two.prepares().await;
        link.send(1, "x").unwrap();
        let failed = |it: &PathState| matches!(it, PathState::Failed(_));
        assert_eq!(one.is(failed).await.reason(), Some(why));
        let there = format!("at the other end: {why}");
        assert_eq!(two.is(failed).await.reason(), Some(there.as_str()));
        if breaks {
            let connection = one.prepares().await.connection();
            assert_eq!(one.confirms().await, connection);
            assert_eq!(one.stops().await, connection);
            one.member
                .hears("the end", |notice| {
                    is_event(notice, |it| {
                        matches!(it, TransportEvent::DataPathDown { .. })
                    })
                })
                .await;
        }
        let both = [("one", Status::Alive), ("two", Status::Alive)];
        one.member.sees(&both).await;
        two.member.sees(&both).await;
        assert_eq!((one.member.node.links(), two.member.node.links()), (1, 1));
        one.ends().await;
        two.ends().await;
    }
}

#[tokio::test]
async fn a_node_without_an_overlay_or_with_another_one_is_a_regular_neighbour() {
    let ca = TestAuthority::new();
    let bare = start(ca.node("one"), &[]).await;
    let mut two = Overlaid::start(ca.node("two"), &[bare.address()], named("udp")).await;
    let unfit = two
        .member
        .hears("that it has none", |notice| {
            is_event(notice, |it| {
                matches!(it, TransportEvent::DataPathUnfit { .. })
            })
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
