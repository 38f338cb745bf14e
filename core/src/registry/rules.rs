//! Rules about several objects, checked on the state after a batch.
//!
//! - An object exists only below objects that exist, and in a service that exists. An object is deleted only when no
//!   object is below it.
//! - A policy enables its default control region, which does not change, and only regions that exist.
//! - A service leaves a region only after its deployment there is deleted. A region with a registry of its own owns the
//!   deployment, so the service closes the region first (`closing_regions`), and the registry of the service takes it off
//!   `enabled_regions` when that of the region has answered that no deployment exists and none is created any more.
//! - A deployment exists only in a region that its service enables, and is created only in one that it does not close. It
//!   is deleted only when it is disabled.
//! - A service imports a service only if that one is enabled in each of its own regions. An imported service is not
//!   deleted.
//! - A kind is unregistered only when no object of it exists.
//! - An object refers only to objects that exist and are not being deleted, and has only owners that exist. The
//!   references of a kind change only while no object of it exists.
//! - A kind becomes public, or ceases to be, only while no object of it exists.
//! - An object with `block_deletion` is not deleted.

use super::audience::AUDIENCE_MAX;
use super::kind::{BuiltInKind, ObjectKind};
use super::log::ObjectChange;
use super::name::ObjectName;
use super::object::Object;
use super::policy::{closing_regions, control_region, enabled_regions, has_policy, open_regions};
use super::references::{is_owner, targets};
use super::state::RegistryState;
use super::value::ObjectValue;
use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Maximum number of blockers that a violation names.
pub const BLOCKERS_MAX: usize = 10;

/// A rule that a batch breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleViolation {
    /// An object that must exist does not.
    Missing {
        /// The object that needs it.
        name: ObjectName,
        /// The object that is missing.
        needs: ObjectName,
    },
    /// An object that must exist is being deleted.
    BeingDeleted {
        /// The object that needs it.
        name: ObjectName,
        /// The object that is being deleted.
        needs: ObjectName,
    },
    /// Other objects block the deletion.
    Blocked {
        /// The object.
        name: ObjectName,
        /// Objects that block it, at most [`BLOCKERS_MAX`].
        blockers: Vec<ObjectName>,
    },
    /// The object's own `block_deletion` blocks its deletion.
    BlocksItself(ObjectName),
    /// The deployment is enabled, so that it cannot be deleted.
    Enabled(ObjectName),
    /// The field of a deployment names another region than its name does.
    OtherRegion(ObjectName),
    /// The deployment's service does not enable the region.
    RegionDisabled {
        /// The deployment.
        name: ObjectName,
        /// The region.
        region: String,
    },
    /// The service leaves a region that has a registry of its own and that the service does not close.
    RegionOpen {
        /// The service.
        name: ObjectName,
        /// The region.
        region: String,
    },
    /// The policy closes a region that it does not enable, or its default control region.
    ClosingInvalid {
        /// The policy holder.
        name: ObjectName,
        /// The region.
        region: String,
    },
    /// The policy does not enable its default control region.
    ControlRegionDisabled(ObjectName),
    /// The policy changes its default control region, which owns objects.
    ControlRegionFixed(ObjectName),
    /// A service imports another whose id is not valid.
    ImportInvalid {
        /// The importing service.
        name: ObjectName,
        /// The invalid id.
        import: String,
    },
    /// A service imports another that is not enabled in one of its regions.
    ImportNotEnabled {
        /// The importing service.
        name: ObjectName,
        /// The imported service.
        import: String,
        /// The region.
        region: String,
    },
    /// More than [`AUDIENCE_MAX`] services could read the object, or a change of its readers concerns too many objects.
    AudienceTooLarge(ObjectName),
}

