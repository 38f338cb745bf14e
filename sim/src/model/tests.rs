//! Small runs of the engine with the machines of the core.

use super::run;
use crate::mesh::MESH;
use crate::model::RunOptions;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

fn scenario(name: &str) -> Scenario {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios")
        .join(name);
    Scenario::load(&path).unwrap()
}

/// Returns the outcome of seed 1 of a scenario.
fn ran(text: &str, options: RunOptions<'_>) -> Outcome {
    let scenario = Scenario::parse("x.toml", text).unwrap();
    run(&MESH, &scenario, 1, options).unwrap()
}

#[test]
fn a_cold_join_runs() {
    let outcome = run(&MESH, &scenario("cold-join.toml"), 1, RunOptions::default()).unwrap();
    assert_eq!(
        outcome.failures,
        [],
        "{}",
        serde_json::to_string_pretty(&outcome).unwrap()
    );
}

#[test]
fn recovery_is_counted_from_the_last_thing_that_was_done() {
    let text = r#"
        scenario = 1
        name = "heals"
        about = "A cut that heals long before the end."
        engines = ["model"]
        duration = "40s"
        recovery = "10s"
        [[nodes]]
        count = 4
        [[at]]
        time = "5s"
        partition = { sets = ["n1, n2", "n3, n4"] }
        [[at]]
        time = "20s"
        heal = true
        [[expect]]
        eventually = { converged = true }
        within = "3s"
    "#;
    let outcome = ran(text, RunOptions::default());
    let took = outcome.metrics["recovery-ms"];
    assert!((1..10_000).contains(&took), "{took} ms");
    assert!(outcome.effects.iter().all(|effect| effect.affected > 0));
}

#[test]
fn messages_sent_at_the_very_beginning_count() {
    let text = r#"
        scenario = 1
        name = "counts"
        about = "All that three nodes send while they join."
        engines = ["model"]
        duration = "10s"
        recovery = "1s"
        spread = "50ms"
        [[nodes]]
        count = 3
        [[expect]]
        metric = "bytes-per-node"
        to = "5s"
        max = 100000
        [[expect]]
        metric = "bytes-per-node"
        from = "5s"
        max = 100000
    "#;
    let outcome = ran(text, RunOptions::default());
    let figures: Vec<u64> = outcome.expected.iter().filter_map(|it| it.figure).collect();
    let &[joined, rested] = &*figures else {
        panic!("{figures:?}");
    };
    // Each metric is a mean, rounded up.
    let mean = outcome.bytes.div_ceil(3);
    assert!(
        (mean..=mean + 1).contains(&(joined + rested)),
        "{joined}, {rested} of {mean}"
    );
}

#[test]
fn a_step_waits_for_an_event() {
    let text = r#"scenario = 1
name = "test"
about = "When n5 is known to be dead, n4 is killed, and back three seconds later."
engines = ["model"]
duration = "40s"
[[nodes]]
count = 5
[[at]]
time = "10s"
power-loss = "n5"
[[at]]
after = { event = "peer-down", by = "n1", about = "n5", delay = "1s" }
crash = "n4"
for = "3s"
[[expect]]
eventually = { event = { kind = "link-down", about = "n4" } }
from = "11s"
[[expect]]
metric = "converge-p99-ms"
from = "10s"
to = "39s"
min = 1000
max = 20000
[[expect]]
metric = "all-right-ms"
from = "10s"
to = "39s"
min = 1000
max = 20000
[[expect]]
sometimes = { phase = { who = "n4", is = "left" } }
"#;
    let options = RunOptions {
        strict: true,
        ..RunOptions::default()
    };
    let outcome = ran(text, options);
    assert_eq!(outcome.failures, []);
    let after = &outcome.effects[1];
    assert!(after.affected > 0, "{:?}", outcome.effects);
    assert!(outcome.expected[3].sometimes && !outcome.expected[3].met);
}

#[test]
fn a_fault_that_the_mesh_does_not_have_is_refused_with_engine_and_step() {
    let text = r#"
scenario = 1
name = "x"
about = "x"
engines = ["model", "wire"]
duration = "20s"
[[nodes]]
count = 3
[[at]]
time = "5s"
certificate = { who = "n1", is = "revoked" }
[[expect]]
eventually = { converged = true }
"#;
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let model = run(&MESH, &scenario, 1, RunOptions::default()).unwrap_err();
    let wire = scenario
        .check_engine(crate::scenario::Engine::Wire)
        .unwrap_err();
    for (why, engine) in [(model, "engine model"), (wire, "engine wire")] {
        assert_eq!((why.line, why.key.as_str()), (9, "certificate"), "{why}");
        assert!(why.message.contains(engine), "{why}");
    }
}

#[test]
fn chaos_is_among_the_effects_and_never_vacuous() {
    let text = r#"
scenario = 1
name = "x"
about = "x"
engines = ["model"]
duration = "40s"
[[nodes]]
count = 6
[chaos]
kinds = ["crash", "pause", "loss"]
[[at]]
time = "5s"
pause = { who = "n1", for = "1s" }
[[expect]]
metric = "memory"
from = "30s"
min = 1000
max = 100000
"#;
    let options = RunOptions {
        strict: true,
        ..RunOptions::default()
    };
    let outcome = ran(text, options);
    assert_eq!(outcome.failures, []);
    let (steps, chaos) = outcome.effects.split_at(1);
    assert!(!steps[0].chaos && chaos.len() >= 2, "{:?}", outcome.effects);
    for effect in chaos {
        assert!(
            effect.chaos && effect.orders > 0 && effect.line == 9,
            "{effect:?}"
        );
        assert!(effect.step.starts_with("chaos: "));
    }
    assert!(chaos.iter().any(|effect| effect.affected > 0));
    let memory = outcome.expected[0].figure;
    let smaller = ran(
        &text.replace("count = 6", "count = 3"),
        RunOptions::default(),
    );
    assert!(smaller.expected[0].figure < memory, "{memory:?}");
}
