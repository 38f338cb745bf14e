//! The registry as a system: hosts whose names begin with `registry` run registries, all others run clients.

use crate::archive::{Archive, SharedArchive};
use crate::client::{RegistryClient, copy};
use crate::disk_store::DiskStore;
use crate::fact::FACTS;
use crate::invariants;
use crate::pod::{Pod, SERVICE};
use crate::server::{RegistryServer, ServerStore};
use crate::shared_store::SharedStore;
use phalanx_core::registry::environment::EnvironmentConfig;
use phalanx_core::registry::log::Retention;
use phalanx_core::registry::query::ObjectScope;
use phalanx_core::registry::sabotage::{RegistryBug, RegistryBugs};
use phalanx_core::registry::sequencer::Config;
use phalanx_core::registry::state::ObjectMap;
use phalanx_core::time::Duration;
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
            "left", "pending", "ready",
        ],
        gauges: vec!["writes-in-flight", "log-floor"],
        sabotage: bugs.chain([UNSYNCED, EPOCHS_IGNORED]).collect(),
        // The only copy of the data is on the disk of the registry.
        excluded_chaos: vec!["wipe"],
        ..Words::default()
    }
}

/// The metrics of the workload.
const METRICS: [&str; 5] = [
    "acknowledged-writes",
    "registrations",
    "killed-registries",
    "killed-while-idle",
    "watch-delay-ms",
];

/// The hosts of registries: those whose names begin with `registry`.
fn registries(scenario: &Scenario) -> Vec<usize> {
    let hosts = scenario.hosts.iter().enumerate();
    let registries = hosts.filter(|(_, host)| host.name.starts_with("registry"));
    registries.map(|(index, _)| index).collect()
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
}

impl Registry {
    fn server(&self, start: Start<'_>) -> RegistryServer {
        let mut random = start.random;
        let region = "eu".parse().expect("a valid region");
        let config = Config {
            retention: Retention {
                entries: 40,
                time: Duration::from_secs(6),
                entries_max: 10_000,
            },
            bugs: self.bugs,
            ..Config::new(region, random.next_u64())
        };
        let archive = Rc::clone(&self.archive);
        let store = if self.registries.len() > 1 {
            ServerStore::Shared(SharedStore::new(archive, self.checks_epochs))
        } else {
            ServerStore::Own(DiskStore::start(start.disk, archive, self.is_synced))
        };
        RegistryServer::new(config, store, Rc::clone(&self.archive), start.wall)
    }
}

impl Registry {
    /// The settings of a pod: three versions, in turn.
    fn pod(host: usize) -> EnvironmentConfig {
        let region = "eu".parse().expect("a valid region");
        let version = format!("v{}", host % 3 + 1);
        let config = EnvironmentConfig::new(SERVICE, region, &version);
        let mut config = config.expect("a valid service");
        config.idle_timeout = Duration::from_secs(3);
        config
    }
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

impl Program for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        if self.registries.contains(&start.host) {
            return Box::new(self.server(start));
        }
        let registries = self.registries.iter();
        let registries = registries.map(|host| start.address_of(*host)).collect();
        if start.spec().name.starts_with("pod") {
            return Box::new(Pod::new(registries, Self::pod(start.host), &start.random));
        }
        let scope = ObjectScope {
            selector: "//shop/orders".parse().expect("a valid selector"),
            filter: FILTERS[start.host % FILTERS.len()]
                .parse()
                .expect("a valid filter"),
        };
        let prefix = format!("{}-{}", start.host, start.life);
        Box::new(RegistryClient::new(registries, scope, prefix, start.random))
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        invariants::all(&self.archive, &self.registries)
    }

    fn on_report(&mut self, report: &Report<'_>) {
        let mut archive = self.archive.borrow_mut();
        let mut workload = std::mem::take(&mut archive.workload);
        workload.count(report, archive.history());
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
        settled_pods(scene, objects)
    }
}
