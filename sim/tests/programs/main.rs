//! Several programs on one host: their ports, the loopback, faults of single processes, and process names.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at an unexpected result, and its processes take few of the events"
)]

use core::net::SocketAddr;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::record::{ExecutedAction, RecordedStep, Recorder};
use phalanx_sim::scenario::{Scenario, Selector, Vocabulary, Words};
use phalanx_sim::world::{
    Cast, Definition, Effect, Effects, Message, Process, ProcessEvent, ProcessView, Program,
    ReportedEvent, Start,
};
use phalanx_sim::{RunOptions, run};
use serde_json::{Value, json};

/// The port of a counter.
const PORT: u16 = 81;

/// The role of a host whose client handles the event that it cannot listen on the counter's port. In any other role,
/// the client does not handle this event; without a role, the client does not listen.
const CAREFUL: &str = "careful";

#[derive(Clone, Debug)]
struct Tick;

impl Message for Tick {
    fn encoded_len(&self) -> usize {
        100
    }

    fn kind(&self) -> &'static str {
        "tick"
    }
}

#[derive(Debug)]
struct Refused;

impl ReportedEvent for Refused {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        ("refused", None)
    }
}

/// Counts the ticks that the process receives.
struct Counter(u64);

impl ProcessView for Counter {
    fn digest(&self) -> u64 {
        self.0
    }

    fn state(&self) -> Value {
        json!({ "count": self.0, "counted": self.0 })
    }
}

impl Process for Counter {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Start | ProcessEvent::Datagram { .. })
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => out.push(Effect::Listen { port: PORT }),
            _ => self.0 += 1,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

/// Sends a tick for each command.
struct Client {
    sent: u64,
    role: Option<String>,
}

impl ProcessView for Client {
    fn digest(&self) -> u64 {
        self.sent
    }

    fn state(&self) -> Value {
        json!({ "count": self.sent, "sent": self.sent })
    }
}

impl Process for Client {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Start | ProcessEvent::Command(_) => true,
            ProcessEvent::ListenFailed { .. } => self.role.as_deref() == Some(CAREFUL),
            _ => false,
        }
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start if self.role.is_some() => out.push(Effect::Listen { port: PORT }),
            ProcessEvent::ListenFailed { port, holder } => {
                assert_eq!((port, holder), (PORT, "counter"));
                out.report(Refused);
            }
            ProcessEvent::Command(command) => {
                self.sent += 1;
                let to: SocketAddr = command.with["to"].as_str().unwrap().parse().unwrap();
                out.datagram(to, Tick);
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

struct Counters;

impl Program for Counters {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn start(&mut self, _: Start<'_>) -> Box<dyn Process> {
        Box::new(Counter(0))
    }
}

struct Clients;

impl Program for Clients {
    fn name(&self) -> &'static str {
        "client"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let role = start.spec().role.clone();
        Box::new(Client { sent: 0, role })
    }
}

