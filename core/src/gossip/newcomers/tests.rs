//! Floods of invented members, and real newcomers among them.

use super::*;
use crate::gossip::tests::context::{address, context, id, learn};
use crate::topology::record::{Content, Edge, EdgeReport, Rank};
use std::sync::Arc;

fn record(index: usize) -> Record {
    let rank = Rank {
        epoch: 1,
        instance: 1,
        version: 1,
        ..Rank::default()
    };
    Record::new(id(index), rank, Content::default())
}

/// A node that knows nine proven members, and whose time of trust is over.
fn watching() -> (Context, Newcomers) {
    let mut context = context();
    for index in 1..10 {
        learn(&mut context, index);
    }
    let newcomers = Newcomers::new(context.now);
    (context, newcomers)
}

fn admit(newcomers: &mut Newcomers, context: &mut Context, index: usize) -> Admittance {
    let view = (&context.topology, context.tuning().members_max);
    let admittance = newcomers.admit(context.now, view, &record(index));
    if matches!(admittance, Admittance::Unproven | Admittance::OffRings) {
        let member = learn(context, index);
        newcomers.on_entered(context.now, member);
    }
    admittance
}

/// Adds members by hearsay until the node is guarded.
fn flood(newcomers: &mut Newcomers, context: &mut Context) {
    for index in 1_000..1_000 + UNPROVEN_MIN {
        assert_eq!(admit(newcomers, context, index), Admittance::Unproven);
    }
    assert!(!newcomers.is_guarded());
    assert_eq!(admit(newcomers, context, 5_000), Admittance::Refused);
    assert!(newcomers.is_guarded());
    let begun = newcomers.take_begun().unwrap();
    assert_eq!(begun.len(), UNPROVEN_MIN);
    for member in begun {
        context.topology.hold_off(member);
    }
}

fn maintain(newcomers: &mut Newcomers, context: &mut Context) -> Round {
    newcomers.on_maintained(context, |_, _| Status::Alive, &BTreeMap::new())
}

/// A member reports edges as up.
fn report(newcomers: &mut Newcomers, context: &mut Context, reporter: usize, peers: &[usize]) {
    let version = context.now.as_millis();
    let edges = peers.iter().map(|peer| Edge {
        peer: id(*peer),
        down: false,
        refused: false,
    });
    let report = EdgeReport {
        epoch: 1,
        version,
        edges: edges.collect(),
        reporter: id(reporter),
    };
    let ages = peers.iter().map(|_| Some(context.now));
    let report = Arc::new(report);
    context
        .topology
        .apply_report(&report, ages.collect::<Vec<Option<Instant>>>());
    let member = context.topology.index_of(&id(reporter)).unwrap();
    newcomers.on_report(context.now, &context.topology, member);
    newcomers.on_reports_merged(&context.topology);
}

#[test]
fn a_node_that_joins_believes_every_record_for_a_while() {
    let (mut context, mut newcomers) = watching();
    newcomers.on_first_link(context.now);
    for index in 100..400 {
        assert_eq!(
            admit(&mut newcomers, &mut context, index),
            Admittance::Believed
        );
        learn(&mut context, index);
    }
    let neighbour = context.topology.index_of(&id(1)).unwrap();
    newcomers.on_agreed(&context, neighbour, true);
    context.now += PROOF_TIME;
    let linked = BTreeMap::from([(neighbour, LinkId(1))]);
    newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
    // 310 members are proven, with the node itself: half as many may be unproven.
    for index in 400..555 {
        assert_eq!(
            admit(&mut newcomers, &mut context, index),
            Admittance::Unproven,
            "{index}"
        );
    }
    assert_eq!(
        admit(&mut newcomers, &mut context, 999),
        Admittance::Refused
    );
}

#[test]
fn a_few_unproven_members_are_proven_when_they_live_on() {
    let (mut context, mut newcomers) = watching();
    for index in 100..110 {
        admit(&mut newcomers, &mut context, index);
    }
    let member = context.topology.index_of(&id(100)).unwrap();
    assert!(newcomers.is_hearsay(member));
    context.now += PROOF_TIME;
    assert_eq!(maintain(&mut newcomers, &mut context), Round::default());
    assert!(!newcomers.is_hearsay(member));
    assert!(newcomers.unproven.is_empty());
}

#[test]
fn a_guarded_node_refuses_unknown_members_and_takes_unproven_ones_off_the_rings() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    assert_eq!(context.topology.on_rings().count(), 10);
    assert_eq!(context.topology.held_off().count(), UNPROVEN_MIN);
    assert_eq!(newcomers.refused(), 1);
    assert!(!newcomers.admits_unknown(&context.topology, &id(7_000)));
    assert!(newcomers.admits_unknown(&context.topology, &id(1)));
}

