//! Finds the objects that refer to an object, and those that an owner leaves behind.

use crate::registry::kind::{BuiltInKind, KindCatalog};
use crate::registry::log::ObjectChange;
use crate::registry::metadata::Uid;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::references::{OnDelete, named, on_delete};
use crate::registry::state::RegistryState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An object that refers to another one.
#[derive(Clone, Debug)]
pub(super) struct Referrer {
    /// The object.
    pub(super) object: Arc<Object>,
    /// The effect of the deletion of the other one on it.
    pub(super) on_delete: OnDelete,
}

/// Finds the objects that may refer to an object: those that do in one of the states of a sequencer, and possibly others.
/// A reader looks at the objects in its own state.
#[derive(Clone, Debug, Default)]
pub(super) struct ReferenceIndex {
    referrers: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    /// The objects with owner references, by the owners.
    dependents: BTreeMap<Uid, BTreeSet<ObjectName>>,
}

impl ReferenceIndex {
    /// The index of the objects of a state.
    pub(super) fn of(state: &RegistryState) -> Self {
        let mut index = Self::default();
        for object in state.objects().iter() {
            index.add(state.kinds(), object);
        }
        index
    }

    /// Adds the references of an object.
    pub(super) fn add(&mut self, kinds: &KindCatalog, object: &Object) {
        for target in named(kinds.references_of(&object.name), object) {
            let referrers = self.referrers.entry(target).or_default();
            referrers.insert(object.name.clone());
        }
        for owner in &object.metadata.writer.owner_references {
            let dependents = self.dependents.entry(owner.uid).or_default();
            dependents.insert(object.name.clone());
        }
    }

    /// Follows an accepted change; `latest` is the state after it.
    pub(super) fn on_accepted(&mut self, change: &ObjectChange, latest: &RegistryState) {
        let declared = |it: &Option<Arc<Object>>| it.as_ref()?.body.get("references").cloned();
        let is_kind = BuiltInKind::of(&change.name) == Some(BuiltInKind::Resource);
        if is_kind && declared(&change.before) != declared(&change.after) {
            *self = Self::of(latest);
        } else if let Some(after) = &change.after {
            self.add(latest.kinds(), after);
        }
    }

    /// Removes the references that a change has ended, unless the object has them in the latest state.
    pub(super) fn forget(&mut self, change: &ObjectChange, latest: &RegistryState) {
        let Some(before) = &change.before else {
            return;
        };
        let now = latest.objects().get(&change.name);
        let fields = latest.kinds().references_of(&change.name);
        let kept = now.map(|it| named(fields, it)).unwrap_or_default();
        for target in named(fields, before) {
            if !kept.contains(&target) {
                remove(&mut self.referrers, &target, &change.name);
            }
        }
        let is_kept = |uid: Uid| {
            let owners = now.map(|it| &it.metadata.writer.owner_references);
            owners.is_some_and(|owners| owners.iter().any(|it| it.uid == uid))
        };
        for owner in &before.metadata.writer.owner_references {
            if !is_kept(owner.uid) {
                remove(&mut self.dependents, &owner.uid, &change.name);
            }
        }
    }

    /// The objects that refer to an object in a state, in the order of their names.
    pub(super) fn referrers<'a>(
        &'a self,
        state: &'a RegistryState,
        target: &'a Object,
    ) -> impl Iterator<Item = Referrer> + use<'a> {
        let names = self.referrers.get(&target.name).into_iter().flatten();
        names.filter_map(move |name| {
            let object = state.objects().get(name).filter(|_| *name != target.name)?;
            let fields = state.kinds().references_of(name);
            let on_delete = on_delete(fields, object, target)?;
            let object = Arc::clone(object);
            Some(Referrer { object, on_delete })
        })
    }

    /// The objects that may have an object of this uid as their owner.
    pub(super) fn dependents(&self, uid: Uid) -> impl Iterator<Item = &ObjectName> {
        self.dependents.get(&uid).into_iter().flatten()
    }
}

fn remove<K: Ord>(map: &mut BTreeMap<K, BTreeSet<ObjectName>>, key: &K, name: &ObjectName) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}
