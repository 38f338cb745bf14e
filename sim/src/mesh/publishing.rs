//! The publications of mesh nodes in the course of a plan.
//!
//! A publication replaces all services and all metadata of a node. The planning therefore remembers each host's latest
//! publication, so that a step may change only a part of the publication.

use super::host_words;
use super::step_words::{ANNOUNCE, FLAP, UPDATES, UPGRADE};
use crate::scenario::{
    Argument, Arguments, Due, Host, OwnAction, Planning, Strike, Struck, TASKS_MAX, Task,
};
use core::time::Duration;
use phalanx_core::random::Random;
use phalanx_core::topology::record::Service;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The services and metadata that a node publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// All services.
    pub services: BTreeSet<Service>,
    /// All metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Published {
    /// The publication of a host at its start.
    pub(super) fn of(host: &Host) -> Self {
        Self {
            services: host_words::services(host),
            metadata: host_words::metadata(host),
        }
    }

    /// Returns the publication after a change of all services, of all metadata, or of both.
    pub(super) fn changed_by(&self, arguments: &Arguments) -> Self {
        let metadata = arguments.pairs("metadata");
        Self {
            services: services_of(arguments).unwrap_or_else(|| self.services.clone()),
            metadata: metadata.unwrap_or(&self.metadata).clone(),
        }
    }

    /// Parses the arguments of an order.
    ///
    /// # Errors
    /// Returns an error if the arguments do not describe a publication.
    pub fn read(with: &Value) -> Result<Self, String> {
        let (services, metadata) = (&with["services"], &with["metadata"]);
        let lacks = |key: &str| format!("`{ANNOUNCE}` lacks `{key}`");
        let services = services.as_array().ok_or_else(|| lacks("services"))?;
        let services = services.iter().filter_map(Value::as_str);
        let metadata = metadata.as_object().ok_or_else(|| lacks("metadata"))?;
        let metadata = metadata.iter();
        let metadata =
            metadata.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())));
        Ok(Self {
            services: host_words::parsed_services(services),
            metadata: metadata.collect(),
        })
    }

    /// The order that makes a process of the program publish these services and metadata.
    fn action(&self, program: &'static str) -> OwnAction {
        let services = self.services.iter();
        let services = services.map(|service| format!("{}/{}", service.name, service.version));
        let arguments = Arguments::new()
            .with("services", Argument::Texts(services.collect()))
            .with("metadata", Argument::Pairs(self.metadata.clone()));
        OwnAction {
            arguments,
            ..OwnAction::new(program, ANNOUNCE)
        }
    }
}

/// The planning of publications, for the processes of a program.
#[derive(Debug)]
struct Publishing {
    program: &'static str,
    /// For each host, the publication that its process makes at its start by itself.
    spec: Vec<Published>,
    /// For each host, the publication at its next start.
    base: Vec<Published>,
    /// For each host, the latest publication.
    latest: Vec<Published>,
}

/// The planning of the steps [`STEPS`](super::STEPS) for the processes of a program.
#[must_use]
pub fn publishing(program: &'static str, hosts: &[Host]) -> Box<dyn Planning> {
    let spec: Vec<Published> = hosts.iter().map(Published::of).collect();
    Box::new(Publishing {
        program,
        base: spec.clone(),
        latest: spec.clone(),
        spec,
    })
}

impl Publishing {
    /// The order to publish the latest publication of a host.
    fn publish(&self, host: usize) -> Task {
        let action = self.latest[host].action(self.program);
        Task::Step { host, action }
    }

    fn announce(&mut self, host: usize, arguments: &Arguments) -> Vec<Task> {
        self.latest[host] = self.latest[host].changed_by(arguments);
        vec![self.publish(host)]
    }

    /// Registers or withdraws services, and publishes the change if the host's node runs.
    fn flap(
        &mut self,
        host: usize,
        services: BTreeSet<Service>,
        on: bool,
        runs: bool,
    ) -> Vec<Task> {
        let latest = &mut self.latest[host].services;
        let before = latest.clone();
        for service in services {
            if on {
                latest.insert(service);
            } else {
                latest.remove(&service);
            }
        }
        if *latest == before || !runs {
            return Vec::new();
        }
        vec![self.publish(host)]
    }
}

impl Planning for Publishing {
    fn step(&mut self, action: &OwnAction, hosts: &[usize], place: usize) -> Vec<Task> {
        let (host, with) = (hosts[place], &action.arguments);
        let every = with.time("every").unwrap_or(Duration::MAX);
        let times = times(every, with.time("for").unwrap_or_default());
        let later = |after, number, late| {
            let due = Due { host, number, late };
            Task::Later { after, due }
        };
        match action.word {
            UPGRADE => {
                let version = with.text("version").unwrap_or_default().to_owned();
                let metadata = &mut self.base[host].metadata;
                metadata.insert("version".to_owned(), version);
                vec![Task::Restart(host)]
            }
            UPDATES => {
                let offset = every * u32::try_from(place).unwrap_or(0)
                    / u32::try_from(hosts.len()).unwrap_or(1);
                times
                    .map(|(number, after)| later(offset + after, number + 1, false))
                    .collect()
            }
            FLAP => {
                let changes = times.map(|(number, after)| {
                    let on = number % 2 == 0;
                    later(after, u64::from(on), !on)
                });
                let end = later(with.time("for").unwrap_or_default(), 0, true);
                changes.chain([end]).collect()
            }
            _ => self.announce(host, with),
        }
    }

    fn due(&mut self, action: Option<&OwnAction>, due: Due, runs: bool) -> Vec<Task> {
        let Due { host, number, .. } = due;
        match action.map(|action| (action.word, &action.arguments)) {
            Some((UPDATES, _)) => {
                let metadata = &mut self.latest[host].metadata;
                metadata.insert("update".to_owned(), number.to_string());
                vec![self.publish(host)]
            }
            Some((FLAP, with)) => {
                let services = services_of(with).unwrap_or_default();
                self.flap(host, services, number == 1, runs)
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn start(&mut self, host: usize) -> Vec<Task> {
        self.latest[host] = self.base[host].clone();
        if self.base[host] == self.spec[host] {
            return Vec::new();
        }
        vec![self.publish(host)]
    }

    /// Makes a node add or withdraw one service with the name `chaos`.
    fn strike(&mut self, strike: Strike<'_>, random: &mut Random) -> Option<Struck> {
        let host = *strike.free.first()?;
        let services = &mut self.latest[host].services;
        let service = Service {
            name: "chaos".to_owned(),
            version: random.below(3).to_string(),
        };
        if !services.remove(&service) {
            services.insert(service);
        }
        Some(Struck {
            tasks: vec![self.publish(host)],
            touched: Vec::new(),
        })
    }
}

fn services_of(arguments: &Arguments) -> Option<BTreeSet<Service>> {
    let texts = arguments.texts("services")?;
    Some(host_words::parsed_services(
        texts.iter().map(String::as_str),
    ))
}

/// The times of an event that repeats at the interval `every` for `length`, each with its number.
fn times(every: Duration, length: Duration) -> impl Iterator<Item = (u64, Duration)> {
    let count = length.as_nanos() / every.as_nanos().max(1);
    // A plan with more tasks is refused.
    let count = u32::try_from(count.min(u128::from(TASKS_MAX))).unwrap_or(u32::MAX);
    (0..count).map(move |number| (u64::from(number), every * number))
}
