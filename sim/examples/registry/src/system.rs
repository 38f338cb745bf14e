//! The registry as a system: hosts whose names begin with `registry` run registries of one region, hosts `region-REGION`
//! the registries of several regions, of which the first is the primary one; all others run clients. In a run with several
//! regions, the name of a client begins with its region (`us1`), that of a pod with `pod-` and the region (`pod-us1`), that
//! of an operator with `operator-` and the region.

use crate::archive::{Archive, SharedArchive};
use crate::client::{RegistryClient, copy};
use crate::disk_store::DiskStore;
use crate::fact::FACTS;
use crate::invariants;
use crate::links::RegionLinks;
use crate::operator::OperatorProcess;
use crate::pod::{Pod, SERVICE};
use crate::server::{RegistryServer, ServerStore};
use crate::shared_store::SharedStore;
use core::net::SocketAddr;
use phalanx_core::registry::environment::EnvironmentConfig;
use phalanx_core::registry::log::Retention;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::query::ObjectScope;
use phalanx_core::registry::replica::ReplicaTuning;
use phalanx_core::registry::sabotage::{RegistryBug, RegistryBugs};
use phalanx_core::registry::sequencer::Config;
use phalanx_core::registry::state::ObjectMap;
use phalanx_core::time::{Duration, Instant};
use phalanx_sim::invariant::{Invariant, Report};
use phalanx_sim::scenario::{Scenario, Vocabulary, Words};
use phalanx_sim::world::{Cast, Definition, Process, Program, Scene, Start};
use serde_json::Value;
use std::rc::Rc;

/// The planted bug of the store on a disk: writes are not synced.
const UNSYNCED: &str = "commits-unsynced";
/// The planted bug of the store in a database: a commit of an earlier epoch is stored.
const EPOCHS_IGNORED: &str = "epochs-ignored";

/// The filters of the clients, in turn.
const FILTERS: [&str; 3] = ["", "size >= 2", "size = 0 OR value LIKE \"2-%\""];

/// The registry and its clients.
pub static REGISTRY: Definition = Definition {
    name: "registry",
    command: "cargo run --",
    vocabulary: || Vocabulary::of("the registry", [words()]),
    build: |scenario, sabotage| {
        let mut bugs = RegistryBugs::NONE;
        for (bug, _) in RegistryBug::ALL.iter().filter(|it| has(sabotage, it.1)) {
            bugs = bugs.with(*bug);
        }
        let program = Registry {
            archive: SharedArchive::new(Archive::default().into()),
            bugs,
            is_synced: !has(sabotage, UNSYNCED),
            checks_epochs: !has(sabotage, EPOCHS_IGNORED),
            registries: registries(scenario),
            regions: regions(scenario),
        };
        Ok(Cast::everywhere(program, scenario))
    },
    recoverable: |_, _, _| Ok(()),
};

fn has(sabotage: &[String], word: &str) -> bool {
    sabotage.iter().any(|it| it == word)
}

fn words() -> Words {
    let bugs = RegistryBug::ALL.iter().map(|(_, word)| *word);
    Words {
        program: "registry",
        events: FACTS.to_vec(),
        commands: vec![
            "operate",
            "read-slowly",
            "lose-answer",
            "back-up",
            "restore-backup",
        ],
        metrics: METRICS.to_vec(),
        check: Some(check),
        state: vec![
            "serving", "epoch", "head", "floor", "objects", "watches", "in_sync", "position",
            "left", "pending", "ready", "copies",
        ],
        gauges: vec!["writes-in-flight", "log-floor"],
        sabotage: bugs.chain([UNSYNCED, EPOCHS_IGNORED]).collect(),
        // The only copy of the data is on the disk of the registry.
        excluded_chaos: vec!["wipe"],
        ..Words::default()
    }
}

/// The metrics of the workload.
const METRICS: [&str; 12] = [
    "closed-regions",
    "removed-kinds",
    "acknowledged-writes",
    "unchanged-writes",
    "copied-writes",
    "copy-delay-ms",
    "watchers",
    "routed-writes",
    "registrations",
    "killed-registries",
    "killed-while-idle",
    "watch-delay-ms",
];

/// The beginning of the names of hosts that run the registries of several regions.
const REGION_PREFIX: &str = "region-";

/// The hosts of registries.
fn registries(scenario: &Scenario) -> Vec<usize> {
    let hosts = scenario.hosts.iter().enumerate();
    let registries = hosts.filter(|(_, host)| {
        host.name.starts_with("registry") || host.name.starts_with(REGION_PREFIX)
    });
    registries.map(|(index, _)| index).collect()
}