impl fmt::Display for RuleViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, needs } => {
                write!(f, "{name}: needs {needs}, which does not exist")
            }
            Self::BeingDeleted { name, needs } => {
                write!(f, "{name}: needs {needs}, which is being deleted")
            }
            Self::Blocked { name, blockers } => {
                write!(f, "{name}: cannot be deleted or changed so because of")?;
                for (index, blocker) in blockers.iter().enumerate() {
                    write!(f, "{} {blocker}", if index > 0 { "," } else { "" })?;
                }
                if blockers.len() == BLOCKERS_MAX {
                    f.write_str(" and possibly others")?;
                }
                Ok(())
            }
            Self::BlocksItself(name) => write!(
                f,
                "{name}: cannot be deleted while its metadata.block_deletion is true"
            ),
            Self::Enabled(name) => write!(
                f,
                "{name}: the deployment is in service; disable it before it is deleted (phalanx registry disable {name})"
            ),
            Self::OtherRegion(name) => {
                write!(f, "{name}: field `region` must be the id of the deployment")
            }
            Self::RegionDisabled { name, region } => write!(
                f,
                "{name}: its service does not enable region {region}, or closes it; add the region to enabled_regions \
                 first, or remove it from closing_regions"
            ),
            Self::RegionOpen { name, region } => write!(
                f,
                "{name}: region {region} has a registry of its own, which may be creating a deployment; leave the region \
                 in enabled_regions and add it to closing_regions: the registry removes it when no deployment is left"
            ),
            Self::ClosingInvalid { name, region } => write!(
                f,
                "{name}: closing_regions has {region}, which is not in enabled_regions or is default_control_region"
            ),
            Self::ControlRegionDisabled(name) => write!(
                f,
                "{name}: default_control_region must be one of enabled_regions"
            ),
            Self::ControlRegionFixed(name) => write!(
                f,
                "{name}: default_control_region cannot be changed, because the region owns objects that the policy governs"
            ),
            Self::ImportInvalid { name, import } => {
                write!(f, "{name}: `{import}` is not a valid id of a service")
            }
            Self::ImportNotEnabled {
                name,
                import,
                region,
            } => write!(
                f,
                "{name}: imports service {import}, which is not enabled in region {region}"
            ),
            Self::AudienceTooLarge(name) => write!(
                f,
                "{name}: the services that may read it, or the objects that they would read with it, are more than \
                 {AUDIENCE_MAX}; share its service with all services \
                 (metadata.shared_with = [\"*\"])"
            ),
        }
    }
}

impl core::error::Error for RuleViolation {}

/// Whether another region has a registry of its own.
#[must_use]
pub fn has_registry(state: &RegistryState, region: &str) -> bool {
    let record = format!("regions/{region}").parse::<ObjectName>();
    let record = record.ok().and_then(|it| state.objects().get(&it));
    record.is_some_and(|it| !it.text("uid").is_empty())
}

/// The decider about a batch.
#[derive(Clone, Copy, Debug)]
pub struct RuleContext<'a> {
    /// The region.
    pub region: &'a str,
    /// Whether the registry writes of its own accord, after the registries of other regions have answered.
    pub is_registry: bool,
}

fn blocked(
    name: &ObjectName,
    blockers: impl Iterator<Item = ObjectName>,
) -> Result<(), RuleViolation> {
    let blockers: Vec<_> = blockers.take(BLOCKERS_MAX).collect();
    if blockers.is_empty() {
        return Ok(());
    }
    let name = name.clone();
    Err(RuleViolation::Blocked { name, blockers })
}

