//! The mesh's goals, measured by the model engine: virtual time, messages and bytes, the same on every machine.
//!
//! Prints one row a goal and size. Instants are read every 20, 50 or 100 ms (up to 50, 300, more machines), so a
//! time is at most that much too long; faults strike a millisecond before the clock starts. `SIZES=30,100` chooses the
//! sizes (10 000 only if named there), `ROWS=update` the rows whose name has the word.

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
    /// The target is the least, not the most.
    at_least: bool,
    scenario: fn(usize) -> String,
}

fn head(nodes: usize, duration: u64) -> String {
    format!(
        "scenario = 1\nname = \"goals\"\nabout = \"A goal, measured.\"\nengines = [\"model\"]\nduration = \"{duration}s\"\n\
         recovery = \"30s\"\nspread = \"100ms\"\n[network]\nlatency = \"1ms\"\n[[nodes]]\ncount = {nodes}\n"
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

/// A mesh whose nodes all have a channel open.
fn talking(nodes: usize, duration: u64) -> String {
    head(nodes, duration) + "channels = { chat = \"messages\" }\n"
}

/// Who publishes when: of a mesh that has found its tree.
fn publish(who: &str, every: &str, times: u32) -> String {
    format!(
        "[[at]]\ntime = \"40s\"\nevery = \"{every}\"\ntimes = {times}\ncommand = {{ who = \"{who}\", name = \"publish\", with = {{ channel = \"chat\" }} }}\n"
    )
}

/// Words before, so that there is a tree.
const WARM: &str = "[[at]]\ntime = \"30s\"\nevery = \"500ms\"\ntimes = 10\ncommand = { who = \"n1\", name = \"publish\", with = { channel = \"chat\" } }\n";

fn loss(percent: u32) -> String {
    format!(
        "[[at]]\ntime = \"36s\"\nloss = \"{percent}%\"\n[[at]]\ntime = \"58s\"\nloss = \"0%\"\n"
    )
}

fn update(nodes: usize, lost: u32, steps: &str, metric_name: &str) -> String {
    let lost = if lost > 0 { loss(lost) } else { String::new() };
    talking(nodes, 65) + WARM + &lost + steps + &metric(metric_name, 40, Some(60))
}

fn one_source(nodes: usize) -> String {
    update(nodes, 0, &publish("n1", "500ms", 20), "update-ms")
}

fn one_source_copies(nodes: usize) -> String {
    update(nodes, 0, &publish("n1", "500ms", 20), "copies-percent")
}

fn at_ten(nodes: usize) -> String {
    update(nodes, 10, &publish("n1", "500ms", 20), "update-ms")
}

fn at_ten_copies(nodes: usize) -> String {
    update(nodes, 10, &publish("n1", "500ms", 20), "copies-percent")
}

fn at_twenty_five(nodes: usize) -> String {
    update(nodes, 25, &publish("n1", "500ms", 20), "update-ms")
}

fn at_twenty_five_median(nodes: usize) -> String {
    update(nodes, 25, &publish("n1", "500ms", 20), "update-p50-ms")
}

fn at_twenty_five_missed(nodes: usize) -> String {
    update(nodes, 25, &publish("n1", "500ms", 20), "missed-updates")
}

fn ten_sources_copies(nodes: usize) -> String {
    update(
        nodes,
        10,
        &publish("n1..n10", "200ms", 25),
        "copies-percent",
    )
}

fn ten_sources(nodes: usize) -> String {
    update(nodes, 10, &publish("n1..n10", "200ms", 25), "update-ms")
}

fn many_sources(nodes: usize) -> String {
    let who = format!("n1..n{}", nodes / 10);
    update(nodes, 0, &publish(&who, "1s", 3), "update-ms")
}

fn many_sources_copies(nodes: usize) -> String {
    let who = format!("n1..n{}", nodes / 10);
    update(nodes, 0, &publish(&who, "1s", 3), "copies-percent")
}

fn unicast(nodes: usize) -> String {
    let steps = "[[at]]\ntime = \"10s\"\ncut = { fraction = \"30%\", kept = true }\n[[at]]\ntime = \"15s\"\nevery = \"100ms\"\ntimes = 20\ncommand = { who = \"all\", name = \"send\", with = { channel = \"chat\", to = \"each\" } }\n";
    talking(nodes, 40) + steps + &metric("delivered-percent", 15, Some(40))
}

fn false_deaths(nodes: usize, steps: &str) -> String {
    head(nodes, 140) + steps + &metric("false-deaths", 0, Some(130))
}

fn deaths_at_loss(nodes: usize) -> String {
    false_deaths(
        nodes,
        "[[at]]\ntime = \"10s\"\nloss = \"25%\"\n[[at]]\ntime = \"130s\"\nloss = \"0%\"\n",
    )
}

fn deaths_at_pauses(nodes: usize) -> String {
    let tenth = (nodes / 10).max(1);
    false_deaths(
        nodes,
        &format!(
            "[[at]]\ntime = \"10s\"\nevery = \"10s\"\ntimes = 12\npause = {{ who = \"{tenth} of all\", for = \"4s\" }}\n"
        ),
    )
}

fn deaths_at_blocked_pairs(nodes: usize) -> String {
    false_deaths(
        nodes,
        "[[at]]\ntime = \"10s\"\ncut = { fraction = \"30%\", kept = true }\n",
    )
}

const GOALS: &[Goal] = &[
    Goal {
        name: "unicast, 30 % of pairs blocked",
        unit: "%",
        at_least: true,
        metric: "delivered-percent",
        targets: &[(30, 100), (100, 100), (300, 100)],
        scenario: unicast,
    },
    Goal {
        name: "update to all",
        unit: "ms",
        at_least: false,
        metric: "update-ms",
        targets: &[(30, 10), (100, 10), (300, 12), (1000, 14), (10_000, 18)],
        scenario: one_source,
    },
    Goal {
        name: "copies a node for it",
        unit: "%",
        at_least: false,
        metric: "copies-percent",
        targets: &[
            (30, 105),
            (100, 105),
            (300, 105),
            (1000, 105),
            (10_000, 105),
        ],
        scenario: one_source_copies,
    },
    Goal {
        name: "update to all at 10 % loss",
        unit: "ms",
        at_least: false,
        metric: "update-ms",
        targets: &[(30, 1_000), (100, 1_000), (300, 1_000), (1000, 1_000)],
        scenario: at_ten,
    },
    Goal {
        name: "copies a node, 2 a second, 10 % loss",
        unit: "%",
        at_least: false,
        metric: "copies-percent",
        targets: &[(30, 150), (100, 150), (300, 150), (1000, 150)],
        scenario: at_ten_copies,
    },
    Goal {
        name: "update to all at 25 % loss, slowest",
        unit: "ms",
        at_least: false,
        metric: "update-ms",
        targets: &[(30, 1_000), (100, 1_000), (300, 1_000), (1000, 1_000)],
        scenario: at_twenty_five,
    },
    Goal {
        name: "update to all at 25 % loss, median",
        unit: "ms",
        at_least: false,
        metric: "update-p50-ms",
        targets: &[(30, 1_000), (100, 1_000), (300, 1_000), (1000, 1_000)],
        scenario: at_twenty_five_median,
    },
    Goal {
        name: "not delivered at 25 % loss",
        unit: "",
        at_least: false,
        metric: "missed-updates",
        targets: &[(30, 0), (100, 0), (300, 0), (1000, 0)],
        scenario: at_twenty_five_missed,
    },
    Goal {
        name: "ten sources, 50 a second, 10 % loss",
        unit: "ms",
        at_least: false,
        metric: "update-ms",
        targets: &[(30, 1_000), (100, 1_000), (300, 1_000), (1000, 1_000)],
        scenario: ten_sources,
    },
    Goal {
        name: "copies a node for them",
        unit: "%",
        at_least: false,
        metric: "copies-percent",
        targets: &[(30, 200), (100, 200), (300, 200), (1000, 200)],
        scenario: ten_sources_copies,
    },
    Goal {
        name: "a tenth of all publish at once",
        unit: "ms",
        at_least: false,
        metric: "update-ms",
        targets: &[(30, 100), (100, 100), (300, 100), (1000, 100)],
        scenario: many_sources,
    },
    Goal {
        name: "copies a node for them, at once",
        unit: "%",
        at_least: false,
        metric: "copies-percent",
        targets: &[(30, 200), (100, 200), (300, 200), (1000, 200)],
        scenario: many_sources_copies,
    },
    Goal {
        name: "false deaths at 25 % loss",
        unit: "",
        at_least: false,
        metric: "false-deaths",
        targets: &[(30, 0), (100, 0), (300, 0)],
        scenario: deaths_at_loss,
    },
    Goal {
        name: "false deaths, a tenth paused for 4 s",
        unit: "",
        at_least: false,
        metric: "false-deaths",
        targets: &[(30, 0), (100, 0), (300, 0)],
        scenario: deaths_at_pauses,
    },
    Goal {
        name: "false deaths, 30 % of pairs blocked",
        unit: "",
        at_least: false,
        metric: "false-deaths",
        targets: &[(30, 0), (100, 0), (300, 0)],
        scenario: deaths_at_blocked_pairs,
    },
    Goal {
        name: "cold join, all see all",
        unit: "ms",
        at_least: false,
        metric: "converge-ms",
        targets: &[(100, 300), (300, 500), (1000, 1000)],
        scenario: join,
    },
    Goal {
        name: "bytes a node for it",
        unit: "B",
        at_least: false,
        metric: "bytes-per-node",
        targets: &[(100, 4_000), (300, 12_000), (1000, 40_000)],
        scenario: join,
    },
    Goal {
        name: "bytes a node and second at rest",
        unit: "B/s",
        at_least: false,
        metric: "bytes-per-node-second",
        targets: &[(30, 20), (100, 20), (300, 20), (1000, 20)],
        scenario: rest,
    },
    Goal {
        name: "silent crash known everywhere",
        unit: "ms",
        at_least: false,
        metric: "converge-ms",
        targets: &[(30, 5_000), (100, 5_000), (300, 5_000), (1000, 5_000)],
        scenario: crash,
    },
    Goal {
        name: "the same at 25 % loss",
        unit: "ms",
        at_least: false,
        metric: "converge-ms",
        targets: &[(30, 10_000), (100, 10_000), (300, 10_000)],
        scenario: crash_under_loss,
    },
    Goal {
        name: "halves of 90 s healed",
        unit: "ms",
        at_least: false,
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
        "{:<37} {:>6} {:>10} {:>10}  unit",
        "goal", "nodes", "measured", "target"
    );
    let rows = std::env::var("ROWS").unwrap_or_default();
    for goal in GOALS.iter().filter(|goal| goal.name.contains(&rows)) {
        for (nodes, target) in goal
            .targets
            .iter()
            .filter(|(nodes, _)| sizes.contains(nodes))
        {
            match measure(goal, *nodes) {
                Ok(figure) => {
                    let met = if goal.at_least {
                        figure >= *target
                    } else {
                        figure <= *target
                    };
                    let verdict = if met { "" } else { "  missed" };
                    println!(
                        "{:<37} {nodes:>6} {figure:>10} {target:>10}  {}{verdict}",
                        goal.name, goal.unit
                    );
                }
                Err(why) => println!(
                    "{:<37} {nodes:>6} {:>10} {target:>10}  {why}",
                    goal.name, "-"
                ),
            }
        }
    }
}
