//! Placement: which region owns an object, from its name alone.
//!
//! 1. Regions, services and resources are owned by the primary region.
//! 2. An object whose name has a region is owned by that region; a deployment is owned by the region it names.
//! 3. Any other object that exists is owned by the region that created it.
//! 4. Any other name is owned by the default control region of its nearest ancestor that has a policy, else of its
//!    service's policy, else by the primary region.

use super::kind::BuiltInKind;
use super::name::{ObjectName, RegionId};
use super::object::Object;
use super::state::ObjectMap;
use std::sync::Arc;

/// The default control region of an object's policy.
fn control_region(object: &Object) -> Option<RegionId> {
    let policy = object.body.get("multi_region_policy")?.as_table()?;
    let region = policy.get("default_control_region")?.as_text()?;
    region.parse().ok()
}

/// The region that owns an object, if the name alone tells it.
#[must_use]
pub fn owner_by_name(name: &ObjectName, primary: &RegionId) -> Option<RegionId> {
    match BuiltInKind::of(name) {
        Some(BuiltInKind::Region | BuiltInKind::Service | BuiltInKind::Resource) => {
            Some(primary.clone())
        }
        Some(BuiltInKind::Deployment) | None => name.region(),
    }
}

/// The region that owns an object.
#[must_use]
pub fn owner_of(name: &ObjectName, objects: &ObjectMap, primary: &RegionId) -> RegionId {
    if let Some(owner) = owner_by_name(name, primary) {
        return owner;
    }
    if let Some(object) = objects.get(name) {
        return object.metadata.owning_region.clone();
    }
    let service = name
        .of_service()
        .and_then(|id| ObjectName::service(id).ok());
    let holders = name.ancestors().chain(service);
    let governing = holders.filter_map(|holder| objects.get(&holder).map(Arc::clone));
    let mut regions = governing.filter_map(|holder| control_region(&holder));
    regions.next().unwrap_or_else(|| primary.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use crate::registry::value::{ObjectTable, ObjectValue};

    #[test]
    fn the_name_decides_then_the_nearest_policy_then_the_primary() {
        let policy = |region: &str| {
            let policy = ObjectTable::from([("default_control_region".to_owned(), region.into())]);
            ObjectTable::from([("multi_region_policy".to_owned(), ObjectValue::Table(policy))])
        };
        let mut objects = ObjectMap::default();
        objects.insert(Arc::new(object("services/shop", policy("us"))));
        objects.insert(Arc::new(object("//shop/projects/p", policy("asia"))));
        let primary = "eu".parse().unwrap();
        for (name, owner) in [
            ("regions/us", "eu"),
            ("services/shop", "eu"),
            ("services/shop/resources/Order", "eu"),
            ("services/shop/deployments/us", "us"),
            ("//shop/projects/p/regions/eu/orders/1", "eu"),
            ("//shop/projects/p/orders/1", "asia"),
            ("//shop/projects/q/orders/1", "us"),
            ("//other/orders/1", "eu"),
        ] {
            let found = owner_of(&name.parse().unwrap(), &objects, &primary);
            assert_eq!(found.as_str(), owner, "{name}");
        }
    }
}
