//! Runs and files in which nothing is tested: steps that change nothing, metrics without a sample, refused commands,
//! and expectations that cannot fail.

mod runs;

use phalanx_sim::mesh::MESH;
use phalanx_sim::scenario::{Scenario, ScenarioError};

/// Five nodes with a channel of messages and a map, and a service. The steps begin on line 13.
const HEAD: &str = r#"scenario = 1
name = "vacuous"
about = "Five nodes."
engines = ["model"]
duration = "20s"
[[nodes]]
count = 5
services = ["web/1"]
channels = { chat = "messages", settings = "map" }
[[nodes]]
names = ["late"]
waits = true
"#;

const CONVERGED: &str = "[[expect]]\neventually = { converged = true }\n";

fn read(story: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse_with(
        "vacuous.toml",
        &format!("{HEAD}{story}"),
        &(MESH.vocabulary)(),
    )
}

/// Returns the warnings about steps. A step is given by the lines after its time, which is 5 s.
fn warnings(steps: &[&str]) -> Vec<String> {
    let steps = steps.iter().enumerate();
    let steps: String = steps
        .map(|(index, step)| format!("[[at]]\ntime = \"{}s\"\n{step}\n", 5 + index))
        .collect();
    let scenario = read(&format!("{steps}{CONVERGED}")).unwrap_or_else(|error| panic!("{error}"));
    let found = scenario.warnings().into_iter();
    found.map(|warning| warning.to_string()).collect()
}

/// Steps that change nothing, each with a part of its warning.
const IDLE: &[(&str, &str)] = &[
    ("crash = \"\"", "crash: selects no node"),
    ("leave = \" , \"", "leave: selects no node"),
    (
        "pause = { who = \"9 of n1..n5\", for = \"1s\" }",
        "draws 9 nodes of 5",
    ),
    ("power-loss = \"0 of all\"", "draws no node"),
    ("clog = \"\"", "clog: selects no node"),
    ("swizzle-clog = \"7 of all\"", "draws 7 nodes of 6"),
    ("loss = \"0%\"", "loss: is the loss at that time already"),
    (
        "latency = \"1ms\"",
        "latency: is the latency at that time already",
    ),
    (
        "latency = \"1ms..1ms\"",
        "is the latency at that time already",
    ),
    ("heal = true", "heal: ends partitions, and there is none"),
    ("restore = true", "restore: ends cuts, and there is none"),
    (
        "clock = { who = \"n1\", jump = \"0s\" }",
        "leaves the clocks as they are",
    ),
    (
        "clock = { who = \"all\", drift-ppm = 0 }",
        "leaves the clocks as they are",
    ),
    (
        "partition = { halves = true }\nfor = \"1ns\"",
        "lasts 1ns: nothing can notice",
    ),
    (
        "hold = { from = \"n1\", to = \"n2\" }\nfor = \"999us\"",
        "lasts 999us",
    ),
    (
        "disk = { who = \"n1\", fault = \"full\" }\nfor = \"10us\"",
        "lasts 10us",
    ),
    ("pause = { who = \"n1\", for = \"0s\" }", "lasts 0s"),
    (
        "slow = { who = \"n1\", by = \"1s\", for = \"1ns\" }",
        "lasts 1ns",
    ),
    ("slow = { who = \"n1\", by = \"0s\" }", "delays no input"),
    (
        "partition = { sets = [\"n1, n2\", \"n2, n3\"] }",
        "n2 is on two sides",
    ),
    (
        "partition = { sets = [\"n1, n2\", \"\"] }",
        "a side selects no node",
    ),
    (
        "partition = { sets = [\"all\", \"rest\"] }",
        "one side has all nodes",
    ),
    (
        "stagger = \"60s\"\nrestart = { who = \"n1..n3\" }",
        "reaches only 1 of 3 nodes before the end of the fault phase",
    ),
    (
        "every = \"50s\"\ntimes = 4\ncrash = \"n1\"\nfor = \"1s\"",
        "of 4 repetitions before the end of the fault phase",
    ),
    ("partition = { isolate = \"all\" }", "isolates all nodes"),
    ("partition = { isolate = \"\" }", "selects no node"),
    (
        "cut = { from = \"n1\", to = \"n1\" }",
        "no pair of different nodes",
    ),
    ("cut = { from = \"n1\", to = \"\" }", "selects no node"),
    (
        "cut = { fraction = \"0%\" }",
        "is less than one of 15 pairs",
    ),
    (
        "announce = { who = \"n1\", services = [\"web/1\"] }",
        "publishes what the nodes publish already",
    ),
    (
        "announce = { who = \"n1\", metadata = {} }",
        "publishes what the nodes publish already",
    ),
    (
        "flap = { who = \"n1\", services = [], every = \"1s\", for = \"5s\" }",
        "names no service",
    ),
    (
        "flap = { who = \"n1\", services = [\"a/1\"], every = \"1s\", for = \"0s\" }",
        "ends before the first change",
    ),
    (
        "updates = { who = \"n1\", every = \"2s\", for = \"1s\" }",
        "ends before the first update",
    ),
    (
        "command = { who = \"\", name = \"publish\", with = { channel = \"chat\" } }",
        "selects no node",
    ),
];

