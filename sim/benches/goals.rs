//! Measures the goals of the mesh on the model engine: virtual time, messages and bytes. The figures are the same on
//! every computer.
//!
//! Prints one row for each goal and mesh size. Conditions are checked every 20 ms (for up to 50 nodes), 50 ms (up to
//! 300) or 100 ms (more), so a measured time is too long by at most this interval. Faults begin 1 ms before the
//! measured window. `SIZES=30,100` selects the sizes; the size 10 000 runs only if it is named there, and takes half an
//! hour and 5 GB. `ROWS=update` selects the rows whose name contains the word. `MINUTES=100` sets the duration of the
//! faults in the courses that count false deaths (default 2 minutes).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use phalanx_sim::RunOptions;
use phalanx_sim::mesh::MESH;
use phalanx_sim::outcome::ExpectationResult;
use phalanx_sim::scenario::Scenario;

/// A bound that every value meets, because the benchmark reads only the measured value.
const ANY: &str = "max = 1000000000";

/// A pseudo-metric: the time until every node sees the crashed node as down.
const DOWN: &str = "down";

/// The mesh size from which nodes join through ten seed nodes instead of through one.
const LARGE: usize = 10_000;

/// One row: a figure measured in a course, and its target for each mesh size.
struct Row {
    name: &'static str,
    unit: &'static str,
    metric: &'static str,
    /// The window of the measurement, in seconds of virtual time; a window without an end lasts until the figure is
    /// found.
    window: (u64, Option<u64>),
    targets: &'static [(usize, Target)],
}

#[derive(Clone, Copy)]
enum Target {
    AtMost(u64),
    AtLeast(u64),
    /// The figure has no target.
    None,
}

use Target::{AtLeast, AtMost};

/// A scenario for each mesh size, and the figures measured in that scenario.
struct Course {
    scenario: fn(usize) -> String,
    rows: &'static [Row],
}

fn head(nodes: usize, duration: u64) -> String {
    let seeds = if nodes < LARGE {
        ""
    } else {
        "seeds = \"n1..n10\"\n"
    };
    format!(
        "scenario = 1\nname = \"goals\"\nabout = \"A goal, measured.\"\nengines = [\"model\"]\nduration = \"{duration}s\"\n\
         recovery = \"30s\"\nspread = \"100ms\"\n{seeds}[network]\nlatency = \"1ms\"\n[[nodes]]\ncount = {nodes}\n"
    )
}

fn expectation(row: &Row, nodes: usize) -> String {
    let (name, (from, to)) = (row.metric, row.window);
    let to = to.map(|to| format!("to = \"{to}s\"\n")).unwrap_or_default();
    if name == DOWN {
        let crashed = crashed(nodes);
        return format!(
            "[[expect]]\neventually = {{ sees = {{ who = \"all\", of = \"{crashed}\", as = \"down\" }} }}\nfrom = \"{from}s\"\n{to}"
        );
    }
    format!("[[expect]]\nmetric = \"{name}\"\nfrom = \"{from}s\"\n{to}{ANY}\n")
}

fn crashed(nodes: usize) -> String {
    format!("n{}", nodes / 2)
}

/// All nodes join within 0.1 s and come to rest, and then one node crashes.
fn life(nodes: usize) -> String {
    let crash = format!(
        "[[at]]\ntime = \"59999ms\"\npower-loss = \"{}\"\n",
        crashed(nodes)
    );
    head(nodes, 90) + &crash
}

/// A mesh at rest whose process in the middle is killed; its host lives.
fn killed_process(nodes: usize) -> String {
    let crash = format!("[[at]]\ntime = \"30s\"\ncrash = \"{}\"\n", crashed(nodes));
    head(nodes, 50) + &crash
}

fn crash_under_loss(nodes: usize) -> String {
    let crash = format!(
        "[[at]]\ntime = \"20s\"\nloss = \"25%\"\n[[at]]\ntime = \"29999ms\"\npower-loss = \"{}\"\n",
        crashed(nodes)
    );
    head(nodes, 60) + &crash
}

fn split(nodes: usize) -> String {
    let steps = "[[at]]\ntime = \"20s\"\npartition = { halves = true }\n[[at]]\ntime = \"109999ms\"\nheal = true\n";
    head(nodes, 140) + steps
}

/// A mesh in which every node has a channel open.
fn talking(nodes: usize, duration: u64) -> String {
    head(nodes, duration) + "channels = { chat = \"messages\" }\n"
}

