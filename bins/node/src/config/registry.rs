//! The registry of the node's region.

use super::key::DaemonKey;
use phalanx_core::registry::access::LocalUsers;
use phalanx_core::registry::log::Retention;
use phalanx_core::registry::members::{
    PRIMARY_ENTRY, REGION_ENTRY, REGISTRY_SERVICE, REGISTRY_VERSION,
};
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::sequencer::{Config, PREFIXES_MAX, PrefixQuota, WriteLimits};
use phalanx_core::topology::record::Service;
use phalanx_net::configuration::{Layers, Origin};
use phalanx_net::identity::Source;
use phalanx_net::postgres::PostgresSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store in a file of the state directory.
const SQLITE: &str = "sqlite";
/// The settings of a registry, in the order in which people read them.
const KEYS: [DaemonKey; 13] = [
    DaemonKey::RegistryRegion,
    DaemonKey::RegistryStore,
    DaemonKey::RegistryStorePasswordFile,
    DaemonKey::RegistryStoreCaFile,
    DaemonKey::RegistryPrimary,
    DaemonKey::RegistryRetainEvents,
    DaemonKey::RegistryRetainTime,
    DaemonKey::RegistryQuotaObjects,
    DaemonKey::RegistryQuotaObjectBytes,
    DaemonKey::RegistryQuotaWrites,
    DaemonKey::RegistryQuotas,
    DaemonKey::RegistrySocket,
    DaemonKey::RegistryClients,
];
/// The socket for local programs, in the state directory.
const SOCKET: &str = "registry.sock";

/// Where a registry keeps its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistryPlace {
    /// A file of the state directory.
    Sqlite,
    /// A database.
    Postgres(PostgresSettings),
}

/// The settings of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrySettings {
    /// The region.
    pub(crate) region: RegionId,
    /// The store.
    pub(crate) store: RegistryPlace,
    /// The region that owns regions, services and resources.
    pub(crate) primary: RegionId,
    /// How long the log keeps batches.
    retention: Retention,
    /// Limits of writes.
    limits: WriteLimits,
    /// Quotas of names.
    prefixes: Vec<PrefixQuota>,
    /// The path of the socket for local programs, if it is given.
    socket: Option<PathBuf>,
    /// The services of the host's users.
    clients: LocalUsers,
}

impl RegistrySettings {
    /// The configuration of the sequencer, with a fresh seed.
    pub(crate) fn sequencer(&self, seed: u64) -> Config {
        Config {
            limits: self.limits,
            prefixes: self.prefixes.clone(),
            retention: self.retention,
            primary: self.primary.clone(),
            ..Config::new(self.region.clone(), seed)
        }
    }

    /// The socket for local programs and the services of the host's users, if there are any.
    pub(crate) fn local(&self, state_dir: &Path) -> Option<(PathBuf, LocalUsers)> {
        self.clients.users().next()?;
        let socket = self.socket.clone();
        let socket = socket.unwrap_or_else(|| state_dir.join(SOCKET));
        Some((socket, self.clients.clone()))
    }

    /// The service of the mesh that a registry announces.
    pub(crate) fn service() -> Service {
        Service {
            name: REGISTRY_SERVICE.to_owned(),
            version: REGISTRY_VERSION.to_owned(),
        }
    }