#[test]
fn each_step_that_changes_nothing_is_a_warning_with_its_line() {
    for (step, said) in IDLE {
        let found = warnings(&[step]);
        assert_eq!(found.len(), 1, "{step}: {found:?}");
        assert!(found[0].starts_with("vacuous.toml:13: "), "{}", found[0]);
        assert!(found[0].contains(said), "{step}: {}", found[0]);
    }
}

#[test]
fn a_step_that_may_change_something_is_no_warning() {
    for steps in [
        &["loss = \"10%\"", "loss = \"0%\""][..],
        &["loss = \"10%\"\nfor = \"500ms\"", "loss = \"10%\""],
        &["latency = \"2ms\"", "latency = \"1ms\""],
        &["partition = { halves = true }", "heal = true"],
        &["cut = { from = \"n1\", to = \"n2\" }", "restore = true"],
        &[
            "slow = { who = \"n1\", by = \"1s\" }",
            "slow = { who = \"all\", by = \"0s\" }",
        ],
        &[
            "clock = { who = \"n1\", drift-ppm = 9 }",
            "clock = { who = \"n1\", drift-ppm = 0 }",
        ],
        &[
            "announce = { who = \"n1\", services = [] }",
            "announce = { who = \"n1\", services = [\"web/1\"] }",
        ],
        &[
            "upgrade = { who = \"n1\", version = \"2\" }",
            "announce = { who = \"n1\", services = [\"web/1\"] }",
        ],
        &["crash = \"2 of n1..n5\"\nfor = \"1ns\""],
    ] {
        assert_eq!(warnings(steps), Vec::<String>::new(), "{steps:?}");
    }
    let again = warnings(&["loss = \"10%\"", "loss = \"10%\""]);
    assert!(
        again.len() == 1 && again[0].starts_with("vacuous.toml:16: loss"),
        "{again:?}"
    );
    let again = warnings(&[
        "announce = { who = \"n1\", services = [\"a/1\"] }",
        "announce = { who = \"n1\", services = [\"a/1\"] }",
    ]);
    assert!(
        again.len() == 1 && again[0].contains(":16: announce"),
        "{again:?}"
    );
}

#[test]
fn a_fault_at_the_very_end_is_a_warning() {
    let late = "[[at]]\ntime = \"19.9999s\"\npartition = { halves = true }\n";
    let scenario = read(&format!("{late}{CONVERGED}")).expect("the file is right");
    let [warning] = &scenario.warnings()[..] else {
        panic!("{:?}", scenario.warnings());
    };
    assert!(
        warning
            .message
            .contains("100us before all faults are lifted"),
        "{warning}"
    );
}

#[test]
fn a_window_that_ends_after_the_run_is_a_warning_with_its_line() {
    // The run ends at 40 s. The expectation begins on line 15.
    let of = |expect: &str| {
        let scenario = read(&format!("{CONVERGED}[[expect]]\n{expect}\n"));
        let scenario = scenario.unwrap_or_else(|error| panic!("{expect}: {error}"));
        let found = scenario.warnings().into_iter();
        found.map(|it| it.to_string()).collect::<Vec<_>>()
    };
    let eventually = "eventually = { converged = true }\nfrom = \"10s\"\n";
    let always = "always = { converged = true }\nfrom = \"10s\"\n";
    for within in [
        format!("{eventually}within = \"30s\""),
        format!("{always}to = \"40s\""),
    ] {
        assert_eq!(of(&within), [""; 0]);
    }
    for (late, key) in [
        (format!("{eventually}within = \"31s\""), "within"),
        (format!("{always}to = \"41s\""), "to"),
    ] {
        let expected = format!(
            "vacuous.toml:15: {key}: the window ends at 41s, after the end of the run (40s), which ends it earlier"
        );
        assert_eq!(of(&late), [expected]);
    }
}

