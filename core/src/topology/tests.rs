//! Merge laws: views that received the same values are equal, whatever the order, repetition or route.

use super::record::{Content, Edge, EdgeReport, Rank, Service};
use super::*;
use crate::time::Wall;
use proptest::prelude::*;

/// One value that a view can receive.
#[derive(Clone, Debug)]
enum Heard {
    Record(Arc<Record>),
    Report(Arc<EdgeReport>),
}

fn id(index: u8) -> NodeId {
    NodeId::new(&format!("n{index}")).unwrap()
}

prop_compose! {
    /// The ranges are small, so that clones (equal epochs, two instances) and byzantine values (equal ranks, other
    /// content) are common.
    fn record()(
        who in 0_u8..4, epoch in 1_u64..3, instance in 1_u32..3, incarnation in 0_u64..2,
        leaving in prop::bool::weighted(0.2), version in 1_u64..4, service in 0_u8..3, joined in 0_u64..2,
    ) -> Heard {
        let services = (0..service).map(|n| Service { name: format!("s{n}"), version: "1".into() }).collect();
        let address = Some(core::net::SocketAddr::from(([10, 0, 0, who], 1)));
        let content = Content { services, address, joined: Wall(joined), ..Content::default() };
        let rank = Rank { epoch, instance, incarnation, leaving, version };
        Heard::Record(Arc::new(Record::new(id(who), rank, content)))
    }
}

prop_compose! {
    fn report()(
        who in 0_u8..4, epoch in 1_u64..3, version in 1_u64..4, edges in prop::collection::btree_map(0_u8..4, any::<bool>(), 0..3),
    ) -> Heard {
        let edges = edges.into_iter().map(|(peer, down)| Edge { peer: id(peer), down, refused: false }).collect();
        Heard::Report(Arc::new(EdgeReport { epoch, version, edges, reporter: id(who) }))
    }
}

fn heard() -> impl Strategy<Value = Vec<Heard>> {
    prop::collection::vec(prop_oneof![3 => record(), 1 => report()], 0..24)
}

fn empty() -> Topology {
    empty_of(64)
}

fn empty_of(members: usize) -> Topology {
    Topology::new(members, Sabotage::NONE)
}

fn hear(view: &mut Topology, heard: &Heard) -> Applied {
    match heard {
        Heard::Record(record) => view.apply_record(record),
        Heard::Report(report) => view.apply_report(report, vec![None; report.edges.len()]),
    }
}

fn view_of(heard: &[Heard]) -> Topology {
    let mut view = empty();
    for one in heard {
        hear(&mut view, one);
    }
    view
}

type Contents = (Vec<Arc<Record>>, Vec<Option<Arc<EdgeReport>>>, u64);

/// The parts that equal views have in common; the indices of equal views may differ.
fn contents(view: &Topology) -> Contents {
    let reports = (0..4).map(|who| view.report(&id(who)).cloned()).collect();
    (view.records().cloned().collect(), reports, view.hash())
}

/// All contents of a view, as values to receive.
fn everything(view: &Topology) -> Vec<Heard> {
    let records = view.records().cloned().map(Heard::Record);
    let reports = (0..4)
        .filter_map(|who| view.report(&id(who)).cloned())
        .map(Heard::Report);
    records.chain(reports).collect()
}

fn merge(into: &Topology, from: &Topology) -> Topology {
    let mut merged = into.clone();
    for one in everything(from) {
        hear(&mut merged, &one);
    }
    merged
}

