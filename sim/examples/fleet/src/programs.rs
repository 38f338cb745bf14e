//! The programs of the fleet: how their processes start, what the simulator records about them, and when they have
//! settled.

use crate::agent::{Agent, AgentBugs};
use crate::controller::Controller;
use crate::facts::{FleetFacts, HostFacts};
use crate::invariants::{LiveIsKept, LiveIsValid, ServedIsLoaded, ServedStaysLoaded};
use crate::release::{FOLDERS, LIVE, PREFIX, Release, START};
use phalanx_core::identity::NodeId;
use phalanx_sim::disk::Files;
use phalanx_sim::fakes::nginx::{Installed, NGINX, NginxProgram};
use phalanx_sim::invariant::{Invariant, Seen};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::world::{Process, ProcessEvent, ProcessView, Program, Scene, Start};
use std::collections::BTreeMap;

/// The controllers.
pub struct Controllers;

impl Program for Controllers {
    fn name(&self) -> &'static str {
        "controller"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        Box::new(Controller::new(start.spec().id.clone(), start.disk))
    }

    fn settled(&self, _: &Scene<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// The agents.
pub struct Agents {
    /// The identities of the controllers.
    pub trusted: Vec<NodeId>,
    /// The name of the controller.
    pub name: &'static str,
    /// The planted bugs.
    pub bugs: AgentBugs,
    /// The facts of the run.
    pub facts: FleetFacts,
}

impl Agents {
    fn with_facts(&self, host: usize, change: impl FnOnce(&mut HostFacts)) {
        change(self.facts.borrow_mut().entry(host).or_default());
    }
}

/// Prepares the disk of a new machine: nginx's folders, and release 0.
fn install(disk: &mut Files) {
    if !disk.tree().exists(PREFIX) {
        FOLDERS.iter().for_each(|folder| disk.put_folder(folder));
        let first = Release::default().configuration();
        disk.put(LIVE, first.text.into_bytes());
    }
}

impl Program for Agents {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let host = start.spec().name.clone();
        install(start.disk);
        self.with_facts(start.host, |facts| facts.agent_starts(start.disk));
        let trusted = self.trusted.clone();
        Box::new(Agent::new(host, trusted, self.name, self.bugs))
    }

    fn before_event(&mut self, host: usize, _: &dyn ProcessView, event: &ProcessEvent) {
        self.with_facts(host, |facts| facts.agent_hears(event));
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        if let Some(agent) = seen.view.of::<Agent>() {
            self.with_facts(seen.host, |facts| facts.agent_steps(agent, seen));
        }
    }

    /// If a controller runs, every agent is linked to one, and serves the release that this controller desires, or a
    /// later release, or has rejected it.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        let controllers = scene.of::<Controller>();
        let desired: BTreeMap<&NodeId, u64> = controllers
            .map(|(host, controller)| (&scene.hosts[host].id, controller.version()))
            .collect();
        for (host, agent) in scene.of::<Agent>() {
            let (name, status) = (scene.name(host), agent.status());
            let linked = agent.controller().and_then(|id| desired.get(id));
            if linked.is_none() && !desired.is_empty() {
                return Err(format!("{name} is linked to no controller"));
            }
            let desired = linked.copied().unwrap_or_default();
            match status.served {
                None => return Err(format!("nginx of {name} serves nothing for certain")),
                Some(served) if served < desired && status.rejected != Some(desired) => {
                    return Err(format!("{name} serves {served} instead of {desired}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![
            Box::new(ServedIsLoaded::new(self.facts.clone())),
            Box::new(LiveIsValid::new(self.facts.clone())),
            Box::new(LiveIsKept::new(self.facts.clone())),
        ]
    }
}

/// nginx, which its host starts at boot.
pub struct Nginxes {
    fake: NginxProgram,
    facts: FleetFacts,
}

impl Nginxes {
    /// Creates the program of a run.
    #[must_use]
    pub fn new(facts: FleetFacts) -> Self {
        let arguments = START.iter().map(|&argument| argument.to_owned());
        let fake = NginxProgram {
            at_boot: Some(arguments.collect()),
            ..NginxProgram::default()
        };
        Self { fake, facts }
    }
}

impl Program for Nginxes {
    fn name(&self) -> &'static str {
        NGINX
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        if let Some(facts) = self.facts.borrow_mut().get_mut(&start.host) {
            facts.answers.clear();
        }
        self.fake.start(start)
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        let mut facts = self.facts.borrow_mut();
        if let (Some(facts), Some(nginx)) = (facts.get_mut(&seen.host), seen.view.of::<Installed>())
        {
            facts.nginx_steps(nginx);
        }
    }

    /// Every nginx runs, and none has workers of an earlier configuration.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        for (host, nginx) in scene.of::<Installed>() {
            let state = nginx.state();
            if state["running"] != true || state["leaving"] != 0 {
                return Err(format!("nginx of {} is {state}", scene.name(host)));
            }
        }
        Ok(())
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(ServedStaysLoaded::new(self.facts.clone()))]
    }
}
