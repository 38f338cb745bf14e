//! Tests of references between objects and of owner references.

use super::{SequencerBench, config, create, delete, draft, name, table, update};
use crate::registry::metadata::{OwnerReference, Uid, WriterMetadata};
use crate::registry::object::ObjectDraft;
use crate::registry::replica::tests::RegionsWorld;
use crate::registry::rules::RuleViolation;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::sequencer::Config;
use crate::registry::value::ObjectValue;
use crate::registry::write::{WriteOperation, WriteRefusal};
use crate::time::Duration;
use proptest::prelude::*;

const TARGET: &str = "//shop/orders/1";

fn reference(field: &str, on_delete: &str) -> ObjectValue {
    ObjectValue::Table(table(&[
        ("field", field.into()),
        ("on_delete", on_delete.into()),
    ]))
}

/// The kinds of objects that refer to orders, in the names of this form.
fn kinds(form: &str) -> Vec<WriteOperation> {
    let kind = |id: &str, on_delete: &str| {
        let pattern = form.replace('%', id);
        let references = ObjectValue::List(vec![reference("order", on_delete)]);
        create(
            &format!("services/shop/resources/{id}"),
            &[
                ("patterns", ObjectValue::texts([pattern])),
                ("references", references),
            ],
        )
    };
    vec![
        kind("bills", "block"),
        kind("parcels", "cascade"),
        kind("notes", "unset"),
    ]
}

fn prepared(config: Config) -> SequencerBench {
    let mut bench = SequencerBench::prepared(config);
    bench.must(&kinds("//shop/%/{id}"));
    bench.must(&[create(TARGET, &[])]);
    bench
}

fn referring(at: &str) -> WriteOperation {
    create(at, &[("order", TARGET.into()), ("size", 1.into())])
}

fn settle(bench: &mut SequencerBench) {
    for _ in 0..40 {
        while bench.group.is_some() {
            bench.commit();
        }
        bench.wake_after(Duration::from_secs(1));
    }
}

