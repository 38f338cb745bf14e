//! Whole runs of the engine, each in a separate process.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

use phalanx_sim::RunOptions;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::difference;
use phalanx_sim::scenario::{Engine, Scenario};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn named(name: &str) -> PathBuf {
    scenarios().join(format!("{name}.toml"))
}

fn run(file: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_phalanx-sim-wire");
    Command::new(program)
        .arg(file)
        .args(arguments)
        .output()
        .unwrap()
}

fn result(output: &Output) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.is_empty(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn passes(file: &Path, seed: &str) -> Value {
    let output = run(file, &["--seed", seed, "--strict"]);
    let result = result(&output);
    assert_eq!(output.status.code(), Some(0), "{:#}", result["failures"]);
    assert_eq!(result["outcome"], "pass");
    result
}

/// Writes a scenario file, which is removed together with the returned directory.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made.toml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    let traces = [
        directory.path().join("first"),
        directory.path().join("second"),
    ];
    let runs = traces.clone().map(|trace| {
        let file = named("crash-and-restart");
        let output = run(&file, &["--seed", "5", "--trace", trace.to_str().unwrap()]);
        result(&output)
    });
    assert_eq!(runs[0], runs[1]);
    let traces = traces.map(|trace| std::fs::read_to_string(trace).unwrap());
    assert!(traces[0] == traces[1], "the traces differ");
    // The trace has the header, then every input of a machine and every order of the plan.
    let mut lines = traces[0]
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["engine"], "wire");
    let (steps, orders): (Vec<Value>, Vec<Value>) =
        lines.partition(|line| line["node"].is_string());
    assert_eq!(steps.len() as u64, runs[0]["events"].as_u64().unwrap());
    assert!(orders.iter().any(|line| line["kind"] == "crash"));
    assert!(
        steps
            .iter()
            .all(|line| line["size"].is_null() || line["from"].is_string())
    );
}

#[test]
fn talk_and_new_certificates_are_the_same_in_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["relay-crash", "certificates-rotate"] {
        let runs = ["first", "second"].map(|trace| {
            let trace = directory.path().join(trace);
            let flags = ["--seed", "3", "--trace", trace.to_str().unwrap()];
            let result = result(&run(&named(name), &flags));
            (result, std::fs::read_to_string(trace).unwrap())
        });
        assert_eq!(runs[0].0, runs[1].0, "{name}");
        assert!(runs[0].1 == runs[1].1, "the traces of {name} differ");
        // The traces contain the reports of applications.
        assert!(runs[0].1.contains("{\"word\":\"delivered\",\"about\":"));
    }
}

