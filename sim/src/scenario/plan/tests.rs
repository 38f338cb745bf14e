//! Plans of single steps: the actions of each, and their times.

use super::ScheduledAction;
use crate::scenario::Scenario;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

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

/// Returns the actions of the steps in `tail`, with their times in seconds.
fn planned(tail: &str) -> Vec<(u64, ScheduledAction)> {
    let plan = scenario(tail).plan(1).unwrap();
    let orders = plan.actions.into_iter();
    let steps = orders.filter(|planned| planned.step.is_some());
    steps
        .map(|planned| (planned.at.as_secs(), planned.action))
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

/// Returns the hosts that the first step stops.
fn stopped(step: &str) -> Vec<usize> {
    let planned = planned(&format!("[[at]]\ntime = \"5s\"\n{step}\n"));
    let hosts = planned.iter().filter_map(|(_, action)| {
        if let ScheduledAction::Stop { host, .. } = action {
            Some(*host)
        } else {
            None
        }
    });
    hosts.collect()
}

#[test]
fn not_selects_all_others() {
    assert_eq!(stopped("crash = \"not n3\""), [0, 1, 3, 4]);
    assert_eq!(stopped("crash = \"not n1, not n4..n5\""), [1, 2]);
    assert_eq!(stopped("crash = \"n1..n4, not n2\""), [0, 2, 3]);
    assert_eq!(stopped("crash = \"running, not n2\""), [0, 2, 3, 4]);
    assert_eq!(stopped("crash = \"not 4 of all\"").len(), 1);
    let drawn = stopped("crash = \"3 of not n1..n2\"");
    assert_eq!(drawn, [2, 3, 4]);
    let wrong = Scenario::parse(
        "x.toml",
        &format!("{HEAD}[[at]]\ntime = \"5s\"\ncrash = \"not n9\"\n"),
    );
    assert!(wrong.unwrap_err().message.contains("there is no node `n9`"));
}

#[test]
fn the_rest_is_what_the_other_sides_leave() {
    let sides = |sets: &str| {
        let text = format!("[[at]]\ntime = \"5s\"\npartition = {{ sets = {sets} }}\n");
        let plan = scenario(&text).plan(1).unwrap();
        plan.cuts[0].sides().unwrap().0
    };
    assert_eq!(
        sides(r#"["n2", "rest", "n4"]"#),
        [vec![1], vec![0, 2, 4], vec![3]]
    );
    let drawn = sides(r#"["2 of all", "rest"]"#);
    let mut all = drawn.concat();
    all.sort_unstable();
    assert_eq!((drawn[0].len(), all), (2, vec![0, 1, 2, 3, 4]));
}

#[test]
fn lasting_conditions_and_changes_of_links_end_with_their_time_or_the_faults() {
    let steps = [
        "refuse = \"n2\"",
        "nat = { who = \"n2\", idle = \"30s\" }",
        "disk = { who = \"n2\", slow = \"5ms\" }",
        "loss = { from = \"n1\", to = \"n2..n3\", is = \"5%\" }",
        "latency = { fraction = \"20%\", is = \"50ms\" }",
        "bandwidth = \"1Mbit\"",
        "mtu = \"600B\"",
        "duplicate = \"1%\"",
        "corrupt = { from = \"n1\", to = \"rest\", is = \"1%\" }",
    ];
    for step in steps.iter().filter(|step| !step.contains("rest")) {
        for (length, end) in [("", 60), ("for = \"4s\"", 9)] {
            let text = format!("[[at]]\ntime = \"5s\"\n{step}\n{length}\n");
            let plan = scenario(&text).plan(1).unwrap();
            let changes = plan.actions.iter().filter_map(|planned| {
                if let ScheduledAction::Trouble { on, .. } | ScheduledAction::Links { on, .. } =
                    planned.action
                {
                    Some((planned.at.as_secs(), on))
                } else {
                    None
                }
            });
            assert_eq!(
                changes.collect::<Vec<_>>(),
                [(5, true), (end, false)],
                "{step}"
            );
        }
    }
    let text = format!("{HEAD}[[at]]\ntime = \"5s\"\n{}\n", steps[8]);
    assert!(
        Scenario::parse("x.toml", &text).is_err(),
        "only sides have a rest"
    );
}

#[test]
fn a_negative_jump_sets_the_calendar_back() {
    let found = planned("[[at]]\ntime = \"5s\"\nclock = { who = \"n1\", jump = \"-5s\" }\n");
    let expected = ScheduledAction::Clock {
        host: 0,
        jump: Duration::from_secs(5),
        back: true,
        drift_ppm: None,
    };
    assert_eq!(found, [(5, expected)]);
}

#[test]
fn a_trigger_waits_for_a_later_or_the_nth_report() {
    let text = r#"
        [[at]]
        after = { event = "peer-down", from = "10s", nth = 2 }
        crash = "n1"
    "#;
    let plan = scenario(text).plan(1).unwrap();
    let trigger = &plan.triggers[0];
    let mut reports = 0;
    let mut fires = |second| trigger.counts(Duration::from_secs(second), &mut reports);
    assert_eq!(
        [9, 9, 10, 11, 12].map(&mut fires),
        [false, false, false, true, false]
    );
}

#[test]
fn a_run_without_recovery_ends_with_the_faults() {
    let text = HEAD.replace(
        "duration = \"60s\"",
        "duration = \"60s\"\nrecovery = \"none\"",
    );
    let scenario = Scenario::parse("x.toml", &text).unwrap();
    let plan = scenario.plan(1).unwrap();
    assert!(!scenario.recovers);
    assert_eq!(
        (plan.faults_end, plan.end),
        (plan.end, Duration::from_secs(60))
    );
}

#[test]
fn chaos_takes_whole_zones_within_its_budget() {
    let zones = r#"
[[nodes]]
count = 2
prefix = "a"
zone = "a"
[[nodes]]
count = 3
prefix = "b"
zone = "b"
[chaos]
kinds = ["zone-power-loss", "zone-partition"]
every = "2s"
stay-up = 5
"#;
    for seed in 1..20 {
        let plan = scenario(zones).plan(seed).unwrap();
        for planned in plan.actions.iter().filter(|planned| planned.chaos) {
            let ScheduledAction::Stop { host, power_loss } = planned.action else {
                continue;
            };
            let zone = if host < 7 { 5..7 } else { 7..10 };
            assert!(
                power_loss && host >= 5,
                "a node without a zone: {planned:?}"
            );
            for other in zone {
                let same = |order: &ScheduledAction| matches!(order, ScheduledAction::Stop { host, .. } if *host == other);
                let mut orders = plan.actions.iter();
                assert!(orders.any(|it| it.at == planned.at && same(&it.action)));
            }
        }
        let cuts = plan.cuts.iter().filter_map(|cut| cut.sides());
        for (sides, _) in cuts {
            assert!(sides[0] == [5, 6] || sides[0] == [7, 8, 9], "{sides:?}");
        }
    }
    let none = Scenario::parse(
        "x.toml",
        &format!("{HEAD}[chaos]\nkinds = [\"zone-partition\"]\n"),
    );
    assert!(none.unwrap_err().message.contains("no node has a `zone`"));
}

#[test]
fn a_share_of_all_faults_of_nodes_strikes_whole_zones() {
    let zones = r#"
[[nodes]]
count = 2
prefix = "a"
zone = "a"
[[nodes]]
count = 3
prefix = "b"
zone = "b"
[chaos]
KINDS
by-zone = "50%"
every = "2s"
stay-up = 5
"#;
    let (mut single, mut whole, mut words) = (0, 0, BTreeSet::new());
    for seed in 1..40 {
        let kinds = "kinds = [\"crash\", \"pause\", \"slow\", \"wipe\"]";
        let plan = scenario(&zones.replace("KINDS", kinds)).plan(seed).unwrap();
        let mut struck: BTreeMap<(Duration, &str), Vec<usize>> = BTreeMap::new();
        for planned in plan.actions.iter().filter(|planned| planned.chaos) {
            if let ScheduledAction::Stop { host, .. } = planned.action {
                struck.entry((planned.at, "stop")).or_default().push(host);
            } else if let ScheduledAction::Pause { host, .. } = planned.action {
                struck.entry((planned.at, "pause")).or_default().push(host);
            }
        }
        for ((_, word), mut hosts) in struck {
            hosts.sort_unstable();
            let is_zone = hosts == [5, 6] || hosts == [7, 8, 9];
            *(if is_zone { &mut whole } else { &mut single }) += 1;
            words.extend(is_zone.then_some(word));
        }
    }
    assert!(single > 40 && whole > 40, "{single} single, {whole} whole");
    assert_eq!(words, BTreeSet::from(["pause", "stop"]));

    // A partition of chaos isolates a whole zone.
    let text = zones
        .replace("KINDS", "kinds = [\"partition\"]")
        .replace("50%", "100%");
    let read = scenario(&text);
    let plans = (1..20).map(|seed| read.plan(seed).unwrap());
    let cuts: Vec<_> = plans.flat_map(|plan| plan.cuts).collect();
    assert!(!cuts.is_empty());
    for (sides, _) in cuts.iter().filter_map(super::Cut::sides) {
        assert!(sides[0] == [5, 6] || sides[0] == [7, 8, 9], "{sides:?}");
    }
    assert!(read.to_toml().contains("by-zone = \"100%\""));

    let none = format!("{HEAD}[chaos]\nby-zone = \"10%\"\n");
    let why = Scenario::parse("x.toml", &none).unwrap_err();
    assert!(
        why.key == "by-zone" && why.message.contains("no node has a `zone`"),
        "{why}"
    );
}