/// Makes nodes publish in a mesh whose broadcast tree has formed.
fn publish(who: &str, every: &str, times: u32) -> String {
    format!(
        "[[at]]\ntime = \"40s\"\nevery = \"{every}\"\ntimes = {times}\ncommand = {{ who = \"{who}\", name = \"publish\", with = {{ channel = \"chat\" }} }}\n"
    )
}

/// Broadcasts before the measurement, which form the broadcast tree.
const WARM: &str = "[[at]]\ntime = \"30s\"\nevery = \"500ms\"\ntimes = 10\ncommand = { who = \"n1\", name = \"publish\", with = { channel = \"chat\" } }\n";

/// The window in which broadcasts are measured, in seconds.
const TALK: (u64, Option<u64>) = (40, Some(60));

fn loss(percent: u32) -> String {
    format!(
        "[[at]]\ntime = \"36s\"\nloss = \"{percent}%\"\n[[at]]\ntime = \"58s\"\nloss = \"0%\"\n"
    )
}

fn update(nodes: usize, lost: u32, steps: &str) -> String {
    let lost = if lost > 0 { loss(lost) } else { String::new() };
    talking(nodes, 65) + WARM + &lost + steps
}

fn one_source(nodes: usize) -> String {
    update(nodes, 0, &publish("n1", "500ms", 20))
}

fn at_ten(nodes: usize) -> String {
    update(nodes, 10, &publish("n1", "500ms", 20))
}

fn at_twenty_five(nodes: usize) -> String {
    update(nodes, 25, &publish("n1", "500ms", 20))
}

fn ten_sources(nodes: usize) -> String {
    update(nodes, 10, &publish("n1..n10", "200ms", 25))
}

fn many_sources(nodes: usize) -> String {
    let who = format!("n1..n{}", nodes / 10);
    update(nodes, 0, &publish(&who, "1s", 3))
}

fn unicast(nodes: usize) -> String {
    let steps = "[[at]]\ntime = \"10s\"\ncut = { fraction = \"30%\", kept = true }\n[[at]]\ntime = \"15s\"\nevery = \"100ms\"\ntimes = 20\ncommand = { who = \"all\", name = \"send\", with = { channel = \"chat\", to = \"each\" } }\n";
    talking(nodes, 40) + steps
}

/// The duration of the faults of the courses that count false deaths, in minutes of virtual time.
fn minutes() -> u64 {
    let minutes = std::env::var("MINUTES").ok();
    minutes.and_then(|it| it.parse().ok()).unwrap_or(2)
}

/// The time from the first fault of a course that counts false deaths to the last one, in seconds.
fn faulty() -> u64 {
    60 * minutes()
}

fn false_deaths(nodes: usize, steps: &str) -> String {
    head(nodes, 20 + faulty()) + steps
}

/// A step that is repeated each `every` seconds during the faults. `action` gets the nodes that are a tenth of all.
fn repeated(nodes: usize, every: u64, action: impl Fn(&str) -> String) -> String {
    let (times, who) = (faulty() / every, format!("{} of all", (nodes / 10).max(1)));
    format!(
        "[[at]]\ntime = \"10s\"\nevery = \"{every}s\"\ntimes = {times}\n{}\n",
        action(&who)
    )
}

fn deaths_at_loss(nodes: usize) -> String {
    let end = 10 + faulty();
    let steps = format!(
        "[[at]]\ntime = \"10s\"\nloss = \"25%\"\n[[at]]\ntime = \"{end}s\"\nloss = \"0%\"\n"
    );
    false_deaths(nodes, &steps)
}

fn deaths_at_pauses(nodes: usize) -> String {
    let pause = |who: &str| format!("pause = {{ who = \"{who}\", for = \"4s\" }}");
    false_deaths(nodes, &repeated(nodes, 10, pause))
}

fn deaths_at_blocked_pairs(nodes: usize) -> String {
    false_deaths(
        nodes,
        "[[at]]\ntime = \"10s\"\ncut = { fraction = \"30%\", kept = true }\n",
    )
}

fn deaths_at_resets(nodes: usize) -> String {
    let reset = |who: &str| format!("reset = \"{who}\"");
    let pairs = |_: &str| "reset = { fraction = \"10%\" }".to_owned();
    let steps = repeated(nodes, 5, reset) + &repeated(nodes, 10, pairs);
    false_deaths(nodes, &steps)
}