proptest! {
    #[test]
    fn any_order_and_repetition_ends_in_one_state(
        (heard, shuffled) in heard().prop_flat_map(|heard| (Just(heard.clone()), Just(heard).prop_shuffle())),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut other = shuffled.clone();
        if !shuffled.is_empty() {
            other.extend(again.iter().map(|index| index.get(&shuffled).clone()));
        }
        prop_assert_eq!(contents(&view_of(&heard)), contents(&view_of(&other)));
    }

    #[test]
    fn merging_commutes_associates_and_repeats_without_harm(a in heard(), b in heard(), c in heard()) {
        let (a, b, c) = (view_of(&a), view_of(&b), view_of(&c));
        prop_assert_eq!(contents(&merge(&a, &b)), contents(&merge(&b, &a)));
        prop_assert_eq!(contents(&merge(&merge(&a, &b), &c)), contents(&merge(&a, &merge(&b, &c))));
        prop_assert_eq!(contents(&merge(&a, &a)), contents(&a));
    }

    #[test]
    fn a_lower_record_never_wins(heard in heard(), next in record()) {
        let mut view = view_of(&heard);
        let Heard::Record(next) = next else { unreachable!() };
        let before = view.record(next.id()).cloned();
        let applied = view.apply_record(&next);
        let after = view.record(next.id()).cloned().unwrap();
        prop_assert!(before.as_ref().is_none_or(|before| after >= *before));
        prop_assert_eq!(applied == Applied::Newer, before.as_ref().is_none_or(|before| next > *before));
        prop_assert_eq!(applied == Applied::Same, before.as_ref() == Some(&next));
    }

    #[test]
    fn sending_only_news_equals_sending_everything(ours in heard(), theirs in heard()) {
        // A delta holds the values that changed the relay's view. The delta must bring a copy of that view to the same
        // state.
        let mut relay = view_of(&ours);
        let mut receiver = relay.clone();
        for one in &theirs {
            if hear(&mut relay, one) == Applied::Newer {
                hear(&mut receiver, one);
            }
        }
        prop_assert_eq!(contents(&relay), contents(&receiver));
    }

    #[test]
    fn the_hash_is_of_the_contents_alone(a in heard(), b in heard()) {
        let (a, b) = (contents(&view_of(&a)), contents(&view_of(&b)));
        prop_assert_eq!((&a.0, &a.1) == (&b.0, &b.1), a.2 == b.2);
    }

    #[test]
    fn the_provider_index_equals_a_scan(heard in heard(), unlisted in prop::collection::btree_set(0_u8..4, 0..3)) {
        let mut view = view_of(&heard);
        for who in &unlisted {
            if let Some(member) = view.index_of(&id(*who)) {
                view.set_listed(member, false);
            }
        }
        for name in ["s0", "s1", "s2"] {
            let scanned: Vec<NodeId> = view
                .records()
                .filter(|record| !record.rank().leaving && !unlisted.iter().any(|who| &id(*who) == record.id()))
                .filter(|record| record.content().services.iter().any(|service| service.name == name))
                .map(|record| record.id().clone())
                .collect();
            prop_assert_eq!(&view.providers(name, Some("1")), &scanned);
            prop_assert_eq!(&view.providers(name, None), &scanned);
            prop_assert!(view.providers(name, Some("2")).is_empty());
        }
    }

    #[test]
    fn joining_times_survive_every_merge(a in heard(), b in heard()) {
        let merged = merge(&view_of(&a), &view_of(&b));
        for record in merged.records() {
            let said = a.iter().chain(&b).any(|heard| matches!(heard, Heard::Record(said) if said == record));
            prop_assert!(said, "{:?} is a published record, with its joining time", record);
        }
    }

    #[test]
    fn reach_equals_a_search_over_all_edges(heard in heard(), more in prop::collection::vec(report(), 0..6)) {
        let mut all = heard;
        all.extend(more);
        for who in 0..4 {
            all.push(Heard::Record(Arc::new(Record::new(
                id(who),
                Rank { epoch: 1, instance: 1, incarnation: 0, leaving: false, version: 1 },
                Content { address: Some(core::net::SocketAddr::from(([10, 0, 0, who], 1))), ..Content::default() },
            ))));
        }
        let view = view_of(&all);
        let me = view.index_of(&id(0)).unwrap();
        let reachability = view.reachability(me, core::iter::empty(), &[], |_| true);
        let expected = brute_force_reach(&view);
        for who in 0..4 {
            let member = view.index_of(&id(who)).unwrap();
            prop_assert_eq!(reachability.is_reached(member), expected[usize::from(who)], "n{}", who);
        }
    }
}