/// Checks the changes of a batch; `state` is the state after the batch.
///
/// # Errors
/// Returns the first rule that is broken.
pub fn check(
    state: &RegistryState,
    changes: &[ObjectChange],
    context: RuleContext<'_>,
) -> Result<(), RuleViolation> {
    for change in changes {
        match (&change.before, &change.after) {
            (Some(before), Some(after)) if is_ended(after) && !is_ended(before) => {
                check_removed(state, before, true)?;
            }
            (before, Some(after)) => check_present(state, before.as_deref(), after, context)?,
            (Some(before), None) => check_removed(state, before, false)?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// Whether the removal of an object waits for nothing but the registries of other regions.
#[must_use]
pub fn is_ended(object: &Object) -> bool {
    object.metadata.deleted.is_some() && object.metadata.writer.finalizers.is_empty()
}

/// Whether objects that depend on an object may exist in the registries of other regions, and not yet in the copies here.
#[must_use]
pub fn concerns_others(state: &RegistryState, object: &Object, region: &str) -> bool {
    let concerns = match BuiltInKind::of(&object.name) {
        Some(BuiltInKind::Region | BuiltInKind::Service | BuiltInKind::Resource) => true,
        Some(BuiltInKind::Deployment) => false,
        None => state.kinds().has_below(&object.name.form()),
    };
    let concerns = concerns || state.kinds().has_references();
    let records = || state.objects().with_prefix("regions/");
    let is_other = |it: &Object| it.name.id() != region && it.name != object.name;
    concerns && records().any(|it| is_other(it) && has_registry(state, it.name.id()))
}

/// Checks the order to delete an object, which is also given to an object with finalizers.
///
/// # Errors
/// Returns a rule about the object alone that is broken.
pub fn check_deletion(object: &Object) -> Result<(), RuleViolation> {
    if object.metadata.writer.block_deletion {
        return Err(RuleViolation::BlocksItself(object.name.clone()));
    }
    let is_deployment = BuiltInKind::of(&object.name) == Some(BuiltInKind::Deployment);
    let is_disabled = object.body.get("is_disabled") == Some(&ObjectValue::Bool(true));
    if is_deployment && !is_disabled {
        return Err(RuleViolation::Enabled(object.name.clone()));
    }
    Ok(())
}

fn check_present(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
    context: RuleContext<'_>,
) -> Result<(), RuleViolation> {
    if before.is_none() {
        check_ancestors(state, after)?;
    }
    check_references(state, before, after)?;
    match BuiltInKind::of(&after.name) {
        Some(BuiltInKind::Service) => check_service(state, before, after, context),
        Some(BuiltInKind::Deployment) => check_deployment(state, before, after),
        Some(BuiltInKind::Resource) => check_patterns(state, before, after),
        Some(BuiltInKind::Region) => Ok(()),
        None => check_policy(state, before, after),
    }
}

fn check_ancestors(state: &RegistryState, after: &Object) -> Result<(), RuleViolation> {
    let has_kind = |name: &ObjectName| state.kinds().kind_of(name).is_ok();
    let mut needed: Vec<ObjectName> = after.name.ancestors().filter(has_kind).collect();
    let service = after.name.registrant().map(ObjectName::service);
    needed.extend(service.and_then(Result::ok));
    if let Ok(ObjectKind::Registered(resource)) = state.kinds().kind_of(&after.name) {
        needed.push(resource);
    }
    needed
        .into_iter()
        .try_for_each(|it| check_needed(state, &after.name, it))
}

/// Checks the references and the owners that a change adds.
fn check_references(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
) -> Result<(), RuleViolation> {
    let fields = state.kinds().references_of(&after.name);
    let known = before.map(|it| targets(fields, it)).unwrap_or_default();
    let new = targets(fields, after).into_iter();
    new.filter(|it| !known.contains(it))
        .try_for_each(|it| check_needed(state, &after.name, it))?;
    let owners = |it: &Object| it.metadata.writer.owner_references.clone();
    let known = before.map(owners).unwrap_or_default();
    for owner in owners(after).difference(&known) {
        check_needed(state, &after.name, owner.name.clone())?;
        let object = state.objects().get(&owner.name).map(|it| &**it);
        if !is_owner(object, owner.uid) {
            let (name, needs) = (after.name.clone(), owner.name.clone());
            return Err(RuleViolation::Missing { name, needs });
        }
    }
    Ok(())
}

/// Checks that an object exists and is not being deleted.
fn check_needed(
    state: &RegistryState,
    name: &ObjectName,
    needs: ObjectName,
) -> Result<(), RuleViolation> {
    let name = name.clone();
    match state.objects().get(&needs) {
        None => Err(RuleViolation::Missing { name, needs }),
        Some(it) if it.metadata.deleted.is_some() => {
            Err(RuleViolation::BeingDeleted { name, needs })
        }
        Some(_) => Ok(()),
    }
}

fn check_policy(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
) -> Result<(), RuleViolation> {
    let (former, control) = (before.and_then(control_region), control_region(after));
    if former.is_some() && former != control {
        return Err(RuleViolation::ControlRegionFixed(after.name.clone()));
    }
    if !has_policy(after) {
        return Ok(());
    }
    let enabled = enabled_regions(after);
    if control.is_some_and(|control| !enabled.contains(control)) {
        return Err(RuleViolation::ControlRegionDisabled(after.name.clone()));
    }
    let mut closing = closing_regions(after).into_iter();
    if let Some(region) = closing.find(|it| !enabled.contains(it) || control == Some(*it)) {
        return Err(RuleViolation::ClosingInvalid {
            name: after.name.clone(),
            region: region.to_owned(),
        });
    }
    for region in enabled {
        let record: Option<ObjectName> = format!("regions/{region}").parse().ok();
        let missing = record.filter(|record| state.objects().get(record).is_none());
        if let Some(needs) = missing {
            let name = after.name.clone();
            return Err(RuleViolation::Missing { name, needs });
        }
    }
    Ok(())
}

fn check_service(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
    context: RuleContext<'_>,
) -> Result<(), RuleViolation> {
    check_policy(state, before, after)?;
    check_imports(state, after)?;
    let Some(before) = before else {
        return Ok(());
    };
    let lost = |of: fn(&Object) -> BTreeSet<&str>| -> Vec<String> {
        let lost = &of(before) - &of(after);
        lost.into_iter().map(str::to_owned).collect()
    };
    let (left, closed) = (lost(enabled_regions), lost(open_regions));
    let mut others = left.iter().filter(|it| *it != context.region);
    let open = others.find(|it| !context.is_registry && has_registry(state, it));
    if let Some(region) = open {
        let (name, region) = (after.name.clone(), region.clone());
        return Err(RuleViolation::RegionOpen { name, region });
    }
    if left.is_empty() && closed.is_empty() {
        return Ok(());
    }
    let deployments = left.iter().filter_map(|region| {
        let deployment = format!("{}/deployments/{region}", after.name).parse();
        deployment
            .ok()
            .filter(|it| state.objects().get(it).is_some())
    });
    blocked(&after.name, deployments)?;
    importers(state, after.name.id()).try_for_each(|importer| check_imports(state, importer))
}

/// The services that import a service.
fn importers<'a>(
    state: &'a RegistryState,
    service: &'a str,
) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
    let all = state.objects().with_prefix("services/");
    let services = all.filter(|it| BuiltInKind::of(&it.name) == Some(BuiltInKind::Service));
    services.filter(move |it| {
        it.texts("imported_services")
            .any(|import| import == service)
    })
}

fn check_imports(state: &RegistryState, importer: &Object) -> Result<(), RuleViolation> {
    for import in importer.texts("imported_services") {
        let missing = |needs| RuleViolation::Missing {
            name: importer.name.clone(),
            needs,
        };
        let Ok(record) = ObjectName::service(import) else {
            let (name, import) = (importer.name.clone(), import.to_owned());
            return Err(RuleViolation::ImportInvalid { name, import });
        };
        let Some(imported) = state.objects().get(&record) else {
            return Err(missing(record));
        };
        check_needed(state, &importer.name, record)?;
        let there = open_regions(imported);
        let mut own = enabled_regions(importer).into_iter();
        if let Some(region) = own.find(|region| !there.contains(region)) {
            return Err(RuleViolation::ImportNotEnabled {
                name: importer.name.clone(),
                import: import.to_owned(),
                region: region.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_deployment(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
) -> Result<(), RuleViolation> {
    let region = after.name.id();
    if !matches!(after.text("region"), field if field.is_empty() || field == region) {
        return Err(RuleViolation::OtherRegion(after.name.clone()));
    }
    let service = after.name.parent();
    let service = service.and_then(|it| state.objects().get(&it));
    let regions = if before.is_some() {
        enabled_regions
    } else {
        open_regions
    };
    if service.is_some_and(|service| !regions(service).contains(region)) {
        return Err(RuleViolation::RegionDisabled {
            name: after.name.clone(),
            region: region.to_owned(),
        });
    }
    Ok(())
}

/// The objects of a registered kind with names of one form.
fn objects_of<'a>(
    state: &'a RegistryState,
    form: &str,
) -> impl Iterator<Item = ObjectName> + use<'a> {
    let prefix = form.split('*').next().unwrap_or_default().to_owned();
    let form = form.to_owned();
    let below = state.objects().iter_from(&prefix);
    below
        .take_while(move |it| it.name.as_str().starts_with(&prefix))
        .filter(move |it| it.name.form() == form)
        .map(|it| it.name.clone())
}

fn check_patterns(
    state: &RegistryState,
    before: Option<&Object>,
    after: &Object,
) -> Result<(), RuleViolation> {
    let kept: BTreeSet<&str> = after.texts("patterns").collect();
    let differs = |before: &Object| {
        before.is_public() != after.is_public()
            || before.body.get("references") != after.body.get("references")
    };
    if before.is_some_and(differs) {
        for pattern in &kept {
            if let Ok(pattern) = pattern.parse::<super::name::NamePattern>() {
                blocked(&after.name, objects_of(state, pattern.form()))?;
            }
        }
    }
    for pattern in before.iter().flat_map(|it| it.texts("patterns")) {
        if !kept.contains(pattern) {
            check_unused(state, &after.name, pattern)?;
        }
    }
    Ok(())
}

fn check_unused(
    state: &RegistryState,
    resource: &ObjectName,
    pattern: &str,
) -> Result<(), RuleViolation> {
    let Ok(pattern) = pattern.parse::<super::name::NamePattern>() else {
        return Ok(());
    };
    // Another pattern of the kind may have the same form.
    if state
        .kinds()
        .forms_of(resource)
        .any(|it| it == pattern.form())
    {
        return Ok(());
    }
    blocked(resource, objects_of(state, pattern.form()))
}

/// Checks that nothing depends on an object that is removed; with `is_order`, on one that is about to be deleted, whose
/// dependents may be being deleted too.
///
/// # Errors
/// Returns the objects that depend on it.
pub fn check_removed(
    state: &RegistryState,
    before: &Object,
    is_order: bool,
) -> Result<(), RuleViolation> {
    let name = &before.name;
    let stays = |it: &&Arc<Object>| !is_order || it.metadata.deleted.is_none();
    let below = name.below();
    let children = state.objects().with_prefix(&below.start).filter(stays);
    blocked(name, children.map(|it| it.name.clone()))?;
    match BuiltInKind::of(name) {
        Some(BuiltInKind::Region) => {
            let all = state.objects().iter().filter(stays);
            let users = all.filter(|it| enabled_regions(it).contains(name.id()));
            blocked(name, users.map(|it| it.name.clone()))
        }
        Some(BuiltInKind::Service) => {
            let users = importers(state, name.id()).filter(|it| stays(it));
            blocked(name, users.map(|it| it.name.clone()))?;
            let own = format!("//{}/", name.id());
            let objects = state.objects().with_prefix(&own).filter(stays);
            blocked(name, objects.map(|it| it.name.clone()))
        }
        Some(BuiltInKind::Resource) => {
            let mut patterns = before.texts("patterns");
            patterns.try_for_each(|pattern| check_unused(state, name, pattern))
        }
        Some(BuiltInKind::Deployment) | None => Ok(()),
    }
}
