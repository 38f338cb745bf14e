//! The fleet as a system: its programs, which hosts run them, and what must hold.

use crate::agent::Agent;
use crate::controller::{self, Controller, DEPLOY};
use crate::nginx::Nginx;
use phalanx_sim::address::address;
use phalanx_sim::invariant::{Invariant, Verdict};
use phalanx_sim::mesh::{self, MESH};
use phalanx_sim::scenario::{Host, Scenario, Vocabulary, Words};
use phalanx_sim::world::{Cast, Definition, Process, Program, Scene, Start};
use serde_json::Value;

/// The role of the host that runs the controller.
const CONTROLLER: &str = "controller";

/// The planted bug: an agent reports a version before nginx has loaded it.
const SERVED_EARLY: &str = "served-early";

/// The fleet: a mesh daemon on every host, a controller on the hosts of that role, an agent and an nginx on the others.
pub static FLEET: Definition = Definition {
    name: "fleet",
    command: "cargo run --",
    vocabulary,
    build,
    recoverable: MESH.recoverable,
};

fn vocabulary() -> Vocabulary {
    let controller = Words {
        program: "controller",
        commands: vec![DEPLOY],
        check: Some(check),
        ..Words::default()
    };
    let agent = Words {
        program: "agent",
        events: vec!["served", "controller-unreachable"],
        sabotage: vec![SERVED_EARLY],
        ..Words::default()
    };
    let nginx = Words {
        program: "nginx",
        ..Words::default()
    };
    let mesh = mesh::vocabulary().programs;
    Vocabulary::of(
        "the fleet",
        mesh.into_iter().chain([controller, agent, nginx]),
    )
}

fn check(_: &str, with: &Value) -> Result<(), String> {
    match with["version"].as_u64() {
        Some(version) if version > 0 => Ok(()),
        _ => Err("`deploy` needs `version`, a number from 1 on".to_owned()),
    }
}

fn is_controller(host: &Host) -> bool {
    host.role.as_deref() == Some(CONTROLLER)
}

fn build(scenario: &Scenario, sabotage: &[String]) -> Result<Cast, String> {
    let (own, of_mesh): (Vec<String>, Vec<String>) = sabotage
        .iter()
        .cloned()
        .partition(|word| word == SERVED_EARLY);
    let controller = scenario.hosts.iter().position(is_controller);
    let controller = controller.ok_or("no node has the role `controller`")?;
    let programs = |host: &Host| match is_controller(host) {
        true => vec![0, 1],
        false => vec![0, 2, 3],
    };
    Ok(Cast {
        programs: vec![
            Box::new(mesh::new(scenario, &of_mesh)?),
            Box::new(Controllers),
            Box::new(Agents {
                controller,
                served_early: !own.is_empty(),
            }),
            Box::new(Nginxes),
        ],
        hosts: scenario.hosts.iter().map(programs).collect(),
    })
}

struct Controllers;

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

struct Agents {
    /// The host of the controller.
    controller: usize,
    served_early: bool,
}

impl Program for Agents {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let id = start.scenario.hosts[self.controller].id.clone();
        let mut to = address(self.controller);
        to.set_port(controller::PORT);
        Box::new(Agent::new((id, to), self.served_early))
    }

    /// Every agent serves the version that the controller desires.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        let Some(desired) = scene.one::<Controller>(self.controller) else {
            return Err("the controller does not run".to_owned());
        };
        let desired = desired.version();
        let mut agents = scene.of::<Agent>();
        match agents.find(|(_, agent)| agent.served() != desired) {
            None => Ok(()),
            Some((host, agent)) => Err(format!(
                "{} serves version {} instead of {desired}",
                scene.name(host),
                agent.served()
            )),
        }
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(ServedIsLoaded)]
    }
}

struct Nginxes;

impl Program for Nginxes {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        Box::new(Nginx::new(start.disk))
    }

    fn settled(&self, _: &Scene<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// An agent reports a version as served only when the nginx of its host has loaded it.
struct ServedIsLoaded;

impl Invariant for ServedIsLoaded {
    fn name(&self) -> &'static str {
        "served-is-loaded"
    }

    fn checkpoint(&mut self, scene: &Scene<'_>) -> Verdict {
        for (host, agent) in scene.of::<Agent>() {
            if let Some(nginx) = scene.one::<Nginx>(host)
                && nginx.version() < agent.served()
            {
                return Err(format!(
                    "{}: the agent reports version {}, and nginx serves {}",
                    scene.name(host),
                    agent.served(),
                    nginx.version()
                ));
            }
        }
        Ok(())
    }
}