/// A tenth of the nodes, of the second half, refuses dials for 4 s of each 5 s. Single links end, and nodes of the first
/// half restart.
fn deaths_at_refusals(nodes: usize) -> String {
    let half = nodes / 2;
    let refuse = |who: &str| {
        let who = who.replace("all", &format!("n{}..n{nodes}", half + 1));
        format!("refuse = \"{who}\"\nfor = \"4s\"")
    };
    let pairs = |_: &str| "reset = { fraction = \"2%\" }".to_owned();
    let restart = |_: &str| format!("restart = {{ who = \"1 of n2..n{half}\" }}");
    let steps = repeated(nodes, 5, refuse) + &repeated(nodes, 5, pairs);
    false_deaths(nodes, &(steps + &repeated(nodes, 6, restart)))
}

/// A tenth of the nodes refuses dials all the time, and the connections of each are reset every 3 s.
fn deaths_at_both(nodes: usize) -> String {
    let who = format!("n{}..n{}", nodes / 2, nodes / 2 + (nodes / 10).max(1) - 1);
    let refuse = format!(
        "[[at]]\ntime = \"9s\"\nrefuse = \"{who}\"\nfor = \"{}s\"\n",
        2 + faulty()
    );
    let reset = |_: &str| format!("reset = \"{who}\"");
    false_deaths(nodes, &(refuse + &repeated(nodes, 3, reset)))
}

/// Any node may refuse dials for 4 s of each 5 s, and any node may restart, so nodes also restart while they refuse.
/// Single links end.
fn deaths_at_refusals_and_restarts(nodes: usize) -> String {
    let refuse = |who: &str| format!("refuse = \"{who}\"\nfor = \"4s\"");
    let pairs = |_: &str| "reset = { fraction = \"2%\" }".to_owned();
    let restart = |_: &str| "restart = { who = \"1 of all\" }".to_owned();
    let steps = repeated(nodes, 5, refuse) + &repeated(nodes, 5, pairs);
    false_deaths(nodes, &(steps + &repeated(nodes, 6, restart)))
}

/// A tenth of the nodes refuses dials all the time. Each second one of them restarts, and the connections of all of them
/// are reset every 7 s.
fn deaths_at_refusing_restarts(nodes: usize) -> String {
    let who = format!("n{}..n{}", nodes / 2, nodes / 2 + (nodes / 10).max(1) - 1);
    let refuse = format!(
        "[[at]]\ntime = \"9s\"\nrefuse = \"{who}\"\nfor = \"{}s\"\n",
        2 + faulty()
    );
    let reset = |_: &str| format!("reset = \"{who}\"");
    let restart = |_: &str| format!("restart = {{ who = \"1 of {who}\" }}");
    let steps = refuse + &repeated(nodes, 7, reset);
    false_deaths(nodes, &(steps + &repeated(nodes, 1, restart)))
}

/// The false deaths in a course of faults.
const fn deaths(name: &'static str) -> Row {
    Row {
        name,
        unit: "",
        metric: "false-deaths",
        window: (0, None),
        targets: &[(30, AtMost(0)), (100, AtMost(0)), (300, AtMost(0))],
    }
}

