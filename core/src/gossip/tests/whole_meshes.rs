//! Whole meshes: joining, crashing, splitting, leaving.

use super::super::*;
use super::world::{GossipWorld, config, name, secs};
use std::collections::BTreeMap;

#[test]
fn two_nodes_that_know_one_address_see_each_other() {
    let mut world = GossipWorld::new(2);
    world.run(secs(2));
    world.assert_whole(2);
    assert_eq!(world.nodes[&1].phase(), Phase::Running);
}

#[test]
fn thirty_nodes_join_through_one_seed() {
    let mut world = GossipWorld::new(30);
    world.run(secs(1));
    world.assert_whole(30);
    world.run(secs(60));
    world.assert_whole(30);
    for (index, machine) in &world.nodes {
        let links = machine.links(world.now).count();
        assert!((3..=14).contains(&links), "n{index} has {links} links");
        let deaths = world.count(*index, |event| matches!(event, Event::PeerDown { .. }));
        assert_eq!(deaths, 0);
    }
}

#[test]
fn a_killed_node_is_down_everywhere_within_five_seconds_and_back_after_a_restart() {
    let mut world = GossipWorld::new(10);
    world.run(secs(30));
    world.kill(4);
    world.run(secs(5));
    for index in (0..10).filter(|index| *index != 4) {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 9), (Status::Down, 1)]),
            "{}",
            name(index)
        );
    }
    world.boot(4, config(4, 2, &[0]));
    world.run(secs(2));
    for index in 0..10 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 10)]),
            "{}",
            name(index)
        );
    }
    world.run(secs(8));
    world.assert_whole(10);
}

#[test]
fn two_halves_heal_without_a_false_death() {
    let mut world = GossipWorld::new(12);
    world.run(secs(30));
    let (left, right): (Vec<usize>, Vec<usize>) = (0..12).partition(|index| index % 2 == 0);
    world.cut_between(&left, &right);
    world.run(secs(40));
    for index in 0..12 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 6), (Status::Down, 6)]),
            "{}",
            name(index)
        );
    }
    world.environment.events.clear();
    world.environment.cut.clear();
    world.run(secs(3));
    for index in 0..12 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 12)]),
            "{}",
            name(index)
        );
        assert_eq!(
            world.count(index, |event| matches!(event, Event::PeerDown { .. })),
            0
        );
    }
    world.run(secs(40));
    world.assert_whole(12);
}

#[test]
fn a_graceful_leave_is_not_a_death() {
    let mut world = GossipWorld::new(6);
    world.run(secs(20));
    world.step(&3, Input::Leave);
    world.run(secs(2));
    assert_eq!(world.nodes[&3].phase(), Phase::Left);
    for index in [0, 1, 2, 4, 5] {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 5), (Status::Left, 1)])
        );
        assert_eq!(
            world.count(index, |event| matches!(
                event,
                Event::PeerDown { .. } | Event::PeerSuspected { .. }
            )),
            0
        );
    }
}

/// A dead member is forgotten everywhere at the same time after its death, however many nodes join after it: a node
/// that passes the member on states how long it has been gone.
#[test]
fn newcomers_do_not_keep_the_dead_remembered() {
    let settings = |index, seeds: &[usize]| {
        let mut config = config(index, 1, seeds);
        config.tuning.forget_after = secs(40);
        config
    };
    let mut world = GossipWorld::new(0);
    for index in 0..6 {
        let seeds: &[usize] = if index == 0 { &[] } else { &[0] };
        world.boot(index, settings(index, seeds));
    }
    world.run(secs(20));
    world.kill(5);
    world.step(&4, Input::Leave);
    for index in 6..12 {
        world.run(secs(12));
        let seed = if index == 6 { 0 } else { index - 1 };
        world.boot(index, settings(index, &[seed]));
    }
    for index in (0..12).filter(|index| ![4, 5].contains(index)) {
        world.run(secs(1));
        for gone in [4, 5] {
            assert_eq!(
                world.nodes[&index].member(&name(gone)),
                None,
                "{} remembers {}",
                name(index),
                name(gone)
            );
        }
    }
    world.run(secs(30));
    for index in (0..12).filter(|index| ![4, 5].contains(index)) {
        for gone in [4, 5] {
            let member = world.nodes[&index].topology().index_of(&name(gone));
            assert_eq!(
                member,
                None,
                "{} keeps a place for {}",
                name(index),
                name(gone)
            );
        }
    }
}

