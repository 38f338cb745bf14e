//! Tests of the evidence of refused dials, in whole meshes.

use super::super::*;
use super::world::{GossipWorld, address, config, name, secs};

const MEMBERS: usize = 12;
const VICTIM: usize = 3;

/// A mesh at rest.
fn mesh() -> GossipWorld {
    let mut world = GossipWorld::new(MEMBERS);
    world.run(secs(5));
    world.assert_whole(MEMBERS);
    world
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The causes of all verdicts that running nodes other than the victim reported.
fn deaths(world: &GossipWorld) -> Vec<DeathCause> {
    let others = world.nodes.keys().filter(|index| **index != VICTIM);
    let events = others.filter_map(|index| world.environment.events.get(index));
    let causes = events.flatten().filter_map(|event| {
        if let Event::PeerDown { cause, .. } = event {
            return Some(*cause);
        }
        None
    });
    causes.collect()
}

/// A ring neighbour of the victim.
fn neighbour(world: &GossipWorld) -> usize {
    let topology = &world.nodes[&VICTIM].context.topology;
    let victim = topology.index_of(&name(VICTIM)).unwrap();
    let neighbours = topology.ring_neighbours(victim);
    let is_neighbour =
        |index: &usize| neighbours.contains(&topology.index_of(&name(*index)).unwrap());
    (0..MEMBERS).rev().find(is_neighbour).unwrap()
}

#[test]
fn a_killed_process_is_down_everywhere_after_four_to_five_tenths_of_a_second() {
    let mut world = mesh();
    world.kill(VICTIM);
    world.run(ms(400));
    assert_eq!(deaths(&world), []);
    world.run(ms(100));
    assert_eq!(deaths(&world), [DeathCause::Refused; MEMBERS - 1]);
    world.assert_whole(MEMBERS - 1);
}

#[test]
fn a_process_without_power_on_its_host_is_down_by_silence() {
    let mut world = mesh();
    let others: Vec<usize> = (0..MEMBERS).filter(|index| *index != VICTIM).collect();
    world.cut_between(&[VICTIM], &others);
    world.nodes.remove(&VICTIM);
    world.run(secs(4));
    assert_eq!(deaths(&world), []);
    world.run(secs(2));
    assert_eq!(deaths(&world), [DeathCause::Silent; MEMBERS - 1]);
}

#[test]
fn several_processes_killed_at_once_are_down_as_fast_as_one() {
    let mut world = mesh();
    for index in [VICTIM, 7, 9] {
        world.kill(index);
    }
    world.run(ms(500));
    assert_eq!(deaths(&world), [DeathCause::Refused; 3 * (MEMBERS - 3)]);
}

#[test]
fn the_last_of_two_nodes_is_down_as_fast_as_one_of_many() {
    let mut world = GossipWorld::new(2);
    world.run(secs(5));
    world.kill(1);
    world.run(ms(500));
    assert_eq!(deaths(&world), [DeathCause::Refused]);
}

#[test]
fn a_process_that_listens_again_within_three_tenths_of_a_second_is_not_down() {
    for away in [1, 50, 100, 200, 290] {
        for seeds in [&[0_usize][..], &[]] {
            let mut world = mesh();
            world.kill(VICTIM);
            world.run(ms(away));
            world.boot(VICTIM, config(VICTIM, 2, seeds));
            world.run(secs(8));
            assert_eq!(deaths(&world), [], "after {away} ms with {seeds:?}");
            world.assert_whole(MEMBERS);
        }
    }
}

/// A mesh at rest that a node joins; the node is killed after this time.
fn killed_after_join(lived: u64) -> GossipWorld {
    let mut world = mesh();
    world.boot(MEMBERS, config(MEMBERS, 1, &[0]));
    world.run(ms(lived));
    assert_eq!(deaths(&world), []);
    world.kill(MEMBERS);
    world
}

#[test]
fn a_process_that_is_killed_before_its_first_ring_links_is_down_within_a_second() {
    for lived in [15, 40, 90, 110, 200] {
        let mut world = killed_after_join(lived);
        world.run(secs(1));
        let others = world.nodes.keys().filter(|index| **index != VICTIM);
        assert_eq!(
            deaths(&world),
            vec![DeathCause::Refused; others.count()],
            "killed after {lived} ms"
        );
        world.assert_whole(MEMBERS);
    }
}

#[test]
fn a_process_that_is_killed_at_its_join_and_soon_listens_again_is_not_down() {
    for (lived, away) in [(15, 290), (60, 150), (95, 290), (110, 200)] {
        let mut world = killed_after_join(lived);
        world.run(ms(away));
        world.boot(MEMBERS, config(MEMBERS, 2, &[0]));
        world.run(secs(8));
        assert_eq!(deaths(&world), [], "after {lived} and {away} ms");
        world.assert_whole(MEMBERS + 1);
    }
}

#[test]
fn a_live_newcomer_that_refuses_all_dials_is_not_down() {
    let mut world = mesh();
    world.refuse_dials(MEMBERS);
    world.boot(MEMBERS, config(MEMBERS, 1, &[0]));
    world.run(secs(20));
    assert_eq!(deaths(&world), []);
    world.assert_whole(MEMBERS + 1);
}

#[test]
fn a_node_that_restarts_while_it_and_its_seed_node_refuse_dials_is_not_down() {
    let mut world = mesh();
    for index in [0, 5, VICTIM] {
        world.refuse_dials(index);
    }
    for epoch in 2..12 {
        world.kill(VICTIM);
        let mut restarted = config(VICTIM, epoch, &[0]);
        restarted.kept = [5, 0, 7, 9].map(address).to_vec();
        world.boot(VICTIM, restarted);
        world.run(ms(600 + 97 * epoch));
        assert_eq!(deaths(&world), [], "start {epoch}");
    }
    world.run(secs(5));
    world.assert_whole(MEMBERS);
}

#[test]
fn a_live_node_whose_connections_are_reset_is_not_down() {
    let mut world = mesh();
    for round in 0..20 {
        world.reset(VICTIM);
        world.run(ms(100 + 97 * round));
    }
    assert_eq!(deaths(&world), []);
}

#[test]
fn a_live_node_that_refuses_dials_is_not_down() {
    let mut world = mesh();
    world.refuse_dials(VICTIM);
    let restarted = neighbour(&world);
    world.kill(restarted);
    world.run(ms(50));
    world.boot(restarted, config(restarted, 2, &[0]));
    world.boot(MEMBERS, config(MEMBERS, 1, &[0]));
    world.run(secs(20));
    assert_eq!(deaths(&world), []);
    world.assert_whole(MEMBERS + 1);
}

#[test]
fn a_live_node_that_refuses_dials_and_whose_connections_are_reset_is_not_down() {
    let mut world = mesh();
    world.refuse_dials(VICTIM);
    for round in 0..20 {
        world.reset(VICTIM);
        world.run(ms(100 + 97 * round));
    }
    assert_eq!(deaths(&world), []);
}

#[test]
fn a_pair_that_refuses_each_others_dials_is_no_evidence() {
    let mut world = mesh();
    let blocked = neighbour(&world);
    let pair = [(VICTIM, blocked), (blocked, VICTIM)];
    world.environment.refused.extend(pair);
    world.reset(VICTIM);
    world.run(secs(10));
    assert_eq!(deaths(&world), []);
    world.kill(VICTIM);
    world.run(secs(6));
    assert_eq!(deaths(&world).len(), MEMBERS - 1);
}

#[test]
fn one_lying_member_cannot_declare_another_down() {
    let mut world = mesh();
    let liar = neighbour(&world);
    let machine = world.nodes.get_mut(&liar).unwrap();
    for index in (0..MEMBERS).filter(|index| *index != liar) {
        let member = machine.context.topology.index_of(&name(index)).unwrap();
        let now = machine.context.now;
        machine.self_record.set_edge(member, true, Some(now));
        machine.self_record.set_refused(member, true);
    }
    world.run(secs(10));
    let honest: Vec<usize> = (0..MEMBERS).filter(|index| *index != liar).collect();
    for index in honest {
        let died = world.count(index, |event| matches!(event, Event::PeerDown { .. }));
        assert_eq!(died, 0, "at n{index}");
    }
}

#[test]
fn a_report_of_refused_dials_ends_with_the_return_of_the_member() {
    let mut world = mesh();
    world.kill(VICTIM);
    world.run(secs(1));
    let refused = |world: &GossipWorld| {
        let reports =
            (0..MEMBERS).filter_map(|index| world.nodes[&0].topology().report(&name(index)));
        let edges = reports.flat_map(|report| report.edges.iter());
        edges
            .filter(|edge| edge.refused && edge.peer == name(VICTIM))
            .count()
    };
    assert!(refused(&world) >= 2);
    world.boot(VICTIM, config(VICTIM, 2, &[0]));
    world.run(secs(3));
    assert_eq!(refused(&world), 0);
    world.assert_whole(MEMBERS);
}
