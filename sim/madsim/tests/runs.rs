//! Whole runs of the program: scenarios pass, equal seeds give equal runs, and errors name unsupported steps.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The seeds with which every scenario for this engine runs.
const SEEDS: [u64; 3] = [1, 2, 3];

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// Returns the scenarios that list this engine.
fn ours() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(scenarios()).unwrap() {
        let path = entry.unwrap().path();
        let is_scenario = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if is_scenario
            && std::fs::read_to_string(&path)
                .unwrap()
                .contains("\"madsim\"")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn run(path: &Path, seed: u64, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phalanx-sim-madsim"))
        .arg(path)
        .args(["--seed", &seed.to_string()])
        .args(flags)
        .output()
        .unwrap()
}

fn answer(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

#[test]
fn every_scenario_for_this_engine_passes_with_effective_faults() {
    let ours = ours();
    assert!(ours.len() >= 19, "{ours:?}");
    for path in ours {
        for seed in SEEDS {
            let output = run(&path, seed, &["--strict"]);
            let found = answer(&output);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{} {seed}: {}",
                path.display(),
                found["failures"]
            );
            assert_eq!(found["engine"], "madsim");
        }
    }
}

#[test]
fn equal_seeds_give_equal_runs_in_two_processes_also_with_pauses() {
    for name in ["partition-heals", "standing-still", "long-pauses"] {
        let path = scenarios().join(name).with_extension("toml");
        let hash = |seed| answer(&run(&path, seed, &[]))["trace_hash"].clone();
        let first = hash(7);
        assert_eq!(first, hash(7), "{name}");
        assert_ne!(first, hash(8), "{name}: another seed is another run");
    }
}

#[test]
fn every_random_draw_of_two_runs_in_one_process_is_equal() {
    let names = [
        "two-nodes",
        "crash-and-restart",
        "three-way-split",
        "quiet-updates",
    ];
    for name in names {
        let path = scenarios().join(name).with_extension("toml");
        let output = run(&path, 3, &["--twice"]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let output = run(&scenarios().join("standing-still.toml"), 3, &["--twice"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("phalanx sim run --check"));
}

#[test]
fn invariants_of_applications_are_checked() {
    for (invariant, bug, scenario) in [
        ("handed-once", "repeats-messages", "broadcast-to-all"),
        ("values-rise", "earlier-write-wins", "maps-after-a-split"),
    ] {
        let path = scenarios().join(scenario).with_extension("toml");
        let found = answer(&run(&path, 1, &["--sabotage", bug]));
        let failures = found["failures"].as_array().unwrap();
        let wanted = format!("invariant {invariant}");
        let failed = |failure: &Value| failure["expectation"] == wanted.as_str();
        assert!(failures.iter().any(failed), "{failures:#?}");
    }
}

#[test]
fn nodes_join_by_a_name_with_several_addresses() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("names.toml");
    let text = r#"
scenario = 1
name = "made"
about = "All join by a name."
engines = ["madsim"]
duration = "8s"
seeds = "mesh.example"

[names]
"mesh.example" = "n1, n2"

[[nodes]]
count = 4

[[expect]]
eventually = { converged = true }
within = "6s"
"#;
    std::fs::write(&file, text).unwrap();
    let output = run(&file, 1, &[]);
    let found = answer(&output);
    assert_eq!(output.status.code(), Some(0), "{}", found["failures"]);
}

#[test]
fn unsupported_steps_are_reported_with_line_and_engine() {
    let output = run(&scenarios().join("power-loss.toml"), 1, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("engine madsim cannot do the step `power-loss`"),
        "{said}"
    );
    assert!(said.contains("power-loss.toml:"), "{said}");
}

/// A scenario in which the report that one host is down triggers the crash of a second host.
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
    let path = std::env::temp_dir().join(format!("chain-{}.toml", std::process::id()));
    std::fs::write(&path, CHAIN).unwrap();
    let outputs = [1, 1].map(|seed| run(&path, seed, &["--strict"]));
    std::fs::remove_file(&path).unwrap();
    let answers = outputs.map(|output| answer(&output));
    assert_eq!(answers[0]["outcome"], "pass", "{}", answers[0]["failures"]);
    assert_eq!(answers[0]["trace_hash"], answers[1]["trace_hash"]);
}

#[test]
fn a_trace_names_the_sender_and_the_step_of_a_message() {
    let path = std::env::temp_dir().join(format!("trace-{}.jsonl", std::process::id()));
    let file = scenarios().join("crash-and-restart.toml");
    let output = run(&file, 2, &["--trace", path.to_str().unwrap()]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (header, events) = lines.split_first().unwrap();
    assert_eq!(
        (&header["phalanx-trace"], &header["engine"]),
        (&1.into(), &"madsim".into())
    );
    let steps = events.iter().filter(|event| event["node"].is_string());
    assert_eq!(
        steps.count() as u64,
        answer(&output)["events"].as_u64().unwrap()
    );
    let mut messages = 0;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["event"].as_u64().unwrap(), index as u64 + 1);
        if event["size"].is_null() {
            continue;
        }
        messages += 1;
        let cause = event["cause"].as_u64().unwrap();
        assert!(cause <= index as u64, "{event}");
        assert_eq!(events[cause as usize - 1]["node"], event["from"], "{event}");
    }
    assert!(messages > 100, "{messages}");
    assert!(text.contains("\"says\":[{\"word\":\"peer-down\",\"about\":"));
    assert!(text.contains("\"fault\":{\"turn\":\"begins\""));
}

#[test]
fn a_mechanism_switched_off_is_noticed_here_too() {
    let path = scenarios().join("crash-and-restart.toml");
    let output = run(&path, 1, &["--sabotage", "no-detection"]);
    assert_eq!(output.status.code(), Some(1));
}
