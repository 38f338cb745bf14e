//! The fleet as a system: its vocabulary, its programs, and which hosts run them.

use crate::agent::AgentBugs;
use crate::controller::DEPLOY;
use crate::facts::FleetFacts;
use crate::programs::{Agents, Controllers, Nginxes};
use core::time::Duration;
use phalanx_sim::address::ip;
use phalanx_sim::coverage::Occurrence;
use phalanx_sim::fakes::dns::{self, DNS, Dns, RecordData, ResourceRecord, State, Zone};
use phalanx_sim::fakes::nginx::NGINX;
use phalanx_sim::mesh::{self, MESH};
use phalanx_sim::scenario::plan::{Plan, ScheduledAction};
use phalanx_sim::scenario::{Host, Scenario, Vocabulary, Words};
use phalanx_sim::world::{Cast, Definition};
use serde_json::Value;

/// The role of the hosts that run a controller.
const CONTROLLER: &str = "controller";
/// The role of the hosts that run agent and nginx without a mesh daemon.
const BARE: &str = "bare";
/// The role of the host that runs the resolver.
const RESOLVER: &str = "dns";

/// The zone of the fleet.
const ZONE: &str = "fleet.test";
/// The name of the controller.
const NAME: &str = "controller.fleet.test";
/// The time to live of the name, in seconds.
const TTL: u32 = 2;

/// The planted bugs of the agent.
const SABOTAGE: [&str; 4] = [
    "served-early",
    "unsynced-rename",
    "untested",
    "no-read-back",
];

/// The inputs of an agent: events of its host, and messages.
const AGENT_INPUTS: [&str; 14] = [
    "start",
    "wake",
    "resolved",
    "dialed",
    "dial-failed",
    "closed",
    "deploy",
    "received",
    "stored",
    "write-failed",
    "read",
    "ran",
    "signalled",
    "http-response",
];

/// The fleet. Hosts of the role `controller` run a mesh daemon and a controller; hosts of the role `bare` run an agent
/// and nginx; the host of the role `dns` runs a resolver; all others run a mesh daemon, an agent and nginx.
pub static FLEET: Definition = Definition {
    name: "fleet",
    command: "cargo run --",
    vocabulary,
    build,
    recoverable,
};

fn vocabulary() -> Vocabulary {
    let controller = Words {
        program: "controller",
        commands: vec![DEPLOY],
        check: Some(check),
        occurrences: [
            Occurrence::inputs(&["start", "accepted", "closed", "stored", "hello", "status"]),
            vec![Occurrence::command(DEPLOY)],
        ]
        .concat(),
        ..Words::default()
    };
    let agent = Words {
        program: "agent",
        events: vec![
            "written",
            "switching",
            "live",
            "served",
            "rejected",
            "reloading",
            "nginx-started",
            "controller-unreachable",
            "name-unresolved",
        ],
        sabotage: SABOTAGE.to_vec(),
        occurrences: Occurrence::inputs(&AGENT_INPUTS),
        ..Words::default()
    };
    let nginx = Words {
        program: NGINX,
        ..Words::default()
    };
    let resolver = Words {
        program: DNS,
        commands: vec![dns::SET, dns::STATE],
        ..Words::default()
    };
    let mesh = mesh::vocabulary().programs;
    Vocabulary::of(
        "the fleet",
        mesh.into_iter().chain([controller, agent, nginx, resolver]),
    )
}

// guide: check
/// Checks the arguments of a command when a scenario is read.
fn check(_: &str, with: &Value) -> Result<(), String> {
    if with["version"].as_u64().is_none_or(|version| version == 0) {
        return Err("`deploy` needs `version`, a number from 1 on".to_owned());
    }
    match &with["directives"] {
        Value::Null | Value::String(_) => Ok(()),
        _ => Err("`directives` is a text of nginx directives".to_owned()),
    }
}
// guide: end

fn has_role(host: &Host, role: &str) -> bool {
    host.role.as_deref() == Some(role)
}

fn build(scenario: &Scenario, sabotage: &[String]) -> Result<Cast, String> {
    let (own, of_mesh): (Vec<String>, Vec<String>) = sabotage
        .iter()
        .cloned()
        .partition(|word| SABOTAGE.contains(&word.as_str()));
    let hosts = scenario.hosts.iter();
    let controllers = hosts.clone().enumerate();
    let controllers: Vec<(usize, &Host)> = controllers
        .filter(|(_, host)| has_role(host, CONTROLLER))
        .collect();
    let Some((first, _)) = controllers.first() else {
        return Err("no node has the role `controller`".to_owned());
    };
    let resolvers = hosts.clone().filter(|host| has_role(host, RESOLVER));
    if resolvers.count() != 1 {
        return Err("exactly one node must have the role `dns`".to_owned());
    }
    let has = |word: &str| own.iter().any(|own| own == word);
    let facts = FleetFacts::default();
    let agents = Agents {
        trusted: controllers.iter().map(|(_, it)| it.id.clone()).collect(),
        name: NAME,
        bugs: AgentBugs {
            served_early: has("served-early"),
            unsynced_rename: has("unsynced-rename"),
            untested: has("untested"),
            no_read_back: has("no-read-back"),
        },
        facts: facts.clone(),
    };
    Ok(Cast {
        programs: vec![
            Box::new(mesh::new(scenario, &of_mesh)?),
            Box::new(Controllers),
            Box::new(agents),
            Box::new(Nginxes::new(facts)),
            Box::new(resolver(*first)),
        ],
        hosts: hosts.map(programs_of).collect(),
    })
}

// guide: hosts
/// Returns the programs of a host, in the order in which they start.
fn programs_of(host: &Host) -> Vec<usize> {
    match host.role.as_deref() {
        Some(CONTROLLER) => vec![0, 1],
        Some(BARE) => vec![2, 3],
        Some(RESOLVER) => vec![4],
        _ => vec![0, 2, 3],
    }
}
// guide: end

/// A resolver that resolves the name of the controller to a host.
fn resolver(controller: usize) -> Dns {
    let record = ResourceRecord {
        name: NAME.to_owned(),
        ttl: TTL,
        data: RecordData::A(ip(controller)),
    };
    Dns {
        zones: vec![Zone {
            name: ZONE.to_owned(),
            negative_ttl: 1,
            records: vec![record],
            state: State::Answers,
        }],
    }
}

/// Recovery is possible if the mesh can recover, and all hosts of a controller and of the resolver run.
fn recoverable(scenario: &Scenario, plan: &Plan, at: Duration) -> Result<(), String> {
    (MESH.recoverable)(scenario, plan, at)?;
    for (needed, host) in scenario.hosts.iter().enumerate() {
        let is_needed = has_role(host, CONTROLLER) || has_role(host, RESOLVER);
        if is_needed && !runs(plan, needed, at) {
            return Err(format!("{} does not run", host.name));
        }
    }
    Ok(())
}

/// Returns whether a plan leaves all programs of a host running at an instant.
pub(crate) fn runs(plan: &Plan, wanted: usize, at: Duration) -> bool {
    let before = plan.actions.iter().take_while(|planned| planned.at < at);
    let last = before.filter(|planned| match planned.action {
        ScheduledAction::Start { host, .. } | ScheduledAction::Stop { host, .. } => host == wanted,
        _ => false,
    });
    last.last()
        .is_some_and(|planned| matches!(planned.action, ScheduledAction::Start { .. }))
}