static SHOP: Definition = Definition {
    name: "shop",
    command: "shop",
    vocabulary: || {
        let counter = Words {
            program: "counter",
            ..Words::default()
        };
        let client = Words {
            program: "client",
            events: vec!["refused"],
            commands: vec!["tick"],
            ..Words::default()
        };
        Vocabulary::of("the shop", [counter, client])
    },
    build: |scenario, _| {
        Ok(Cast {
            programs: vec![Box::new(Counters), Box::new(Clients)],
            hosts: vec![vec![0, 1]; scenario.hosts.len()],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

fn parse(nodes: &str, steps: &str) -> Result<Scenario, String> {
    let text = format!(
        "scenario = 1\nname = \"shop\"\nabout = \"Clients and counters.\"\nengines = [\"model\"]\n\
         duration = \"9s\"\nrecovery = \"1s\"\nspread = \"1ms\"\n[[nodes]]\n{nodes}\n{steps}\n\
         [[expect]]\neventually = {{ converged = true }}\n"
    );
    Scenario::parse_with("shop.toml", &text, &(SHOP.vocabulary)()).map_err(|why| why.to_string())
}

fn outcome(nodes: &str, steps: &str) -> Outcome {
    let scenario = parse(nodes, steps).unwrap();
    run(&SHOP, &scenario, 1, RunOptions::default()).unwrap()
}

/// The reasons of an outcome's failures.
fn failures(outcome: &Outcome) -> Vec<&str> {
    let failures = outcome.failures.iter();
    failures.map(|failure| failure.why.as_str()).collect()
}

const TICK: &str = r#"
[[at]]
time = "2s"
command = { who = "all", name = "tick", with = { to = "127.0.0.1:81" } }
"#;

#[test]
fn a_message_over_the_loopback_is_neither_lost_nor_counted() {
    let steps = format!(
        r#"{TICK}
        [[at]]
        time = "1s"
        loss = "100%"
        [[expect]]
        eventually = {{ state = {{ who = "all", key = "counted", is = 1 }} }}
        within = "3s"
        [[expect]]
        metric = "bytes-per-node"
        max = 0
        "#
    );
    let outcome = outcome("count = 2", &steps);
    assert_eq!(failures(&outcome), [""; 0]);
    assert_eq!((outcome.messages, outcome.bytes), (0, 0));
}

#[test]
fn a_message_to_another_host_is_counted_once() {
    let tick = |who: &str, to: &str| TICK.replace("all", who).replace("127.0.0.1", to);
    let steps = tick("n1", "10.0.0.2")
        + &tick("n2", "10.0.0.1")
        + r#"
        [[expect]]
        eventually = { state = { who = "all", key = "counted", is = 1 } }
        within = "3s"
        "#;
    let outcome = outcome("count = 2", &steps);
    assert_eq!(failures(&outcome), [""; 0]);
    assert_eq!((outcome.messages, outcome.bytes), (2, 200));
}

#[test]
fn a_taken_port_fails_the_run_of_a_process_that_does_not_handle_it() {
    let outcome = outcome("count = 1\nrole = \"greedy\"", "");
    assert_eq!(
        failures(&outcome),
        ["n1/client cannot listen on port 81: counter does"]
    );
}

#[test]
fn a_process_that_handles_a_taken_port_goes_on() {
    let steps = r#"
        [[expect]]
        eventually = { event = { kind = "refused", by = "n1/client" } }
        within = "1s"
        [[expect]]
        never = { event = { kind = "refused", by = "n1/counter" } }
        "#;
    let outcome = outcome("count = 1\nrole = \"careful\"", steps);
    assert_eq!(failures(&outcome), [""; 0]);
}

#[test]
fn one_process_crashes_and_restarts_alone() {
    let steps = format!(
        r#"{TICK}
        [[at]]
        time = "4s"
        crash = "n1/counter"
        for = "1s"
        [[at]]
        time = "4500ms"
        command = {{ who = "n1", name = "tick", with = {{ to = "127.0.0.1:81" }} }}
        [[at]]
        time = "6s"
        command = {{ who = "n1", name = "tick", with = {{ to = "127.0.0.1:81" }} }}
        [[expect]]
        always = {{ state = {{ who = "n1/counter", key = "counted", is = 1 }} }}
        from = "3s"
        to = "3900ms"
        [[expect]]
        never = {{ state = {{ who = "n1/counter", key = "counted", is = 1 }} }}
        from = "4100ms"
        to = "5900ms"
        [[expect]]
        always = {{ state = {{ who = "n1/counter", key = "counted", is = 1 }} }}
        from = "7s"
        to = "8s"
        [[expect]]
        always = {{ state = {{ who = "n1/client", key = "sent", is = 3 }} }}
        from = "7s"
        to = "8s"
        "#
    );
    let outcome = outcome("count = 1", &steps);
    assert_eq!(failures(&outcome), [""; 0]);
    let crash = &outcome.effects[1];
    assert_eq!((crash.step.as_str(), crash.orders), ("crash", 2));
}

#[test]
fn a_process_that_is_paused_leaves_the_others_of_its_host_alone() {
    let steps = format!(
        r#"{TICK}
        [[at]]
        time = "1s"
        pause = {{ who = "n1/counter", for = "3s" }}
        [[expect]]
        always = {{ state = {{ who = "n1", key = "sent", is = 1 }} }}
        from = "2100ms"
        to = "3900ms"
        [[expect]]
        always = {{ state = {{ who = "n1", key = "counted", is = 0 }} }}
        to = "3900ms"
        [[expect]]
        always = {{ state = {{ who = "n1", key = "counted", is = 1 }} }}
        from = "4100ms"
        to = "5s"
        "#
    );
    assert_eq!(failures(&outcome("count = 1", &steps)), [""; 0]);
}

#[test]
fn a_key_of_several_programs_needs_a_program() {
    let never = |who: &str, key: &str| {
        format!(
            "[[expect]]\nnever = {{ state = {{ who = \"{who}\", key = \"{key}\", is = 7 }} }}\n"
        )
    };
    let doubtful = outcome("count = 2", &never("all", "count"));
    assert_eq!(
        failures(&doubtful),
        [
            "several programs have the key `count`: client, counter; name one in `who`, such as `all/client`"
        ]
    );
    for (who, key) in [
        ("all/client", "count"),
        ("n1/counter, n2/counter", "count"),
        ("all", "sent"),
    ] {
        assert_eq!(failures(&outcome("count = 2", &never(who, key))), [""; 0]);
    }
    let agree = outcome("count = 2", "[[expect]]\nnever = { agree = { } }\n");
    assert!(failures(&agree)[0].starts_with("several programs have processes: "));
    let agree = outcome(
        "count = 2",
        "[[expect]]\nalways = { agree = { who = \"all/client\" } }\nfrom = \"1s\"",
    );
    assert_eq!(failures(&agree), [""; 0]);
}

#[test]
fn a_selector_names_a_known_program_where_it_makes_sense() {
    let error =
        |step: &str| parse("count = 3", &format!("[[at]]\ntime = \"2s\"\n{step}\n")).unwrap_err();
    let unknown = error("crash = \"n1/counte\"");
    assert!(
        unknown.contains("there is no program `counte`; did you mean `counter`?"),
        "{unknown}"
    );
    let several = error("crash = \"n1/counter, n2/client\"");
    assert!(several.contains("names several programs"), "{several}");
    let whole = error("power-loss = \"n1/counter\"");
    assert!(whole.contains("`n1/counter`"), "{whole}");
    let metric = parse(
        "count = 3",
        "[[expect]]\nmetric = \"bytes-per-node\"\nwho = \"n1/counter\"\nmax = 1\n",
    );
    assert!(metric.unwrap_err().contains("must name whole hosts"));
}

#[test]
fn selectors_of_programs_are_written_as_they_are_read() {
    let steps = r#"
        [[at]]
        time = "1s"
        crash = "n1..n2/client"
        for = "1s"
        [[at]]
        time = "3s"
        restart = { who = "n1/counter" }
        [[at]]
        after = { event = "refused", by = "n3/client", delay = "1s" }
        pause = { who = "n3/counter", for = "1s" }
        [[expect]]
        never = { state = { who = "n3/client, n1/client", key = "sent", is = 9 } }
        "#;
    let scenario = parse("count = 3", steps).unwrap();
    let written = scenario.to_toml();
    let again = Scenario::parse_with("shop.toml", &written, &(SHOP.vocabulary)()).unwrap();
    let actions = |scenario: &Scenario| {
        let actions = scenario
            .steps
            .iter()
            .map(|step| format!("{:?}", step.action));
        actions.collect::<Vec<_>>()
    };
    assert_eq!(actions(&again), actions(&scenario), "{written}");
    assert!(written.contains("by = \"n3/client\""), "{written}");
    // A selector that was not read from a file names the program after each of its words.
    let made = Selector::of(&[0, 2]).running(Some("client"));
    assert_eq!(made.show(&scenario.hosts), "n1/client, n3/client");
    let plan = scenario.plan(1).unwrap();
    assert_eq!(plan, again.plan(1).unwrap());
}

/// Records the events of a run by name.
#[derive(Default)]
struct Names(
    Vec<(
        usize,
        Option<&'static str>,
        Option<&'static str>,
        &'static str,
    )>,
);

impl Recorder for Names {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let from = step.sender().and(step.cause_program);
        self.0.push((step.host, step.program, from, step.kind));
    }

    fn action(&mut self, _: &ExecutedAction<'_>) {}
}

#[test]
fn recordings_name_the_program_and_the_hash_tells_programs_apart() {
    let hash = |steps: &str, names: &mut Names| {
        let scenario = parse("count = 1", steps).unwrap();
        let options = RunOptions {
            recorder: Some(names),
            ..RunOptions::default()
        };
        run(&SHOP, &scenario, 1, options).unwrap().trace_hash
    };
    let mut names = Names::default();
    hash(TICK, &mut names);
    assert_eq!(
        names.0,
        [
            (0, Some("counter"), None, "start"),
            (0, Some("client"), None, "start"),
            (0, Some("client"), None, "order"),
            (0, Some("counter"), Some("client"), "tick"),
        ]
    );
    // The states, event kinds and instants of the two runs are equal.
    let crash = |program| {
        let step = format!("[[at]]\ntime = \"1s\"\ncrash = \"n1/{program}\"\nfor = \"1s\"\n");
        hash(&step, &mut Names::default())
    };
    assert_eq!(crash("client"), crash("client"));
    assert_ne!(crash("client"), crash("counter"));
}
