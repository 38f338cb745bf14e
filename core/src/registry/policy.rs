//! The multi-region policy of an object: the regions that it enables, those that it closes, and the region that owns new
//! objects below it.

use super::object::Object;
use super::value::{ObjectTable, ObjectValue};
use std::collections::BTreeSet;

/// The field with the policy.
pub const POLICY_FIELD: &str = "multi_region_policy";

fn policy(object: &Object) -> Option<&ObjectTable> {
    object.body.get(POLICY_FIELD)?.as_table()
}

/// Whether an object has a policy.
#[must_use]
pub fn has_policy(object: &Object) -> bool {
    policy(object).is_some()
}

/// The default control region of an object's policy.
#[must_use]
pub fn control_region(object: &Object) -> Option<&str> {
    let region = policy(object)?.get("default_control_region")?;
    region.as_text()
}

fn regions_of<'a>(object: &'a Object, field: &str) -> BTreeSet<&'a str> {
    let list = policy(object).and_then(|policy| policy.get(field));
    let elements = list.map_or(&[][..], ObjectValue::elements);
    elements.iter().filter_map(ObjectValue::as_text).collect()
}

/// The regions that a policy enables, with those that it closes.
#[must_use]
pub fn enabled_regions(object: &Object) -> BTreeSet<&str> {
    regions_of(object, "enabled_regions")
}

/// The regions that a policy is about to leave.
#[must_use]
pub fn closing_regions(object: &Object) -> BTreeSet<&str> {
    regions_of(object, "closing_regions")
}

/// The regions in which deployments may be created, and which importers may rely on.
#[must_use]
pub fn open_regions(object: &Object) -> BTreeSet<&str> {
    &enabled_regions(object) - &closing_regions(object)
}

/// The body of an object without a region in its policy.
#[must_use]
pub fn without_region(object: &Object, region: &str) -> ObjectTable {
    let mut body = object.body.clone();
    if let Some(ObjectValue::Table(policy)) = body.get_mut(POLICY_FIELD) {
        for field in ["enabled_regions", "closing_regions"] {
            if let Some(ObjectValue::List(list)) = policy.get_mut(field) {
                list.retain(|it| it.as_text() != Some(region));
            }
        }
        policy.retain(|field, value| field != "closing_regions" || !value.elements().is_empty());
    }
    body
}