const COURSES: &[Course] = &[
    Course {
        scenario: unicast,
        rows: &[Row {
            name: "unicast, 30 % of pairs blocked",
            unit: "%",
            metric: "delivered-percent",
            window: (15, Some(40)),
            targets: &[(30, AtLeast(100)), (100, AtLeast(100)), (300, AtLeast(100))],
        }],
    },
    Course {
        scenario: one_source,
        rows: &[
            Row {
                name: "update to all",
                unit: "ms",
                metric: "update-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(10)),
                    (100, AtMost(10)),
                    (300, AtMost(12)),
                    (1000, AtMost(14)),
                    (LARGE, AtMost(18)),
                ],
            },
            Row {
                name: "copies a node for it",
                unit: "%",
                metric: "copies-percent",
                window: TALK,
                targets: &[
                    (30, AtMost(105)),
                    (100, AtMost(105)),
                    (300, AtMost(105)),
                    (1000, AtMost(105)),
                    (LARGE, AtMost(105)),
                ],
            },
        ],
    },
    Course {
        scenario: at_ten,
        rows: &[
            Row {
                name: "update to all at 10 % loss",
                unit: "ms",
                metric: "update-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(1_000)),
                    (100, AtMost(1_000)),
                    (300, AtMost(1_000)),
                    (1000, AtMost(1_000)),
                    (LARGE, AtMost(1_000)),
                ],
            },
            Row {
                name: "copies a node, 2 a second, 10 % loss",
                unit: "%",
                metric: "copies-percent",
                window: TALK,
                targets: &[
                    (30, AtMost(150)),
                    (100, AtMost(150)),
                    (300, AtMost(150)),
                    (1000, AtMost(150)),
                    (LARGE, AtMost(150)),
                ],
            },
        ],
    },
    Course {
        scenario: at_twenty_five,
        rows: &[
            Row {
                name: "update to all at 25 % loss, slowest",
                unit: "ms",
                metric: "update-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(1_000)),
                    (100, AtMost(1_000)),
                    (300, AtMost(1_000)),
                    (1000, AtMost(1_000)),
                    (LARGE, AtMost(1_000)),
                ],
            },
            Row {
                name: "update to all at 25 % loss, median",
                unit: "ms",
                metric: "update-p50-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(1_000)),
                    (100, AtMost(1_000)),
                    (300, AtMost(1_000)),
                    (1000, AtMost(1_000)),
                    (LARGE, AtMost(1_000)),
                ],
            },
            Row {
                name: "not delivered at 25 % loss",
                unit: "",
                metric: "missed-updates",
                window: TALK,
                targets: &[
                    (30, AtMost(0)),
                    (100, AtMost(0)),
                    (300, AtMost(0)),
                    (1000, AtMost(0)),
                    (LARGE, AtMost(0)),
                ],
            },
        ],
    },
    Course {
        scenario: ten_sources,
        rows: &[
            Row {
                name: "ten sources, 50 a second, 10 % loss",
                unit: "ms",
                metric: "update-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(1_000)),
                    (100, AtMost(1_000)),
                    (300, AtMost(1_000)),
                    (1000, AtMost(1_000)),
                    (LARGE, AtMost(1_000)),
                ],
            },
            Row {
                name: "copies a node for them",
                unit: "%",
                metric: "copies-percent",
                window: TALK,
                targets: &[
                    (30, AtMost(200)),
                    (100, AtMost(200)),
                    (300, AtMost(200)),
                    (1000, AtMost(200)),
                    (LARGE, AtMost(200)),
                ],
            },
        ],
    },
    Course {
        scenario: many_sources,
        rows: &[
            Row {
                name: "a tenth of all publish at once",
                unit: "ms",
                metric: "update-ms",
                window: TALK,
                targets: &[
                    (30, AtMost(100)),
                    (100, AtMost(100)),
                    (300, AtMost(100)),
                    (1000, AtMost(100)),
                ],
            },
            Row {
                name: "copies a node for them, at once",
                unit: "%",
                metric: "copies-percent",
                window: TALK,
                targets: &[
                    (30, AtMost(200)),
                    (100, AtMost(200)),
                    (300, AtMost(200)),
                    (1000, AtMost(200)),
                ],
            },
        ],
    },
    Course {
        scenario: deaths_at_loss,
        rows: &[deaths("false deaths at 25 % loss")],
    },
    Course {
        scenario: deaths_at_pauses,
        rows: &[deaths("false deaths, a tenth paused for 4 s")],
    },
    Course {
        scenario: deaths_at_blocked_pairs,
        rows: &[deaths("false deaths, 30 % of pairs blocked")],
    },
    Course {
        scenario: deaths_at_resets,
        rows: &[deaths("false deaths, connections reset")],
    },
    Course {
        scenario: deaths_at_refusals,
        rows: &[deaths("false deaths, dials refused")],
    },
    Course {
        scenario: deaths_at_both,
        rows: &[deaths("false deaths, both")],
    },
    Course {
        scenario: deaths_at_refusals_and_restarts,
        rows: &[deaths("false deaths, refusals and restarts")],
    },
    Course {
        scenario: deaths_at_refusing_restarts,
        rows: &[deaths("false deaths, both and restarts")],
    },
    Course {
        scenario: killed_process,
        rows: &[Row {
            name: "killed process known everywhere",
            unit: "ms",
            metric: DOWN,
            window: (30, Some(40)),
            targets: &[
                (30, AtMost(500)),
                (100, AtMost(500)),
                (300, AtMost(500)),
                (1000, AtMost(500)),
                (LARGE, AtMost(500)),
            ],
        }],
    },
    Course {
        scenario: life,
        rows: &[
            Row {
                name: "cold join, all see all",
                unit: "ms",
                metric: "all-right-ms",
                window: (0, Some(20)),
                targets: &[
                    (100, AtMost(300)),
                    (300, AtMost(500)),
                    (1000, AtMost(1_000)),
                    (LARGE, AtMost(3_000)),
                ],
            },
            Row {
                name: "bytes a node for it",
                unit: "B",
                metric: "bytes-per-node",
                window: (0, Some(5)),
                targets: &[
                    (100, AtMost(4_000)),
                    (300, AtMost(12_000)),
                    (1000, AtMost(40_000)),
                    (LARGE, Target::None),
                ],
            },
            Row {
                name: "bytes a node and second at rest",
                unit: "B/s",
                metric: "bytes-per-node-second",
                window: (30, Some(59)),
                targets: &[
                    (30, AtMost(20)),
                    (100, AtMost(20)),
                    (300, AtMost(20)),
                    (1000, AtMost(20)),
                    (LARGE, AtMost(20)),
                ],
            },
            Row {
                name: "silent crash known everywhere",
                unit: "ms",
                metric: DOWN,
                window: (60, Some(70)),
                targets: &[
                    (30, AtMost(5_000)),
                    (100, AtMost(5_000)),
                    (300, AtMost(5_000)),
                    (1000, AtMost(5_000)),
                    (LARGE, AtMost(5_000)),
                ],
            },
        ],
    },
    Course {
        scenario: crash_under_loss,
        rows: &[Row {
            name: "the same at 25 % loss",
            unit: "ms",
            metric: DOWN,
            window: (30, Some(60)),
            targets: &[
                (30, AtMost(10_000)),
                (100, AtMost(10_000)),
                (300, AtMost(10_000)),
            ],
        }],
    },
    Course {
        scenario: split,
        rows: &[
            Row {
                name: "halves of 90 s healed, all see all",
                unit: "ms",
                metric: "all-right-ms",
                window: (110, Some(140)),
                targets: &[(30, AtMost(300)), (100, AtMost(300)), (300, AtMost(300))],
            },
            Row {
                name: "the same, all views equal",
                unit: "ms",
                metric: "converge-ms",
                window: (110, None),
                targets: &[(30, Target::None), (100, Target::None), (300, Target::None)],
            },
        ],
    },
];

