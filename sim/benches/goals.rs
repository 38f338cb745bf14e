//! The mesh's goals, measured by the model engine: virtual time, messages and bytes, the same on every machine.
//!
//! Prints one row a goal and size. Instants are read every 20, 50 or 100 ms (up to 50, 300, more machines), so a
//! time is at most that much too long; faults strike a millisecond before the clock starts. `SIZES=30,100` chooses the sizes.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use phalanx_sim::Options;
use phalanx_sim::mesh::Mesh;
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::Scenario;
use std::collections::BTreeMap;

/// A bound that every figure meets: the figure itself is wanted.
const ANY: &str = "max = 1000000000";

/// One row: what is measured, the unit, the target by size, and the scenario of a size.
struct Goal {
    name: &'static str,
    unit: &'static str,
    targets: &'static [(usize, u64)],
    metric: &'static str,
    scenario: fn(usize) -> String,
}

fn head(nodes: usize, duration: u64) -> String {
    format!(
        "scenario = 1\nname = \"goals\"\nabout = \"A goal, measured.\"\nengines = [\"model\"]\nduration = \"{duration}s\"\n\
         recovery = \"30s\"\nspread = \"100ms\"\n[[nodes]]\ncount = {nodes}\n[network]\nlatency = \"1ms\"\n"
    )
}

fn metric(name: &str, from: u64, to: Option<u64>) -> String {
    let to = to.map(|to| format!("to = \"{to}s\"\n")).unwrap_or_default();
    format!("[[expect]]\nmetric = \"{name}\"\nfrom = \"{from}s\"\n{to}{ANY}\n")
}

fn join(nodes: usize) -> String {
    head(nodes, 10) + &metric("converge-ms", 0, None) + &metric("bytes-per-node", 0, Some(3))
}

fn rest(nodes: usize) -> String {
    head(nodes, 100) + &metric("bytes-per-node-second", 40, Some(100))
}

fn crash(nodes: usize) -> String {
    let crash = format!(
        "[[at]]\ntime = \"29999ms\"\npower-loss = \"n{}\"\n",
        nodes / 2
    );
    head(nodes, 60) + &crash + &metric("converge-ms", 30, None)
}

fn crash_under_loss(nodes: usize) -> String {
    let crash = format!(
        "[[at]]\ntime = \"20s\"\nloss = \"25%\"\n[[at]]\ntime = \"29999ms\"\npower-loss = \"n{}\"\n",
        nodes / 2
    );
    head(nodes, 60) + &crash + &metric("converge-ms", 30, None)
}

fn split(nodes: usize) -> String {
    let steps = "[[at]]\ntime = \"20s\"\npartition = { halves = true }\n[[at]]\ntime = \"109999ms\"\nheal = true\n";
    head(nodes, 140) + steps + &metric("converge-ms", 110, None)
}

const GOALS: &[Goal] = &[
    Goal {
        name: "cold join, all see all",
        unit: "ms",
        metric: "converge-ms",
        targets: &[(100, 300), (300, 500), (1000, 1000)],
        scenario: join,
    },
    Goal {
        name: "bytes a node for it",
        unit: "B",
        metric: "bytes-per-node",
        targets: &[(100, 4_000), (300, 12_000), (1000, 40_000)],
        scenario: join,
    },
    Goal {
        name: "bytes a node and second at rest",
        unit: "B/s",
        metric: "bytes-per-node-second",
        targets: &[(30, 20), (100, 20), (300, 20), (1000, 20)],
        scenario: rest,
    },
    Goal {
        name: "silent crash known everywhere",
        unit: "ms",
        metric: "converge-ms",
        targets: &[(30, 5_000), (100, 5_000), (300, 5_000), (1000, 5_000)],
        scenario: crash,
    },
    Goal {
        name: "the same at 25 % loss",
        unit: "ms",
        metric: "converge-ms",
        targets: &[(30, 10_000), (100, 10_000), (300, 10_000)],
        scenario: crash_under_loss,
    },
    Goal {
        name: "halves of 90 s healed",
        unit: "ms",
        metric: "converge-ms",
        targets: &[(30, 300), (100, 300), (300, 300)],
        scenario: split,
    },
];

fn measure(goal: &Goal, nodes: usize) -> Result<u64, String> {
    let text = (goal.scenario)(nodes);
    let scenario = Scenario::parse("goals.toml", &text).map_err(|error| error.to_string())?;
    let options = Options {
        sabotage: Vec::new(),
        strict: false,
        recorder: None,
    };
    let outcome: Outcome =
        phalanx_sim::run::<Mesh>(&scenario, 1, options).map_err(|error| error.to_string())?;
    let metrics: BTreeMap<String, u64> = outcome.metrics.into_iter().collect();
    metrics
        .get(goal.metric)
        .copied()
        .ok_or_else(|| format!("no figure: {:?}", outcome.failures))
}

fn main() {
    let sizes: Vec<usize> = std::env::var("SIZES")
        .unwrap_or_else(|_| "30,100,300,1000".to_owned())
        .split(',')
        .filter_map(|size| size.parse().ok())
        .collect();
    println!(
        "{:<34} {:>6} {:>10} {:>10}  unit",
        "goal", "nodes", "measured", "target"
    );
    for goal in GOALS {
        for (nodes, target) in goal
            .targets
            .iter()
            .filter(|(nodes, _)| sizes.contains(nodes))
        {
            match measure(goal, *nodes) {
                Ok(figure) => {
                    let verdict = if figure <= *target { "" } else { "  missed" };
                    println!(
                        "{:<34} {nodes:>6} {figure:>10} {target:>10}  {}{verdict}",
                        goal.name, goal.unit
                    );
                }
                Err(why) => println!(
                    "{:<34} {nodes:>6} {:>10} {target:>10}  {why}",
                    goal.name, "-"
                ),
            }
        }
    }
}