#[test]
fn a_guarded_node_admits_the_neighbour_of_a_proven_member_after_a_second() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    report(&mut newcomers, &mut context, 1, &[500]);
    assert_eq!(
        admit(&mut newcomers, &mut context, 500),
        Admittance::Refused
    );
    context.now += VOUCHED_AFTER;
    assert_eq!(
        admit(&mut newcomers, &mut context, 500),
        Admittance::OffRings
    );
    // An unproven member admits no other one.
    report(&mut newcomers, &mut context, 1_000, &[501]);
    context.now += VOUCHED_AFTER;
    assert_eq!(
        admit(&mut newcomers, &mut context, 501),
        Admittance::Refused
    );
}

#[test]
fn a_report_that_its_owner_overrides_admits_no_member() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    report(&mut newcomers, &mut context, 1, &[500]);
    context.now += VOUCHED_AFTER / 2;
    report(&mut newcomers, &mut context, 1, &[]);
    context.now += VOUCHED_AFTER;
    assert_eq!(
        admit(&mut newcomers, &mut context, 500),
        Admittance::Refused
    );
    maintain(&mut newcomers, &mut context);
    report(&mut newcomers, &mut context, 1, &[500]);
    assert_eq!(
        admit(&mut newcomers, &mut context, 500),
        Admittance::Refused,
        "the time begins again"
    );
}

#[test]
fn one_report_vouches_for_a_bounded_number_of_members() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    let invented: Vec<usize> = (600..900).collect();
    report(&mut newcomers, &mut context, 1, &invented);
    context.now += VOUCHED_AFTER;
    let admitted = invented
        .into_iter()
        .filter(|index| admit(&mut newcomers, &mut context, *index) == Admittance::OffRings);
    assert_eq!(admitted.count(), VOUCHED_MAX);
}

#[test]
fn two_proven_members_prove_a_third_and_one_does_not() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    report(&mut newcomers, &mut context, 1, &[500, 501]);
    report(&mut newcomers, &mut context, 2, &[501]);
    context.now += VOUCHED_AFTER;
    for index in [500, 501] {
        assert_eq!(
            admit(&mut newcomers, &mut context, index),
            Admittance::OffRings
        );
    }
    let proven = context.topology.index_of(&id(501)).unwrap();
    maintain(&mut newcomers, &mut context);
    context.now += GUARDED_PROOF_TIME;
    assert_eq!(maintain(&mut newcomers, &mut context).on_rings, [proven]);
    assert!(newcomers.may_vouch(proven));
}

#[test]
fn a_member_with_a_link_is_admitted_and_introduced() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    let member = learn(&mut context, 500);
    newcomers.on_met(context.now, member, false);
    assert!(newcomers.may_vouch(member));
    let linked = BTreeMap::from([(member, LinkId(1))]);
    let reported = newcomers.links_to_report(context.now, linked.keys().copied());
    assert_eq!(reported, BTreeSet::from([member]));
    let mut introduced = 0;
    for _ in 0..20 {
        context.now += Duration::from_secs(1);
        let round = newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
        introduced += round.introduce.len();
    }
    assert_eq!(introduced, usize::from(unproven::INTRODUCTIONS_MAX));
}

#[test]
fn the_guard_ends_a_while_after_the_last_excess() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    for member in context.topology.held_off().collect::<Vec<_>>() {
        assert!(newcomers.on_dead(context.now, member), "it is dropped");
        context.topology.retire(member);
        newcomers.on_dropped(context.now, member);
    }
    let (begun, mut ended) = (context.now, false);
    while !ended {
        context.now += Duration::from_secs(2);
        ended = maintain(&mut newcomers, &mut context).ended;
    }
    assert!(context.now - begun <= 2 * GUARD_TIME + Duration::from_secs(4));
    assert!(!newcomers.is_guarded());
    assert!(newcomers.reports_links(context.now), "for a while");
    context.now += GUARD_TIME;
    assert!(!newcomers.reports_links(context.now));
}

#[test]
fn the_guard_lasts_while_records_are_refused() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    for member in context.topology.held_off().collect::<Vec<_>>() {
        newcomers.forget(context.now, member);
        context.topology.release(member);
    }
    for second in 0..600 {
        context.now += Duration::from_secs(1);
        for index in 0..5 {
            let invented = 10_000 + second * 5 + index;
            assert_eq!(
                admit(&mut newcomers, &mut context, invented),
                Admittance::Refused
            );
        }
        maintain(&mut newcomers, &mut context);
        assert!(newcomers.is_guarded(), "{second}");
        assert!(newcomers.refused.ids.len() <= REFUSED_MAX);
    }
}