/// The regions with their hosts, in the order of hosts: the primary first. Empty if the registries have one region.
fn regions(scenario: &Scenario) -> Vec<(RegionId, usize)> {
    let hosts = scenario.hosts.iter().enumerate();
    let regions = hosts.filter_map(|(index, host)| {
        let region = host.name.strip_prefix(REGION_PREFIX)?.parse().ok()?;
        Some((region, index))
    });
    regions.collect()
}

/// Checks the arguments of a command when a scenario is read.
fn check(word: &str, with: &Value) -> Result<(), String> {
    let count = with["count"].as_u64();
    match word {
        "operate" if count.is_none_or(|count| count == 0) => {
            Err("`operate` needs `count`, the number of operations, from 1 on".to_owned())
        }
        "lose-answer" | "back-up" | "restore-backup" if !with.is_null() => {
            Err(format!("`{word}` has no arguments"))
        }
        _ => Ok(()),
    }
}

struct Registry {
    archive: SharedArchive,
    bugs: RegistryBugs,
    is_synced: bool,
    checks_epochs: bool,
    /// The hosts of registries.
    registries: Vec<usize>,
    /// The regions with their hosts; empty if there is one region.
    regions: Vec<(RegionId, usize)>,
}

impl Registry {
    fn server(&self, start: Start<'_>) -> RegistryServer {
        let mut random = start.random.clone();
        let own = self.regions.iter().find(|it| it.1 == start.host);
        let has_regions = own.is_some();
        let region = own.map_or_else(|| eu(), |it| it.0.clone());
        let primary = self.regions.first();
        let config = Config {
            primary: primary.map_or_else(|| region.clone(), |it| it.0.clone()),
            // A request is known for as long as the log keeps its batch: longer than a region is cut off. A follower
            // that falls behind by the maximum gets a snapshot.
            retention: Retention {
                entries: 40,
                time: Duration::from_secs(if has_regions { 20 } else { 6 }),
                entries_max: if has_regions { 400 } else { 10_000 },
            },
            replica: ReplicaTuning {
                window: 1_500,
                idle_timeout: Duration::from_secs(2),
                retry_max: Duration::from_secs(1),
                ..ReplicaTuning::default()
            },
            bugs: self.bugs,
            ..Config::new(region, random.next_u64())
        };
        let addresses = self.regions.iter();
        let addresses = addresses.map(|(region, host)| (region.clone(), start.address_of(*host)));
        let links = RegionLinks::new(addresses.collect());
        let archive = Rc::clone(&self.archive);
        let store = if self.registries.len() > 1 && !has_regions {
            ServerStore::Shared(SharedStore::new(archive, self.checks_epochs))
        } else {
            ServerStore::Own(DiskStore::start(start.disk, archive, self.is_synced))
        };
        RegistryServer::new(config, store, links, Rc::clone(&self.archive), start.wall)
    }

