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

/// A scenario in which n2 is restarted at 6 s, while its disk has a fault.
fn restart_on_a_bad_disk(fault: &str, steps: &str) -> String {
    format!(
        r#"
        scenario = 1
        name = "bad-disk"
        about = "A restart on a disk that fails."
        engines = ["model"]
        duration = "30s"
        recovery = "10s"
        [[nodes]]
        count = 4
        [[at]]
        time = "5s"
        disk = {{ who = "n2", fault = "{fault}" }}
        for = "10s"
        [[at]]
        time = "6s"
        restart = {{ who = "n2" }}
        {steps}
        [[expect]]
        eventually = {{ event = {{ kind = "start-failed", by = "n2" }} }}
        within = "7s"
        [[expect]]
        never = {{ event = {{ kind = "name-taken" }} }}
        "#
    )
}

#[test]
fn a_process_whose_disk_cannot_store_exits_at_its_start_and_stays_down() {
    for fault in ["full", "io-error"] {
        let down = r#"
        [[expect]]
        eventually = { sees = { who = "n1", of = "n2", as = "down" } }
        from = "16s"
        within = "13s"
        "#;
        let outcome = ran(&restart_on_a_bad_disk(fault, down), RunOptions::default());
        assert_eq!(outcome.failures, [], "{fault}");
        assert!(outcome.effects.iter().all(|effect| effect.affected > 0));
    }
    let text = restart_on_a_bad_disk("torn-write", "");
    let failures = ran(&text, RunOptions::default()).failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
}

#[test]
fn a_start_after_the_disk_works_again_succeeds() {
    let again = r#"
        [[at]]
        time = "16s"
        restart = { who = "n2" }
        [[expect]]
        eventually = { sees = { who = "all", of = "n2", as = "alive" } }
        from = "16s"
        within = "5s"
        "#;
    let outcome = ran(&restart_on_a_bad_disk("full", again), RunOptions::default());
    assert_eq!(outcome.failures, []);
}

/// A scenario of four nodes with these steps and expectations.
fn story(recovery: &str, rest: &str) -> String {
    format!(
        r#"
        scenario = 1
        name = "story"
        about = "Four nodes and a fault."
        engines = ["model"]
        duration = "30s"
        recovery = "{recovery}"
        [[nodes]]
        count = 4
        {rest}
        "#
    )
}

/// Runs a scenario that must pass, and in which each step must have an effect.
fn passes_with_effects(text: &str) {
    let outcome = ran(text, RunOptions::default());
    assert_eq!(outcome.failures, []);
    assert!(
        outcome.effects.iter().all(|effect| effect.affected > 0),
        "{:?}",
        outcome.effects
    );
}

#[test]
fn a_node_that_refuses_dials_comes_back_by_its_own() {
    let text = story(
        "10s",
        r#"
        [[at]]
        time = "5s"
        refuse = "n2"
        for = "10s"
        [[at]]
        time = "6s"
        reset = "n2"
        [[expect]]
        never = { event = { kind = "peer-down" } }
        [[expect]]
        eventually = { links = { who = "n2", min = 1 } }
        from = "7s"
        within = "4s"
        "#,
    );
    passes_with_effects(&text);
}

#[test]
fn a_machine_that_returns_with_another_address_is_seen_again() {
    let text = story(
        "10s",
        r#"
        [[at]]
        time = "5s"
        power-loss = "n2"
        for = "8s"
        [[at]]
        time = "6s"
        move = "n2"
        [[at]]
        time = "7s"
        clock = { who = "n2", jump = "-1h" }
        [[expect]]
        never = { event = { kind = "name-taken" } }
        [[expect]]
        eventually = { sees = { who = "all", of = "n2", as = "alive" } }
        from = "14s"
        within = "10s"
        "#,
    );
    passes_with_effects(&text);
}

#[test]
fn a_run_without_recovery_ends_under_its_faults() {
    let text = story(
        "none",
        r#"
        [[at]]
        time = "5s"
        partition = { sets = ["n4", "rest"] }
        [[expect]]
        always = { sees = { who = "n1", of = "n4", as = "down" } }
        from = "25s"
        "#,
    );
    let outcome = ran(&text, RunOptions::default());
    assert_eq!(outcome.failures, []);
    assert_eq!(outcome.virtual_ms, 30_000);
    assert!(!outcome.metrics.contains_key("recovery-ms"));
}

#[test]
fn a_step_waits_for_the_second_report_after_a_time() {
    let text = story(
        "10s",
        r#"
        [[at]]
        time = "5s"
        crash = "n2"
        [[at]]
        time = "12s"
        crash = "n3"
        [[at]]
        after = { event = "peer-down", by = "n1", nth = 2 }
        crash = "n4"
        [[expect]]
        always = { sees = { who = "n1", of = "n4", as = "alive" } }
        to = "12s"
        from = "3s"
        [[expect]]
        eventually = { sees = { who = "n1", of = "n4", as = "down" } }
        from = "12s"
        within = "15s"
        "#,
    );
    assert_eq!(ran(&text, RunOptions::default()).failures, []);
}

#[test]
fn a_triggered_restart_does_not_start_a_machine_without_power() {
    let text = story(
        "40s",
        r#"
        [[at]]
        time = "5s"
        power-loss = "n2"
        for = "25s"
        [[at]]
        after = { event = "peer-down", by = "n1", about = "n2" }
        restart = { who = "n2" }
        [[expect]]
        always = { sees = { who = "n1", of = "n2", as = "down" } }
        from = "14s"
        to = "29s"
        [[expect]]
        eventually = { sees = { who = "n1", of = "n2", as = "alive" } }
        from = "30s"
        within = "5s"
        "#,
    );
    assert_eq!(ran(&text, RunOptions::default()).failures, []);
}

#[test]
fn nodes_join_by_a_name_with_several_addresses_of_which_one_moves() {
    let names = r#"
        [names]
        "seeds.example" = "n1..n3"
        [[at]]
        time = "5s"
        power-loss = "n1..n3"
        for = "3s"
        [[at]]
        time = "6s"
        move = "n1"
        [[expect]]
        eventually = { sees = { who = "all", of = "all", as = "alive" } }
        within = "4s"
        [[expect]]
        eventually = { sees = { who = "all", of = "all", as = "alive" } }
        from = "9s"
        within = "12s"
        "#;
    let text =
        story("10s", names).replace("recovery", "seeds = \"seeds.example\"\n        recovery");
    let outcome = ran(&text, RunOptions::default());
    assert_eq!(outcome.failures, []);
    let again = Scenario::parse("x.toml", &text).unwrap();
    let written = Scenario::parse("x.toml", &again.to_toml()).unwrap();
    assert_eq!(
        (&written.names, &written.seed_name),
        (&again.names, &again.seed_name)
    );
    assert_eq!(written.seeds, [0, 1, 2]);
}