#[test]
fn many_real_members_that_answer_end_the_guard() {
    let (mut context, mut newcomers) = watching();
    flood(&mut newcomers, &mut context);
    for index in 2_000..2_100 {
        let content = Content {
            address: Some(address(index)),
            ..Content::default()
        };
        let record = Record::new(id(index), record(index).rank(), content);
        let view = (&context.topology, context.tuning().members_max);
        let refused = newcomers.admit(context.now, view, &record);
        assert_eq!(refused, Admittance::Refused);
    }
    let round = maintain(&mut newcomers, &mut context);
    assert!(round.dial.len() > 4);
    for index in 2_000..2_100 {
        newcomers.on_answered(&id(index));
    }
    context.now += Duration::from_secs(2);
    let round = maintain(&mut newcomers, &mut context);
    assert!(round.ended);
    assert_eq!(
        admit(&mut newcomers, &mut context, 2_000),
        Admittance::Believed
    );
}

#[test]
fn a_dead_member_that_was_never_met_is_dropped_only_under_pressure() {
    let (mut context, mut newcomers) = watching();
    admit(&mut newcomers, &mut context, 100);
    let member = context.topology.index_of(&id(100)).unwrap();
    assert!(!newcomers.on_dead(context.now, member), "it is remembered");
    assert!(newcomers.is_hearsay(member));
    flood_rest(&mut newcomers, &mut context);
    assert!(newcomers.on_dead(context.now, member));
}

/// Adds members by hearsay until the node is guarded, beside others.
fn flood_rest(newcomers: &mut Newcomers, context: &mut Context) {
    let mut index = 1_000;
    while !newcomers.is_guarded() {
        admit(newcomers, context, index);
        index += 1;
    }
}

#[test]
fn hearsay_does_not_fill_the_view() {
    let (mut context, mut newcomers) = watching();
    context.config.tuning.members_max = 16;
    newcomers.on_first_link(context.now);
    // Two slots of sixteen are reserved, and ten are taken.
    for index in 100..104 {
        assert_eq!(
            admit(&mut newcomers, &mut context, index),
            Admittance::Believed
        );
        learn(&mut context, index);
    }
    assert_eq!(admit(&mut newcomers, &mut context, 104), Admittance::Full);
    assert!(
        context.topology.intern(&id(104)).is_some(),
        "a member with a link has room"
    );
}

/// A node that joined and believed the records of many members.
fn joined(
    invented: core::ops::Range<usize>,
) -> (Context, Newcomers, BTreeMap<MemberIndex, LinkId>) {
    let (mut context, mut newcomers) = watching();
    newcomers.on_first_link(context.now);
    let neighbour = |index| context.topology.index_of(&id(index)).unwrap();
    let [one, other] = [1, 2].map(neighbour);
    for neighbour in [one, other] {
        newcomers.on_agreed(&context, neighbour, false);
    }
    for index in invented {
        let admittance = admit(&mut newcomers, &mut context, index);
        assert_eq!(admittance, Admittance::Believed);
        learn(&mut context, index);
    }
    context.now += PROOF_TIME;
    let linked = BTreeMap::from([(one, LinkId(1)), (other, LinkId(2))]);
    (context, newcomers, linked)
}

#[test]
fn members_that_no_other_neighbour_holds_are_not_believed_after_the_join() {
    let (mut context, mut newcomers, linked) = joined(1_000..1_200);
    for _ in 0..6 {
        let round = newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
        assert!(round.ask.is_some());
        context.now += Duration::from_secs(2);
    }
    newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
    assert!(newcomers.is_guarded());
    assert_eq!(newcomers.take_begun().unwrap().len(), 200);
}

#[test]
fn members_that_other_neighbours_hold_are_believed_after_the_join() {
    let (mut context, mut newcomers, linked) = joined(1_000..1_200);
    let round = newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
    let (members, links) = round.ask.unwrap();
    for link in links {
        for member in &members {
            newcomers.on_pushed(link, *member);
        }
    }
    context.now += Duration::from_secs(2);
    let round = newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
    assert_eq!(round, Round::default());
    assert!(newcomers.unproven.is_empty());
}

#[test]
fn a_few_members_that_came_last_are_unproven_after_the_join() {
    let (mut context, mut newcomers, linked) = joined(1_000..1_010);
    newcomers.on_maintained(&mut context, |_, _| Status::Alive, &linked);
    assert_eq!(newcomers.unproven.len(), 10);
    assert!(!newcomers.is_guarded());
}

#[test]
fn a_node_that_joins_believes_as_many_members_as_a_large_mesh_has() {
    let (mut context, mut newcomers) = watching();
    newcomers.on_first_link(context.now);
    context.config.tuning.members_max = 1 << 17;
    let believed = TRUSTED_MAX - context.topology.len();
    for index in 100..100 + believed {
        let admittance = admit(&mut newcomers, &mut context, index);
        assert_eq!(admittance, Admittance::Believed);
        learn(&mut context, index);
    }
    for index in 20_000..20_000 + TRUSTED_MAX / 2 {
        let admittance = admit(&mut newcomers, &mut context, index);
        assert_eq!(admittance, Admittance::Unproven, "{index}");
    }
    let admittance = admit(&mut newcomers, &mut context, 40_000);
    assert_eq!(admittance, Admittance::Refused);
    assert!(newcomers.is_guarded());
}
