//! Runs that do not end by themselves: signals, wall-time limits, and the time of a search.

use super::{run, scenario, text, tool};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A scenario that runs for hours of the wall clock.
const ENDLESS: &str = r#"
scenario = 1
name = "endless"
about = "Many nodes run for a very long time."
engines = ["model"]
duration = "100000s"

[[nodes]]
count = 200

[[expect]]
always = { members = { who = "n1", min = 1, max = 200 } }
from = "10s"
"#;

/// Maximum time from a signal to the end of the process; longer than the one second that the tool promises, to allow
/// for busy machines.
const END_MAX: Duration = Duration::from_secs(5);

fn endless(folder: &Path) -> String {
    let path = folder.join("endless.toml");
    std::fs::write(&path, ENDLESS).unwrap();
    text(&path)
}

fn spawn(arguments: &[&str]) -> Child {
    let mut command = tool(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// Waits until a process has used a second of CPU time, which shows that it is performing a run.
fn works(child: &Child) {
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let spent = fields.split_whitespace().nth(11);
        if spent.is_some_and(|ticks| ticks.parse::<u64>().unwrap_or(0) >= 100) {
            return;
        }
        assert!(Instant::now() < deadline, "the process does not work");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a process after a signal; returns its exit code and its output.
fn end(mut child: Child) -> (Option<i32>, String) {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > END_MAX {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text + &errors)
}

#[test]
fn a_signal_ends_a_sweep_and_its_finished_runs_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (file, verdicts) = (
        endless(folder.path()),
        text(&folder.path().join("verdicts.xml")),
    );
    let good = scenario("two-nodes.toml");
    let words = [
        "sim", "run", &good, &file, "--jobs", "1", "--json", "--junit", &verdicts,
    ];
    let mut child = spawn(&words);
    let mut finished = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut finished).unwrap();
    works(&child);
    signal(&child, "-INT");
    let (code, _) = end(child);
    out.read_to_string(&mut finished).unwrap();
    assert_eq!(code, Some(130));
    let run: serde_json::Value = serde_json::from_str(&finished).unwrap();
    assert_eq!(run["scenario"], "two-nodes", "the only finished run");
    let xml = std::fs::read_to_string(&verdicts).unwrap();
    assert!(
        xml.contains("tests=\"1\"") && xml.contains("two-nodes"),
        "{xml}"
    );
}

#[test]
fn a_signal_ends_a_single_run_with_its_trace_and_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = endless(folder.path());
    let trace = text(&folder.path().join("trace.jsonl"));
    let child = spawn(&["sim", "run", &file, "--trace", &trace]);
    works(&child);
    signal(&child, "-TERM");
    let (code, said) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted after 0 of 1 run"), "{said}");
    let lines = std::fs::read_to_string(&trace).unwrap();
    let last = lines.lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert!(last["event"].as_u64().unwrap() > 100, "{last}");

    let page = text(&folder.path().join("page.html"));
    let child = spawn(&[
        "sim",
        "run",
        &scenario("thousand-nodes.toml"),
        "--report",
        &page,
    ]);
    works(&child);
    signal(&child, "-INT");
    let (code, said) = end(child);
    assert_eq!(code, Some(130), "{said}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("it was interrupted"), "the page says so");
}

#[test]
fn a_search_ends_within_a_run_by_a_signal_or_by_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = endless(folder.path());
    let out = text(folder.path());
    let words = ["sim", "search", &file, "--jobs", "1", "--out", &out];
    let child = spawn(&[&words[..], &["--for", "1h"]].concat());
    works(&child);
    signal(&child, "-INT");
    let (code, said) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted after 0 runs"), "{said}");
    let begin = Instant::now();
    run(&[&words[..], &["--for", "1s"]].concat()).fine();
    assert!(begin.elapsed() < Duration::from_secs(1) + END_MAX);
}

#[test]
fn a_signal_ends_shrink_and_replay_within_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = endless(folder.path());
    for words in [
        &["sim", "shrink", &*file, "--seed", "1"][..],
        &["sim", "explain", &file, "--seed", "1"],
        &["sim", "replay", &file, "--until", "90000s", "--node", "n1"],
        &["sim", "diff", &file, "--seed", "1", "2"],
    ] {
        let child = spawn(words);
        works(&child);
        signal(&child, "-INT");
        let (code, said) = end(child);
        assert_eq!(code, Some(130), "{words:?}: {said}");
        assert!(said.contains("interrupted"), "{words:?}: {said}");
    }
}

#[test]
fn a_run_that_takes_too_long_fails_and_names_what_happens_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = endless(folder.path());
    let answer = run(&["sim", "run", &file, "--wall-limit", "1s", "--json"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let failure = &answer.json()[0]["failures"][0];
    assert_eq!(
        failure["expectation"],
        "the run ends within its wall-time limit"
    );
    let why = failure["why"].as_str().unwrap();
    for words in ["of virtual time", "the next 10000 events", "of them at n"] {
        assert!(why.contains(words), "{why}");
    }
    let found = text(folder.path());
    let words = [
        "sim",
        "search",
        &file,
        "--out",
        &found,
        "--wall-limit",
        "1s",
    ];
    assert_eq!(run(&words).code, 1);
    // A wall-time limit changes nothing in a run that ends in time.
    let good = scenario("two-nodes.toml");
    let hash = |limit: &str| {
        let answer = run(&["sim", "run", &good, "--json", "--wall-limit", limit]).fine();
        answer.json()[0]["trace_hash"].clone()
    };
    assert_eq!(hash("1min"), hash("1h"));
}