    /// Adds the region and its primary region to the metadata of the node.
    pub(crate) fn place(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert(REGION_ENTRY.to_owned(), self.region.to_string());
        metadata.insert(PRIMARY_ENTRY.to_owned(), self.primary.to_string());
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
    let store = store(layers);
    no_secret(layers, certificates);
    let (retention, limits) = (retention(layers), limits(layers));
    let region = region(layers, metadata)?;
    let primary = primary(layers, &region)?;
    let (socket, clients) = local(layers);
    let prefixes = prefixes(layers);
    Some(RegistrySettings {
        region,
        store: store?,
        primary,
        retention,
        limits,
        prefixes,
        socket,
        clients,
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

/// The store; none if its settings have a problem.
fn store(layers: &mut Layers<DaemonKey>) -> Option<RegistryPlace> {
    let key = DaemonKey::RegistryStore;
    let files = [
        DaemonKey::RegistryStorePasswordFile,
        DaemonKey::RegistryStoreCaFile,
    ];
    let given = layers.text(key).filter(|(_, text)| text != SQLITE);
    let Some((origin, text)) = given else {
        let given = files.into_iter().filter(|it| layers.given(*it).is_some());
        for other in given.collect::<Vec<_>>() {
            let why = "has no effect on a SQLite store; give the URL of a database in registry.store, too";
            layers.conflict(other, None, why);
        }
        return Some(RegistryPlace::Sqlite);
    };
    let mut refuse = |why: String| {
        layers.problem_at(&origin, key, why);
        None
    };
    if !PostgresSettings::is_url(&text) {
        // A text that looks like a URL may have a password.
        let shown = match text.contains(['/', '@']) {
            true => "the text".to_owned(),
            false => format!("{text:?}"),
        };
        return refuse(format!(
            "{shown} is not a store; write {SQLITE:?} or \"postgres://USER@HOST/DATABASE\""
        ));
    }
    let settings = match PostgresSettings::parse(&text) {
        Ok(settings) => settings,
        Err(error) => return refuse(format!("the URL {error}")),
    };
    let file = |key| layers.text(key).map(|(_, text)| PathBuf::from(text));
    let [password, ca] = files.map(file);
    let settings = settings.with_password_file(password).with_ca_file(ca);
    if let Some(host) = settings.encrypted_host()
        && settings.ca_file().is_none()
    {
        let why = format!(
            "{host} is reached with TLS, and no authority is given that proves it; give registry.store_ca_file, such as \
             /etc/ssl/certs/ca-certificates.crt"
        );
        layers.problem_at(&origin, key, why);
        return None;
    }
    Some(RegistryPlace::Postgres(settings))
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
    let of_node = metadata.get(REGION_ENTRY);
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

/// The primary region; the region itself if none is given.
fn primary(layers: &mut Layers<DaemonKey>, region: &RegionId) -> Option<RegionId> {
    let key = DaemonKey::RegistryPrimary;
    match layers.text(key) {
        Some((origin, text)) => region_of(layers, key, &origin, &text),
        None => Some(region.clone()),
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

/// The quota of a prefix: `//shop/orders/=5000 objects 100 writes`.
fn prefix(text: &str) -> Result<PrefixQuota, &'static str> {
    let expected = "is not a quota; write a prefix and a text such as \"5000 objects 100 writes\"";
    let (prefix, text) = text.split_once('=').ok_or(expected)?;
    let mut quota = PrefixQuota {
        prefix: prefix.trim().to_owned(),
        objects: usize::MAX,
        writes: None,
    };
    let words: Vec<_> = text.split_whitespace().collect();
    if words.is_empty() || quota.prefix.is_empty() {
        return Err(expected);
    }
    for pair in words.chunks(2) {
        match pair {
            [number, "objects"] => quota.objects = number.parse().map_err(|_| expected)?,
            [number, "writes"] => match number.parse() {
                Ok(writes) if (1..=1_000_000).contains(&writes) => quota.writes = Some(writes),
                _ => return Err("has a number of writes that is not within 1 and 1000000"),
            },
            _ => return Err(expected),
        }
    }
    Ok(quota)
}

fn prefixes(layers: &mut Layers<DaemonKey>) -> Vec<PrefixQuota> {
    let key = DaemonKey::RegistryQuotas;
    let prefixes = layers.items(key, prefix);
    if prefixes.len() > PREFIXES_MAX {
        layers.conflict(
            key,
            None,
            format_args!("has more than {PREFIXES_MAX} prefixes"),
        );
    }
    prefixes
}

/// A user and its service: `1000=shop`.
fn client(text: &str) -> Result<(u32, String), String> {
    let (user, service) = text.split_once('=').unwrap_or((text, ""));
    let Ok(user) = user.trim().parse::<u32>() else {
        return Err("does not begin with the number of a user (id -u NAME)".to_owned());
    };
    match ObjectName::service(service.trim()) {
        Ok(name) => Ok((user, name.id().to_owned())),
        Err(error) => Err(format!("does not name a service: {}", error.problem)),
    }
}

/// The socket and the users of the host.
fn local(layers: &mut Layers<DaemonKey>) -> (Option<PathBuf>, LocalUsers) {
    let clients = layers.items(DaemonKey::RegistryClients, client);
    let clients: BTreeMap<_, _> = clients.into_iter().collect();
    let socket = layers.text(DaemonKey::RegistrySocket);
    if let Some((origin, _)) = &socket
        && clients.is_empty()
    {
        let why = "has no effect without users; map users to services in [registry.clients]";
        layers.problem_at(origin, DaemonKey::RegistrySocket, why);
    }
    let socket = socket.map(|(_, text)| PathBuf::from(text));
    (socket, LocalUsers::new(clients))
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
            "\"/etc/phalanx/registry-password\"".to_owned(),
            "\"/etc/ssl/certs/ca-certificates.crt\"".to_owned(),
            "\"eu\"".to_owned(),
            retention.entries.to_string(),
            retention.time.as_secs().to_string(),
            limits.objects.to_string(),
            limits.object_bytes.to_string(),
            writes.to_string(),
            "{}".to_owned(),
            format!("\"STATE_DIR/{SOCKET}\""),
            "{}".to_owned(),
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