/// Reachability by brute force: checks every pair until nothing changes.
fn brute_force_reach(view: &Topology) -> Vec<bool> {
    let says = |from: u8, to: u8, down: bool| {
        view.report(&id(from)).is_some_and(|report| {
            report
                .edges
                .iter()
                .any(|edge| edge.peer == id(to) && edge.down == down)
        })
    };
    let rung = |from: u8, to: u8| {
        let (one, other) = (
            view.index_of(&id(from)).unwrap(),
            view.index_of(&id(to)).unwrap(),
        );
        let on_ring = |who: u8| {
            view.record(&id(who))
                .is_some_and(|record| !record.rank().leaving)
        };
        on_ring(from) && on_ring(to) && view.is_ring_edge(one, other)
    };
    let mut reached = vec![true, false, false, false];
    for _ in 0..4 {
        for from in 0_u8..4 {
            for to in 0_u8..4 {
                let ring = rung(from, to) && !says(from, to, true) && !says(to, from, true);
                if from != to && reached[usize::from(from)] && (ring || says(from, to, false)) {
                    reached[usize::from(to)] = true;
                }
            }
        }
    }
    reached
}

#[test]
fn two_fresh_views_with_equal_versions_both_end_in_both() {
    let fresh = |who: u8| {
        let rank = Rank {
            epoch: 1,
            instance: u32::from(who) + 1,
            incarnation: 0,
            leaving: false,
            version: 1,
        };
        view_of(&[Heard::Record(Arc::new(Record::new(
            id(who),
            rank,
            Content::default(),
        )))])
    };
    let (one, other) = (fresh(0), fresh(1));
    let (ours, theirs) = (merge(&one, &other), merge(&other, &one));
    assert_eq!(contents(&ours), contents(&theirs));
    assert_eq!(ours.len(), 2);
}

#[test]
fn concurrent_additions_both_survive() {
    let rank = |who: u8| Rank {
        epoch: 1,
        instance: u32::from(who) + 1,
        incarnation: 0,
        leaving: false,
        version: 1,
    };
    let record = |who: u8| {
        Heard::Record(Arc::new(Record::new(
            id(who),
            rank(who),
            Content::default(),
        )))
    };
    let base = vec![record(0)];
    let one = view_of(&[base.clone(), vec![record(1)]].concat());
    let other = view_of(&[base, vec![record(2)]].concat());
    assert_eq!(
        merge(&one, &other)
            .records()
            .map(|record| record.id().clone())
            .collect::<Vec<_>>(),
        [id(0), id(1), id(2)]
    );
}

proptest! {
    #[test]
    fn members_of_one_batch_stand_where_each_would_stand_alone(
        batches in prop::collection::vec(prop::collection::vec((0_u8..60, prop::bool::weighted(0.2)), 0..24), 1..6),
        local in 0_u8..60,
    ) {
        let (mut gathered, mut plain) = (empty(), empty());
        let me = gathered.intern(&id(local)).unwrap();
        prop_assert_eq!(plain.intern(&id(local)), Some(me));
        gathered.set_local_member(me);
        plain.set_local_member(me);
        let mut version = 0;
        for batch in &batches {
            let mut batched = gathered.batch();
            for (who, leaving) in batch {
                version += 1;
                let rank = Rank { epoch: 1, instance: 1, incarnation: 0, leaving: *leaving, version };
                let address = Some(core::net::SocketAddr::from(([10, 0, 0, *who], 1)));
                let content = Content { address, ..Content::default() };
                let record = Arc::new(Record::new(id(*who), rank, content));
                let (_, _, applied) = batched.merge(&record, false).unwrap();
                prop_assert_eq!(applied, plain.apply_record(&record));
            }
            drop(batched);
            prop_assert_eq!(&gathered, &plain);
            for ring in 0..RINGS {
                let following: Vec<_> = plain.following(me, ring).collect();
                let mut expected: Vec<_> = plain.on_rings().collect();
                expected.sort_unstable_by_key(|member| {
                    let [own, its] = [me, *member].map(|member| (position::places(plain.id_at(member).unwrap())[ring], member));
                    (its < own, its)
                });
                expected.retain(|member| *member != me && plain.is_known(me));
                prop_assert_eq!(following, expected);
            }
        }
    }
}

