//! A process whose step does not end: the command fails its run, keeps the finished ones, and ends. The test starts itself as
//! the tool of a system with such a process.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

use phalanx_core::time::Instant;
use phalanx_sim::scenario::{Vocabulary, Words};
use phalanx_sim::world::{
    Cast, Definition, Effects, Process, ProcessEvent, ProcessView, Program, Start,
};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as WallInstant};

/// The line that announces the endless step.
const ENDLESS: &str = "this step does not end";

/// The message of the panic.
const BROKEN: &str = "this step is broken";

/// The commands that run scenarios, each with a scenario as its next argument.
const COMMANDS: [&[&str]; 9] = [
    &["run"],
    &["run", "--timeline"],
    &["search", "--for", "60s", "--jobs", "1"],
    &["shrink", "--seed", "1"],
    &["explain", "--seed", "1"],
    &["soak", "--for", "60s", "--jobs", "1"],
    &["replay", "--until", "2s"],
    &["replay", "--step"],
    &["diff", "--seed", "1", "2"],
];

/// The time at which a process with the role `spared` begins an endless step, if its host was not restarted.
const SPARED_UNTIL: Instant = Instant::from_millis(4_000);

/// Never ends its first step if it is endless; panics in it if it is broken. With a deadline, never ends the step of the
/// deadline.
struct Spinner {
    digest: u64,
    is_endless: bool,
    is_broken: bool,
    deadline: Option<Instant>,
}

impl ProcessView for Spinner {
    fn digest(&self) -> u64 {
        self.digest
    }

    fn state(&self) -> Value {
        json!({})
    }
}

