//! Plans of single steps: which actions they make, and when.

use super::ScheduledAction;
use crate::scenario::Scenario;
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

fn scenario(tail: &str) -> Scenario {
    Scenario::parse("x.toml", &format!("{HEAD}{tail}")).unwrap()
}

/// Returns the actions of the steps, with their times in seconds.
fn planned(tail: &str) -> Vec<(u64, ScheduledAction)> {
    let plan = scenario(tail).plan(1).unwrap();
    let orders = plan.orders.into_iter();
    let steps = orders.filter(|planned| planned.step.is_some());
    steps
        .map(|planned| (planned.at.as_secs(), planned.order))
        .collect()
}

#[test]
fn a_machine_without_power_starts_when_the_power_returns_and_not_before() {
    let found = planned(
        r#"
        [[at]]
        time = "5s"
        power-loss = "n2"
        for = "10s"
        [[at]]
        time = "8s"
        upgrade = { who = "n2", version = "2" }
        [[at]]
        time = "9s"
        restart = { who = "n2" }
        "#,
    );
    let power = |order: &ScheduledAction| {
        !matches!(
            order,
            ScheduledAction::Own { .. } | ScheduledAction::Stop { .. }
        )
    };
    let found: Vec<_> = found
        .into_iter()
        .filter(|(_, order)| power(order))
        .collect();
    let until = Some(Duration::from_secs(15));
    let none = ScheduledAction::NoPower { host: 1, until };
    let disk = crate::scenario::Disk::Keep;
    let start = ScheduledAction::Start { host: 1, disk };
    assert_eq!(found, [(8, none.clone()), (9, none), (15, start)]);
}

#[test]
fn a_restart_ends_a_loss_of_power_without_an_end_and_an_upgrade_does_not() {
    let found = planned(
        r#"
        [[at]]
        time = "5s"
        power-loss = "n2"
        [[at]]
        time = "8s"
        upgrade = { who = "n2", version = "2" }
        [[at]]
        time = "9s"
        restart = { who = "n2" }
        "#,
    );
    let starts = |order: &ScheduledAction| matches!(order, ScheduledAction::Start { .. });
    let starts: Vec<u64> = found
        .iter()
        .filter(|(_, order)| starts(order))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(starts, [9]);
    let none = ScheduledAction::NoPower {
        host: 1,
        until: None,
    };
    assert!(found.contains(&(8, none)), "{found:?}");
}
