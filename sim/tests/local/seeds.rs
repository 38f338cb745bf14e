//! Mesh nodes whose seed address is a name that a fake resolver resolves: the name has the addresses of all nodes but
//! one, and an address without a host.

use crate::Settled;
use phalanx_core::link::Address;
use phalanx_core::node::Node;
use phalanx_core::time::Instant;
use phalanx_sim::disk::Files;
use phalanx_sim::fakes::dns::{Dns, RecordData, ResourceRecord, State, Zone};
use phalanx_sim::invariant::{Report, Seen};
use phalanx_sim::mesh::node_start::NodeStart;
use phalanx_sim::mesh::{self, APPLICATIONS, Daemon, HostApplications, Mesh};
use phalanx_sim::model::ip;
use phalanx_sim::scenario::{OwnCondition, Scenario, Vocabulary, Words};
use phalanx_sim::world::{
    Cast, Definition, Process, ProcessEvent, ProcessStartError, ProcessView, Program, Scene, Start,
};
use phalanx_sim::{RunOptions, run};

/// The seed address of every node.
const SEEDS: &str = "seeds.example.test:7000";

/// The mesh's program without its invariants; its nodes have [`SEEDS`] as their only seed address. A node starts once
/// in a run.
struct Named(Mesh);

impl Program for Named {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn prepare(&mut self, host: usize, disk: &mut Files) -> Result<(), ProcessStartError> {
        self.0.prepare(host, disk)
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        assert_eq!(start.life, 1, "no node starts again");
        let (scenario, host, wall) = (start.scenario, start.host, start.wall);
        let address = start.address;
        let mut random = start.random.clone();
        // The mesh's program records the lifetime, which has the same random choices.
        drop(self.0.start(start));
        let life = NodeStart {
            scenario,
            host,
            epoch: 1,
            kept: &[],
            address,
            wall,
            sabotage: phalanx_core::sabotage::Sabotage::default(),
        };
        let mut config = life.config(&mut random);
        config.seeds = vec![Address::Name(SEEDS.to_owned())];
        let node = Node::new(config, random.next_u64(), Instant::ZERO);
        let random = random.child(APPLICATIONS);
        let applications = HostApplications::new(HostApplications::ids(scenario), host, 1, random);
        let opens = mesh::channels(&scenario.hosts[host]);
        Box::new(Daemon::starting(node, applications, &opens, Instant::ZERO))
    }

    fn before_event(&mut self, host: usize, view: &dyn ProcessView, event: &ProcessEvent) {
        self.0.before_event(host, view, event);
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        self.0.after_step(seen);
    }

    fn on_report(&mut self, report: &Report<'_>) {
        self.0.on_report(report);
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        self.0.settled(scene)
    }

    fn holds(&self, scene: &Scene<'_>, condition: &OwnCondition) -> Result<(), String> {
        self.0.holds(scene, condition)
    }
}

/// A resolver whose zone is in this state at the start.
fn dns(state: State) -> Dns {
    let record = |address| ResourceRecord {
        name: "seeds.example.test".to_owned(),
        ttl: 1,
        data: RecordData::A(address),
    };
    let nobody = [10, 99, 0, 1].into();
    Dns {
        zones: vec![Zone {
            name: "example.test".to_owned(),
            negative_ttl: 1,
            records: [nobody, ip(0), ip(1), ip(2), ip(3), ip(4), ip(5), ip(6)]
                .map(record)
                .to_vec(),
            state,
        }],
    }
}

fn vocabulary() -> Vocabulary {
    let dns = Words {
        program: "dns",
        commands: vec!["dns-set", "dns-state"],
        ..Words::default()
    };
    let mesh = mesh::vocabulary().programs;
    Vocabulary::of("mesh and resolver", mesh.into_iter().chain([dns]))
}

fn build(scenario: &Scenario, words: &[String], state: State) -> Result<Cast, String> {
    let programs = |host: usize| if host == 0 { vec![0, 1] } else { vec![0] };
    Ok(Cast {
        programs: vec![
            Box::new(Named(mesh::new(scenario, words)?)),
            Box::new(Settled(dns(state))),
        ],
        hosts: (0..scenario.hosts.len()).map(programs).collect(),
    })
}

/// The first host's resolver answers from its start.
static ANSWERS: Definition = Definition {
    name: "named",
    command: "named",
    vocabulary,
    build: |scenario, words| build(scenario, words, State::Answers),
    recoverable: |_, _, _| Ok(()),
};

/// The first host's resolver is silent until a command changes its state.
static SILENT: Definition = Definition {
    name: "silent",
    command: "silent",
    vocabulary,
    build: |scenario, words| build(scenario, words, State::Silent),
    recoverable: |_, _, _| Ok(()),
};

/// Runs four nodes with these further steps, and requires that they converge after `from` seconds; returns the
/// failures.
fn failures(system: &Definition, steps: &str, from: u64, seed: u64) -> Vec<String> {
    let text = format!(
        "scenario = 1\nname = \"named\"\nabout = \"Seed addresses by name.\"\nengines = [\"model\"]\n\
         duration = \"30s\"\nrecovery = \"10s\"\nspread = \"500ms\"\n[[nodes]]\ncount = 8\n{steps}\n\
         [[expect]]\neventually = {{ converged = true }}\nfrom = \"{from}s\"\nwithin = \"8s\"\n"
    );
    let scenario = Scenario::parse_with("named.toml", &text, &vocabulary());
    let scenario = scenario.unwrap_or_else(|why| panic!("{why}\n{text}"));
    let outcome = run(system, &scenario, seed, RunOptions::default()).expect("the scenario runs");
    outcome.failures.iter().map(|it| it.why.clone()).collect()
}

#[test]
fn nodes_behind_one_name_with_a_dead_address_converge() {
    for seed in 1..=60 {
        assert_eq!(failures(&ANSWERS, "", 0, seed), [""; 0], "seed {seed}");
    }
}

#[test]
fn nodes_converge_once_a_silent_resolver_answers() {
    let answers = "[[at]]\ntime = \"20s\"\ncommand = { who = \"n1/dns\", name = \"dns-state\", with = { zone = \
                   \"example.test\", state = \"answers\" } }\n";
    for seed in 1..=5 {
        let failures = failures(&SILENT, answers, 20, seed);
        assert_eq!(failures, [""; 0], "seed {seed}");
    }
    let silent = failures(&SILENT, "", 20, 1);
    assert!(!silent.is_empty(), "without the name the nodes do not meet");
}
