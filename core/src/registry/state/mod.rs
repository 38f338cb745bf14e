//! The state of a region's registry at one revision: objects and kinds. A copy costs O(1).

mod map;

pub use map::{ObjectMap, ObjectsByName};

use super::kind::{BuiltInKind, KindCatalog};
use super::log::ObjectChange;
use super::object::Object;
use std::sync::Arc;

/// The state at one revision.
#[derive(Clone, Debug, Default)]
pub struct RegistryState {
    objects: ObjectMap,
    kinds: Arc<KindCatalog>,
}

impl RegistryState {
    /// The state with these objects.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = Arc<Object>>) -> Self {
        let mut state = Self::default();
        let kinds = Arc::make_mut(&mut state.kinds);
        for object in objects {
            kinds.on_change(&object.name, Some(&object));
            state.objects.insert(object);
        }
        state
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

    /// Applies a change.
    pub fn apply(&mut self, change: &ObjectChange) {
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