impl Process for Spinner {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Start | ProcessEvent::Wake)
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, _: &mut Effects) {
        assert!(!self.is_broken, "{BROKEN}");
        let is_wake = matches!(event, ProcessEvent::Wake);
        if !self.is_endless && !is_wake {
            return;
        }
        // The test waits for this line.
        let line = format!("{ENDLESS}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        loop {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

/// The programs of all hosts. With the role `endless` the process never ends its first step; with the role `alone`
/// only if its host has no other beside it, and else it is broken. With the role `spared` the process is broken after a
/// restart, and endless without one. With the role `replayed` it is endless in the third run of this program.
struct Spinners {
    hosts: usize,
}

/// The number of processes with the role `replayed` that were started.
static REPLAYED: AtomicUsize = AtomicUsize::new(0);

impl Program for Spinners {
    fn name(&self) -> &'static str {
        "spinner"
    }

    fn start(&mut self, mut start: Start<'_>) -> Box<dyn Process> {
        let digest = start.random.next_u64();
        let role = start.spec().role.as_deref();
        let is_alone = self.hosts == 1;
        let is_again = start.life > 1;
        let runs_before = match role {
            Some("replayed") => REPLAYED.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let is_endless = role == Some("endless") || role == Some("alone") && is_alone;
        let is_broken = role == Some("alone") && !is_alone || role == Some("spared") && is_again;
        Box::new(Spinner {
            digest,
            is_endless: is_endless || runs_before > 1,
            is_broken,
            deadline: (role == Some("spared")).then_some(SPARED_UNTIL),
        })
    }
}

static SPINNERS: Definition = Definition {
    name: "spinners",
    command: "spinners",
    vocabulary: || {
        let words = Words {
            program: "spinner",
            ..Words::default()
        };
        Vocabulary::of("spinners", [words])
    },
    build: |scenario, _| {
        Ok(Cast {
            programs: vec![Box::new(Spinners {
                hosts: scenario.hosts.len(),
            })],
            hosts: vec![vec![0]; scenario.hosts.len()],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

/// A scenario in which this number of nodes have this role.
fn written(folder: &std::path::Path, role: &str, count: usize) -> String {
    let text = format!(
        "scenario = 1\nname = \"{role}\"\nabout = \"A process that may spin.\"\nsystem = \"spinners\"\n\
         engines = [\"model\"]\nduration = \"9s\"\n[[nodes]]\ncount = {count}\nrole = \"{role}\"\n\
         [[expect]]\neventually = {{ converged = true }}\n"
    );
    let path = folder.join(format!("{role}.toml"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn tool(words: &[&str]) -> Child {
    tool_in(std::path::Path::new("."), words)
}

fn tool_in(folder: &std::path::Path, words: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn a_stuck_step_fails_its_run_and_the_other_runs_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let [endless, fine] = ["endless", "fine"].map(|role| written(folder.path(), role, 1));
    let words = [
        "run",
        &endless,
        &fine,
        "--jobs",
        "2",
        "--wall-limit",
        "100ms",
        "--json",
    ];
    let output = tool(&words).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(runs.len(), 2, "{out}");
    let why = runs[0]["failures"][0]["why"].as_str().unwrap();
    assert!(
        why.starts_with("a step of n1 at 0.") && why.contains("does not end"),
        "{why}"
    );
    assert_eq!(
        (&runs[1]["scenario"], &runs[1]["outcome"]),
        (&json!("fine"), &json!("pass"))
    );
}

/// The arguments of a command for a scenario.
fn words<'a>(command: &'a [&'a str], scenario: &'a str) -> Vec<&'a str> {
    let (name, flags) = command.split_first().unwrap();
    let mut words = vec![*name, scenario];
    words.extend(flags);
    words
}

/// Interrupts a command as soon as a step is stuck; returns its output.
fn interrupted_when_stuck(mut child: Child, command: &[&str]) -> Output {
    let errors = BufReader::new(child.stderr.take().unwrap());
    let mut lines = errors.lines().map(Result::unwrap);
    assert!(
        lines.any(|line| line == ENDLESS),
        "{command:?}: the step begins"
    );
    let begin = WallInstant::now();
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{command:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{command:?}");
    output
}

fn the_first_signal_ends_every_command_with_a_stuck_step() {
    let folder = tempfile::tempdir().unwrap();
    let endless = written(folder.path(), "endless", 1);
    for command in COMMANDS {
        let mut child = tool_in(folder.path(), &words(command, &endless));
        let mut orders = child.stdin.take().unwrap();
        if command.contains(&"--step") {
            orders.write_all(b"9\n").unwrap();
        }
        interrupted_when_stuck(child, command);
    }
}

fn the_wall_time_limit_ends_every_command_with_a_stuck_step_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let endless = written(folder.path(), "endless", 1);
    let started = COMMANDS.map(|command| {
        let mut words = words(command, &endless);
        words.extend(["--wall-limit", "100ms"]);
        let mut child = tool_in(folder.path(), &words);
        let mut orders = child.stdin.take().unwrap();
        if command.contains(&"--step") {
            orders.write_all(b"9\n").unwrap();
        }
        (command, child, orders)
    });
    for (command, child, _orders) in started {
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        let said = said.concat();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        let expected = if command[0] == "soak" {
            "the run ends within its wall-time limit"
        } else {
            "a step of n1 at 0."
        };
        assert!(said.contains(expected), "{command:?}: {said}");
    }
    let kept = std::fs::read_to_string(folder.path().join("soak/endless-1.toml")).unwrap();
    assert!(kept.contains("a step of n1 at 0."), "{kept}");
}

fn a_candidate_that_is_stuck_leaves_the_smallest_scenario_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let alone = written(folder.path(), "alone", 4);
    let small = folder.path().join("small.toml");
    let output = tool(&[
        "shrink",
        &alone,
        "--seed",
        "1",
        "--wall-limit",
        "100ms",
        "-o",
        small.to_str().unwrap(),
    ]);
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a step of n1 at 0."), "{said}");
    let small = std::fs::read_to_string(small).unwrap();
    assert!(small.contains(BROKEN), "{small}");
}

/// The restart of a node is what its run needs to fail; without it, a step is stuck.
fn the_analysis_of_a_run_whose_alternatives_are_stuck_gives_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let spared = written(folder.path(), "spared", 1);
    let mut text = std::fs::read_to_string(&spared).unwrap();
    text.push_str("[[at]]\ntime = \"2s\"\nrestart = { who = \"n1\" }\n");
    std::fs::write(&spared, text).unwrap();
    let words = ["explain", &spared, "--seed", "1", "--json"];
    let limited = tool(&[&words[..], &["--wall-limit", "1s"]].concat());
    let limited = limited.wait_with_output().unwrap();
    let errors = String::from_utf8(limited.stderr).unwrap();
    assert_eq!(limited.status.code(), Some(1), "{errors}");
    assert!(errors.contains("a step of n1 at 4"), "{errors}");
    is_partial(&limited.stdout);
    // A signal, and the time limit, end the analysis in the same way.
    let output = interrupted_when_stuck(tool(&words), &words);
    is_partial(&output.stdout);
    let timed = tool(&[&words[..], &["--for", "5s"]].concat());
    let timed = timed.wait_with_output().unwrap();
    assert_eq!(timed.status.code(), Some(0));
    is_partial(&timed.stdout);
}

/// Checks an analysis that ended before it knew which faults the run needs.
fn is_partial(out: &[u8]) {
    let found: Value = serde_json::from_slice(out).unwrap();
    assert_eq!(found["outcome"], "explained");
    assert_eq!(found["complete"], false, "{found}");
    assert_eq!(found["with_all"]["failed"], 20, "{found}");
    let paragraph = found["paragraph"].as_str().unwrap();
    for words in ["With seed 1, spared fails", "20 of 20", "was stopped after"] {
        assert!(paragraph.contains(words), "{paragraph}");
    }
}

/// Both runs end; the replay that shows the states of their first difference is stuck.
fn a_difference_is_shown_without_the_states_whose_replay_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let replayed = written(folder.path(), "replayed", 1);
    let text = std::fs::read_to_string(&replayed).unwrap();
    let at_once = text.replace("duration =", "spread = \"0s\"\nduration =");
    std::fs::write(&replayed, at_once).unwrap();
    let words = ["diff", &replayed, "--seed", "1", "2"];
    let output = tool(&[&words[..], &["--wall-limit", "100ms"]].concat());
    let output = output.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    for words in [
        "seed 1 and seed 2 first differ at event 2",
        "States cannot be compared: a step of n1 at 0",
    ] {
        assert!(out.contains(words), "{out}");
    }
    let output = interrupted_when_stuck(tool(&[&words[..], &["--json"]].concat()), &words);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["equal"], &found["event"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(found["states_missing"], "the command was interrupted");
}

fn a_panic_during_a_replay_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let alone = written(folder.path(), "alone", 2);
    let output = tool(&["replay", &alone, "--until", "2s"]);
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("a process panicked: this step is broken"),
        "{said}"
    );
}

fn main() -> ExitCode {
    let commands = COMMANDS.map(|words| words[0]);
    if std::env::args()
        .nth(1)
        .is_some_and(|word| commands.contains(&word.as_str()))
    {
        return phalanx_sim_cli::main(&[&SPINNERS]);
    }
    a_stuck_step_fails_its_run_and_the_other_runs_are_reported();
    the_first_signal_ends_every_command_with_a_stuck_step();
    the_wall_time_limit_ends_every_command_with_a_stuck_step_and_names_it();
    a_candidate_that_is_stuck_leaves_the_smallest_scenario_so_far();
    a_panic_during_a_replay_is_an_error();
    the_analysis_of_a_run_whose_alternatives_are_stuck_gives_what_is_known();
    a_difference_is_shown_without_the_states_whose_replay_is_stuck();
    ExitCode::SUCCESS
}
