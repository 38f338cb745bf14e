//! Tests of explanations: for absences and counts, an explanation names the last message, the fault between the nodes,
//! and the item.

use super::sample::head;
use super::*;
use crate::mesh::MESH;
use crate::scenario::Scenario;
use crate::{RunOptions, run};

const HEAD: &str = head!("30s");

/// Returns the text of a scenario with some nodes, steps at times, and an expectation with its time window.
fn small(nodes: usize, steps: &[(&str, &str)], expectation: &str) -> String {
    let mut text = format!("[[nodes]]\ncount = {nodes}\n");
    for (time, step) in steps {
        text += &format!("[[at]]\ntime = \"{time}\"\n{step}\n");
    }
    format!("{text}[[expect]]\n{expectation}\n")
}

/// Opens a channel at every node.
fn with_chat(text: &str) -> String {
    text.replace(
        "count = 4",
        "count = 4\nchannels = { chat = \"messages every 5s\" }",
    )
}

/// Splits four nodes into two sides.
const SPLIT: &str = r#"partition = { sets = ["n1, n2, n3", "n4"] }"#;
/// Stops one of three nodes.
const CRASH: (&str, &str) = ("10s", r#"crash = "n3""#);

/// Runs a scenario, and returns what `result` makes of the recording and the failures.
fn recorded<T>(text: &str, result: impl FnOnce(&Recording<'_>, &[Failure]) -> T) -> T {
    let text = format!("{HEAD}{text}");
    let scenario = Scenario::parse("explained.toml", &text).unwrap();
    let mut recording = Recording::new(&scenario, scenario.plan(1).unwrap());
    let options = RunOptions {
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    let outcome = run(&MESH, &scenario, 1, options).unwrap();
    result(&recording, &outcome.failures)
}

/// Runs a scenario that fails, and returns the explanation of its failure at this line of `text`.
fn explained(text: &str, line: &str) -> Explanation {
    recorded(text, |recording, failures| {
        let all = explain(&MESH, recording, failures, &[]);
        let mut failing = failures.iter();
        let place = failing.position(|failure| failure.expectation.contains(line));
        let place = place.unwrap_or_else(|| panic!("{line}: {failures:?}"));
        all[place].clone()
    })
}

#[track_caller]
fn has(explanation: &Explanation, words: &[&str]) {
    sample::has(&explanation.lines.join("\n"), words);
}

/// The line of a step in the scenario of a test, as explanations name it.
fn line_of(text: &str, step: &str) -> String {
    format!("line {}", sample::line_of(text, step))
}

#[test]
fn an_absence_names_the_last_message_and_the_partition_between_the_nodes() {
    let split = r#"partition = { sets = ["n1, n2", "n3, n4"] }"#;
    let publish = r#"command = { who = "n1", name = "publish", with = { channel = "chat" } }"#;
    let expectation = r#"eventually = { sees = { who = "n1", of = "n3", as = "alive" } }
from = "15s"
within = "10s""#;
    let text = with_chat(&small(4, &[("5s", split), ("20s", publish)], expectation));
    let found = explained(&text, "sees");
    assert_eq!(
        (found.observer.as_deref(), found.observed.as_deref()),
        (Some("n1"), Some("n3"))
    );
    let line = line_of(&text, "partition");
    has(
        &found,
        &[
            "n1 holds n3 as down",
            "n1 heard of n3 at ",
            "alive, epoch 1",
            "n1 changed its view of n3 at ",
            "by its own timer",
            "n1 last received a message from n3 at 4.",
            "between them: partition n1, n2 | n3, n4",
            &line,
            "in force since 5.000 s",
        ],
    );
    let heard = found.heard.unwrap();
    assert!(heard.at < 5_100_000_000 && heard.size > 0, "{heard:?}");
    assert!(found.held > 0, "messages were dropped by the partition");
}

#[test]
fn an_absence_without_a_fault_names_the_loss_of_the_network() {
    let network = "[network]\nloss = \"100%\"\n";
    let expectation = "eventually = { converged = true }\nwithin = \"9s\"";
    let text = format!("{network}{}", small(3, &[], expectation));
    let found = explained(&text, "converged");
    has(
        &found,
        &[
            "n1 does not know n2",
            "n1 never had n2 in its view",
            "no message from n2 arrived at n1",
            "no fault stands between them",
            "100.00% loss",
        ],
    );
}

#[test]
fn an_always_names_the_crash_of_the_observed_node() {
    let expectation = r#"always = { sees = { who = "n1", of = "n3", as = "alive" } }
from = "5s""#;
    let text = small(3, &[CRASH], expectation);
    let found = explained(&text, "sees");
    has(
        &found,
        &[
            "there: crash n3",
            &line_of(&text, "crash"),
            "in force since 10.000 s",
        ],
    );
}

#[test]
fn a_never_names_the_step_that_made_it_true() {
    let expectation = r#"never = { sees = { who = "n1", of = "n3", as = "gone" } }
from = "5s""#;
    let text = small(3, &[CRASH], expectation);
    let found = explained(&text, "sees");
    has(&found, &["n1 holds n3 as down", "crash n3"]);
    assert_eq!(found.event, found.learnt.map(|learnt| learnt.event));
}

#[test]
fn missing_updates_name_the_first_broadcast_and_the_node_that_lacks_it() {
    let publish = r#"every = "1s"
times = 3
command = { who = "n1", name = "publish", with = { channel = "chat" } }"#;
    let expectation = "metric = \"missed-updates\"\nto = \"12s\"\nmax = 0";
    let text = with_chat(&small(4, &[("6s", SPLIT), ("7s", publish)], expectation));
    let found = explained(&text, "missed-updates");
    has(
        &found,
        &[
            "on chat, published by n1 at 7.000 s, is the first that is missing, at n4",
            "no copy of it arrived there",
            "between them: partition n1, n2, n3 | n4",
        ],
    );
}

#[test]
fn a_count_of_reports_names_the_first_in_excess() {
    let expectation = r#"never = { event = { kind = "peer-down", about = "n3" } }"#;
    let text = small(3, &[CRASH], expectation);
    let found = explained(&text, "peer-down");
    has(
        &found,
        &[
            "report 1, the first in excess: n",
            "reports peer-down n3 at 1",
            "crash n3",
        ],
    );
    assert!(found.event.is_some());
}

#[test]
fn a_missing_report_names_the_latest_one_outside_the_time_window() {
    let expectation = r#"eventually = { event = { kind = "peer-down", by = "n1", about = "n3" } }
from = "20s"
within = "5s""#;
    let text = small(3, &[CRASH], expectation);
    let found = explained(&text, "peer-down");
    has(
        &found,
        &[
            "no report of peer-down counts from 20.000 s to 25.000 s",
            "the last one before: n1 reports peer-down n3 at 1",
            "crash n3",
        ],
    );
    let nothing = explained(&text.replace("peer-down", "conflict"), "conflict");
    has(&nothing, &["no node reported conflict in this run"]);
}

#[test]
fn states_that_differ_name_the_minority_and_its_last_change() {
    let agreement = "eventually = { agree = { who = \"all\", key = \"hash\" } }\nfrom = \"15s\"\nwithin = \"5s\"";
    let state = r#"always = { state = { who = "n2", key = "phase", is = "isolated" } }
from = "15s""#;
    let both = format!("{agreement}\n[[expect]]\n{state}");
    let text = small(4, &[("5s", SPLIT)], &both);
    let found = explained(&text, "agree");
    assert_eq!(found.observer.as_deref(), Some("n4"));
    has(
        &found,
        &[
            "`hash` is ",
            "(3 of 4 processes)",
            "`hash` of n4 changed at",
        ],
    );
    has(&found, &["between them: partition"]);
    let state = explained(&text, "state");
    has(
        &state,
        &[
            "`phase` is \"running\" at n2, not \"isolated\"",
            "`phase` of n2 changed at 0.",
            "by welcome from n1",
        ],
    );
}

#[test]
fn a_failure_without_a_fault_at_its_nodes_names_the_faults_elsewhere() {
    let expectation = r#"always = { sees = { who = "n1", of = "n2", as = "down" } }
from = "8s""#;
    let text = small(4, &[("5s", "crash = \"n4\"")], expectation);
    let found = explained(&text, "sees");
    has(
        &found,
        &[
            "no fault stands between them since ",
            "elsewhere: crash n4",
            "in force since 5.000 s",
        ],
    );
}

#[test]
fn traffic_names_the_node_and_the_message_that_cost_most() {
    let expectation = "metric = \"bytes-per-node\"\nto = \"20s\"\nmax = 1";
    let text = small(3, &[], expectation);
    let found = explained(&text, "bytes-per-node");
    has(&found, &[" sent most, ", "most of it is "]);
}

#[test]
fn a_slow_network_names_the_time_out_that_ended_the_dials() {
    let network = "[network]\nlatency = \"4s\"\n";
    let expectation = "eventually = { converged = true }\nfrom = \"1s\"\nwithin = \"25s\"";
    let text = format!("{network}{}", small(3, &[], expectation));
    let found = explained(&text, "converged");
    has(
        &found,
        &[
            "dials ended by dial-timeout (1.5s)",
            "needs 3 round trips (24s)",
            "after 4 (32s): dial-timeout is 1.5s, and a dial is given up after 10s",
            "the network from n2 to n1: 4s",
        ],
    );
    // A dial of 12 s is given up before it connects.
    let slow = explained(&text.replace("4s", "2s"), "converged");
    has(&slow, &["needs 3 round trips (12s)", "after 4 (16s)"]);
    let ended = slow.found.iter().find_map(|line| {
        let (count, _) = line.split_once(" dials ended by dial-timeout")?;
        count.parse::<u32>().ok()
    });
    assert!(ended.is_some_and(|ended| ended > 10), "{:?}", slow.found);
}

#[test]
fn consecutive_wakes_of_a_process_are_one_link_of_a_chain() {
    let text = small(2, &[], "eventually = { converged = true }");
    recorded(&text, |recording, _| folds_wakes(recording));
}

fn folds_wakes(recording: &Recording<'_>) {
    let folded = recording.events().rev().find_map(|event| {
        let chain = causes::chain(recording, event.number, 8);
        let link = chain.iter().find(|link| link.times > 2)?;
        Some((
            chain.clone(),
            causes::describe_link(recording, link),
            link.times,
        ))
    });
    let (chain, line, times) = folded.unwrap();
    assert!(
        line.contains(&format!("woke {times} times since ")),
        "{line}"
    );
    let quiet = |link: &causes::CauseLink| {
        link.event.kind == "wake" && recording.reports_of(link.event.number).is_empty()
    };
    let doubled = chain
        .windows(2)
        .any(|two| quiet(&two[0]) && quiet(&two[1]) && two[0].event.host == two[1].event.host);
    assert!(!doubled, "{chain:?}");
}

const FULL_DISK: &str = r#"
[[nodes]]
count = 4
MORE
[[at]]
time = "5s"
disk = { who = "n4", fault = "full" }
for = "10s"
[[at]]
time = "8s"
restart = { who = "n4" }
[[expect]]
eventually = { sees = { who = "all", of = "n4", as = "alive" } }
from = "17s"
within = "8s"
"#;

#[test]
fn a_node_that_exited_at_its_start_is_named_with_the_reason() {
    let explanation = explained(&FULL_DISK.replace("MORE", ""), "sees");
    let line = "n4 exited at its start at 8.000 s: epoch: no space left on device; nothing started it since: its `[[nodes]]` have no service manager (`restart-after`)";
    has(&explanation, &[line]);
    assert_eq!(explanation.failed_starts[0].at, [8_000_000_000]);
}

#[test]
fn a_service_manager_starts_a_process_again_that_exited_at_its_start() {
    let text = format!(
        "{HEAD}{}",
        FULL_DISK.replace("MORE", "restart-after = \"2s\"")
    );
    let scenario = Scenario::parse("explained.toml", &text).unwrap();
    let outcome = run(&MESH, &scenario, 1, RunOptions::default()).unwrap();
    assert_eq!(outcome.failures, []);
    let written = scenario.to_toml();
    assert!(written.contains("restart-after = \"2s\""), "{written}");
}

/// The full disk of a node that an operator restarts twice.
const OPERATOR: &str = r#"
seeds = "n1, n2"
[[nodes]]
count = 8
services = ["web/1"]
MORE
[[at]]
time = "8s"
disk = { who = "n4", fault = "full" }
for = "20s"
[[at]]
time = "12s"
restart = { who = "n4" }
[[at]]
time = "18s"
restart = { who = "n4" }
[[expect]]
never = { event = { kind = "name-taken" } }
[[expect]]
eventually = { event = { kind = "start-failed", by = "n4", min = 2 } }
[[expect]]
eventually = { sees = { who = "all", of = "n4", as = "alive" } }
from = "28s"
within = "5s"
[[expect]]
metric = "false-deaths"
max = 0
"#;

#[test]
fn a_restart_with_a_full_disk_fails_as_the_daemon_does_and_names_the_epoch() {
    let told = |text: &str| format!("{}{text}", HEAD.replace("30s", "40s"));
    for seed in 1..=5 {
        let text = told(&OPERATOR.replace("MORE", ""));
        let scenario = Scenario::parse("explained.toml", &text).unwrap();
        let outcome = run(&MESH, &scenario, seed, RunOptions::default()).unwrap();
        let failed: Vec<&str> = outcome
            .failures
            .iter()
            .map(|failure| failure.expectation.as_str())
            .collect();
        assert!(
            matches!(failed.as_slice(), [one] if one.contains("sees")),
            "seed {seed}: {failed:?}"
        );
        let text = told(&OPERATOR.replace("MORE", "restart-after = \"2s\""));
        let scenario = Scenario::parse("explained.toml", &text).unwrap();
        let outcome = run(&MESH, &scenario, seed, RunOptions::default()).unwrap();
        assert_eq!(outcome.failures, [], "seed {seed}");
    }
    let explanation = explained(&OPERATOR.replace("MORE", ""), "sees");
    let line = "n4 exited at its start at 12.000 s, 18.000 s: epoch: no space left on device; nothing started it since: its `[[nodes]]` have no service manager (`restart-after`)";
    has(&explanation, &[line, "disk n4 full"]);
}