/// The members that `member` watches and that watch it on a ring, found by a walk over all positions.
fn walked(
    view: &Topology,
    places: &[(u64, MemberIndex)],
    member: MemberIndex,
    is_dialable: impl Fn(MemberIndex) -> bool,
) -> BTreeSet<MemberIndex> {
    if view.held(member).is_none() {
        return BTreeSet::new();
    }
    let own = places.iter().position(|(_, other)| *other == member);
    let own = own.unwrap();
    let turn = places[own..].iter().chain(&places[..own]).skip(1);
    let turn: Vec<MemberIndex> = turn.map(|(_, other)| *other).collect();
    let mut found: BTreeSet<MemberIndex> = turn
        .iter()
        .copied()
        .find(|it| is_dialable(*it))
        .into_iter()
        .collect();
    if is_dialable(member) {
        let before = turn.iter().rev();
        let count = before.clone().take_while(|it| !is_dialable(**it)).count();
        found.extend(before.take(count + 1));
    }
    found
}

proptest! {
    #[test]
    fn ring_neighbours_are_those_that_a_walk_finds(
        batches in prop::collection::vec(prop::collection::vec((0_u8..40, 0_u8..4), 0..30), 1..5),
        local in 0_u8..40,
    ) {
        let mut view = empty();
        let me = view.intern(&id(local)).unwrap();
        view.set_local_member(me);
        let mut version = 0;
        for batch in &batches {
            let mut records = Vec::new();
            for (who, kind) in batch {
                version += 1;
                let rank = Rank { epoch: 1, instance: 1, incarnation: 0, leaving: *kind == 3, version };
                let address = (*kind == 0).then(|| core::net::SocketAddr::from(([10, 0, 0, *who], 1)));
                records.push(Arc::new(Record::new(id(*who), rank, Content { address, ..Content::default() })));
            }
            let mut batched = view.batch();
            for record in &records {
                batched.merge(record, false);
            }
            drop(batched);
            let is_dialable = |member: MemberIndex| view.is_addressed(member);
            let members: Vec<MemberIndex> = view.on_rings().collect();
            let mut found = BTreeMap::<MemberIndex, BTreeSet<MemberIndex>>::new();
            for ring in 0..RINGS {
                let mut places: Vec<_> = members.iter().map(|member| view.place(*member, ring)).collect();
                places.sort_unstable();
                prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
                for member in &members {
                    found.entry(*member).or_default().extend(walked(&view, &places, *member, is_dialable));
                }
                let mut edges: Vec<_> = view.ring_edges(ring).collect();
                edges.sort_unstable();
                let following = members.iter().filter_map(|it| Some((*it, view.following(*it, ring).next()?)));
                let mut following: Vec<_> = following.collect();
                following.sort_unstable();
                prop_assert_eq!(edges, following);
            }
            for (member, neighbours) in &found {
                prop_assert_eq!(&view.ring_neighbours(*member), neighbours);
                for other in view.indices() {
                    prop_assert_eq!(view.is_ring_edge(*member, other), neighbours.contains(&other));
                }
            }
            let off: Vec<MemberIndex> = members.iter().copied().filter(|it| it % 3 == 1).collect();
            let (mut one_by_one, mut at_once) = (view.clone(), view.clone());
            at_once.hold_all_off(&off);
            off.iter().for_each(|member| one_by_one.hold_off(*member));
            prop_assert_eq!(&at_once, &one_by_one);
            at_once.let_on(&off);
            prop_assert!(at_once.on_rings().eq(members));
        }
    }
}