fn violation<T: core::fmt::Debug>(result: Result<T, WriteRefusal>) -> RuleViolation {
    match result {
        Err(WriteRefusal::Rule(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_blocks_a_deletion_or_follows_it() {
    let mut bench = prepared(config());
    bench.must(&[
        referring("//shop/bills/1"),
        referring("//shop/parcels/1"),
        referring("//shop/notes/1"),
    ]);
    let blocked = violation(bench.done(&[delete(TARGET)]));
    let expected = RuleViolation::Blocked {
        name: name(TARGET),
        blockers: vec![name("//shop/bills/1")],
    };
    assert_eq!(blocked, expected);
    let outcome = bench.must(&[delete("//shop/bills/1"), delete(TARGET)]);
    assert_eq!(outcome.objects.len(), 4, "{outcome:?}");
    assert_eq!(bench.generation(TARGET), None);
    assert_eq!(bench.generation("//shop/parcels/1"), None);
    let note = bench.machine.get(&name("//shop/notes/1")).unwrap();
    assert_eq!(note.body, table(&[("size", 1.into())]));
}

#[test]
fn a_write_refers_to_objects_that_exist() {
    let mut bench = prepared(config());
    let missing = [("order", "//shop/orders/9".into())];
    let refusal = violation(bench.done(&[create("//shop/notes/1", &missing)]));
    assert!(matches!(refusal, RuleViolation::Missing { .. }));
    let number = [("order", ObjectValue::from(7_u64))];
    let refusal = bench.refusal(&[create("//shop/notes/1", &number)]);
    assert!(matches!(refusal, WriteRefusal::Kind(..)), "{refusal}");
    let list = ObjectValue::texts([TARGET, "//shop/orders/2"]);
    bench.must(&[create("//shop/orders/2", &[])]);
    bench.must(&[create("//shop/notes/1", &[("order", list)])]);
    bench.must(&[delete(TARGET)]);
    let note = bench.machine.get(&name("//shop/notes/1")).unwrap();
    assert_eq!(note.body["order"], ObjectValue::texts(["//shop/orders/2"]));
    // The other side of a batch is checked as well.
    let one = [("order", "//shop/orders/2".into())];
    let both = [create("//shop/bills/1", &one), delete("//shop/orders/2")];
    assert!(bench.done(&both).is_err());
    let resource = [("patterns", ObjectValue::texts(["//shop/notes/{id}"]))];
    let kind = update("services/shop/resources/notes", &resource, None);
    let fixed = violation(bench.done(&[kind]));
    assert!(matches!(fixed, RuleViolation::Blocked { .. }));
}

#[test]
fn a_large_cascade_goes_on_in_batches_and_after_a_restart() {
    let mut bench = prepared(config());
    for part in 0..7 {
        let parcels = (0..100).map(|id| referring(&format!("//shop/parcels/{}", part * 100 + id)));
        bench.must(&parcels.collect::<Vec<_>>());
    }
    bench.write(&[delete(TARGET)]);
    bench.commit();
    assert_eq!(bench.generation(TARGET), Some(2), "it is being deleted");
    let late = violation(bench.done(&[referring("//shop/notes/9")]));
    assert!(matches!(late, RuleViolation::BeingDeleted { .. }));
    bench.machine = crate::registry::sequencer::Sequencer::new(config());
    bench.group = None;
    bench.step(crate::registry::sequencer::Input::Start);
    settle(&mut bench);
    assert_eq!(bench.generation(TARGET), None);
    let left = bench.machine.objects().with_prefix("//shop/parcels/");
    assert_eq!(left.count(), 0);
}

fn owned(at: &str, owners: &[(&str, Uid)], block: bool) -> WriteOperation {
    let owner = |(at, uid): &(&str, Uid)| OwnerReference {
        name: name(at),
        uid: *uid,
        region: "eu".parse().unwrap(),
        api_version: String::new(),
        controller: false,
        block,
    };
    WriteOperation::Create(ObjectDraft {
        metadata: WriterMetadata {
            owner_references: owners.iter().map(owner).collect(),
            ..WriterMetadata::default()
        },
        ..draft(at, &[])
    })
}

fn uid(bench: &SequencerBench, at: &str) -> Uid {
    bench.machine.get(&name(at)).unwrap().metadata.uid
}

#[test]
fn an_object_is_collected_when_all_owners_are_gone() {
    for bugs in [
        RegistryBugs::NONE,
        RegistryBugs::NONE.with(RegistryBug::OneOwnerCounts),
    ] {
        let mut bench = SequencerBench::prepared(Config { bugs, ..config() });
        let (one, two) = ("//shop/orders/1", "//shop/orders/2");
        bench.must(&[create(one, &[]), create(two, &[])]);
        let owners = [(one, uid(&bench, one)), (two, uid(&bench, two))];
        bench.must(&[owned("//shop/orders/3", &owners, false)]);
        let unknown = [(one, Uid::from_random(1, 2))];
        let refusal = violation(bench.done(&[owned("//shop/orders/4", &unknown, false)]));
        assert!(matches!(refusal, RuleViolation::Missing { .. }));
        bench.must(&[delete(one)]);
        // Another life of the owner is another owner.
        bench.must(&[create(one, &[])]);
        settle(&mut bench);
        let is_sound = bugs == RegistryBugs::NONE;
        assert_eq!(bench.generation("//shop/orders/3").is_some(), is_sound);
        bench.must(&[delete(two)]);
        settle(&mut bench);
        assert_eq!(bench.generation("//shop/orders/3"), None);
        assert_eq!(bench.generation(one), Some(1));
    }
}

#[test]
fn a_dependent_may_block_the_deletion_of_its_owner() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create(TARGET, &[])]);
    let owners = [(TARGET, uid(&bench, TARGET))];
    bench.must(&[owned("//shop/orders/3", &owners, true)]);
    let blocked = violation(bench.done(&[delete(TARGET)]));
    assert!(matches!(blocked, RuleViolation::Blocked { .. }));
    bench.must(&[delete("//shop/orders/3")]);
    bench.must(&[delete(TARGET)]);
}

const EU: usize = 0;
const US: usize = 1;

fn regional(id: &str) -> String {
    format!("//shop/regions/us/{id}/1")
}

/// Three regions, with kinds whose objects are in each region.
fn regions(bugs: RegistryBugs) -> RegionsWorld {
    let mut world = RegionsWorld::with_bugs(bugs);
    world
        .done(EU, kinds("//shop/regions/{region}/%/{id}"))
        .unwrap();
    world.done(EU, vec![create(TARGET, &[])]).unwrap();
    world.settle();
    world
}

fn exists(world: &RegionsWorld, at: usize, object: &str) -> bool {
    world.machine(at).get(&name(object)).is_some()
}

fn cut(world: &mut RegionsWorld, is_cut: bool) {
    (world.is_cut[EU][US], world.is_cut[US][EU]) = (is_cut, is_cut);
}

#[test]
fn references_of_another_region_block_or_follow_a_deletion() {
    let mut world = regions(RegistryBugs::NONE);
    for kind in ["bills", "parcels", "notes"] {
        world.done(US, vec![referring(&regional(kind))]).unwrap();
    }
    world.settle();
    let blocked = violation(world.done(EU, vec![delete(TARGET)]));
    assert!(matches!(blocked, RuleViolation::Blocked { .. }));
    world.done(US, vec![delete(&regional("bills"))]).unwrap();
    world.settle();
    world.done(EU, vec![delete(TARGET)]).unwrap();
    world.settle();
    assert!(!exists(&world, EU, TARGET) && !exists(&world, EU, &regional("parcels")));
    let note = world.machine(EU).get(&name(&regional("notes"))).unwrap();
    assert_eq!(note.body.get("order"), None);
    world.check_settled();
}

#[test]
fn the_other_side_refuses_and_an_unreachable_one_blocks() {
    let mut world = regions(RegistryBugs::NONE);
    cut(&mut world, true);
    let bill = world.write(US, vec![referring(&regional("bills"))], 0);
    world.commit(US);
    assert!(world.answer(US, bill).unwrap().is_ok());
    let order = world.write(EU, vec![delete(TARGET)], 0);
    world.commit(EU);
    assert!(world.answer(EU, order).unwrap().is_ok());
    for _ in 0..5 {
        world.flow();
        world.sleep(Duration::from_secs(1));
    }
    assert!(exists(&world, EU, TARGET), "us cannot be reached");
    world.settle();
    assert!(exists(&world, EU, TARGET), "us refuses");
    let blocked = violation(world.done(EU, vec![delete(TARGET)]));
    assert!(
        matches!(blocked, RuleViolation::Blocked { .. }),
        "{blocked}"
    );
    world.done(US, vec![delete(&regional("bills"))]).unwrap();
    world.settle();
    assert!(!exists(&world, EU, TARGET));
    world.check_settled();
}

fn dangling(world: &RegionsWorld) -> Option<String> {
    let objects = world.machine(EU).objects();
    let mut all = objects.iter();
    let found = all.find(|it| {
        let target = it.text("order");
        !target.is_empty() && objects.get(&name(target)).is_none()
    });
    found.map(|it| it.name.to_string())
}

#[test]
fn the_planted_bugs_leave_references_to_nothing() {
    for bug in [RegistryBug::ReferrersForgotten, RegistryBug::EndsUnasked] {
        let mut world = regions(RegistryBugs::NONE.with(bug));
        cut(&mut world, true);
        world.write(US, vec![referring(&regional("bills"))], 0);
        world.commit(US);
        world.write(EU, vec![delete(TARGET)], 0);
        for _ in 0..5 {
            world.commit(EU);
            world.sleep(Duration::from_secs(1));
        }
        world.settle();
        assert_eq!(dangling(&world), Some(regional("bills")), "{bug:?}");
    }
}

/// A move of the schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    Target { removes: bool },
    Refer { kind: usize, removes: bool },
    Commit { at: usize },
    Deliver { count: usize },
    Cut { from: usize, to: usize },
    Crash { at: usize },
    Sleep,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => any::<bool>().prop_map(|removes| Move::Target { removes }),
        5 => (0..3_usize, prop::bool::weighted(0.3)).prop_map(|(kind, removes)| Move::Refer { kind, removes }),
        8 => (0..3_usize).prop_map(|at| Move::Commit { at }),
        8 => (1..12_usize).prop_map(|count| Move::Deliver { count }),
        2 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Move::Cut { from, to }),
        1 => (0..3_usize).prop_map(|at| Move::Crash { at }),
        2 => Just(Move::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn no_reference_dangles_in_any_schedule(moves in prop::collection::vec(any_move(), 1..80)) {
        let mut world = regions(RegistryBugs::NONE);
        for it in moves {
            match it {
                Move::Target { removes: true } => {
                    world.write(EU, vec![delete(TARGET)], 0);
                }
                Move::Target { removes: false } => {
                    world.write(EU, vec![create(TARGET, &[])], 0);
                }
                Move::Refer { kind, removes } => {
                    let at = regional(["bills", "parcels", "notes"][kind]);
                    let operation = if removes { delete(&at) } else { referring(&at) };
                    world.write(US, vec![operation], 0);
                }
                Move::Commit { at } => world.commit(at),
                Move::Deliver { count } => world.deliver(count, false),
                Move::Cut { from, to } => {
                    if from != to {
                        world.is_cut[from][to] = !world.is_cut[from][to];
                    }
                }
                Move::Crash { at } => world.crash(at, true),
                Move::Sleep => world.sleep(Duration::from_millis(700)),
            }
        }
        world.settle();
        world.check_settled();
        prop_assert_eq!(dangling(&world), None);
    }
}
