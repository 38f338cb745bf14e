//! Nodes that are away for a multiple of the time after which members are forgotten.

use phalanx_sim::mesh::MESH;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{RunOptions, run};

/// The time after which a member that is down is forgotten, in seconds.
const FORGET_AFTER: f64 = 8.0;

/// The ways to be away.
#[derive(Clone, Copy, Debug)]
enum Absence {
    /// The process stands still.
    Pause,
    /// The network between the node and all others is cut.
    Cut,
    /// The network is cut between two halves.
    Split,
}

/// A scenario in which nodes are away for a multiple of [`FORGET_AFTER`].
fn scenario(absence: Absence, times: f64) -> Scenario {
    let away = times * FORGET_AFTER;
    let back = 10.0 + away;
    let step = match absence {
        Absence::Pause => format!("pause = {{ who = \"n4\", for = \"{away}s\" }}"),
        Absence::Cut => format!("for = \"{away}s\"\npartition = {{ isolate = \"n4\" }}"),
        Absence::Split => format!("for = \"{away}s\"\npartition = {{ halves = true }}"),
    };
    let text = format!(
        r#"
scenario = 1
name = "away"
about = "Nodes are away for a multiple of the time after which they are forgotten, and are members again."
engines = ["model"]
duration = "{end}s"
recovery = "20s"
seeds = "n1, n2"

[tuning]
forget-after = "{FORGET_AFTER}s"
retry-max = "5s"

[[nodes]]
count = 6
services = ["web/1"]

[[at]]
time = "10s"
{step}

[[expect]]
eventually = {{ sees = {{ who = "all", of = "all", as = "alive" }} }}
from = "{back}s"
within = "15s"

[[expect]]
eventually = {{ converged = true }}
from = "{back}s"
within = "15s"
"#,
        end = back + 30.0
    );
    Scenario::parse("away.toml", &text).expect("the text is a valid scenario")
}

/// Runs each absence of each length with these seeds, and asserts that all nodes are alive in all views afterwards.
pub(crate) fn assert_all_return(seeds: core::ops::RangeInclusive<u64>) {
    for absence in [Absence::Pause, Absence::Cut, Absence::Split] {
        for times in [0.5, 1.0, 1.5, 2.0, 3.0, 10.0] {
            let scenario = scenario(absence, times);
            for seed in seeds.clone() {
                let outcome = run(&MESH, &scenario, seed, RunOptions::default());
                let failures = outcome.expect("the model runs the scenario").failures;
                assert!(
                    failures.is_empty(),
                    "{absence:?} for {times} times forget-after, seed {seed}: {}",
                    failures[0]
                );
            }
        }
    }
}