/// Runs a course and returns the figures of these rows.
fn measure(course: &Course, rows: &[&Row], nodes: usize) -> Result<Vec<Option<u64>>, String> {
    let expectations: String = rows.iter().map(|row| expectation(row, nodes)).collect();
    let text = (course.scenario)(nodes) + &expectations;
    let scenario = Scenario::parse("goals.toml", &text).map_err(|error| error.to_string())?;
    let outcome = phalanx_sim::run(&MESH, &scenario, 1, RunOptions::default())
        .map_err(|error| error.to_string())?;
    let figure = |(row, expected): (&&Row, &ExpectationResult)| match row.metric {
        DOWN => {
            let at = expected.at_ms.filter(|_| expected.met);
            at.map(|at| at - 1_000 * row.window.0)
        }
        _ => expected.figure,
    };
    Ok(rows.iter().zip(&outcome.expected).map(figure).collect())
}

fn print(row: &Row, nodes: usize, figure: Option<u64>, target: Target) {
    let (promised, met) = match target {
        AtMost(most) => (most.to_string(), figure.is_some_and(|it| it <= most)),
        AtLeast(least) => (least.to_string(), figure.is_some_and(|it| it >= least)),
        Target::None => ("-".to_owned(), true),
    };
    let verdict = if met { "" } else { "  missed" };
    let figure = figure.map_or_else(|| "never".to_owned(), |it| it.to_string());
    println!(
        "{:<37} {nodes:>6} {figure:>10} {promised:>10}  {}{verdict}",
        row.name, row.unit
    );
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
    let word = std::env::var("ROWS").unwrap_or_default();
    for course in COURSES {
        for nodes in &sizes {
            let target = |row: &Row| {
                let of_size = row.targets.iter().find(|(size, _)| size == nodes);
                of_size.map(|(_, target)| *target)
            };
            let chosen = |row: &&Row| row.name.contains(&word) && target(row).is_some();
            let rows: Vec<&Row> = course.rows.iter().filter(chosen).collect();
            if rows.is_empty() {
                continue;
            }
            match measure(course, &rows, *nodes) {
                Ok(figures) => {
                    for (row, figure) in rows.into_iter().zip(figures) {
                        print(row, *nodes, figure, target(row).unwrap_or(Target::None));
                    }
                }
                Err(why) => println!("{:<37} {nodes:>6}  {why}", rows[0].name),
            }
        }
    }
}