    /// The region of a client, and the registries that it may turn to.
    fn place(&self, start: &Start<'_>) -> (Option<RegionId>, Vec<SocketAddr>) {
        let name = &*start.spec().name;
        let name = name.strip_prefix("pod-").unwrap_or(name);
        let name = name.strip_prefix("operator-").unwrap_or(name);
        let of_region = |(region, _): &&(RegionId, usize)| {
            let rest = name.strip_prefix(region.as_str());
            rest.is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        if let Some((region, host)) = self.regions.iter().find(of_region) {
            return (Some(region.clone()), vec![start.address_of(*host)]);
        }
        let registries = self.registries.iter();
        (
            None,
            registries.map(|host| start.address_of(*host)).collect(),
        )
    }

    /// The settings of a pod: three versions, in turn.
    fn pod(&self, host: usize, region: Option<RegionId>) -> EnvironmentConfig {
        let version = format!("v{}", host % 3 + 1);
        let config = EnvironmentConfig::new(SERVICE, region.unwrap_or_else(eu), &version);
        let mut config = config.expect("a valid service");
        config.idle_timeout = Duration::from_secs(3);
        config.bugs = self.bugs;
        config
    }

    /// Each region has the same objects.
    fn settled_regions(&self, scene: &Scene<'_>) -> Result<(), String> {
        if self.regions.is_empty() {
            return Ok(());
        }
        let now = Instant::ZERO;
        let mut servers = scene.of::<RegistryServer>();
        let (_, first) = servers.next().ok_or("no registry runs")?;
        for (host, server) in scene.of::<RegistryServer>() {
            let name = scene.name(host);
            if !server.machine().is_serving() {
                return Err(format!("{name} does not serve"));
            }
            let copies: Vec<_> = server.machine().copies(now).collect();
            if copies.len() + 1 < self.regions.len() {
                return Err(format!("{name} has not a copy of each region"));
            }
            if let Some(copy) = copies.iter().find(|it| !it.is_following || it.lag > 0) {
                return Err(format!("{name} does not follow {}", copy.region));
            }
            let objects = |server: &RegistryServer| server.machine().objects().clone();
            if !objects(server).iter().eq(objects(first).iter()) {
                return Err(format!(
                    "the objects of {name} differ from those of the primary"
                ));
            }
        }
        Ok(())
    }
}

/// The region of runs with one region.
fn eu() -> RegionId {
    "eu".parse().expect("a valid region")
}

/// Each pod is ready, and its copy is the set of its scope.
fn settled_pods(scene: &Scene<'_>, objects: &ObjectMap) -> Result<(), String> {
    for (host, pod) in scene.of::<Pod>() {
        let name = scene.name(host);
        if !pod.environment().is_ready() {
            return Err(format!("{name} is not ready"));
        }
        let set = objects.iter().filter(|object| pod.set().holds(object));
        if !pod.environment().objects().eq(set) {
            return Err(format!("the copy of {name} differs from the registry"));
        }
    }
    Ok(())
}

/// Each deployment is readable by the services that may read its service.
fn settled_audiences(objects: &ObjectMap) -> Result<(), String> {
    let deployments = objects.with_prefix("services/");
    let deployments = deployments.filter(|it| it.name.as_str().contains("/deployments/"));
    for deployment in deployments {
        let service = deployment.name.parent().and_then(|it| objects.get(&it));
        let service = service.ok_or_else(|| format!("{} has no service", deployment.name))?;
        if deployment.metadata.audience != service.metadata.audience {
            return Err(format!("the audience of {} is an old one", deployment.name));
        }
    }
    Ok(())
}

impl Program for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        if self.registries.contains(&start.host) {
            return Box::new(self.server(start));
        }
        let (region, registries) = self.place(&start);
        if start.spec().name.starts_with("pod") {
            let config = self.pod(start.host, region);
            return Box::new(Pod::new(registries, config, &start.random));
        }
        let prefix = format!("{}-{}", start.host, start.life);
        let regions: Vec<_> = self.regions.iter().map(|it| it.0.clone()).collect();
        if let Some(own) = region.clone()
            && start.spec().name.starts_with("operator-")
        {
            return Box::new(OperatorProcess::new(
                registries[0],
                own,
                regions,
                prefix,
                start.random,
            ));
        }
        let selector = if region.is_some() {
            ""
        } else {
            "//shop/orders"
        };
        let scope = ObjectScope {
            selector: selector.parse().expect("a valid selector"),
            filter: FILTERS[start.host % FILTERS.len()]
                .parse()
                .expect("a valid filter"),
        };
        let region = region.map(|own| (own, regions));
        Box::new(RegistryClient::new(
            registries,
            scope,
            region,
            prefix,
            start.random,
        ))
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        invariants::all(&self.archive, &self.registries, &self.regions)
    }

    fn on_report(&mut self, report: &Report<'_>) {
        let mut archive = self.archive.borrow_mut();
        let mut workload = std::mem::take(&mut archive.workload);
        workload.count(report, &archive);
        archive.workload = workload;
    }

    fn metric(
        &self,
        _: &Scene<'_>,
        word: &str,
        who: &[usize],
        window: (u64, u64),
    ) -> Result<u64, String> {
        self.archive.borrow().workload.metric(word, who, window)
    }

    /// The registry serves, each client has ended its operations, and each copy is the set of its scope.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        self.settled_regions(scene)?;
        let serving = scene.of::<RegistryServer>().map(|(_, server)| server);
        let serving = serving.filter(|server| server.machine().is_serving());
        let Some(server) = serving.max_by_key(|server| server.machine().epoch().number) else {
            return Err("the registry does not serve".to_owned());
        };
        let objects = server.machine().objects();
        for (host, client) in scene.of::<RegistryClient>() {
            let name = scene.name(host);
            if !client.is_idle() {
                return Err(format!("{name} has operations without an answer"));
            }
            if !client.watch().is_in_sync() {
                return Err(format!("{name} does not follow the registry"));
            }
            let set = objects.iter().map(|it| &**it);
            if !copy(client).eq(set.filter(|object| client.set().holds(object))) {
                return Err(format!("the copy of {name} differs from the registry"));
            }
        }
        if let Some((host, _)) = scene.of::<OperatorProcess>().find(|(_, it)| !it.is_idle()) {
            let name = scene.name(host);
            return Err(format!("{name} has writes without an answer"));
        }
        settled_audiences(objects)?;
        settled_pods(scene, objects)
    }
}
