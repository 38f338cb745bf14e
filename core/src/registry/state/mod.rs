//! The state of a region's registry at one revision: objects, kinds and relations of services. A copy costs O(1).

mod map;
mod relations;

pub use map::{ObjectMap, ObjectsByName};
pub use relations::{ServiceRelations, named_services};

use super::kind::{BuiltInKind, KindCatalog};
use super::log::ObjectChange;
use super::name::ObjectName;
use super::object::Object;
use super::policy::closing_regions;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The state at one revision.
#[derive(Clone, Debug, Default)]
pub struct RegistryState {
    objects: ObjectMap,
    kinds: Arc<KindCatalog>,
    relations: Arc<ServiceRelations>,
    unfinished: Arc<BTreeSet<ObjectName>>,
}

/// Whether a registry is to change the object of its own accord: a service that leaves regions, or an object that is
/// being deleted and has no finalizers.
fn is_unfinished(object: &Object) -> bool {
    if object.metadata.deleted.is_some() {
        return object.metadata.writer.finalizers.is_empty();
    }
    let is_service = BuiltInKind::of(&object.name) == Some(BuiltInKind::Service);
    is_service && !closing_regions(object).is_empty()
}

impl RegistryState {
    /// The state with these objects.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = Arc<Object>>) -> Self {
        let mut state = Self::default();
        for object in objects {
            let kinds = Arc::make_mut(&mut state.kinds);
            kinds.on_change(&object.name, Some(&object));
            state.relate(&object.name, Some(&object));
            state.follow_unfinished(&object.name, Some(&object));
            state.objects.insert(object);
        }
        state
    }

    /// Follows the relations of a service's record.
    fn relate(&mut self, name: &ObjectName, after: Option<&Object>) {
        if BuiltInKind::of(name) != Some(BuiltInKind::Service) {
            return;
        }
        let before = self.objects.get(name);
        let named = |object: Option<&Object>| -> BTreeSet<String> {
            let names = object.into_iter().flat_map(named_services);
            names.map(str::to_owned).collect()
        };
        let (before, after) = (named(before.map(|it| &**it)), named(after));
        if before != after {
            let relations = Arc::make_mut(&mut self.relations);
            relations.on_change(name.id(), &before, &after);
        }
    }

    fn follow_unfinished(&mut self, name: &ObjectName, after: Option<&Object>) {
        let (was, is) = (
            self.unfinished.contains(name),
            after.is_some_and(is_unfinished),
        );
        if is && !was {
            Arc::make_mut(&mut self.unfinished).insert(name.clone());
        } else if was && !is {
            Arc::make_mut(&mut self.unfinished).remove(name);
        }
    }

    /// The objects that a registry is to change of its own accord.
    #[must_use]
    pub fn unfinished(&self) -> &BTreeSet<ObjectName> {
        &self.unfinished
    }

    /// The objects.
    #[must_use]
    pub const fn objects(&self) -> &ObjectMap {
        &self.objects
    }

    /// The kinds.
    #[must_use]
    pub fn kinds(&self) -> &KindCatalog {
        &self.kinds
    }

    /// The relations of services.
    #[must_use]
    pub fn relations(&self) -> &ServiceRelations {
        &self.relations
    }

    /// Applies a change.
    pub fn apply(&mut self, change: &ObjectChange) {
        self.relate(&change.name, change.after.as_deref());
        self.follow_unfinished(&change.name, change.after.as_deref());
        if BuiltInKind::of(&change.name) == Some(BuiltInKind::Resource) {
            let kinds = Arc::make_mut(&mut self.kinds);
            kinds.on_change(&change.name, change.after.as_deref());
        }
        match &change.after {
            Some(after) => self.objects.insert(Arc::clone(after)),
            None => self.objects.remove(&change.name),
        }
    }
}
