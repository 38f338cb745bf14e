//! Relevance: the services that concern a service are itself, those that it imports or uses, and those that import or
//! use it. Other services are not its concern, even if they share an import.

use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The services that a service's record names as imported or used.
fn named(service: &Object) -> impl Iterator<Item = &str> {
    let imported = service.texts("imported_services");
    imported.chain(service.texts("used_services"))
}

/// The ids of the services that concern a service, among these objects.
#[must_use]
pub fn relevant_services<'a>(
    service: &str,
    objects: impl Iterator<Item = &'a Arc<Object>>,
) -> BTreeSet<String> {
    let mut relevant = BTreeSet::from([service.to_owned()]);
    for object in objects {
        let is_service = object.name.form() == "services/*";
        if is_service && object.name.id() == service {
            relevant.extend(named(object).map(str::to_owned));
        } else if is_service && named(object).any(|it| it == service) {
            relevant.insert(object.name.id().to_owned());
        }
    }
    relevant
}

/// Whether an object concerns a service: a region, or an object of a relevant service.
#[must_use]
pub fn is_relevant(name: &ObjectName, relevant: &BTreeSet<String>) -> bool {
    name.of_service()
        .is_none_or(|service| relevant.contains(service))
}
