//! The records of a process as they should be, and the operations that make them so.

use crate::registry::name::{ObjectName, ObjectNameError, RegionId};
use crate::registry::object::{Object, ObjectDraft};
use crate::registry::query::FieldMask;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::value::{FieldPath, ObjectTable, ObjectValue};
use crate::registry::watch::IDLE_TIMEOUT;
use crate::registry::write::{Precondition, WriteOperation};
use crate::time::Duration;
use core::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Settings of an environment: the identity of the process, and its records.
#[derive(Clone, Debug)]
pub struct EnvironmentConfig {
    /// The name of the service's record.
    service: ObjectName,
    /// The name of the deployment's record.
    deployment: ObjectName,
    /// Fields of the kinds, by the names of their records.
    kinds: BTreeMap<ObjectName, ObjectTable>,
    /// The region.
    pub region: RegionId,
    /// The version of the process.
    pub version: String,
    /// Time without a message of the registry after which the process connects again.
    pub idle_timeout: Duration,
    /// Whether the process registers; otherwise it only discovers others.
    pub registers: bool,
    /// Fields of the service, without its policy and its versions.
    pub service_fields: ObjectTable,
    /// Fields of the deployment, without its region and version.
    pub deployment_fields: ObjectTable,
    /// Planted bugs.
    pub bugs: RegistryBugs,
}

/// Compares two versions such as `v1`, `v1.10` or `2026-11`: numbers by their value, all else by its bytes.
#[must_use]
pub fn compare_versions(one: &str, two: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(bool, u64, String)> {
        let mut parts: Vec<(bool, String)> = Vec::new();
        for character in text.chars() {
            let is_digit = character.is_ascii_digit();
            match parts.last_mut().filter(|(digits, _)| *digits == is_digit) {
                Some((_, part)) => part.push(character),
                None => parts.push((is_digit, character.to_string())),
            }
        }
        let parts = parts.into_iter();
        parts
            .map(|(digits, part)| (digits, part.parse().unwrap_or(0), part))
            .collect()
    };
    parts(one).cmp(&parts(two))
}

/// The texts of a list in a table.
fn texts<'a>(table: &'a ObjectTable, field: &str) -> Vec<&'a str> {
    let list = table.get(field).map_or(&[][..], ObjectValue::elements);
    list.iter().filter_map(ObjectValue::as_text).collect()
}

impl EnvironmentConfig {
    /// Settings of a process that registers its service and its deployment without further fields.
    ///
    /// # Errors
    /// Returns an error if the service's id is not valid.
    pub fn new(service: &str, region: RegionId, version: &str) -> Result<Self, ObjectNameError> {
        Ok(Self {
            service: ObjectName::service(service)?,
            deployment: format!("services/{service}/deployments/{region}").parse()?,
            kinds: BTreeMap::new(),
            region,
            version: version.to_owned(),
            idle_timeout: IDLE_TIMEOUT,
            registers: true,
            service_fields: ObjectTable::new(),
            deployment_fields: ObjectTable::new(),
            bugs: RegistryBugs::NONE,
        })
    }

    /// Registers a kind of the service as well.
    ///
    /// # Errors
    /// Returns an error if the kind's id is not valid.
    pub fn with_kind(mut self, kind: &str, fields: ObjectTable) -> Result<Self, ObjectNameError> {
        let name = format!("{}/resources/{kind}", self.service).parse()?;
        self.kinds.insert(name, fields);
        Ok(self)
    }

    /// The name of the service's record.
    #[must_use]
    pub const fn service(&self) -> &ObjectName {
        &self.service
    }

    /// The name of the deployment's record.
    #[must_use]
    pub const fn deployment(&self) -> &ObjectName {
        &self.deployment
    }

