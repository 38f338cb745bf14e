//! Tests of explanations and invariants for a system that is not the mesh: beacons that provide no knowledge of each
//! other.

use super::{Explanation, explain};
use crate::invariant::{Invariant, InvariantResult, Seen};
use crate::record::Recording;
use crate::scenario::{OwnCondition, Scenario, Vocabulary, Words};
use crate::verdict::Failure;
use crate::world::{
    Cast, Definition, Effect, Effects, Message, Process, ProcessEvent, ProcessView, Program, Scene,
    Start,
};
use crate::{RunOptions, run};
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::time::Instant;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PORT: u16 = 81;
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Light(usize);

impl Message for Light {
    fn encoded_len(&self) -> usize {
        8
    }

    fn kind(&self) -> &'static str {
        "light"
    }
}

/// Sends a light to all other hosts each second, and never releases its lamp.
struct Beacon {
    host: usize,
    others: Vec<SocketAddr>,
    heard: Vec<u64>,
    next: Instant,
}

impl ProcessView for Beacon {
    fn digest(&self) -> u64 {
        0
    }

    fn state(&self) -> Value {
        json!({ "heard": self.heard.iter().filter(|count| **count > 0).count() })
    }
}

impl Process for Beacon {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start | ProcessEvent::Datagram { .. } | ProcessEvent::Wake
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        if let ProcessEvent::Datagram { message, .. } = &event
            && let Some(Light(from)) = message.of::<Light>()
        {
            self.heard[*from] += 1;
            return;
        }
        if matches!(event, ProcessEvent::Start) {
            out.push(Effect::Listen { port: PORT });
        }
        self.next = now + PERIOD;
        for other in &self.others {
            out.datagram(*other, Light(self.host));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

/// A beacon must not start while it already burns, and must not step unless it burns.
#[derive(Default)]
struct OneLight {
    burning: BTreeSet<usize>,
    twice: Option<usize>,
}

impl Invariant for OneLight {
    fn name(&self) -> &'static str {
        "one-light"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        if !self.burning.contains(&seen.host) {
            return Err("steps after its end".to_owned());
        }
        match self.twice {
            Some(host) => Err(format!("host {host} starts before its end")),
            None => Ok(()),
        }
    }

    fn on_start(&mut self, host: usize) {
        if !self.burning.insert(host) {
            self.twice = Some(host);
        }
    }

    fn on_end(&mut self, host: usize) {
        self.burning.remove(&host);
    }
}

struct Beacons;

impl Program for Beacons {
    fn name(&self) -> &'static str {
        "beacon"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let hosts = start.scenario.hosts.len();
        let address = |host: usize| SocketAddr::new(crate::address::ip(host).into(), PORT);
        let others = (0..hosts).filter(|host| *host != start.host).map(address);
        Box::new(Beacon {
            host: start.host,
            others: others.collect(),
            heard: vec![0; hosts],
            next: Instant::ZERO,
        })
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(OneLight::default())]
    }

    fn holds(&self, scene: &Scene<'_>, condition: &OwnCondition) -> Result<(), String> {
        for (host, beacon) in scene.observers_of::<Beacon>(&condition.who)? {
            let silent = (0..scene.hosts.len()).find(|it| *it != host && beacon.heard[*it] == 0);
            if let Some(silent) = silent {
                let (name, other) = (scene.name(host), scene.name(silent));
                return Err(format!("{name} has not heard {other}"));
            }
        }
        Ok(())
    }
}

static BEACONS: Definition = Definition {
    name: "beacons",
    command: "beacons",
    vocabulary: || {
        let words = Words {
            program: "beacon",
            holds: vec!["hears-all"],
            ..Words::default()
        };
        Vocabulary::of("beacons", [words])
    },
    build: |scenario, _| Ok(Cast::everywhere(Beacons, scenario)),
    recoverable: |_, _, _| Ok(()),
};

fn failed(text: &str) -> Vec<(Failure, Explanation)> {
    let head = r#"
scenario = 1
system = "beacons"
name = "beacons"
about = "Beacons."
engines = ["model"]
duration = "20s"
recovery = "5s"
"#;
    let vocabulary = (BEACONS.vocabulary)();
    let text = format!("{head}{text}");
    let scenario = Scenario::parse_with("beacons.toml", &text, &vocabulary).unwrap();
    let mut recording = Recording::new(&scenario, scenario.plan(1).unwrap());
    let options = RunOptions {
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    let outcome = run(&BEACONS, &scenario, 1, options).unwrap();
    let explained = explain(&BEACONS, &recording, &outcome.failures, &[]);
    outcome.failures.into_iter().zip(explained).collect()
}

#[test]
fn a_system_without_knowledge_gets_the_last_message_and_the_fault_between_the_nodes() {
    let text = r#"
[[nodes]]
count = 3
[[at]]
time = "1ms"
partition = { sets = ["n1", "n2"], direction = "in" }
[[expect]]
eventually = { holds = { name = "hears-all", who = "n1" } }
within = "15s"
"#;
    let failed = failed(text);
    let (failure, found) = &failed[0];
    assert_eq!(failure.why, "n1 has not heard n2");
    let lines = found.lines.join("\n");
    for words in [
        "no message from n2 arrived at n1",
        "dropped or delayed since: 1",
        "between them: partition n1 | n2 (line 12), in force since 0.001 s",
    ] {
        assert!(lines.contains(words), "{words:?} is not in:\n{lines}");
    }
    assert!(!lines.contains("never had"), "{lines}");
}

#[test]
fn an_invariant_learns_that_processes_end() {
    for fault in [
        "crash = \"n2\"",
        "power-loss = \"n2\"",
        "restart = { who = \"n2\" }",
        "restart = { who = \"n2\", state = \"lose\" }",
        "pause = { who = \"n2\", for = \"2s\" }",
    ] {
        let text = format!(
            r#"
[[nodes]]
count = 3
[[at]]
time = "5s"
{fault}
[[expect]]
eventually = {{ converged = true }}
from = "15s"
"#
        );
        let failed: Vec<Failure> = failed(&text)
            .into_iter()
            .map(|(failure, _)| failure)
            .collect();
        assert_eq!(failed, [], "{fault}");
    }
}
