//! Measures the speed of the model engine in CPU time of this process, with invariants and trace hash enabled.
//!
//! Prints one row for each goal. `SEEDS=1000` runs all seeds of the first goal instead of a tenth of the seeds,
//! `NODES=1000` sets the size of the large mesh, and `ROWS=seeds,hall,rest` selects the rows.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::record::{ExecutedAction, RecordedStep, Recorder};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{RunOptions, model};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;

/// The window in which the large mesh is at rest, in seconds of virtual time.
const REST: (u64, u64) = (40, 70);
/// The maximum CPU seconds for 1 000 seeds of `partition-heals`.
const SEEDS_TARGET: f64 = 20.0;
/// The minimum speed of the large mesh at rest, as a multiple of real time.
const REST_TARGET: f64 = 10.0;
/// The maximum memory of the large mesh, in MiB.
const MEMORY_TARGET: u64 = 4_096;
/// The maximum memory of a node in a mesh of 1 000 nodes, in KiB.
const NODE_TARGET: u64 = 100;

/// The CPU seconds that this process has used.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A value of this process's status, in KiB; 0 if the status or the key does not exist.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure
        .and_then(|figure| figure.parse().ok())
        .unwrap_or_default()
}

/// Resets the peak of memory. If the system does not support the reset, the peak covers all rows so far.
fn reset_peak() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn run(scenario: &Scenario, seed: u64, recorder: Option<&mut dyn Recorder>) -> Outcome {
    let options = RunOptions {
        recorder,
        ..RunOptions::default()
    };
    let outcome =
        model::run(&MESH, scenario, seed, options).expect("the scenario is for this engine");
    for failure in &outcome.failures {
        println!("{failure}");
    }
    outcome
}

/// The result of one row.
struct Row {
    name: String,
    figure: f64,
    unit: &'static str,
    target: String,
    met: bool,
}

fn print(row: &Row) {
    let verdict = if row.met { "" } else { "  missed" };
    println!(
        "{:<44} {:>10.1} {:<6} {:>12}{verdict}",
        row.name, row.figure, row.unit, row.target
    );
}

fn plain(name: &str, figure: f64, unit: &'static str) {
    print(&Row {
        name: name.to_owned(),
        figure,
        unit,
        target: String::new(),
        met: true,
    });
}

fn load(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Scenario::load(&folder.join(name)).expect("the scenario can be read")
}

fn from_env(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one partition with many seeds.
fn seeds() {
    let scenario = load("partition-heals.toml");
    let count = from_env("SEEDS", 100);
    let before = cpu();
    let (mut events, mut messages, mut virtual_ms) = (0, 0, 0);
    for seed in 1..=count {
        let outcome = run(&scenario, seed, None);
        events += outcome.events;
        messages += outcome.messages;
        virtual_ms += outcome.virtual_ms;
    }
    let took = cpu() - before;
    let figure = took * 1_000.0 / count as f64;
    print(&Row {
        name: format!("1000 seeds of partition-heals ({count} run)"),
        figure,
        unit: "s",
        target: format!("<= {SEEDS_TARGET}"),
        met: figure <= SEEDS_TARGET,
    });
    plain("  events a CPU second", events as f64 / took, "");
    plain("  messages a CPU second", messages as f64 / took, "");
    let virtual_s = virtual_ms as f64 / 1_000.0;
    plain("  virtual seconds a CPU second", virtual_s / took, "");
}

/// Runs 1 000 nodes, of which 50 lose power at once.
fn hall() {
    let scenario = load("thousand-nodes.toml");
    reset_peak();
    let (before, held) = (cpu(), status("VmRSS"));
    let outcome = run(&scenario, 1, None);
    plain("thousand-nodes", cpu() - before, "s");
    plain(
        "  virtual seconds",
        outcome.virtual_ms as f64 / 1_000.0,
        "s",
    );
    let node = (status("VmHWM").saturating_sub(held)) / scenario.hosts.len() as u64;
    print(&Row {
        name: "  memory a node, with all of the engine".to_owned(),
        figure: node as f64,
        unit: "KiB",
        target: format!("<= {NODE_TARGET}"),
        met: node <= NODE_TARGET,
    });
}

/// Reads the CPU clock at the start and at the end of the window.
#[derive(Default)]
struct Window {
    from: Option<f64>,
    to: Option<f64>,
    steps: u64,
}

impl Recorder for Window {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let at = step.at / 1_000_000_000;
        if at >= REST.1 {
            self.to.get_or_insert_with(cpu);
        } else if at >= REST.0 {
            self.from.get_or_insert_with(cpu);
            self.steps += 1;
        }
    }

    fn action(&mut self, _: &ExecutedAction<'_>) {}
}

/// Runs a large mesh at rest that joined through ten seed nodes.
fn rest() {
    let nodes = from_env("NODES", 10_000);
    let end = REST.1 + 1;
    let text = format!(
        "scenario = 1\nname = \"rest\"\nabout = \"A large mesh at rest.\"\nengines = [\"model\"]\nduration = \"{end}s\"\n\
         recovery = \"60s\"\nseeds = \"n1..n10\"\nspread = \"100ms\"\n[[nodes]]\ncount = {nodes}\n\
         [[expect]]\nmetric = \"bytes-per-node-second\"\nfrom = \"{}s\"\nto = \"{end}s\"\nmax = 1000\n\
         [[expect]]\neventually = {{ converged = true }}\nwithin = \"{}s\"\n",
        REST.0, REST.0
    );
    let scenario = Scenario::parse("rest.toml", &text).expect("it is a scenario");
    reset_peak();
    let mut window = Window::default();
    let before = cpu();
    let outcome = run(&scenario, 1, Some(&mut window));
    let (Some(from), Some(to)) = (window.from, window.to) else {
        println!("{nodes} nodes never came to rest");
        return;
    };
    let seconds = (REST.1 - REST.0) as f64;
    let ratio = seconds / (to - from);
    print(&Row {
        name: format!("{nodes} nodes at rest, times real time"),
        figure: ratio,
        unit: "x",
        target: format!(">= {REST_TARGET}"),
        met: ratio >= REST_TARGET,
    });
    plain(
        "  steps a CPU second",
        window.steps as f64 / (to - from),
        "",
    );
    plain("  CPU time until they had joined", from - before, "s");
    let bytes = outcome.metrics.get("bytes-per-node-second");
    plain(
        "  bytes a node and second",
        bytes.copied().unwrap_or_default() as f64,
        "B",
    );
    let peak = status("VmHWM") / 1_024;
    print(&Row {
        name: "  peak of memory".to_owned(),
        figure: peak as f64,
        unit: "MiB",
        target: format!("<= {MEMORY_TARGET}"),
        met: peak <= MEMORY_TARGET,
    });
}

fn main() {
    let rows = std::env::var("ROWS").unwrap_or_else(|_| "seeds,hall,rest".to_owned());
    println!(
        "{:<44} {:>10} {:<6} {:>12}",
        "goal", "measured", "", "target"
    );
    for row in rows.split(',') {
        match row {
            "seeds" => seeds(),
            "hall" => hall(),
            "rest" => rest(),
            other => println!("there is no row {other:?}: seeds, hall, rest"),
        }
    }
}
