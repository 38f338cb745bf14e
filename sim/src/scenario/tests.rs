//! Reading, planning, and what is said about mistakes.

use super::plan::Order;
use super::{Engine, Scenario};
use core::time::Duration;

const HEAD: &str = r#"scenario = 1
name = "test"
about = "A test."
engines = ["model"]
duration = "60s"

[[nodes]]
count = 5

[[expect]]
eventually = { converged = true }
"#;

fn error(tail: &str) -> String {
    Scenario::parse("x.toml", &format!("{HEAD}{tail}"))
        .unwrap_err()
        .to_string()
}

fn scenario(tail: &str) -> Scenario {
    Scenario::parse("x.toml", &format!("{HEAD}{tail}")).unwrap()
}

#[test]
fn a_mistake_names_file_line_key_and_the_nearest_word() {
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\npowerloss = \"n1\"\n"),
        "x.toml:14: powerloss: is no key here; did you mean `power-loss`?"
    );
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\ncrash = \"m1\"\n"),
        "x.toml:14: crash: there is no node `m1`; did you mean `n1`?"
    );
    assert_eq!(
        error("[[at]]\ntime = \"5s\"\npause = { who = \"n1\", for = \"4\" }\n"),
        "x.toml:14: for: `4` is no duration; write a number with ns, us, ms, s, min or h, such as 250ms"
    );
    assert_eq!(
        error("[[expect]]\nnever = { event = { kind = \"peer-dwon\" } }\n"),
        "x.toml:13: kind: `peer-dwon` is no event; did you mean `peer-down`?"
    );
    assert!(
        error("[[at]]\ntime = \"61s\"\ncrash = \"n1\"\n")
            .starts_with("x.toml:12: time: is not before")
    );
    assert!(error("[[at]]\ntime = \"1s\"\n").starts_with("x.toml:12: at: has no action"));
    assert!(
        error("[[at]]\ntime = \"1s\"\ncrash = \"n1\"\nleave = \"n2\"\n")
            .contains("crash and leave")
    );
    assert!(error("x = [\n").starts_with("x.toml:1"));
}

#[test]
fn an_expectation_that_cannot_fail_is_refused() {
    let what = error("[[expect]]\nmetric = \"bytes-per-node\"\n");
    assert_eq!(
        what,
        "x.toml:12: metric: needs `min` or `max`: without them it cannot fail"
    );
    assert!(error("[[expect]]\neventually = { links = {} }\n").contains("cannot fail"));
}

#[test]
fn the_wire_engine_refuses_what_it_cannot_do_and_names_the_step() {
    let scenario = scenario("[[at]]\ntime = \"5s\"\npause = { who = \"n1\", for = \"4s\" }\n");
    assert_eq!(scenario.check_engine(Engine::Model), Ok(()));
    let why = scenario.check_engine(Engine::Wire).unwrap_err().to_string();
    assert_eq!(
        why,
        "x.toml:12: pause: engine wire cannot do the step `pause`; use --engine model"
    );
}

#[test]
fn a_plan_is_the_same_for_one_seed_and_another_for_another() {
    let scenario =
        scenario("[[at]]\ntime = \"5s\"\npower-loss = \"2 of all\"\nnamed = \"victims\"\n");
    let (one, two) = (scenario.plan(1).unwrap(), scenario.plan(1).unwrap());
    assert_eq!(one.named, two.named);
    assert_eq!(one.named["victims"].len(), 2);
    assert!((2..20).any(|seed| scenario.plan(seed).unwrap().named != one.named));
}

#[test]
fn repeated_and_staggered_steps_unfold() {
    let scenario = scenario(concat!(
        "[[at]]\ntime = \"5s\"\nevery = \"2s\"\ntimes = 3\npartition = { isolate = \"n1\" }\n",
        "[[at]]\ntime = \"6s\"\nevery = \"2s\"\ntimes = 3\nheal = true\n",
        "[[at]]\ntime = \"20s\"\nstagger = \"1s\"\nrestart = { who = \"n1..n3\" }\n",
        "[[at]]\ntime = \"30s\"\ncrash = \"n4\"\n[[at]]\ntime = \"31s\"\nrestart = { who = \"down\" }\n",
    ));
    let plan = scenario.plan(1).unwrap();
    let when = |wanted: &dyn Fn(&Order) -> bool| -> Vec<u64> {
        plan.orders
            .iter()
            .filter(|p| p.step.is_some() && wanted(&p.order))
            .map(|p| p.at.as_secs())
            .collect()
    };
    assert_eq!(when(&|order| matches!(order, Order::Cut(_))), [5, 7, 9]);
    assert_eq!(when(&|order| matches!(order, Order::Mend(_))), [6, 8, 10]);
    assert_eq!(
        when(&|order| matches!(order, Order::Start { .. })),
        [20, 21, 22, 31]
    );
    assert!(plan.orders.is_sorted_by_key(|planned| planned.at));
}

#[test]
fn every_fault_is_lifted_at_the_end_but_what_is_kept() {
    let scenario = scenario(concat!(
        "[[at]]\ntime = \"5s\"\ncut = { fraction = \"30%\", kept = true }\n",
        "[[at]]\ntime = \"6s\"\npartition = { halves = true }\n",
    ));
    let plan = scenario.plan(1).unwrap();
    let mended: Vec<_> = plan
        .orders
        .iter()
        .filter(|p| matches!(p.order, Order::Mend(_)))
        .collect();
    assert_eq!(mended.len(), 1);
    assert_eq!(
        (mended[0].at, &mended[0].order),
        (Duration::from_secs(60), &Order::Mend(1))
    );
}

#[test]
fn the_schema_knows_every_step() {
    let schema = super::schema().to_string();
    for word in [
        "power-loss",
        "partition",
        "converged",
        "drift-ppm",
        "isolate",
    ] {
        assert!(schema.contains(&format!("\"{word}\"")), "{word}");
    }
}
