//! The audiences of the objects that a batch concerns: which services may read them.
//!
//! | object | services that may read it, beside its own and those in its `shared_with` |
//! |---|---|
//! | a service | those that it imports or uses, and those that import or use it |
//! | a deployment, a resource | those that may read its service |
//! | an object of a registered kind | all, if the kind is public |
//!
//! A batch that changes a relation of services also changes the audiences of the services at both ends and of their
//! deployments and resources. These changes belong to the batch, so a watcher hears in one message that an object has
//! become visible to it or ceased to be. They keep the generation of an object, because no writer made them.
//!
//! Only objects that this region owns are changed. The registry of a deployment in another region changes its audience
//! when the copy of the service's record has changed ([`refresh`]).
//!
//! Bounds: [`AUDIENCE_MAX`] services of an audience; [`CHANGES_MAX`] changes of a batch.

use super::interface::Config;
use crate::registry::audience::{ALL_SERVICES, AUDIENCE_MAX, ObjectAudience};
use crate::registry::kind::{BuiltInKind, ObjectKind};
use crate::registry::log::ObjectChange;
use crate::registry::metadata::Revision;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::placement::owner_of;
use crate::registry::rules::RuleViolation;
use crate::registry::state::{RegistryState, named_services};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of changes of a batch, with those of audiences.
const CHANGES_MAX: usize = 4_096;

/// The objects whose audiences a batch may change.
#[derive(Debug, Default)]
struct Concerned {
    /// The ids of services.
    services: BTreeSet<String>,
    /// Other objects.
    objects: BTreeSet<ObjectName>,
}

impl Concerned {
    fn of(changes: &[ObjectChange]) -> Self {
        let mut concerned = Self::default();
        for change in changes {
            concerned.add(change);
        }
        concerned
    }

    fn add(&mut self, change: &ObjectChange) {
        let (before, after) = (change.before.as_deref(), change.after.as_deref());
        let shared = |it: Option<&Object>| it.map(|it| it.metadata.writer.shared_with.clone());
        let is_shared_anew = shared(before) != shared(after);
        if BuiltInKind::of(&change.name) == Some(BuiltInKind::Service) {
            let named = |it: Option<&Object>| -> BTreeSet<String> {
                let names = it.into_iter().flat_map(named_services);
                names.map(str::to_owned).collect()
            };
            let (before, after) = (named(before), named(after));
            if is_shared_anew || before != after {
                self.services.insert(change.name.id().to_owned());
            }
            let others = before.symmetric_difference(&after);
            self.services.extend(others.cloned());
        } else if is_shared_anew && after.is_some() {
            self.objects.insert(change.name.clone());
        }
    }
}

/// Adds to the changes of a batch of this revision those of the audiences; `state` is the state after the batch.
///
/// # Errors
/// Returns an error if an object would have more than [`AUDIENCE_MAX`] readers, or the batch more than [`CHANGES_MAX`]
/// changes.
pub(super) fn follow(
    state: &mut RegistryState,
    changes: &mut Vec<ObjectChange>,
    batch: (&Config, Revision),
) -> Result<(), RuleViolation> {
    let Concerned {
        services,
        mut objects,
    } = Concerned::of(changes);
    if services.is_empty() && objects.is_empty() {
        return Ok(());
    }
    let mut places: BTreeMap<_, _> = changes.iter().map(|it| it.name.clone()).zip(0..).collect();
    let records = services
        .iter()
        .filter_map(|id| ObjectName::service(id).ok());
    for record in records {
        if set(state, &record, (changes, &mut places), batch)? {
            let below = format!("{record}/");
            let children = state.objects().with_prefix(&below);
            objects.extend(children.map(|it| it.name.clone()));
        }
    }
    for name in objects {
        set(state, &name, (changes, &mut places), batch)?;
    }
    Ok(())
}

/// The changes of the audiences of the objects below these services, in a batch of this revision. Objects with more than
/// [`AUDIENCE_MAX`] readers keep their audiences.
pub(super) fn refresh(
    state: &RegistryState,
    services: &BTreeSet<ObjectName>,
    batch: (&Config, Revision),
) -> Vec<ObjectChange> {
    let (mut state, mut changes) = (state.clone(), Vec::new());
    let mut places = BTreeMap::new();
    let mut names = Vec::new();
    for service in services {
        let below = format!("{service}/");
        names.extend(
            state
                .objects()
                .with_prefix(&below)
                .map(|it| it.name.clone()),
        );
    }
    for name in names {
        // A record with too many readers is refused where the service is written.
        drop(set(&mut state, &name, (&mut changes, &mut places), batch));
    }
    changes
}

/// Sets the audience of an object, if it exists and this region owns it. Returns whether the audience changes.
fn set(
    state: &mut RegistryState,
    name: &ObjectName,
    (changes, places): (&mut Vec<ObjectChange>, &mut BTreeMap<ObjectName, usize>),
    (config, revision): (&Config, Revision),
) -> Result<bool, RuleViolation> {
    let Some(object) = state.objects().get(name).cloned() else {
        return Ok(false);
    };
    let audience = audience_of(state, &object);
    let is_own = owner_of(name, state.objects(), &config.primary) == config.region;
    if audience == object.metadata.audience || !is_own {
        return Ok(false);
    }
    if audience.len() > AUDIENCE_MAX || changes.len() >= CHANGES_MAX {
        return Err(RuleViolation::AudienceTooLarge(name.clone()));
    }
    let mut after = Object::clone(&object);
    after.metadata.audience = audience;
    after.metadata.revision = revision;
    let mut change = ObjectChange {
        name: name.clone(),
        before: Some(object),
        after: Some(Arc::new(after)),
    };
    state.apply(&change);
    match places.get(name) {
        Some(at) => changes[*at].after = change.after.take(),
        None => {
            places.insert(name.clone(), changes.len());
            changes.push(change);
        }
    }
    Ok(true)
}

/// The services that may read an object, beside its own.
fn audience_of(state: &RegistryState, object: &Object) -> ObjectAudience {
    let name = &object.name;
    let owner = name.of_service().unwrap_or_default();
    let shared_with = object.metadata.writer.shared_with.iter();
    let shared_with = shared_with.map(String::as_str).filter(|it| *it != owner);
    match state.kinds().kind_of(name) {
        Ok(ObjectKind::BuiltIn(BuiltInKind::Region)) | Err(_) => ObjectAudience::default(),
        Ok(ObjectKind::BuiltIn(BuiltInKind::Service)) => {
            let related = named_services(object).chain(state.relations().users(owner));
            let related = related.filter(|it| *it != owner);
            ObjectAudience::default().with(related.chain(shared_with))
        }
        Ok(ObjectKind::BuiltIn(BuiltInKind::Deployment | BuiltInKind::Resource)) => {
            let service = name.parent().and_then(|it| state.objects().get(&it));
            let of_service = service.map(|it| it.metadata.audience.clone());
            of_service.unwrap_or_default().with(shared_with)
        }
        Ok(ObjectKind::Registered(kind)) => {
            let is_public = state.objects().get(&kind).is_some_and(|it| it.is_public());
            let all = is_public.then_some(ALL_SERVICES);
            ObjectAudience::default().with(shared_with.chain(all))
        }
    }
}
