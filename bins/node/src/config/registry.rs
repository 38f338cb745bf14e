//! The registry of the node's region.

use super::key::DaemonKey;
use phalanx_core::registry::log::Retention;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::sequencer::{Config, WriteLimits};
use phalanx_core::topology::record::Service;
use phalanx_net::configuration::{Layers, Origin};
use phalanx_net::identity::Source;
use std::collections::BTreeMap;
use std::time::Duration;

/// The metadata of a node that name its region.
const REGION: &str = "region";
/// The store in a file of the state directory.
const SQLITE: &str = "sqlite";
/// The settings of a registry, in the order in which people read them.
const KEYS: [DaemonKey; 8] = [
    DaemonKey::RegistryRegion,
    DaemonKey::RegistryStore,
    DaemonKey::RegistryPrimary,
    DaemonKey::RegistryRetainEvents,
    DaemonKey::RegistryRetainTime,
    DaemonKey::RegistryQuotaObjects,
    DaemonKey::RegistryQuotaObjectBytes,
    DaemonKey::RegistryQuotaWrites,
];

/// The settings of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrySettings {
    /// The region.
    pub(crate) region: RegionId,
    /// How long the log keeps batches.
    retention: Retention,
    /// Limits of writes.
    limits: WriteLimits,
}

impl RegistrySettings {
    /// The configuration of the sequencer, with a fresh seed.
    pub(crate) fn sequencer(&self, seed: u64) -> Config {
        Config {
            limits: self.limits,
            retention: self.retention,
            ..Config::new(self.region.clone(), seed)
        }
    }

    /// The service of the mesh that a registry announces.
    pub(crate) fn service() -> Service {
        Service {
            name: "phalanx.registry".to_owned(),
            version: "1".to_owned(),
        }
    }

    /// Adds the region to the metadata of the node.
    pub(crate) fn place(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert(REGION.to_owned(), self.region.to_string());
    }
}

/// Reads the settings of the registry, if the node runs one: if its region or its store is given.
pub(super) fn read(
    layers: &mut Layers<DaemonKey>,
    metadata: &BTreeMap<String, String>,
    certificates: Option<&Source>,
) -> Option<RegistrySettings> {
    let is_given = |key: &&DaemonKey| layers.given(**key).is_some();
    let runs = KEYS[..2].iter().any(|key| is_given(&key));
    let other = KEYS[2..].iter().find(is_given).copied();
    if !runs {
        if let Some(other) = other {
            let why = "has no effect without a registry; give registry.region, too";
            layers.conflict(other, None, why);
        }
        return None;
    }
    store(layers);
    no_secret(layers, certificates);
    let (retention, limits) = (retention(layers), limits(layers));
    let region = region(layers, metadata)?;
    primary(layers, &region);
    Some(RegistrySettings {
        region,
        retention,
        limits,
    })
}

/// The key that makes the node run a registry.
fn reason(layers: &Layers<DaemonKey>) -> DaemonKey {
    let is_given = layers.given(DaemonKey::RegistryRegion).is_some();
    if is_given {
        DaemonKey::RegistryRegion
    } else {
        DaemonKey::RegistryStore
    }
}

fn store(layers: &mut Layers<DaemonKey>) {
    let key = DaemonKey::RegistryStore;
    if let Some((origin, text)) = layers.text(key)
        && text != SQLITE
    {
        let why = if text.starts_with("postgres") {
            format!("{text:?} is not supported yet; the only store is {SQLITE:?}")
        } else {
            format!("{text:?} is not a store; write {SQLITE:?}")
        };
        layers.problem_at(&origin, key, why);
    }
}

/// A registry needs certificates: every holder of a mesh's secret can be every node.
fn no_secret(layers: &mut Layers<DaemonKey>, certificates: Option<&Source>) {
    if let Some(Source::SecretFile(_) | Source::SecretVariable(_)) = certificates {
        let why = "a mesh with a secret cannot own a region, because every member can pose as every other; use \
                   certificates of a CA (phalanx ca init, phalanx ca issue)";
        layers.conflict(reason(layers), None, why);
    }
}

