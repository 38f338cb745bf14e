//! `phalanx sim soak` as a process: the short form of `make soak`.

use super::{run, scenario, text, tool};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Waits until a file exists; returns whether it does.
fn appears(path: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline && !path.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    path.exists()
}

fn summary(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("soak.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_soak_of_all_scenarios_counts_its_runs_and_finds_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (out, all) = (text(folder.path()), scenario(""));
    let answer = run(&["sim", "soak", &all, "--for", "20s", "--out", &out, "--json"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let figures = answer.json().remove(0);
    assert_eq!(figures, summary(folder.path()));
    for figure in [
        "runs",
        "search_runs",
        "virtual_ms",
        "events",
        "events_per_cpu_hour",
        "covered",
    ] {
        assert!(figures[figure].as_u64().unwrap() > 0, "{figure}: {figures}");
    }
    assert_eq!(figures["failed"], 0);
    let covered = &figures["coverage"][0];
    let runs = figures["runs"].as_u64().unwrap() + figures["search_runs"].as_u64().unwrap();
    assert_eq!(covered["runs"].as_u64(), Some(runs), "{covered}");
    assert!(covered["never"].as_u64().unwrap() > 0, "{covered}");
    let again = run(&[
        "sim", "soak", &all, "--for", "1s", "--out", &out, "--seed", "7",
    ]);
    for words in [
        "coverage of mesh in",
        "never occurred",
        "virtual time",
        "per CPU hour",
        "behaviours seen",
        "seeds 7..",
    ] {
        assert!(again.out.contains(words), "{words}: {}", again.out);
    }
}

#[test]
fn failures_are_kept_as_files_that_fail_and_do_not_end_the_soak() {
    let folder = tempfile::tempdir().unwrap();
    let (out, file) = (text(folder.path()), scenario("two-nodes.toml"));
    let planted = ["--sabotage", "no-detection"];
    let soak = ["sim", "soak", &file, "--for", "2s", "--out", &out, "--json"];
    let answer = run(&[&soak[..], &planted].concat());
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    let figures = answer.json().remove(0);
    let files = figures["files"].as_array().unwrap();
    assert!(
        figures["failed"].as_u64().unwrap() > files.len() as u64,
        "{figures}"
    );
    assert!(
        (2..=10).contains(&files.len()),
        "few files of one kind: {figures}"
    );
    for kept in files.iter().take(2) {
        let again = kept["reproduce"].as_str().unwrap();
        let words: Vec<&str> = again.split(' ').skip(1).collect();
        assert!(again.ends_with("--sabotage no-detection"), "{again}");
        assert_eq!(run(&words).code, 1, "{again}");
    }
}

#[test]
fn a_soak_that_is_killed_keeps_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let (out, file) = (text(folder.path()), scenario("two-nodes.toml"));
    let mut soak = tool(&[
        "sim",
        "soak",
        &file,
        "--for",
        "10min",
        "--out",
        &out,
        "--jobs",
        "1",
        "--sabotage",
        "no-detection",
    ]);
    let mut child = soak.stdout(Stdio::null()).spawn().unwrap();
    let kept = folder.path().join("two-nodes-1.toml");
    let (has_file, has_summary) = (appears(&kept), appears(&folder.path().join("soak.json")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(has_file && has_summary);
    assert!(summary(folder.path())["failed"].as_u64().unwrap() > 0);
    let planted = ["--seed", "1", "--sabotage", "no-detection"];
    let kept = text(&kept);
    assert_eq!(
        run(&[&["sim", "run", &kept], &planted[..]].concat()).code,
        1
    );
}
