//! The state of a region's registry at one revision: objects, kinds and relations of services. A copy costs O(1).

mod map;
mod relations;

pub use map::{ObjectMap, ObjectsByName};
pub use relations::{ServiceRelations, named_services};

use super::kind::{BuiltInKind, KindCatalog};
use super::log::ObjectChange;
use super::name::ObjectName;
use super::object::Object;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The state at one revision.
#[derive(Clone, Debug, Default)]
pub struct RegistryState {
    objects: ObjectMap,
    kinds: Arc<KindCatalog>,
    relations: Arc<ServiceRelations>,
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