fn region_of(
    layers: &mut Layers<DaemonKey>,
    key: DaemonKey,
    origin: &Origin,
    text: &str,
) -> Option<RegionId> {
    match text.parse::<RegionId>() {
        Ok(region) => Some(region),
        Err(error) => {
            let why = format!("{text:?} is not a region: {}", error.problem);
            layers.problem_at(origin, key, why);
            None
        }
    }
}

fn region(layers: &mut Layers<DaemonKey>, metadata: &BTreeMap<String, String>) -> Option<RegionId> {
    let key = DaemonKey::RegistryRegion;
    let of_node = metadata.get(REGION);
    if let Some((origin, text)) = layers.text(key) {
        if let Some(other) = of_node.filter(|other| **other != text) {
            let why = format!(
                "{text:?} differs from the region {other:?} in metadata; give the same region, or only one of them"
            );
            layers.problem_at(&origin, key, why);
        }
        return region_of(layers, key, &origin, &text);
    }
    let Some(text) = of_node else {
        let why = "is missing, and metadata have no region; give one of them";
        layers.conflict(key, Some(DaemonKey::RegistryStore), why);
        return None;
    };
    let region = text.parse::<RegionId>();
    if let Err(error) = &region {
        let why = format!("the region {text:?} of a registry: {}", error.problem);
        layers.conflict(DaemonKey::Metadata, None, why);
    }
    region.ok()
}

/// The primary region is the region itself, until a registry can follow another one.
fn primary(layers: &mut Layers<DaemonKey>, region: &RegionId) {
    let key = DaemonKey::RegistryPrimary;
    if let Some((origin, text)) = layers.text(key)
        && text != region.as_str()
    {
        let why = format!(
            "{text:?} is another region than {region}, which is not supported yet; a registry is its own primary"
        );
        layers.problem_at(&origin, key, why);
    }
}

fn retention(layers: &mut Layers<DaemonKey>) -> Retention {
    let mut retention = Retention::default();
    if let Some(entries) = layers.number(DaemonKey::RegistryRetainEvents) {
        retention.entries = usize::try_from(entries).unwrap_or(usize::MAX);
    }
    if let Some(time) = layers.duration(DaemonKey::RegistryRetainTime) {
        retention.time = time;
    }
    retention.entries_max = retention.entries_max.max(retention.entries);
    retention
}

fn limits(layers: &mut Layers<DaemonKey>) -> WriteLimits {
    let mut limits = WriteLimits::default();
    let mut number = |key| {
        let number = layers.number(key)?;
        usize::try_from(number).ok()
    };
    if let Some(objects) = number(DaemonKey::RegistryQuotaObjects) {
        limits.objects = objects;
    }
    if let Some(bytes) = number(DaemonKey::RegistryQuotaObjectBytes) {
        limits.object_bytes = bytes;
    }
    if let Some(writes) = layers.number(DaemonKey::RegistryQuotaWrites) {
        limits.burst = u32::try_from(writes).unwrap_or(u32::MAX);
        limits.interval = Duration::from_secs(1) / limits.burst;
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_net::configuration::SettingKey as _;

    #[test]
    fn the_example_and_the_documentation_show_every_setting_with_its_default() {
        let (limits, retention) = (WriteLimits::default(), Retention::default());
        let writes = Duration::from_secs(1).as_nanos() / limits.interval.as_nanos();
        assert_eq!(u128::from(limits.burst), writes);
        let defaults = [
            "\"eu\"".to_owned(),
            format!("{SQLITE:?}"),
            "\"eu\"".to_owned(),
            retention.entries.to_string(),
            retention.time.as_secs().to_string(),
            limits.objects.to_string(),
            limits.object_bytes.to_string(),
            writes.to_string(),
        ];
        let example = include_str!("../../phalanxd.example.toml");
        let docs = include_str!("../../../../docs/registry.md");
        for (key, default) in KEYS.into_iter().zip(defaults) {
            let name = key.name().strip_prefix("registry.").unwrap();
            let line = format!("# {name} = {default}");
            assert!(example.lines().any(|text| text == line), "{line}");
            let row = format!("| `{}` | `{}` | ", key.name(), key.variable());
            let row = docs.lines().find(|text| text.starts_with(&row));
            assert!(
                row.is_some_and(|row| row.contains(&default)),
                "{}",
                key.name()
            );
        }
    }
}