#[test]
fn invariants_of_applications_are_checked() {
    for (invariant, bug, scenario) in [
        ("answers-true", "answers-early", "refused-orders"),
        ("handed-once", "repeats-messages", "broadcast-to-all"),
        ("values-rise", "earlier-write-wins", "maps-after-a-split"),
    ] {
        let found = result(&run(&named(scenario), &["--seed", "1", "--sabotage", bug]));
        let failures = found["failures"].as_array().unwrap();
        let wanted = format!("invariant {invariant}");
        let failed = |failure: &Value| failure["expectation"] == wanted.as_str();
        assert!(failures.iter().any(failed), "{failures:#?}");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let hash = |seed| passes(&named("cold-join"), seed)["trace_hash"].clone();
    assert_ne!(hash("1"), hash("2"));
}

/// The scenarios for this engine that are confluent, or those that are not.
fn ours(confluent: bool) -> Vec<(PathBuf, Scenario)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(scenarios()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let scenario = Scenario::load(&path).unwrap();
            if scenario.confluent == confluent && scenario.check_engine(Engine::Wire).is_ok() {
                found.push((path, scenario));
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// Compares runs with the list in `sim/wire/tests/FILE`; `PHALANX_GOLDEN=write` writes the list. A change in net may
/// alter hashes, but never a verdict.
fn trace_hashes_are_as_kept(file: &str, runs: &[Value]) {
    let text: String = runs
        .iter()
        .map(|run| {
            let text = |key: &str| run[key].to_string().replace('"', "");
            format!(
                "{} {} {} events {} messages {} bytes {} {}\n",
                text("scenario"),
                text("seed"),
                text("trace_hash"),
                text("events"),
                text("messages"),
                text("bytes"),
                text("outcome"),
            )
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file);
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let moved = kept
        .lines()
        .zip(text.lines())
        .find(|(kept, run)| kept != run);
    assert!(
        kept == text,
        "runs differ from sim/wire/tests/{file}, the first is {moved:?}; if that is intended, run `make golden`"
    );
}

#[test]
fn scenarios_for_this_engine_pass_and_every_fault_has_an_effect() {
    let ours = ours(false);
    assert!(ours.len() >= 8, "{}", ours.len());
    let runs: Vec<Value> = ours.iter().map(|(path, _)| passes(path, "1")).collect();
    trace_hashes_are_as_kept("trace_hashes.txt", &runs);
}

#[test]
fn confluent_scenarios_end_in_the_state_of_the_model() {
    let mut runs = Vec::new();
    for (path, scenario) in ours(true) {
        let run = passes(&path, "1");
        let wire = run["projection"].clone();
        let options = RunOptions {
            final_state: true,
            ..RunOptions::default()
        };
        let model = phalanx_sim::run(&MESH, &scenario, 1, options).unwrap();
        let model = model.projection.unwrap();
        let name = path.display();
        let nodes = model["nodes"].as_object();
        assert!(nodes.is_some_and(|nodes| !nodes.is_empty()), "{name}");
        assert_eq!(difference(&wire, &model), None, "{name}: wire and model");
        runs.push(run);
    }
    assert!(runs.len() >= 5, "{} confluent scenarios", runs.len());
    trace_hashes_are_as_kept("trace_hashes_confluent.txt", &runs);
}

#[test]
fn a_machine_without_power_is_silent_and_comes_back() {
    let (_directory, file) = written(
        r#"
scenario = 1
name = "made"
about = "A machine loses power: nothing tells its neighbours, who notice by silence alone."
engines = ["model", "wire"]
duration = "30s"

[[nodes]]
count = 5

[[at]]
time = "5s"
power-loss = "n4"

[[at]]
time = "15s"
restart = { who = "n4" }

[[expect]]
never = { sees = { who = "n1", of = "n4", as = "down" } }
from = "5s"
to = "8s"

[[expect]]
eventually = { sees = { of = "n4", as = "down" } }
from = "5s"
within = "8s"

[[expect]]
eventually = { converged = true }
from = "15s"
within = "5s"
"#,
    );
    passes(&file, "1");
}

/// A name with several addresses, and a firewall that resets connections.
const RESETS: &str = r#"
scenario = 1
name = "made"
about = "All join by a name; at 6 s the connections of one node are reset."
engines = ["model", "wire", "madsim"]
duration = "12s"
seeds = "mesh.example"

[names]
"mesh.example" = "n1..n3"

[[nodes]]
count = 4

[[at]]
time = "6s"
reset = "n2"

[[expect]]
eventually = { converged = true }
within = "5s"

[[expect]]
never = { event = { kind = "link-down" } }
to = "6s"

[[expect]]
eventually = { event = { kind = "link-down", by = "n2" } }
from = "6s"
within = "1s"

[[expect]]
eventually = { event = { kind = "link-up", by = "n2" } }
from = "6s"
within = "4s"
"#;

#[test]
fn nodes_join_by_a_name_and_reset_connections_are_made_again() {
    let (_directory, file) = written(RESETS);
    let result = passes(&file, "1");
    let affected = result["effects"][0]["affected"].as_u64().unwrap();
    assert!((1..=3).contains(&affected), "{result}");
    assert_eq!(result["trace_hash"], passes(&file, "1")["trace_hash"]);
}

/// The report that one machine is down causes the kill of a second machine.
const CHAIN: &str = r#"
scenario = 1
name = "made"
about = "One is killed; when its loss is noticed, the next goes too, and comes back."
engines = ["model", "wire", "madsim"]
duration = "25s"

[[nodes]]
count = 5

[[at]]
time = "3s"
crash = "n4"

[[at]]
after = { event = "peer-down", by = "n1", about = "n4", delay = "2s" }
crash = "n3"
for = "9s"

[[expect]]
never = { event = { kind = "peer-down", about = "n3" } }
to = "5s"

[[expect]]
eventually = { event = { kind = "peer-down", by = "n1", about = "n3" } }

[[expect]]
eventually = { event = { kind = "peer-up", by = "n1", about = "n3", min = 2 } }
"#;

#[test]
fn steps_after_a_report_run_after_it_and_deterministically() {
    let (_directory, file) = written(CHAIN);
    let result = passes(&file, "1");
    assert!(
        result["effects"][1]["affected"].as_u64().unwrap() > 0,
        "{result}"
    );
    assert_eq!(result["trace_hash"], passes(&file, "1")["trace_hash"]);
}

#[test]
fn a_disabled_mechanism_fails_the_scenario_and_the_reproduction_is_printed() {
    let file = named("partition-heals");
    let output = run(&file, &["--seed", "1", "--sabotage", "no-detection"]);
    let result = result(&output);
    assert_eq!(output.status.code(), Some(1), "{result}");
    assert_eq!(result["outcome"], "fail");
    let failure = &result["failures"][0];
    assert!(failure["line"].as_u64().unwrap() > 0);
    let again = failure["reproduce"].as_str().unwrap();
    assert!(again.contains("--seed 1 --engine wire"), "{again}");
}

#[test]
fn unsupported_scenarios_and_wrong_usage_exit_with_2() {
    let complaint = |file: &Path, arguments: &[&str]| {
        let output = run(file, arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = complaint(&named("clock-skew"), &[]);
    assert!(
        said.contains("engine wire cannot do the step `clock`"),
        "{said}"
    );
    let said = complaint(&named("thousand-nodes"), &[]);
    assert!(
        said.contains("engine wire") && said.contains("1000"),
        "{said}"
    );
    let said = complaint(Path::new("nowhere.toml"), &[]);
    assert!(
        said.contains("nowhere.toml") && said.contains("cannot be read"),
        "{said}"
    );
    let said = complaint(&named("cold-join"), &["--seed", "many"]);
    assert!(
        said.contains("--seed \"many\" is not a valid number"),
        "{said}"
    );
    let (_directory, file) = written("scenario = 1\nnmae = \"x\"\n");
    let said = complaint(&file, &[]);
    assert!(
        said.contains("made.toml") && said.contains("nmae"),
        "{said}"
    );
}
