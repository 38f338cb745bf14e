//! Emptiness that only a run shows.

use super::{CONVERGED, read};
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::{RunOptions, run};

fn ran(story: &str) -> Outcome {
    let scenario = read(story).unwrap_or_else(|error| panic!("{error}"));
    run(&MESH, &scenario, 1, RunOptions::default()).expect("the scenario runs")
}

/// Returns the reason of the only failure.
fn fails(story: &str) -> String {
    let outcome = ran(story);
    let [failure] = &outcome.failures[..] else {
        panic!("{story}: {:?}", outcome.failures);
    };
    failure.why.clone()
}

/// Metrics whose sample is empty if no node does anything, with the reason.
const EMPTY: &[(&str, &str)] = &[
    ("missed-updates", "published nothing"),
    ("update-ms", "published nothing"),
    ("update-p99-ms", "published nothing"),
    ("update-p50-ms", "published nothing"),
    ("copies-percent", "published nothing"),
    ("delivered-percent", "sent no message"),
    ("send-ms", "sent no message"),
    ("send-p99-ms", "sent no message"),
];

#[test]
fn a_metric_of_the_mesh_without_a_sample_fails_and_says_so() {
    for (metric, said) in EMPTY {
        let why = fails(&format!(
            "[[expect]]\nmetric = \"{metric}\"\nfrom = \"5s\"\nto = \"10s\"\nmax = 90\n"
        ));
        assert!(
            why.starts_with(&format!("{metric} has no value: ")) && why.contains(said),
            "{why}"
        );
    }
}

#[test]
fn a_broadcast_without_a_receiver_is_no_sample() {
    let close = "[[at]]\ntime = \"4s\"\ncommand = { who = \"n2..n5\", name = \"close\", with = { channel = \"chat\" } }\n";
    let publish = "[[at]]\ntime = \"6s\"\ncommand = { who = \"n1\", name = \"publish\", with = { channel = \"chat\" } }\n";
    for metric in ["missed-updates", "update-ms"] {
        let why = fails(&format!(
            "{close}{publish}[[expect]]\nmetric = \"{metric}\"\nmax = 0\n"
        ));
        assert!(why.contains("no other node had the channel open"), "{why}");
    }
}

#[test]
fn a_count_or_gauge_of_nodes_that_do_not_run_has_no_sample() {
    let crash = "[[at]]\ntime = \"4s\"\ncrash = \"n5\"\nfor = \"10s\"\n";
    for metric in [
        "false-deaths",
        "bytes-per-node",
        "bytes-per-node-second",
        "messages-per-node",
        "messages-per-node-second",
        "memory",
    ] {
        let window = "from = \"5s\"\nto = \"9s\"\nmax = 9000000";
        let why = fails(&format!(
            "{crash}[[expect]]\nmetric = \"{metric}\"\nwho = \"n5\"\n{window}\n"
        ));
        assert!(why.contains("ran in this time"), "{metric}: {why}");
        let runs = ran(&format!(
            "{crash}[[expect]]\nmetric = \"{metric}\"\nwho = \"n4\"\n{window}\n"
        ));
        assert!(runs.failures.is_empty(), "{metric}: {:?}", runs.failures);
    }
}

#[test]
fn a_mesh_without_a_running_node_has_not_converged() {
    let crash = "[[at]]\ntime = \"5s\"\ncrash = \"all\"\nfor = \"10s\"\n";
    let window = "from = \"6s\"\nto = \"14s\"";
    let held = ran(&format!(
        "{crash}[[expect]]\nnever = {{ converged = true }}\n{window}\n"
    ));
    assert!(held.failures.is_empty(), "{:?}", held.failures);
    for metric in ["converge-ms", "converge-p99-ms", "all-right-ms"] {
        let why = fails(&format!(
            "{crash}[[expect]]\nmetric = \"{metric}\"\n{window}\nmax = 9000\n"
        ));
        assert!(why.contains("no node r"), "{metric}: {why}");
    }
}

fn vacuous(outcome: &Outcome) -> Vec<String> {
    let found = outcome.vacuous.iter();
    found
        .map(|vacuous| format!("{} {}: {}", vacuous.line, vacuous.step, vacuous.why))
        .collect()
}

#[test]
fn a_refused_command_has_no_effect_unless_the_step_expects_the_refusal() {
    let command = |name: &str, refused: &str| {
        let with = "with = { channel = \"chat\", key = \"a\" }";
        let with = if name == "publish" {
            "with = { channel = \"chat\" }"
        } else {
            with
        };
        format!(
            "[[at]]\ntime = \"5s\"\ncommand = {{ who = \"n1..n2\", name = \"{name}\", {with}{refused} }}\n{CONVERGED}"
        )
    };
    let found = vacuous(&ran(&command("put", "")));
    assert!(
        found.len() == 1 && found[0].starts_with("13 command: no running node obeyed"),
        "{found:?}"
    );
    assert!(vacuous(&ran(&command("put", ", refused = true"))).is_empty());
    assert!(vacuous(&ran(&command("publish", ""))).is_empty());
    let found = vacuous(&ran(&command("publish", ", refused = true")));
    assert!(
        found.len() == 1 && found[0].contains("no running node refused the command"),
        "{found:?}"
    );
}

#[test]
fn a_step_that_waits_for_an_event_in_vain_says_so() {
    let step = |event: &str| {
        format!(
            "[[at]]\nafter = {{ event = \"{event}\", by = \"n1\", delay = \"5s\" }}\ncrash = \"n2\"\nfor = \"2s\"\n{CONVERGED}"
        )
    };
    let found = vacuous(&ran(&step("peer-left")));
    assert!(
        found.len() == 1 && found[0].contains("`peer-left` of n1, which was not reported"),
        "{found:?}"
    );
    let outcome = ran(&step("peer-up"));
    assert!(vacuous(&outcome).is_empty(), "{:?}", vacuous(&outcome));
    assert_eq!(outcome.effects[0].orders, 2);
}

#[test]
fn a_run_is_strict_about_steps_that_its_file_shows_to_change_nothing() {
    let scenario = read(&format!(
        "[[at]]\ntime = \"5s\"\nloss = \"0%\"\n{CONVERGED}"
    ));
    let options = RunOptions {
        strict: true,
        ..RunOptions::default()
    };
    let scenario = scenario.expect("the file is right");
    let outcome = run(&MESH, &scenario, 1, options).expect("the scenario runs");
    assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
    assert_eq!(outcome.failures[0].why, "is the loss at that time already");
}
