//! The command line of the fleet, as a user types it.

use std::path::Path;
use std::process::Command;

/// Runs a command in the package's directory; returns the exit code and the output.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().expect("the program exits"),
        String::from_utf8(text).expect("the program prints UTF-8"),
    )
}

#[track_caller]
fn has((code, text): &(i32, String), wanted: i32, words: &[&str]) {
    assert_eq!(*code, wanted, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn scenarios_pass_and_are_listed() {
    has(
        &run(&["run", "scenarios/rollout.toml", "--seed", "1..2"]),
        0,
        &["2 runs, 2 passed"],
    );
    has(&run(&["list"]), 0, &["rollout", "nginx-crashes"]);
}

#[test]
fn the_command_of_a_failure_reproduces_it() {
    let failed = run(&[
        "run",
        "scenarios/rollout.toml",
        "--sabotage",
        "served-early",
    ]);
    has(&failed, 1, &["invariant served-is-loaded"]);
    let line = failed
        .1
        .lines()
        .find_map(|line| line.trim().strip_prefix("reproduce: cargo run -- "));
    let command = line.and_then(|line| line.split("  #").next());
    let words: Vec<&str> = command
        .expect("a failure prints its command")
        .split(' ')
        .collect();
    has(&run(&words), 1, &["invariant served-is-loaded"]);
}

#[test]
fn search_finds_each_planted_bug() {
    let bugs = [
        ("served-early", "rollout", "served-is-loaded"),
        ("unsynced-rename", "power-loss", "live-is-valid"),
        ("untested", "invalid-release", "live-is-valid"),
        ("no-read-back", "rollout", "live-is-kept"),
    ];
    for (bug, scenario, invariant) in bugs {
        let file = format!("scenarios/{scenario}.toml");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(bug);
        let folder = folder.to_str().expect("the path is UTF-8");
        let search = ["search", &file, "--runs", "20", "--out", folder];
        let found = run(&[&search[..], &["--sabotage", bug]].concat());
        let invariant = format!("invariant {invariant}");
        has(&found, 1, &[&invariant, "again:   cargo run -- run "]);
    }
}

#[test]
fn search_finds_nothing_in_the_fleet_as_it_is() {
    let search = ["search", "scenarios/power-loss.toml", "--runs", "30"];
    let folder = env!("CARGO_TARGET_TMPDIR");
    let all = run(&[&search[..], &["--out", folder]].concat());
    assert_eq!(all.0, 0, "{}", all.1);
}

#[test]
fn replay_shows_every_process_of_a_host_and_mesh_nodes_in_detail() {
    let replay = ["replay", "scenarios/rollout.toml", "--until", "10s"];
    let all = run(&replay);
    has(
        &all,
        0,
        &["PROGRAM", "controller", "agent", "nginx", "mesh"],
    );
    let one = run(&[&replay[..], &["--node", "m2"]].concat());
    has(
        &one,
        0,
        &["MEMBER", "LINK TO", "m2/agent at 10.0s", "m2/nginx"],
    );
}

#[test]
fn explain_names_the_faults_that_a_run_needs() {
    let explain = ["explain", "scenarios/power-loss.toml", "--seed", "1"];
    let planted = ["--sabotage", "unsynced-rename", "--runs", "150"];
    let found = run(&[&explain[..], &planted].concat());
    has(
        &found,
        0,
        &[
            "fails at ",
            "loses power",
            "again:   cargo run -- run scenarios/power-loss.toml",
        ],
    );
    has(&run(&explain), 4, &["there is nothing to explain"]);
}
