//! Tests of the rules about several objects.

use super::{SequencerBench, config, create, delete, name, service, table, update};
use crate::registry::rules::RuleViolation;
use crate::registry::value::ObjectValue;
use crate::registry::write::{WriteOperation, WriteRefusal};

fn rule(bench: &mut SequencerBench, operations: &[WriteOperation]) -> RuleViolation {
    let refusal = bench.refusal(operations);
    let WriteRefusal::Rule(violation) = refusal else {
        panic!("{refusal:?}")
    };
    violation
}

fn blocked(bench: &mut SequencerBench, at: &str, blocker: &str) {
    let expected = RuleViolation::Blocked {
        name: name(at),
        blockers: vec![name(blocker)],
    };
    assert_eq!(rule(bench, &[delete(at)]), expected);
}

fn policy(regions: &[&str], control: &str) -> ObjectValue {
    ObjectValue::Table(table(&[
        ("enabled_regions", ObjectValue::texts(regions)),
        ("default_control_region", control.into()),
    ]))
}

#[test]
fn a_deployment_exists_only_in_an_enabled_region_and_is_disabled_before_its_end() {
    let mut bench = SequencerBench::prepared(config());
    let at = "services/shop/deployments/eu";
    bench.must(&[create("services/cart", &[])]);
    let disabled = rule(&mut bench, &[create("services/cart/deployments/eu", &[])]);
    assert!(matches!(disabled, RuleViolation::RegionDisabled { .. }));
    let other = rule(&mut bench, &[create(at, &[("region", "us".into())])]);
    assert_eq!(other, RuleViolation::OtherRegion(name(at)));
    let missing = rule(&mut bench, &[create("services/none/deployments/eu", &[])]);
    assert!(matches!(missing, RuleViolation::Missing { .. }));
    bench.must(&[create(at, &[("region", "eu".into())])]);
    assert_eq!(
        rule(&mut bench, &[delete(at)]),
        RuleViolation::Enabled(name(at))
    );
    let leaves = rule(&mut bench, &[update("services/shop", &[], None)]);
    assert!(matches!(leaves, RuleViolation::Blocked { .. }));
    bench.must(&[update(
        at,
        &[("is_disabled", ObjectValue::Bool(true))],
        None,
    )]);
    bench.must(&[delete(at)]);
    bench.must(&[update("services/shop", &[], None)]);
}

#[test]
fn one_batch_may_create_a_service_with_its_first_deployment() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[
        create("services/cart/deployments/eu", &[]),
        service("cart", &["eu"], &[]),
    ]);
}

#[test]
fn a_policy_enables_regions_that_exist_and_its_control_region() {
    let mut bench = SequencerBench::prepared(config());
    let unknown = rule(&mut bench, &[service("cart", &["eu", "us"], &[])]);
    assert_eq!(
        unknown.to_string(),
        "services/cart: needs regions/us, which does not exist"
    );
    let with = |policy| create("services/cart", &[("multi_region_policy", policy)]);
    bench.must(&[create("regions/us", &[])]);
    let control = rule(&mut bench, &[with(policy(&["eu"], "us"))]);
    assert_eq!(
        control,
        RuleViolation::ControlRegionDisabled(name("services/cart"))
    );
    bench.must(&[with(policy(&["eu", "us"], "us"))]);
    blocked(&mut bench, "regions/us", "services/cart");
}

#[test]
fn an_import_is_enabled_in_every_region_of_the_importer() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[
        create("regions/us", &[]),
        service("cart", &["eu"], &["shop"]),
    ]);
    let wider = rule(&mut bench, &[service("pay", &["eu", "us"], &["shop"])]);
    assert_eq!(
        wider.to_string(),
        "services/pay: imports service shop, which is not enabled in region us"
    );
    let narrower = rule(&mut bench, &[update("services/shop", &[], None)]);
    assert!(matches!(narrower, RuleViolation::ImportNotEnabled { .. }));
    let missing = rule(&mut bench, &[service("pay", &["eu"], &["none"])]);
    assert!(matches!(missing, RuleViolation::Missing { .. }));
    let invalid = rule(&mut bench, &[service("pay", &["eu"], &["NO"])]);
    assert!(matches!(invalid, RuleViolation::ImportInvalid { .. }));
}

#[test]
fn an_object_is_not_deleted_before_what_depends_on_it() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create("//shop/orders/1", &[])]);
    blocked(&mut bench, "regions/eu", "services/shop");
    blocked(&mut bench, "services/shop", "services/shop/resources/Order");
    blocked(
        &mut bench,
        "services/shop/resources/Order",
        "//shop/orders/1",
    );
    let other = [("patterns", ObjectValue::texts(["//shop/parcels/{parcel}"]))];
    let changed = rule(
        &mut bench,
        &[update("services/shop/resources/Order", &other, None)],
    );
    assert!(matches!(changed, RuleViolation::Blocked { .. }));
    bench.must(&[
        delete("//shop/orders/1"),
        delete("services/shop/resources/Order"),
        delete("services/shop"),
        delete("regions/eu"),
    ]);
    assert!(bench.machine.objects().is_empty());
}

#[test]
fn an_imported_service_is_not_deleted() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[service("cart", &["eu"], &[])]);
    bench.must(&[service("pay", &["eu"], &["cart"])]);
    blocked(&mut bench, "services/cart", "services/pay");
}

#[test]
fn objects_need_their_parents_and_their_kind() {
    let mut bench = SequencerBench::prepared(config());
    let patterns = ["//shop/carts/{cart}", "//shop/carts/{cart}/items/{item}"];
    let (cart, item) = (
        ObjectValue::texts(&patterns[..1]),
        ObjectValue::texts(&patterns[1..]),
    );
    bench.must(&[
        create("services/shop/resources/Cart", &[("patterns", cart)]),
        create("services/shop/resources/Item", &[("patterns", item)]),
    ]);
    let missing = rule(&mut bench, &[create("//shop/carts/1/items/1", &[])]);
    assert!(matches!(missing, RuleViolation::Missing { .. }));
    let unknown = bench.refusal(&[create("//shop/boxes/1", &[])]);
    assert!(matches!(unknown, WriteRefusal::Kind(..)));
    bench.must(&[
        create("//shop/carts/1", &[]),
        create("//shop/carts/1/items/1", &[]),
    ]);
    blocked(&mut bench, "//shop/carts/1", "//shop/carts/1/items/1");
}
