//! A file whose matrix makes many scenarios: commands run all of them, or the selected one.

use super::{run, text};
use std::path::Path;

/// With two nodes the expectation fails, because it requires a third node; with three nodes it holds.
const SWEEP: &str = r#"
scenario = 1
name = "sweep"
about = "Several sizes on several networks; the small sizes fail the expectation."
engines = ["model", "wire"]
duration = "4s"

[[matrix]]
latency = ["1ms", "20ms"]
nodes = [2, 3]

[network]
latency = "${latency}"

[[nodes]]
count = "${nodes}"

[[expect]]
eventually = { members = { who = "n1", as = "alive", min = 3 } }
from = "0s"
"#;

fn sweep(folder: &Path) -> String {
    let path = folder.join("sweep.toml");
    std::fs::write(&path, SWEEP).unwrap();
    text(&path)
}

#[test]
fn every_variant_of_a_matrix_is_run_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = sweep(folder.path());
    let verdicts = folder.path().join("verdicts.xml");
    let answer = run(&[
        "sim",
        "run",
        &file,
        "--seed",
        "1..2",
        "--json",
        "--junit",
        &text(&verdicts),
    ]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let runs: Vec<(String, String)> = answer
        .json()
        .iter()
        .map(|it| (it["variant"].to_string(), it["outcome"].to_string()))
        .collect();
    let expected = ["1ms", "20ms"].iter().flat_map(|latency| {
        let of = move |nodes, verdict: &str| {
            let variant = format!("\"latency={latency},nodes={nodes}\"");
            (variant, format!("\"{verdict}\""))
        };
        [of(2, "fail"), of(2, "fail"), of(3, "pass"), of(3, "pass")]
    });
    assert_eq!(runs, expected.collect::<Vec<_>>());
    let xml = std::fs::read_to_string(&verdicts).unwrap();
    assert!(
        xml.contains("name=\"sweep[latency=20ms,nodes=3] on model\""),
        "{xml}"
    );
    let people = run(&["sim", "run", &file]);
    assert!(
        people.out.contains("sweep[latency=1ms,nodes=3]"),
        "{}",
        people.out
    );
    assert!(
        people.out.contains("4 runs, 2 passed, 2 failed"),
        "{}",
        people.out
    );
    let list = run(&["sim", "list", &file, "--json"]).fine().json();
    assert_eq!(list[0]["name"], "sweep");
    assert_eq!(list[0]["variants"].as_array().unwrap().len(), 4);
}

#[test]
fn the_command_of_a_failing_run_reproduces_that_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = sweep(folder.path());
    let runs = run(&["sim", "run", &file, "--variant", "nodes=2", "--json"]).json();
    assert_eq!(runs.len(), 2);
    let again = runs[1]["failures"][0]["reproduce"].as_str().unwrap();
    let words: Vec<&str> = again
        .split_whitespace()
        .take_while(|it| *it != "#")
        .collect();
    assert_eq!(words[0], "phalanx");
    assert!(again.contains("--variant latency=20ms,nodes=2 "), "{again}");
    let mut words = words[1..].to_vec();
    words.push("--json");
    let same = run(&words).json();
    assert_eq!(same.len(), 1);
    assert_eq!(same[0]["trace_hash"], runs[1]["trace_hash"]);
}

#[test]
fn a_command_for_a_single_run_asks_for_a_variant() {
    let folder = tempfile::tempdir().unwrap();
    let file = sweep(folder.path());
    let (page, trace) = (folder.path().join("a.html"), folder.path().join("a.jsonl"));
    let (page, trace) = (text(&page), text(&trace));
    let chosen = ["--variant", "latency=1ms,nodes=3"];
    for (command, rest) in [
        ("run", ["--report", &page]),
        ("run", ["--trace", &trace]),
        ("replay", ["--until", "3s"]),
        ("shrink", ["--seed", "1"]),
    ] {
        let mut words = vec!["sim", command, &file];
        words.extend(rest);
        run(&words).fails(2, &["--variant 'latency=1ms,nodes=2'"]);
        words.extend(chosen);
        let answer = run(&words);
        let nothing = command == "shrink" && answer.err.contains("does not fail");
        assert!(answer.code == 0 || nothing, "{}{}", answer.out, answer.err);
    }
    // A trace contains the variant of its run.
    let state = run(&["sim", "replay", &trace, "--event", "20", "--json"]).fine();
    assert_eq!(state.json().len(), 3);
    run(&[
        "sim",
        "replay",
        &file,
        "--variant",
        "nodes=9",
        "--until",
        "3s",
    ])
    .fails(2, &["sweep.toml", "never `9`", "2, 3"]);
}

#[test]
fn an_engine_in_another_process_gets_the_selected_variant() {
    let folder = tempfile::tempdir().unwrap();
    let file = sweep(folder.path());
    let words = [
        "sim",
        "run",
        &file,
        "--variant",
        "nodes=3",
        "--engine",
        "wire",
        "--json",
    ];
    let runs = run(&words).fine().json();
    let variants: Vec<_> = runs.iter().map(|it| it["variant"].as_str()).collect();
    assert_eq!(
        variants,
        [Some("latency=1ms,nodes=3"), Some("latency=20ms,nodes=3")]
    );
}
