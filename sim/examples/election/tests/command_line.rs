//! The command line of the election, as a user types it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit code and output of a command.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

/// Runs a command in a directory, with the scenarios of the package.
fn run_in(folder: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_election"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    Answer {
        code: output.status.code().expect("the program exits"),
        out: String::from_utf8(output.stdout).expect("the program prints UTF-8"),
        err: String::from_utf8(output.stderr).expect("the program prints UTF-8"),
    }
}

fn run(arguments: &[&str]) -> Answer {
    run_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
}

impl Answer {
    /// Checks the exit code, and that the output contains these words.
    #[track_caller]
    fn has(&self, code: i32, words: &[&str]) {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for word in words {
            assert!(all.contains(word), "{word:?} is not in: {all}");
        }
    }
}

/// Creates an empty directory for one test.
fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("the directory can be created");
    folder
}

/// Runs a printed command: its words after `cargo run --`.
fn again(folder: &Path, command: &str) -> Answer {
    let command = command.split("  #").next().unwrap_or_default();
    let words = command.trim().strip_prefix("cargo run -- ");
    let words: Vec<&str> = words
        .unwrap_or_else(|| panic!("{command:?} is not a command of the election"))
        .split(' ')
        .collect();
    run_in(folder, &words)
}

/// The rest of the first line with this label.
fn after<'a>(text: &'a str, label: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    lines
        .find_map(|line| line.strip_prefix(label))
        .unwrap_or_else(|| panic!("{label:?} is not in: {text}"))
        .trim()
}

#[test]
fn scenarios_pass_and_are_listed() {
    run(&["run", "scenarios/quiet.toml", "--seed", "1..3"]).has(0, &["3 runs, 3 passed"]);
    run(&["list"]).has(0, &["blackout", "power-cuts", "quiet"]);
    run(&["schema"]).has(0, &["\"system\""]);
    run(&["run", "scenarios/quiet.toml", "--check"]).has(0, &["same in another process"]);
}

#[test]
fn the_command_of_a_failure_reproduces_it() {
    let failed = run(&[
        "run",
        "scenarios/blackout.toml",
        "--seed",
        "1..10",
        "--strict",
        "--sabotage",
        "vote-unsynced",
    ]);
    failed.has(1, &["invariant one-leader-a-term"]);
    let command = after(&failed.out, "reproduce:");
    assert!(
        command.contains(" --strict --sabotage vote-unsynced  # file "),
        "{command}"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    again(folder, command).has(1, &["invariant one-leader-a-term", command]);
}

#[test]
fn the_report_of_a_failure_prints_the_commands_of_this_program() {
    let folder = empty_folder("report");
    let page = folder.join("page.html");
    let page = page.to_str().expect("the path is UTF-8");
    let scenario = "scenarios/blackout.toml";
    let planted = ["--sabotage", "vote-unsynced", "--seed", "1..3"];
    run(&[&["run", scenario, "--report", page], &planted[..]].concat()).has(1, &["0 passed"]);
    let page = std::fs::read_to_string(page).expect("the page is written");
    let of_seed = "scenarios/blackout.toml --seed {seed} --engine model --sabotage vote-unsynced";
    for command in [
        "cargo run -- replay scenarios/blackout.toml --seed 1 --sabotage vote-unsynced --until 4."
            .to_owned(),
        format!("cargo run -- run {of_seed} --report seed-{{seed}}.html"),
    ] {
        assert!(page.contains(&command), "{command}");
    }
    assert!(!page.contains("phalanx sim run"));
}

#[test]
fn search_finds_the_planted_bug_and_shrink_makes_it_small() {
    let folder = empty_folder("search");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/power-cuts.toml");
    let base = base.to_str().expect("the path is UTF-8");
    let planted = ["--sabotage", "vote-unsynced"];
    let mut search = vec!["search", base, "--runs", "2000", "--jobs", "1"];
    search.extend(["--for", "5min"]);
    search.extend(planted);
    let found = run_in(&folder, &search);
    found.has(1, &["invariant one-leader-a-term"]);
    again(&folder, after(&found.out, "again:")).has(1, &["invariant one-leader-a-term"]);
    again(&folder, after(&found.out, "smaller:")).has(0, &["small.toml"]);
    let small = std::fs::read_to_string(folder.join("small.toml")).expect("shrink wrote it");
    assert!(small.contains("system = \"election\""), "{small}");
    let lines = small.lines().filter(|line| !line.starts_with('#'));
    assert!(lines.count() < 40, "{small}");
    let command = small.lines().find_map(|line| line.strip_prefix("# cargo "));
    let command = format!("cargo {}", command.expect("the file has its command"));
    again(&folder, &command).has(1, &["invariant one-leader-a-term"]);
}

#[test]
fn replay_shows_the_state_of_a_node_and_its_changes() {
    let replay = ["replay", "scenarios/quiet.toml", "--seed", "2"];
    let with = |more: &[&str]| run(&[&replay[..], more].concat());
    with(&["--until", "4s"]).has(0, &["NODE", "election", "\"role\":\"leader\""]);
    with(&["--until", "4s", "--node", "n1"]).has(0, &["n1/", "role", "term"]);
    with(&["--until", "100ms..4s"]).has(0, &["BEFORE", "leader"]);
    let json = with(&["--until", "4s", "--node", "n1", "--json"]);
    json.has(0, &["\"processes\":[{", "\"running\":true", "\"state\":{"]);
}

#[test]
fn diff_and_report_work_on_the_election() {
    let quiet = "scenarios/quiet.toml";
    run(&["diff", quiet, "--seed", "1", "1"]).has(0, &["equal"]);
    run(&["diff", quiet, "--seed", "1", "2"]).has(1, &["first differ at event"]);
    let page = empty_folder("report").join("page.html");
    let path = page.to_str().expect("the path is UTF-8");
    run(&["run", quiet, "--report", path, "--timeline"]).has(0, &["pass"]);
    let text = std::fs::read_to_string(&page).expect("the report was written");
    assert!(text.contains("cargo run -- run scenarios/quiet.toml --seed 1"));
}

#[test]
fn wrong_usage_names_the_file_the_line_and_the_nearest_word() {
    let folder = empty_folder("wrong");
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quiet.toml"))
            .expect("the scenario can be read");
    let wrong = text.replace("system = \"election\"", "system = \"electon\"");
    std::fs::write(folder.join("quiet.toml"), wrong).expect("the file can be written");
    run_in(&folder, &["run", "quiet.toml"]).has(
        2,
        &[
            "election: quiet.toml:2: system: there is no system `electon`",
            "did you mean `election`?",
            "there is election",
        ],
    );
    let quiet = "scenarios/quiet.toml";
    run(&["run", quiet, "--sabotage", "vote-unsynct"]).has(2, &["did you mean `vote-unsynced`?"]);
    run(&["run", quiet, "--engine", "wire"]).has(2, &["wire"]);
    run(&["run"]).has(2, &["FILE"]);
}