/// A view of ten members that can be dialled, and of many that cannot.
fn crowded(undialable: usize) -> (Topology, Vec<MemberIndex>) {
    let mut view = Topology::new(usize::MAX, Sabotage::NONE);
    let rank = Rank {
        epoch: 1,
        ..Rank::default()
    };
    let mut members = Vec::new();
    for index in 0..10 + undialable {
        let address = (index < 10).then(|| core::net::SocketAddr::from(([10, 0, 0, 1], 1)));
        let content = Content {
            address,
            ..Content::default()
        };
        let id = NodeId::new(&format!("n{index}")).unwrap();
        let record = Arc::new(Record::new(id, rank, content));
        assert_eq!(view.apply_record(&record), Applied::Newer);
        members.extend(view.index_of(record.id()));
    }
    (view, members)
}

#[test]
fn an_edge_is_tested_without_a_look_at_the_members_between() {
    let work = |undialable| {
        let (view, members) = crowded(undialable);
        let pairs = members[..10]
            .iter()
            .flat_map(|one| members[..20].iter().map(move |it| (*one, *it)));
        pairs
            .map(|(one, other)| rings::reads::of(|| view.is_ring_edge(one, other)))
            .max()
    };
    let (few, many) = (work(500).unwrap(), work(4_000).unwrap());
    assert!(
        many <= few + 3 * RINGS * 3,
        "{few} and {many} positions are read"
    );
}

#[test]
fn the_neighbours_of_all_members_cost_in_proportion_to_their_number() {
    let work = |undialable| {
        let (view, members) = crowded(undialable);
        let of_each = members
            .iter()
            .map(|it| rings::reads::of(|| view.ring_neighbours(*it)));
        of_each.sum::<usize>()
    };
    let (half, whole) = (work(2_000), work(4_000));
    assert!(
        whole * 10 < half * 23,
        "{half} and {whole} positions are read"
    );
}

#[test]
fn a_full_view_takes_no_more_members_and_keeps_those_it_has() {
    let mut view = Topology::new(2, Sabotage::NONE);
    let rank = |version| Rank {
        epoch: 1,
        instance: 1,
        incarnation: 0,
        leaving: false,
        version,
    };
    let apply = |view: &mut Topology, who, version| {
        view.apply_record(&Arc::new(Record::new(
            id(who),
            rank(version),
            Content::default(),
        )))
    };
    assert_eq!(apply(&mut view, 0, 1), Applied::Newer);
    assert_eq!(apply(&mut view, 1, 1), Applied::Newer);
    assert_eq!(apply(&mut view, 2, 1), Applied::Full);
    assert_eq!(apply(&mut view, 1, 2), Applied::Newer);
    assert_eq!(view.len(), 2);
}

#[test]
fn a_forgotten_member_is_not_resurrected_by_old_updates() {
    let rank = |epoch| Rank {
        epoch,
        instance: 1,
        incarnation: 0,
        leaving: false,
        version: 1,
    };
    let record = |epoch| Arc::new(Record::new(id(1), rank(epoch), Content::default()));
    let mut view = empty();
    view.apply_record(&record(1));
    let member = view.index_of(&id(1)).unwrap();
    view.retire(member);
    assert_eq!((view.record(&id(1)), view.hash(), view.len()), (None, 0, 0));
    assert_eq!(view.apply_record(&record(1)), Applied::Same);
    assert_eq!(view.record(&id(1)), None);
    assert_eq!(view.apply_record(&record(2)), Applied::Newer);
    assert_eq!(view.record(&id(1)), Some(&record(2)));
}

