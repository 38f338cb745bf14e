//! The command line of the fleet, as a user types it.

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
fn search_finds_the_planted_bug() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let search = ["search", "scenarios/rollout.toml", "--runs", "50", "--out"];
    let planted = ["--sabotage", "served-early"];
    let found = run(&[&search[..], &[folder], &planted].concat());
    has(
        &found,
        1,
        &["invariant served-is-loaded", "again:   cargo run -- run "],
    );
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
