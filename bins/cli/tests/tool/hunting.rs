//! `phalanx sim search` and `phalanx sim shrink` as processes.

use super::{run, scenario, text, tool};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn search_writes_a_failing_scenario_and_shrink_reduces_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    let broken = ["--sabotage", "no-detection", "--json"];
    let mut words = vec!["sim", "search", "--runs", "50", "--out", &out];
    let file = scenario("two-nodes.toml");
    words.push(&file);
    words.extend(broken);
    let answer = run(&words);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    let found = answer.json()[0]["found"].clone();
    let (file, seed) = (found["file"].as_str().unwrap(), found["seed"].to_string());
    let again = found["reproduce"].as_str().unwrap();
    let command = format!(
        "phalanx sim run {file} --seed {seed} --engine model --sabotage no-detection  # file "
    );
    assert!(again.starts_with(&command), "{again}");
    assert_eq!(found["failures"][0]["reproduce"], again);

    let mut words = vec!["sim", "run", file, "--seed", &seed];
    words.extend(broken);
    assert_eq!(run(&words).code, 1);
    let small = text(&folder.path().join("small.toml"));
    let mut words = vec!["sim", "shrink", file, "--seed", &seed, "-o", &small];
    words.extend(broken);
    let shrunk = run(&words).fine().json().remove(0);
    assert_eq!(shrunk["minimal"], true, "{shrunk}");
    assert!(shrunk["lines"].as_u64().unwrap() < 30, "{shrunk}");
    let again = shrunk["reproduce"].as_str().unwrap();
    assert!(
        again.contains("small.toml --seed ") && again.contains("  # file "),
        "{again}"
    );
    let mut words = vec!["sim", "run", &small, "--seed", &seed];
    words.extend(broken);
    let runs = run(&words);
    assert_eq!(runs.code, 1, "{}", runs.err);
    // The hash in the printed command is that of the written file.
    assert_eq!(runs.json()[0]["failures"][0]["reproduce"], again);

    let sound = scenario("two-nodes.toml");
    run(&["sim", "shrink", &sound, "--seed", "1"]).fails(1, &["does not fail", "sim search"]);
}

#[test]
fn ctrl_c_ends_a_search_with_a_summary_of_its_coverage() {
    let file = scenario("two-nodes.toml");
    let mut search = tool(&[
        "sim", "search", &file, "--for", "10min", "--jobs", "1", "--json",
    ]);
    let mut child = search.stdout(Stdio::piped()).spawn().unwrap();
    let searches = until(|| worked(&child));
    if searches {
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.unwrap().success());
    }
    let ended = until(|| child.try_wait().is_ok_and(|status| status.is_some()));
    if !ended {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(searches && ended, "searching: {searches}, ended: {ended}");
    assert_eq!(output.status.code(), Some(130));
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(tally["found"].is_null(), "{tally}");
    assert_eq!(tally["interrupted"], true);
    for figure in ["runs", "covered", "kept"] {
        assert!(tally[figure].as_u64().unwrap() > 0, "{tally}");
    }
}

/// Returns whether a process used 0.2 s of CPU time, which is enough for many runs of two nodes.
fn worked(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // In /proc/PID/stat, the name in parentheses is followed by the state and ten more fields, then by the CPU time in
    // hundredths of a second.
    let mut fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let spent = fields.nth(11).and_then(|ticks| ticks.parse::<u64>().ok());
    spent.is_some_and(|ticks| ticks >= 20)
}

/// Polls a condition for up to a minute; returns whether it became true.
fn until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
