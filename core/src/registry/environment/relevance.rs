//! Relevance: the services that concern a service are itself, those that it imports or uses, and those that import or
//! use it. Other services are not its concern, even if they share an import.

use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::state::named_services;
use crate::registry::watch::WatchChange;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
            relevant.extend(named_services(object).map(str::to_owned));
        } else if is_service && named_services(object).any(|it| it == service) {
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

/// The objects that concern a service, as a subscriber has them.
///
/// An object enters the view when its service becomes relevant, and leaves it when the service ceases to be relevant.
#[derive(Clone, Debug)]
pub struct RelevantView {
    service: String,
    objects: BTreeMap<ObjectName, Arc<Object>>,
}

impl RelevantView {
    /// The empty view of a service.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            objects: BTreeMap::new(),
        }
    }

    /// The objects.
    #[must_use]
    pub const fn objects(&self) -> &BTreeMap<ObjectName, Arc<Object>> {
        &self.objects
    }

    /// Follows a copy of the registry. Returns the changes of the view: removals first, then objects in the order of
    /// their names.
    pub fn update<'a>(
        &mut self,
        copy: impl Iterator<Item = &'a Arc<Object>> + Clone,
    ) -> Vec<WatchChange> {
        let relevant = relevant_services(&self.service, copy.clone());
        let concerns = copy.filter(|object| is_relevant(&object.name, &relevant));
        let objects: BTreeMap<_, _> = concerns
            .map(|object| (object.name.clone(), Arc::clone(object)))
            .collect();
        let gone = self.objects.keys();
        let gone = gone.filter(|name| !objects.contains_key(*name)).cloned();
        let mut changes: Vec<_> = gone.map(WatchChange::Removed).collect();
        let is_new = |object: &&Arc<Object>| self.objects.get(&object.name) != Some(*object);
        let new = objects.values().filter(is_new).cloned();
        changes.extend(new.map(WatchChange::Current));
        self.objects = objects;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use crate::registry::value::ObjectValue;

    fn service(id: &str, imports: &[&str]) -> Arc<Object> {
        let body = [("imported_services".to_owned(), ObjectValue::texts(imports))];
        Arc::new(object(&format!("services/{id}"), body.into()))
    }

    #[test]
    fn services_enter_and_leave_a_view_with_their_imports() {
        let (shop, mail) = (service("shop", &[]), service("mail", &[]));
        let mut view = RelevantView::new("shop");
        let changes = view.update([&shop, &mail].into_iter());
        assert_eq!(changes, [WatchChange::Current(Arc::clone(&shop))]);
        let importing = service("mail", &["shop"]);
        let changes = view.update([&shop, &importing].into_iter());
        assert_eq!(changes, [WatchChange::Current(Arc::clone(&importing))]);
        assert_eq!(view.objects().len(), 2);
        let changes = view.update([&shop, &mail].into_iter());
        assert_eq!(changes, [WatchChange::Removed(mail.name.clone())]);
        assert_eq!(view.update([&shop, &mail].into_iter()), []);
    }
}
