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
use core::fmt;

/// The default control region of an object's policy.
fn control_region(object: &Object) -> Option<RegionId> {
    let policy = object.body.get("multi_region_policy")?.as_table()?;
    let region = policy.get("default_control_region")?.as_text()?;
    region.parse().ok()
}

/// Why a region owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementReason {
    /// The primary region owns all objects of the kind.
    PrimaryKind,
    /// The name has the region.
    Named,
    /// The region created the object, which exists.
    Created,
    /// The policy of this object decides.
    Policy(ObjectName),
    /// No policy decides, so the primary region does.
    NoPolicy,
}

impl fmt::Display for PlacementReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryKind => f.write_str("the primary region owns all objects of this kind"),
            Self::Named => f.write_str("the name has the region"),
            Self::Created => {
                f.write_str("the region created the object, and an object does not move")
            }
            Self::Policy(holder) => write!(f, "default_control_region in the policy of {holder}"),
            Self::NoPolicy => {
                f.write_str("no object above it has a policy, so the primary region owns it")
            }
        }
    }
}

/// The region that owns an object, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPlacement {
    /// The region.
    pub owner: RegionId,
    /// The reason.
    pub reason: PlacementReason,
}

impl ObjectPlacement {
    /// The placement that the name alone tells; none if the objects decide.
    #[must_use]
    pub fn by_name(name: &ObjectName, primary: &RegionId) -> Option<Self> {
        match BuiltInKind::of(name) {
            Some(BuiltInKind::Region | BuiltInKind::Service | BuiltInKind::Resource) => {
                Some(Self {
                    owner: primary.clone(),
                    reason: PlacementReason::PrimaryKind,
                })
            }
            Some(BuiltInKind::Deployment) | None => name.region().map(|owner| Self {
                owner,
                reason: PlacementReason::Named,
            }),
        }
    }

    /// The placement of an object, given the objects that exist.
    #[must_use]
    pub fn of(name: &ObjectName, objects: &ObjectMap, primary: &RegionId) -> Self {
        if let Some(placement) = Self::by_name(name, primary) {
            return placement;
        }
        if let Some(object) = objects.get(name) {
            return Self {
                owner: object.metadata.owning_region.clone(),
                reason: PlacementReason::Created,
            };
        }
        let service = name
            .of_service()
            .and_then(|id| ObjectName::service(id).ok());
        let mut holders = name.ancestors().chain(service);
        let decided = holders.find_map(|holder| {
            let owner = control_region(objects.get(&holder)?)?;
            let reason = PlacementReason::Policy(holder);
            Some(Self { owner, reason })
        });
        decided.unwrap_or_else(|| Self {
            owner: primary.clone(),
            reason: PlacementReason::NoPolicy,
        })
    }
}

/// The region that owns an object, if the name alone tells it.
#[must_use]
pub fn owner_by_name(name: &ObjectName, primary: &RegionId) -> Option<RegionId> {
    ObjectPlacement::by_name(name, primary).map(|it| it.owner)
}

/// The region that owns an object.
#[must_use]
pub fn owner_of(name: &ObjectName, objects: &ObjectMap, primary: &RegionId) -> RegionId {
    ObjectPlacement::of(name, objects, primary).owner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use crate::registry::value::{ObjectTable, ObjectValue};
    use std::sync::Arc;

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
        let holder = |name: &str| PlacementReason::Policy(name.parse().unwrap());
        for (name, owner, reason) in [
            ("regions/us", "eu", PlacementReason::PrimaryKind),
            ("services/shop", "eu", PlacementReason::PrimaryKind),
            (
                "services/shop/resources/Order",
                "eu",
                PlacementReason::PrimaryKind,
            ),
            ("services/shop/deployments/us", "us", PlacementReason::Named),
            (
                "//shop/projects/p/regions/eu/orders/1",
                "eu",
                PlacementReason::Named,
            ),
            ("//shop/projects/p", "eu", PlacementReason::Created),
            (
                "//shop/projects/p/orders/1",
                "asia",
                holder("//shop/projects/p"),
            ),
            ("//shop/projects/q/orders/1", "us", holder("services/shop")),
            ("//other/orders/1", "eu", PlacementReason::NoPolicy),
        ] {
            let name = name.parse().unwrap();
            let found = ObjectPlacement::of(&name, &objects, &primary);
            assert_eq!(
                (found.owner.as_str(), &found.reason),
                (owner, &reason),
                "{name}"
            );
            assert_eq!(owner_of(&name, &objects, &primary), found.owner);
        }
    }
}