#[test]
fn a_dead_member_is_forgotten_everywhere_on_request_and_a_live_one_nowhere() {
    let mut world = GossipWorld::new(8);
    world.run(secs(20));
    world.kill(5);
    world.run(secs(20));
    let forget = |index| Input::Forget { peer: name(index) };
    for (index, why) in [
        (3, ForgetRefusal::Alive),
        (0, ForgetRefusal::Myself),
        (99, ForgetRefusal::Unknown),
    ] {
        let refused = world.nodes[&0].may_forget(&name(index)).unwrap_err();
        let linked = refused == ForgetRefusal::Linked && why == ForgetRefusal::Alive;
        assert!(refused == why || linked, "{refused:?}");
        world.step(&0, forget(index));
    }
    assert_eq!(world.nodes[&0].may_forget(&name(5)), Ok(()));
    world.step(&0, forget(5));
    let all = |world: &GossipWorld, wanted: BTreeMap<Status, usize>| {
        for index in (0..8).filter(|index| *index != 5) {
            assert_eq!(world.statuses(index), wanted, "n{index}");
        }
    };
    world.run(secs(1));
    all(&world, BTreeMap::from([(Status::Alive, 7)]));
    // Comparisons of views do not bring the member back.
    world.run(secs(60));
    all(&world, BTreeMap::from([(Status::Alive, 7)]));
    world.boot(5, config(5, 2, &[0]));
    world.run(secs(5));
    all(&world, BTreeMap::from([(Status::Alive, 8)]));
}

#[test]
fn a_requested_link_is_kept_until_it_is_released() {
    let mut world = GossipWorld::new(30);
    world.run(secs(60));
    let is_linked = |world: &GossipWorld, peer: &NodeId| {
        let mut links = world.nodes[&3].links(world.now);
        links.any(|link| link.peer == *peer)
    };
    let peer = (0..30)
        .map(name)
        .find(|peer| *peer != name(3) && !is_linked(&world, peer));
    let peer = peer.expect("thirty nodes are not all linked");
    let request = |requested| Input::RequestLink {
        peer: peer.clone(),
        requested,
    };
    world.step(&3, request(true));
    world.run(secs(1));
    assert!(is_linked(&world, &peer));
    world.run(secs(90));
    assert!(is_linked(&world, &peer));
    world.step(&3, request(false));
    world.run(secs(90));
    assert!(!is_linked(&world, &peer));
}

#[test]
fn without_discovery_only_seeds_are_dialled_and_all_members_are_seen() {
    let mut world = GossipWorld::new(0);
    for index in 0..8 {
        let mut config = config(index, 1, &[0]);
        config.discovery = false;
        world.boot(index, config);
    }
    world.run(secs(60));
    world.assert_whole(8);
    for machine in world.nodes.values().skip(1) {
        assert_eq!(machine.links(world.now).count(), 1);
    }
    let is_suspicion = |event: &Event| matches!(event, Event::PeerSuspected { .. });
    let is_death = |event: &Event| matches!(event, Event::PeerDown { .. });
    for index in 0..8 {
        // At the start, no node knows which ring edges will never become links.
        assert!(
            world.count(index, is_suspicion) <= 14,
            "n{index} doubts again and again"
        );
        assert_eq!(world.count(index, is_death), 0);
    }
    world.kill(7);
    world.run(secs(15));
    assert!((0..7).all(|index| world.count(index, is_death) == 1));
    world.step(&3, Input::Discover(true));
    world.run(secs(10));
    assert!(world.nodes[&3].links(world.now).count() > 1);
}

#[test]
fn a_newcomer_does_not_report_the_dead_as_up() {
    let mut world = GossipWorld::new(6);
    world.run(secs(10));
    world.kill(5);
    world.run(secs(10));
    world.boot(6, config(6, 1, &[0]));
    world.run(secs(20));
    let up = |id: NodeId| move |event: &Event| matches!(event, Event::PeerUp { id: of, .. } if *of == id);
    assert_eq!(world.count(6, up(name(5))), 0, "it died before");
    for alive in 0..5 {
        assert_eq!(world.count(6, up(name(alive))), 1, "n{alive}");
    }
    let down = |event: &Event| matches!(event, Event::PeerDown { id, .. } if *id == name(5));
    assert_eq!(world.count(6, down), 1);
    // The member returns, and is up on the newcomer as on all others.
    world.boot(5, config(5, 2, &[0]));
    world.run(secs(5));
    assert_eq!(world.count(6, up(name(5))), 1);
}

#[test]
fn a_member_that_was_wrongly_reported_gone_is_up_once_a_path_leads_to_it() {
    let mut world = GossipWorld::new(8);
    world.run(secs(10));
    let (some, others) = ([0, 1, 2, 3], [4, 5, 6, 7]);
    world.cut_between(&some, &others);
    world.run(secs(10));
    world.boot(8, config(8, 1, &[0]));
    world.cut_between(&[8], &others);
    world.run(secs(2));
    world.environment.cut.clear();
    world.run(secs(60));
    world.assert_whole(9);
    for other in others {
        let up = |event: &Event| matches!(event, Event::PeerUp { id, .. } if *id == name(other));
        assert_eq!(world.count(8, up), 1, "n{other}");
    }
}
