//! Tests of what a registry ends only after the registries of other regions have answered, and of what it changes when a
//! copy has changed.

use super::{create, delete, draft, name, service, table};
use crate::registry::name::ObjectName;
use crate::registry::query::FieldMask;
use crate::registry::replica::tests::RegionsWorld;
use crate::registry::rules::RuleViolation;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::value::{FieldPath, ObjectValue};
use crate::registry::write::{Precondition, WriteOperation, WriteOutcome, WriteRefusal};
use crate::time::Duration;
use proptest::prelude::*;

const EU: usize = 0;
const US: usize = 1;
const DEPLOYMENT: &str = "services/cart/deployments/us";

/// Sets the policy of service `cart`.
fn policy(enabled: &[&str], closing: &[&str]) -> WriteOperation {
    let policy = table(&[
        ("enabled_regions", ObjectValue::texts(enabled)),
        ("closing_regions", ObjectValue::texts(closing)),
    ]);
    WriteOperation::Update {
        draft: draft(
            "services/cart",
            &[("multi_region_policy", ObjectValue::Table(policy))],
        ),
        mask: FieldMask::of(vec![FieldPath::of(&["multi_region_policy"])]),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

fn disable() -> WriteOperation {
    WriteOperation::Update {
        draft: draft(DEPLOYMENT, &[("is_disabled", ObjectValue::Bool(true))]),
        mask: FieldMask::of(vec![FieldPath::of(&["is_disabled"])]),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

/// Three regions, and service `cart` in two of them with a kind whose objects are in all regions.
fn prepared(bugs: RegistryBugs) -> RegionsWorld {
    let mut world = RegionsWorld::with_bugs(bugs);
    let patterns = [
        "//cart/carts/{cart}",
        "//cart/regions/{region}/carts/{cart}",
    ];
    let operations = vec![
        service("cart", &["eu", "us"], &[]),
        create(
            "services/cart/resources/Cart",
            &[("patterns", ObjectValue::texts(patterns))],
        ),
    ];
    world.done(EU, operations).expect("the write is accepted");
    world.settle();
    world
}

/// The answer of a region whose links are cut.
fn done_alone(
    world: &mut RegionsWorld,
    at: usize,
    operations: Vec<WriteOperation>,
) -> Result<WriteOutcome, WriteRefusal> {
    let write = world.write(at, operations, 0);
    world.commit(at);
    world.answer(at, write).expect("an answer").clone()
}

fn violation<T: core::fmt::Debug>(result: Result<T, WriteRefusal>) -> RuleViolation {
    match result {
        Err(WriteRefusal::Rule(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

fn enabled(world: &RegionsWorld) -> Vec<String> {
    let record = world.machine(EU).get(&name("services/cart"));
    let Some(record) = record else {
        return Vec::new();
    };
    let policy = record.body["multi_region_policy"].as_table().unwrap();
    let regions = policy["enabled_regions"].elements().iter();
    regions.map(|it| it.as_text().unwrap().to_owned()).collect()
}

fn exists(world: &RegionsWorld, at: usize, object: &str) -> bool {
    world.machine(at).get(&name(object)).is_some()
}

fn cut(world: &mut RegionsWorld, is_cut: bool) {
    (world.is_cut[EU][US], world.is_cut[US][EU]) = (is_cut, is_cut);
}

#[test]
fn a_region_with_a_registry_leaves_a_service_after_it_was_asked() {
    let mut world = prepared(RegistryBugs::NONE);
    let open = violation(world.done(EU, vec![policy(&["eu"], &[])]));
    assert!(matches!(open, RuleViolation::RegionOpen { .. }), "{open}");
    let other = violation(world.done(EU, vec![policy(&["eu"], &["us"])]));
    assert!(matches!(other, RuleViolation::ClosingInvalid { .. }));
    world
        .done(EU, vec![policy(&["eu", "us"], &["us"])])
        .unwrap();
    let closed = violation(world.done(US, vec![create(DEPLOYMENT, &[])]));
    assert!(matches!(closed, RuleViolation::RegionDisabled { .. }));
    world.settle();
    assert_eq!(enabled(&world), ["eu"]);
    let record = world.machine(US).get(&name("services/cart")).unwrap();
    let policy = record.body["multi_region_policy"].as_table().unwrap();
    assert_eq!(policy.get("closing_regions"), None);
    world.check_settled();
}

/// A deployment is created in a region that does not know yet that its service closes the region.
fn created_while_closing(bugs: RegistryBugs) -> RegionsWorld {
    let mut world = prepared(bugs);
    cut(&mut world, true);
    let closing = world.write(EU, vec![policy(&["eu", "us"], &["us"])], 0);
    world.commit(EU);
    assert!(world.answer(EU, closing).unwrap().is_ok());
    done_alone(&mut world, US, vec![create(DEPLOYMENT, &[])]).unwrap();
    for _ in 0..4 {
        world.commit(EU);
        world.sleep(Duration::from_secs(1));
    }
    world
}

#[test]
fn a_region_stays_enabled_while_a_deployment_is_there() {
    let mut world = created_while_closing(RegistryBugs::NONE);
    assert_eq!(enabled(&world), ["eu", "us"], "us cannot be asked");
    world.settle();
    assert_eq!(enabled(&world), ["eu", "us"]);
    assert!(exists(&world, EU, DEPLOYMENT));
    world.done(US, vec![disable()]).unwrap();
    world.done(US, vec![delete(DEPLOYMENT)]).unwrap();
    world.settle();
    assert_eq!(enabled(&world), ["eu"]);
    world.check_settled();
}

#[test]
fn the_planted_bug_leaves_a_deployment_in_a_region_that_is_not_enabled() {
    let bugs = RegistryBugs::NONE.with(RegistryBug::EndsUnasked);
    let mut world = created_while_closing(bugs);
    world.settle();
    assert_eq!(enabled(&world), ["eu"]);
    assert!(exists(&world, EU, DEPLOYMENT));
}

#[test]
fn a_service_whose_closing_is_taken_back_stays_in_the_region() {
    let mut world = prepared(RegistryBugs::NONE);
    cut(&mut world, true);
    done_alone(&mut world, EU, vec![policy(&["eu", "us"], &["us"])]).unwrap();
    done_alone(&mut world, EU, vec![policy(&["eu", "us"], &[])]).unwrap();
    world.settle();
    assert_eq!(enabled(&world), ["eu", "us"]);
    world.done(US, vec![create(DEPLOYMENT, &[])]).unwrap();
}

#[test]
fn an_object_with_dependents_in_another_region_is_removed_after_them() {
    let (kind, cart) = ("services/cart/resources/Cart", "//cart/regions/us/carts/1");
    let mut world = prepared(RegistryBugs::NONE);
    cut(&mut world, true);
    done_alone(&mut world, US, vec![create(cart, &[])]).unwrap();
    done_alone(&mut world, EU, vec![delete(kind)]).unwrap();
    let below = violation(done_alone(
        &mut world,
        EU,
        vec![create("//cart/carts/1", &[])],
    ));
    assert!(matches!(below, RuleViolation::BeingDeleted { .. }));
    world.settle();
    assert!(exists(&world, EU, kind), "a cart exists");
    let late = violation(world.done(US, vec![create("//cart/regions/us/carts/2", &[])]));
    assert!(matches!(late, RuleViolation::BeingDeleted { .. }));
    world.done(US, vec![delete(cart)]).unwrap();
    world.settle();
    assert!(!exists(&world, EU, kind) && !exists(&world, US, kind));
    world.check_settled();
}

#[test]
fn a_region_that_cannot_be_reached_blocks_a_removal() {
    let mut world = prepared(RegistryBugs::NONE);
    cut(&mut world, true);
    done_alone(
        &mut world,
        EU,
        vec![
            delete("services/cart/resources/Cart"),
            delete("services/cart"),
        ],
    )
    .unwrap();
    for _ in 0..10 {
        world.flow();
        world.sleep(Duration::from_secs(1));
    }
    assert!(exists(&world, EU, "services/cart"));
    world.crash(EU, false);
    world.settle();
    assert!(!exists(&world, EU, "services/cart") && !exists(&world, US, "services/cart"));
    world.check_settled();
}

/// Whether `mail` is in the audience of the deployment of `cart` in another region, in each region.
fn is_shown(world: &RegionsWorld) -> [bool; 3] {
    [0, 1, 2].map(|at| {
        let deployment = world.machine(at).get(&name(DEPLOYMENT)).unwrap();
        deployment.metadata.audience.admits("mail")
    })
}

#[test]
fn the_audience_of_a_deployment_follows_an_import_at_the_primary() {
    for bugs in [
        RegistryBugs::NONE,
        RegistryBugs::NONE.with(RegistryBug::CopiedAudiencesStay),
    ] {
        let mut world = prepared(bugs);
        let is_sound = bugs == RegistryBugs::NONE;
        world.done(US, vec![create(DEPLOYMENT, &[])]).unwrap();
        world
            .done(EU, vec![service("mail", &["eu"], &["cart"])])
            .unwrap();
        world.settle();
        assert_eq!(is_shown(&world), [is_sound; 3]);
        cut(&mut world, true);
        done_alone(&mut world, EU, vec![delete("services/mail")]).unwrap();
        // The registry does not know of the change when it ends.
        world.crash(US, false);
        world.settle();
        if is_sound {
            assert_eq!(is_shown(&world), [false; 3]);
        }
        world.check_settled();
    }
}

/// A move of the schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    Policy { is_closing: bool },
    Create,
    End,
    Cart { removes: bool },
    Kind { removes: bool },
    Commit { at: usize },
    Deliver { count: usize },
    Cut { from: usize, to: usize },
    Crash { at: usize },
    Sleep,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => any::<bool>().prop_map(|is_closing| Move::Policy { is_closing }),
        3 => Just(Move::Create),
        2 => Just(Move::End),
        2 => any::<bool>().prop_map(|removes| Move::Cart { removes }),
        2 => any::<bool>().prop_map(|removes| Move::Kind { removes }),
        8 => (0..3_usize).prop_map(|at| Move::Commit { at }),
        8 => (1..12_usize).prop_map(|count| Move::Deliver { count }),
        2 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Move::Cut { from, to }),
        1 => (0..3_usize).prop_map(|at| Move::Crash { at }),
        2 => Just(Move::Sleep),
    ]
}

fn play(world: &mut RegionsWorld, it: Move) {
    let kind = "services/cart/resources/Cart";
    let write = match it {
        Move::Policy { is_closing } => {
            let closing: &[&str] = if is_closing { &["us"] } else { &[] };
            (EU, vec![policy(&["eu", "us"], closing)])
        }
        Move::Create => (US, vec![create(DEPLOYMENT, &[])]),
        Move::End => {
            world.write(US, vec![disable()], 0);
            (US, vec![delete(DEPLOYMENT)])
        }
        Move::Cart { removes: true } => (US, vec![delete("//cart/regions/us/carts/1")]),
        Move::Cart { removes: false } => (US, vec![create("//cart/regions/us/carts/1", &[])]),
        Move::Kind { removes: true } => (EU, vec![delete(kind)]),
        Move::Kind { removes: false } => {
            let patterns = ObjectValue::texts(["//cart/regions/{region}/carts/{cart}"]);
            (EU, vec![create(kind, &[("patterns", patterns)])])
        }
        Move::Commit { at } => return world.commit(at),
        Move::Deliver { count } => return world.deliver(count, false),
        Move::Cut { from, to } => {
            if from != to {
                world.is_cut[from][to] = !world.is_cut[from][to];
            }
            return;
        }
        Move::Crash { at } => return world.crash(at, true),
        Move::Sleep => return world.sleep(Duration::from_millis(700)),
    };
    world.write(write.0, write.1, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_needed_stays_in_every_schedule(moves in prop::collection::vec(any_move(), 1..80)) {
        let mut world = prepared(RegistryBugs::NONE);
        for it in moves {
            play(&mut world, it);
        }
        world.settle();
        world.check_settled();
        let regions = enabled(&world);
        prop_assert!(!exists(&world, EU, DEPLOYMENT) || regions.iter().any(|it| it == "us"));
        for object in world.machine(EU).objects().iter() {
            let service = object.name.of_service().map(ObjectName::service);
            let needed = object.name.parent().or_else(|| service?.ok());
            let needed = needed.filter(|it| it.as_str().starts_with("services/"));
            prop_assert!(needed.is_none_or(|it| exists(&world, EU, it.as_str())), "{}", object.name);
            let kind = "services/cart/resources/Cart";
            prop_assert!(object.name.registrant() != Some("cart") || exists(&world, EU, kind));
        }
    }
}
