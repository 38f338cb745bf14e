//! The relations between services: which services name which others as imported or used.

use crate::registry::object::Object;
use std::collections::{BTreeMap, BTreeSet};

/// The services that a service's record names as imported or used.
pub fn named_services(service: &Object) -> impl Iterator<Item = &str> {
    let imported = service.texts("imported_services");
    imported.chain(service.texts("used_services"))
}

/// For each service, the services that import or use it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRelations {
    users: BTreeMap<String, BTreeSet<String>>,
}

impl ServiceRelations {
    /// The services that import or use a service.
    pub fn users(&self, service: &str) -> impl Iterator<Item = &str> {
        let users = self.users.get(service).into_iter().flatten();
        users.map(String::as_str)
    }

    /// Follows the change of a service's record.
    pub(super) fn on_change(
        &mut self,
        service: &str,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
    ) {
        for left in before.difference(after) {
            if let Some(users) = self.users.get_mut(left) {
                users.remove(service);
                if users.is_empty() {
                    self.users.remove(left);
                }
            }
        }
        for new in after.difference(before) {
            let users = self.users.entry(new.clone()).or_default();
            users.insert(service.to_owned());
        }
    }
}
