//! Runs that do not end by themselves: an instant with too many events, and requests of a supervisor.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at an unexpected result, and its processes take few of the events"
)]

use core::net::SocketAddr;
use phalanx_core::time::Instant;
use phalanx_sim::judge::ending::ENDS_BY_ITSELF;
use phalanx_sim::model::{ENDS_IN_TIME, Supervisor, TIME_ADVANCES};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::record::{ExecutedAction, RecordedStep, Recorder};
use phalanx_sim::runner::{Model, SupervisedModel};
use phalanx_sim::scenario::{Scenario, Vocabulary, Words};
use phalanx_sim::search::{SystemUnderTest, attempt};
use phalanx_sim::shrink::shrink;
use phalanx_sim::world::{
    Cast, Definition, Effect, Effects, Message, Process, ProcessEvent, ProcessView, Program, Start,
};
use phalanx_sim::{RunOptions, run};
use serde_json::{Value, json};

const PORT: u16 = 81;

#[derive(Clone, Debug)]
struct Ball;

impl Message for Ball {
    fn encoded_len(&self) -> usize {
        10
    }

    fn kind(&self) -> &'static str {
        "ball"
    }
}

/// Returns each ball to its sender.
struct Player {
    first: Option<SocketAddr>,
    hits: u64,
}

impl ProcessView for Player {
    fn digest(&self) -> u64 {
        self.hits
    }

    fn state(&self) -> Value {
        json!({ "hits": self.hits })
    }
}

impl Process for Player {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Start | ProcessEvent::Datagram { .. })
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.push(Effect::Listen { port: PORT });
                if let Some(to) = self.first {
                    out.datagram(to, Ball);
                }
            }
            ProcessEvent::Datagram { from, .. } => {
                self.hits += 1;
                out.datagram(from, Ball);
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

struct Players;

impl Program for Players {
    fn name(&self) -> &'static str {
        "player"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let serves = start.spec().role.is_some();
        let first = serves.then(|| SocketAddr::from(([10, 0, 0, 1], PORT)));
        Box::new(Player { first, hits: 0 })
    }
}

static TENNIS: Definition = Definition {
    name: "tennis",
    command: "tennis",
    vocabulary: || {
        let player = Words {
            program: "player",
            ..Words::default()
        };
        Vocabulary::of("tennis", [player])
    },
    build: |scenario, _| {
        Ok(Cast {
            programs: vec![Box::new(Players)],
            hosts: vec![vec![0]; scenario.hosts.len()],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

/// A match of two players on a network with this latency; its expectation is that no hit occurs.
fn tennis(latency: &str) -> Scenario {
    let text = format!(
        "scenario = 1\nname = \"tennis\"\nabout = \"Two players.\"\nengines = [\"model\"]\nduration = \"9s\"\n\
         recovery = \"1s\"\nspread = \"1ms\"\n[network]\nlatency = \"{latency}\"\n\
         [[nodes]]\ncount = 1\n[[nodes]]\nnames = [\"server\"]\nrole = \"server\"\nstart = \"1s\"\n\
         [[expect]]\nalways = {{ state = {{ who = \"n1\", key = \"hits\", is = 0 }} }}\nfrom = \"500ms\"\n"
    );
    Scenario::parse_with("tennis.toml", &text, &(TENNIS.vocabulary)()).unwrap()
}

/// Makes a request after a number of steps.
struct Caller<'a> {
    supervisor: &'a Supervisor,
    steps: u64,
    request: fn(&Supervisor),
}

impl Recorder for Caller<'_> {
    fn step(&mut self, _: &RecordedStep<'_>) {
        if self.steps == 1 {
            (self.request)(self.supervisor);
        }
        self.steps = self.steps.saturating_sub(1);
    }

    fn action(&mut self, _: &ExecutedAction<'_>) {}
}

/// Runs a long match with a request after some steps.
fn halted(steps: u64, request: fn(&Supervisor)) -> Outcome {
    let supervisor = Supervisor::default();
    let mut caller = Caller {
        supervisor: &supervisor,
        steps,
        request,
    };
    let options = RunOptions {
        recorder: Some(&mut caller),
        supervisor: Some(&supervisor),
        ..RunOptions::default()
    };
    let outcome = run(&TENNIS, &tennis("100us"), 1, options).unwrap();
    assert_eq!(supervisor.position(), None, "the run is over");
    outcome
}

fn expectations(outcome: &Outcome) -> Vec<&str> {
    let failures = outcome.failures.iter();
    failures
        .map(|failure| failure.expectation.as_str())
        .collect()
}

#[test]
fn an_instant_with_too_many_events_fails_the_run_and_names_who_causes_them() {
    let outcome = run(&TENNIS, &tennis("0ms"), 1, RunOptions::default()).unwrap();
    assert_eq!(expectations(&outcome), [TIME_ADVANCES]);
    let why = &outcome.failures[0].why;
    for words in [
        "events happened at 1.",
        "virtual time stands still",
        "`ball`",
        "at n1",
    ] {
        assert!(why.contains(words), "{words:?} is not in: {why}");
    }
    assert!(!outcome.interrupted);
    let again = run(&TENNIS, &tennis("0ms"), 1, RunOptions::default()).unwrap();
    assert_eq!(
        again.trace_hash, outcome.trace_hash,
        "the bound is the same everywhere"
    );
}

#[test]
fn a_run_that_is_late_fails_and_names_what_happens_in_it() {
    let outcome = halted(10, |supervisor| supervisor.end_for_time(1));
    assert_eq!(expectations(&outcome)[0], ENDS_IN_TIME);
    let why = &outcome.failures[0].why;
    for words in [
        "of at most 10s of virtual time",
        "the next 10000 events",
        "`ball`",
    ] {
        assert!(why.contains(words), "{words:?} is not in: {why}");
    }
    // A request for another run has no effect on this run.
    let sound = run(&TENNIS, &tennis("100us"), 1, RunOptions::default()).unwrap();
    let other = halted(10, |supervisor| supervisor.end_for_time(2));
    assert_eq!(other.trace_hash, sound.trace_hash);
}

#[test]
fn an_interrupted_run_keeps_the_failures_that_it_found_before() {
    let early = halted(10, Supervisor::interrupt);
    assert!(early.interrupted && early.virtual_ms < 1_100);
    assert_eq!(expectations(&early), [ENDS_BY_ITSELF]);
    let late = halted(5_000, Supervisor::interrupt);
    assert!(late.interrupted && late.virtual_ms < 2_000);
    let found = expectations(&late);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("always = "), "{found:?}");
}

#[test]
fn an_interrupted_search_or_reduction_finds_nothing() {
    let supervisor = Supervisor::default();
    supervisor.interrupt();
    let runner = SupervisedModel {
        model: Model(&TENNIS),
        supervisor: &supervisor,
    };
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let scenario = tennis("100us");
    let tried = attempt(subject, &scenario, 1).unwrap_err();
    assert!(tried.message.contains("interrupted"), "{tried}");
    assert!(shrink(subject, &scenario, 1, &mut |_| true).is_err());
}