/// Expectations that cannot fail, each with a part of its error.
const CERTAIN: &[(&str, &str)] = &[
    ("metric = \"missed-updates\"\nmin = 0", "min: is 0"),
    (
        "metric = \"delivered-percent\"\nmax = 100",
        "at most 100: it cannot fail",
    ),
    (
        "metric = \"delivered-percent\"\nmin = 101",
        "at most 100: it cannot hold",
    ),
    (
        "metric = \"memory\"\nwho = \"\"\nmax = 1",
        "the metric has no value",
    ),
    (
        "metric = \"false-deaths\"\nwho = \"late\"\nmax = 0",
        "no step starts late",
    ),
    (
        "always = { members = { min = 0 } }",
        "without `max` it cannot fail",
    ),
    (
        "always = { links = { min = 0 } }",
        "without `max` it cannot fail",
    ),
    (
        "eventually = { event = { kind = \"peer-down\", min = 0 } }",
        "at least 0 times",
    ),
    (
        "sometimes = { event = { kind = \"peer-down\", min = 0 } }",
        "at least 0 times",
    ),
    (
        "never = { event = { kind = \"peer-down\", by = \"down\" } }",
        "`down` selects nodes that do not run",
    ),
    (
        "never = { event = { kind = \"peer-down\", by = \"late\" } }",
        "no step starts late",
    ),
    (
        "never = { event = { kind = \"peer-down\", about = \"\" } }",
        "`about` names no node",
    ),
    (
        "never = { event = { kind = \"conflict\" } }",
        "needs a command put, delete, cas",
    ),
    (
        "never = { event = { kind = \"undelivered\" } }",
        "needs a command send",
    ),
    (
        "never = { event = { kind = \"published\" } }",
        "needs a command publish",
    ),
    (
        "never = { sees = { who = \"down\", of = \"n1\", as = \"alive\" } }",
        "`down` selects nodes that do not run",
    ),
    (
        "never = { sees = { who = \"2 of down\", of = \"n1\", as = \"alive\" } }",
        "`down` selects",
    ),
    (
        "never = { sees = { who = \"n1\", of = \"n1\", as = \"down\" } }",
        "does not observe itself",
    ),
    (
        "never = { sees = { of = \"\", as = \"down\" } }",
        "`of` names no node",
    ),
    (
        "never = { phase = { who = \"\", is = \"left\" } }",
        "no node is named",
    ),
    (
        "never = { members = { who = \"late\", max = 1 } }",
        "no step starts late",
    ),
    (
        "always = { agree = { who = \"n1\" } }",
        "a single node agrees with itself",
    ),
    (
        "always = { state = { key = \"phase\", is = \"running\", min = 0, max = 6 } }",
        "of 6 nodes",
    ),
    (
        "always = { providers = { of = \"wbe/1\", are = \"\" } }",
        "did you mean `web/1`",
    ),
    (
        "always = { providers = { of = \"we\", are = \"\" } }",
        "did you mean `web`",
    ),
    (
        "never = { holds = { name = \"value\", with = { channel = \"chat\", key = \"a\", is = \"b\" } } }",
        "is not a map",
    ),
];

#[test]
fn each_expectation_that_cannot_fail_is_an_error_with_its_line() {
    for (expect, said) in CERTAIN {
        match read(&format!("[[expect]]\n{expect}\n")) {
            Ok(_) => panic!("{expect} is accepted"),
            Err(error) => {
                assert_eq!(error.line, 13, "{expect}: {error}");
                assert!(error.to_string().contains(said), "{expect}: {error}");
            }
        }
    }
}

#[test]
fn an_expectation_that_can_fail_is_read() {
    let send = "[[at]]\ntime = \"5s\"\ncommand = { who = \"n1\", name = \"send\", with = { channel = \"chat\", to = \"n2\" } }\n";
    let join = "[[at]]\ntime = \"5s\"\njoin = \"late\"\n";
    for (steps, expect) in [
        (send, "never = { event = { kind = \"undelivered\" } }"),
        (
            join,
            "never = { event = { kind = \"peer-down\", by = \"late\" } }",
        ),
        ("", "metric = \"delivered-percent\"\nmin = 0\nmax = 99"),
        ("", "always = { members = { min = 0, max = 9 } }"),
        (
            "",
            "never = { sees = { who = \"down, n1\", of = \"n2\", as = \"down\" } }",
        ),
        (
            "",
            "always = { state = { key = \"phase\", is = \"running\", max = 5 } }",
        ),
        ("", "always = { agree = { who = \"n1, n2\" } }"),
        (
            "",
            "eventually = { holds = { name = \"value\", with = { channel = \"settings\", key = \"a\" } } }",
        ),
    ] {
        let text = format!("{steps}[[expect]]\n{expect}\n");
        let scenario = read(&text).unwrap_or_else(|error| panic!("{expect}: {error}"));
        assert_eq!(scenario.warnings(), [], "{expect}");
    }
}