#[test]
fn a_node_that_cannot_be_dialled_watches_and_is_not_watched() {
    let rank = Rank {
        epoch: 1,
        instance: 1,
        incarnation: 0,
        leaving: false,
        version: 1,
    };
    let mut view = empty();
    for who in 0..6 {
        let address = (who != 3).then(|| core::net::SocketAddr::from(([10, 0, 0, who], 1)));
        view.apply_record(&Arc::new(Record::new(
            id(who),
            rank,
            Content {
                address,
                ..Content::default()
            },
        )));
    }
    let undialable = view.index_of(&id(3)).unwrap();
    for ring in 0..RINGS {
        let edges: Vec<(MemberIndex, MemberIndex)> = view.ring_edges(ring).collect();
        assert_eq!(edges.len(), 6);
        assert_eq!(
            edges.iter().filter(|(from, _)| *from == undialable).count(),
            1
        );
        assert!(edges.iter().all(|(_, to)| *to != undialable));
        for (from, to) in edges {
            assert_eq!(
                view.following(from, ring).next(),
                Some(to),
                "both ways of asking agree"
            );
        }
    }
}

#[test]
fn services_are_listed_in_order_with_their_providers() {
    let rank = Rank {
        epoch: 1,
        instance: 1,
        incarnation: 0,
        leaving: false,
        version: 1,
    };
    let mut view = empty();
    assert!(view.is_empty());
    for who in [2, 0, 1] {
        let services = ["web", "db"].map(|name| Service {
            name: name.into(),
            version: "1".into(),
        });
        let services = services.into_iter().skip(usize::from(who == 1)).collect();
        view.apply_record(&Arc::new(Record::new(
            id(who),
            rank,
            Content {
                services,
                ..Content::default()
            },
        )));
    }
    assert!(!view.is_empty());
    let listed: Vec<_> = view
        .services()
        .map(|(name, version, nodes)| (name, version, nodes.to_vec()))
        .collect();
    assert_eq!(
        listed,
        [
            ("db", "1", vec![id(0), id(1), id(2)]),
            ("web", "1", vec![id(0), id(2)])
        ]
    );
    let after: Vec<_> = view
        .indices_after(Some(&id(0)))
        .filter_map(|member| view.slot(member))
        .map(|slot| slot.id.clone())
        .collect();
    assert_eq!(after, [id(1), id(2)]);
}

#[test]
fn a_report_replaces_its_shortened_copy_in_any_order() {
    // A member of protocol version 1 passes on the first 64 edges of a report.
    let edges = (0..70).map(|index| Edge {
        peer: id(index),
        down: true,
        refused: false,
    });
    let whole = EdgeReport {
        epoch: 1,
        version: 1,
        edges: edges.collect(),
        reporter: id(200),
    };
    let shortened = EdgeReport {
        edges: whole.edges[..64].to_vec(),
        ..whole.clone()
    };
    let mut views = [empty_of(128), empty_of(128)];
    let [whole, shortened] = [whole, shortened].map(|it| Heard::Report(Arc::new(it)));
    assert_eq!(hear(&mut views[0], &whole), Applied::Newer);
    assert_eq!(hear(&mut views[0], &shortened), Applied::Older);
    assert_eq!(hear(&mut views[1], &shortened), Applied::Newer);
    assert_ne!(views[0].hash(), views[1].hash(), "anti-entropy finds it");
    assert_eq!(hear(&mut views[1], &whole), Applied::Newer);
    assert_eq!(views[0].hash(), views[1].hash());
}

#[test]
fn a_member_that_a_report_names_is_named() {
    let mut view = empty();
    let report = EdgeReport {
        epoch: 1,
        version: 1,
        edges: vec![Edge {
            peer: id(1),
            down: true,
            refused: false,
        }],
        reporter: id(0),
    };
    view.apply_report(&Arc::new(report), vec![None]);
    let named = |view: &Topology, who| view.is_named(view.index_of(&id(who)).unwrap());
    assert_eq!((named(&view, 0), named(&view, 1)), (false, true));
    let empty_report = EdgeReport {
        epoch: 1,
        version: 2,
        edges: vec![],
        reporter: id(0),
    };
    view.apply_report(&Arc::new(empty_report), Vec::<Option<Instant>>::new());
    assert!(!named(&view, 1));
}