    /// The operations that are needed next, given the objects that exist; none if all records stand. The record of the
    /// deployment is written after the others, because another region may own them.
    pub(super) fn operations(
        &self,
        objects: &BTreeMap<ObjectName, Arc<Object>>,
    ) -> Vec<WriteOperation> {
        let find = |name: &ObjectName| objects.get(name).map(|object| &**object);
        let service = find(&self.service);
        let known = service.map(|it| texts(&it.body, "all_versions"));
        let is_newest = known.is_none_or(|versions| {
            let mut versions = versions.iter();
            versions.all(|other| compare_versions(other, &self.version).is_le())
        });
        let deployment = self.wanted_deployment(find(&self.deployment), is_newest);
        let mut wanted = vec![(
            self.service.clone(),
            self.wanted_service(service, is_newest),
        )];
        for (name, fields) in &self.kinds {
            let existing = find(name).filter(|_| !is_newest);
            let fields = existing.map_or_else(|| fields.clone(), |it| it.body.clone());
            wanted.push((name.clone(), fields));
        }
        let needed = |(name, fields): (ObjectName, ObjectTable)| {
            let existing = find(&name);
            operation(name, fields, existing)
        };
        let first: Vec<_> = wanted.into_iter().filter_map(needed).collect();
        if !first.is_empty() {
            return first;
        }
        let last = (self.deployment.clone(), deployment);
        needed(last).into_iter().collect()
    }

    fn wanted_service(&self, existing: Option<&Object>, is_newest: bool) -> ObjectTable {
        let mut wanted = existing.map_or_else(ObjectTable::new, |it| it.body.clone());
        if is_newest {
            wanted.extend(self.service_fields.clone());
        }
        let mut versions = texts(&wanted, "all_versions");
        if self.bugs.has(RegistryBug::VersionsForgotten) {
            versions.clear();
        }
        versions.push(&self.version);
        versions.sort_by(|one, two| compare_versions(two, one));
        versions.dedup();
        let versions = ObjectValue::texts(versions);
        let policy = wanted.get("multi_region_policy");
        let mut policy = policy
            .and_then(|it| it.as_table())
            .cloned()
            .unwrap_or_default();
        let regions: BTreeSet<&str> = texts(&policy, "enabled_regions").into_iter().collect();
        if !regions.contains(self.region.as_str()) {
            let own = [self.region.as_str()];
            let regions = ObjectValue::texts(regions.into_iter().chain(own));
            policy.insert("enabled_regions".to_owned(), regions);
        }
        let own = || self.region.as_str().into();
        policy
            .entry("default_control_region".to_owned())
            .or_insert_with(own);
        wanted.insert("multi_region_policy".to_owned(), ObjectValue::Table(policy));
        wanted.insert("all_versions".to_owned(), versions);
        wanted
    }

    fn wanted_deployment(&self, existing: Option<&Object>, is_newest: bool) -> ObjectTable {
        let mut wanted = existing.map_or_else(ObjectTable::new, |it| it.body.clone());
        if is_newest || existing.is_none() {
            wanted.extend(self.deployment_fields.clone());
        }
        wanted.insert("region".to_owned(), self.region.as_str().into());
        let current = wanted.get("current_version").and_then(ObjectValue::as_text);
        if current.is_none_or(|it| compare_versions(it, &self.version).is_lt()) {
            let version = self.version.as_str().into();
            wanted.insert("current_version".to_owned(), version);
        }
        wanted
    }
}

/// The operation that gives an object these fields; none if it has them.
fn operation(
    name: ObjectName,
    fields: ObjectTable,
    existing: Option<&Object>,
) -> Option<WriteOperation> {
    let Some(existing) = existing else {
        return Some(WriteOperation::Create(ObjectDraft::new(name, fields)));
    };
    let differs = |field: &&String| existing.body.get(*field) != fields.get(*field);
    let paths: Vec<_> = fields
        .keys()
        .filter(differs)
        .map(|field| FieldPath::of(&[field]))
        .collect();
    (!paths.is_empty()).then(|| WriteOperation::Update {
        draft: ObjectDraft::new(name, fields),
        mask: FieldMask::of(paths),
        condition: Precondition {
            generation: Some(existing.metadata.generation),
            uid: Some(existing.metadata.uid),
            fields: None,
        },
        allow_missing: false,
    })
}
