//! Vocabularies of several programs in one world: each program's words are read, executed, planned, shrunk and written
//! back by means of the program's own tables.

mod lamp;

use lamp::{NO_FUSE, STREET, words};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::replay::Replay;
use phalanx_sim::runner::Model;
use phalanx_sim::scenario::plan::{Plan, ScheduledAction};
use phalanx_sim::scenario::{Scenario, Vocabulary, Words, schema};
use phalanx_sim::search::{Hunt, SystemUnderTest, attempt};
use phalanx_sim::shrink::{Shrunk, shrink};
use phalanx_sim::{RunOptions, invariant, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const HEAD: &str = r#"scenario = 1
name = "street"
about = "Lamps beside mesh nodes."
engines = ["model"]
duration = "20s"
recovery = "10s"
[wiring]
fuse = 5
[tuning]
links-max = 9
[[nodes]]
count = 3
brightness = 3
services = ["light/1"]
"#;

const STORY: &str = r#"
[[at]]
time = "5s"
dim = { who = "n1, n2", to = 0, note = "to save power" }
[[at]]
time = "6s"
jam = { who = "n3/lamp" }
for = "4s"
[[at]]
time = "7s"
command = { who = "n2..n3/lamp", name = "switch", with = { on = false } }
[[at]]
time = "8s"
announce = { who = "n1", services = ["light/2"] }
[[at]]
time = "12s"
dim = { who = "all", to = 9 }
[[expect]]
eventually = { sees = { of = "all", as = "alive" } }
within = "5s"
[[expect]]
eventually = { providers = { of = "light/2", are = "n1" } }
from = "8s"
within = "3s"
[[expect]]
always = { shines = { who = "n3", min = 3, max = 3 } }
from = "7s"
to = "10s"
[[expect]]
never = { shines = { who = "n1..n2", min = 1 } }
from = "5500ms"
to = "11s"
[[expect]]
always = { shines = { who = "n1, n3", min = 5 } }
from = "13s"
[[expect]]
never = { holds = { name = "bright-alike" } }
from = "13s"
[[expect]]
eventually = { event = { kind = "dimmed", by = "n3", min = 1 } }
[[expect]]
metric = "switched"
who = "n2"
from = "4s"
min = 3
max = 3
[[expect]]
metric = "dark-reports"
max = 2
min = 2
[[expect]]
metric = "brightness"
max = 5
min = 5
[[expect]]
metric = "false-deaths"
max = 0
"#;

fn parse(tail: &str) -> Result<Scenario, String> {
    let text = format!("{HEAD}{tail}");
    let vocabulary = (STREET.vocabulary)();
    Scenario::parse_with("street.toml", &text, &vocabulary).map_err(|why| why.to_string())
}

fn reread(text: &str) -> Scenario {
    let again = Scenario::parse_with("again.toml", text, &(STREET.vocabulary)());
    again.unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn outcome(scenario: &Scenario, sabotage: &[&str]) -> Outcome {
    outcome_of(scenario, 1, sabotage)
}

fn outcome_of(scenario: &Scenario, seed: u64, sabotage: &[&str]) -> Outcome {
    let options = RunOptions {
        sabotage: sabotage.iter().map(ToString::to_string).collect(),
        ..RunOptions::default()
    };
    run(&STREET, scenario, seed, options).expect("the scenario runs")
}

fn failures(outcome: &Outcome) -> Vec<String> {
    let failures = outcome.failures.iter();
    let text = failures.map(|failure| format!("{}: {}", failure.expectation, failure.why));
    text.collect()
}

fn shrunk(scenario: &Scenario, sabotage: &[&str]) -> Shrunk {
    let sabotage: Vec<String> = sabotage.iter().map(ToString::to_string).collect();
    let subject = SystemUnderTest {
        runner: &Model(&STREET),
        sabotage: &sabotage,
    };
    let shrunk = shrink(subject, scenario, 1, &mut |_| true);
    shrunk.expect("the scenario runs").expect("it fails")
}

#[test]
fn a_file_in_the_words_of_two_programs_runs() {
    let scenario = parse(STORY).unwrap();
    let outcome = outcome(&scenario, &[]);
    assert_eq!(failures(&outcome), [""; 0]);
    assert_eq!(outcome.metrics["brightness"], 5);
    // For each step, the number of processes that performed it.
    let affected: Vec<u64> = outcome
        .effects
        .iter()
        .map(|effect| effect.affected)
        .collect();
    assert_eq!(affected[..2], [2, 2], "n3 is jammed and freed");
    assert!(outcome.vacuous.is_empty(), "{:?}", outcome.vacuous);
}

#[test]
fn a_file_in_the_words_of_two_programs_is_written_as_it_was_read() {
    let scenario = parse(STORY).unwrap();
    let text = scenario.to_toml();
    let again = reread(&text);
    assert_eq!(again.to_toml(), text);
    assert_eq!(again.hosts, scenario.hosts);
    assert_eq!(again.settings, scenario.settings);
    assert_eq!(again.plan(1), scenario.plan(1));
    for part in [
        "[wiring]\nfuse = 5\n",
        "[tuning]\nlinks-max = 9\n",
        "brightness = 3\n",
        "dim = { who = \"n1, n2\", to = 0, note = \"to save power\" }\n",
        "jam = { who = \"n3/lamp\" }\nfor = \"4s\"\n",
        "never = { holds = { name = \"bright-alike\", who = \"all\" } }\n",
        "always = { shines = { who = \"n3\", min = 3, max = 3 } }\n",
        "eventually = { sees = { who = \"all\", of = \"all\", as = \"alive\" } }\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// Steps with a wrong word, each with its error.
const WRONG_STEPS: &[(&str, &str)] = &[
    (
        "dimm = { who = \"n1\", to = 1 }",
        "street.toml:17: dimm: is not a key here; did you mean `dim`?",
    ),
    (
        "anounce = { who = \"n1\" }",
        "street.toml:17: anounce: is not a key here; did you mean `announce`?",
    ),
    (
        "dim = { who = \"n1\", too = 1 }",
        "street.toml:17: too: is not a key here; did you mean `to`?",
    ),
    (
        "dim = { who = \"n1\" }",
        "street.toml:17: to: is missing; every such table needs it",
    ),
    (
        "dim = { who = \"n1\", to = \"bright\" }",
        "street.toml:17: to: needs a whole number from 0 to 4294967295 instead of the text \"bright\"",
    ),
    (
        "dim = \"n1\"",
        "street.toml:17: dim: needs a table, such as { who = \"n1\" } instead of the text \"n1\"",
    ),
    (
        "dim = { who = \"n1/mesh\", to = 1 }",
        "street.toml:17: who: `n1/mesh` names processes of mesh, and this is a word of lamp",
    ),
    (
        "dim = { who = \"n4\", to = 1 }",
        "street.toml:17: who: there is no node `n4`; did you mean `n1`?",
    ),
    (
        "dim = { who = \"n1\", to = 1 }\nfor = \"2s\"",
        "street.toml:18: for: `dim` has no end that a step could bring",
    ),
    (
        "command = { who = \"n1\", name = \"swich\", with = { on = true } }",
        "street.toml:17: name: `swich` is not a command of the street; did you mean `switch`?",
    ),
    (
        "command = { who = \"n1\", name = \"switch\" }",
        "street.toml:17: with: `switch` needs `on` in `with`: true or false",
    ),
    (
        "command = { who = \"n1/mesh\", name = \"switch\", with = { on = true } }",
        "street.toml:17: name: `switch` is not a word of mesh, which `who` names, but of lamp",
    ),
];

/// Expectations with a wrong word, each with its error.
const WRONG_EXPECTATIONS: &[(&str, &str)] = &[
    (
        "never = { shine = { min = 3 } }",
        "street.toml:16: shine: is not a key here; did you mean `shines`?",
    ),
    (
        "never = { shines = { min = 3, max = 2 } }",
        "street.toml:15: shines: `min` is above `max`",
    ),
    (
        "never = { shines = { }, sees = { of = \"n1\", as = \"down\" } }",
        "street.toml:15: expect: a condition needs exactly one key, such as `converged`",
    ),
    (
        "never = { holds = { name = \"bright-alik\" } }",
        "street.toml:16: name: `bright-alik` is not a condition of the street; did you mean `bright-alike`?",
    ),
    (
        "never = { event = { kind = \"dimed\" } }",
        "street.toml:16: kind: `dimed` is not an event of the street; did you mean `dimmed`?",
    ),
    (
        "metric = \"dark-report\"\nmax = 1",
        "street.toml:16: metric: `dark-report` is not a metric; did you mean `dark-reports`?",
    ),
    (
        "metric = \"brightness\"\nwho = \"all/mesh\"\nmax = 1",
        "street.toml:16: metric: `brightness` is not a metric of mesh",
    ),
];

/// Other tables with a wrong word, each with its error.
const WRONG_TABLES: &[(&str, &str)] = &[
    (
        "[[nodes]]\nnames = [\"x\"]\nbrightnes = 4\n",
        "street.toml:17: brightnes: is not a key here; did you mean `brightness`?",
    ),
    (
        "[chaos]\nkinds = [\"jamm\"]\n",
        "street.toml:16: kinds: `jamm` is not a kind of chaos; did you mean `jam`?",
    ),
    (
        "[wirring]\nfuse = 4\n",
        "street.toml:15: wirring: is not a key here; did you mean `wiring`?",
    ),
];

#[test]
fn wrong_words_are_reported_with_the_nearest_known_one() {
    let expect = "[[expect]]\nalways = { shines = { } }\n";
    let error = |tail: &str| parse(tail).unwrap_err();
    for (step, wanted) in WRONG_STEPS {
        let file = format!("[[at]]\ntime = \"2s\"\n{step}\n{expect}");
        assert_eq!(error(&file), *wanted);
    }
    for (expectation, wanted) in WRONG_EXPECTATIONS {
        assert_eq!(error(&format!("[[expect]]\n{expectation}\n")), *wanted);
    }
    for (table, wanted) in WRONG_TABLES {
        assert_eq!(error(&format!("{table}{expect}")), *wanted);
    }
}

#[test]
fn wrong_names_of_planted_bugs_are_reported_with_the_nearest_known_one() {
    let broken = |word: &str| {
        let options = RunOptions {
            sabotage: vec![word.to_owned()],
            ..RunOptions::default()
        };
        let scenario = parse(STORY).unwrap();
        run(&STREET, &scenario, 1, options).unwrap_err().to_string()
    };
    assert!(broken("no-fus").ends_with("`no-fus`; did you mean `no-fuse`?"));
    assert!(broken("no-graf").ends_with("`no-graf`; did you mean `no-graft`?"));
}

#[test]
fn a_planted_bug_of_each_program_is_found_by_its_own_invariant_or_condition() {
    let scenario = parse(STORY).unwrap();
    let broken = |word| failures(&outcome(&scenario, &[word]));
    let lamps = broken(NO_FUSE);
    assert!(
        lamps.contains(&"invariant fused: n1/lamp: has 9".to_owned()),
        "{lamps:?}"
    );
    let mesh = broken("provider-index-stale");
    assert!(
        mesh.iter()
            .any(|why| why.starts_with("invariant provider-index")),
        "{mesh:?}"
    );
    let names = invariant::names(&STREET, &scenario).unwrap();
    assert!(
        names.contains("fused") && names.contains("one-link"),
        "{names:?}"
    );
}

#[test]
fn a_failing_run_is_shrunk_to_a_file_in_the_words_of_its_program() {
    let small = shrunk(&parse(STORY).unwrap(), &[NO_FUSE]);
    assert_eq!(small.failure.expectation, "invariant fused");
    let text = small.to_toml("small.toml");
    // The failure does not depend on the brightness or the settings; the lamp ignores the note.
    assert!(text.contains("dim = { who = \"n3\", to = 9 }"), "{text}");
    assert_eq!(
        (small.scenario.steps.len(), small.scenario.hosts.len()),
        (1, 1),
        "{text}"
    );
    for gone in [
        "brightness",
        "services",
        "links-max",
        "note",
        "announce",
        "jam",
    ] {
        assert!(!text.contains(gone), "{gone}\n{text}");
    }
    let again = outcome_of(&reread(&text), small.seed, &[NO_FUSE]);
    assert!(failures(&again)[0].starts_with("invariant fused"), "{text}");
}

const CHAOS: &str = r#"
[chaos]
kinds = ["jam"]
at-once = 2
stay-up = 1
every = "1s"
shortest = "1s"
longest = "3s"
[[expect]]
never = { state = { who = "n1", key = "jammed", is = true } }
"#;

/// The planned steps in programs' own vocabularies, by name, with their hosts.
fn own_orders(plan: &Plan) -> Vec<(&'static str, usize)> {
    let orders = plan.actions.iter();
    let own = orders.filter_map(|planned| {
        if let ScheduledAction::Own { host, action } = &planned.action {
            Some((action.word, *host))
        } else {
            None
        }
    });
    own.collect()
}

#[test]
fn chaos_draws_faults_of_programs_and_ends_them() {
    let scenario = parse(CHAOS).unwrap();
    let mut jammed = BTreeSet::new();
    for seed in 1..=5 {
        let plan = scenario.plan(seed).unwrap();
        let mut open = BTreeSet::new();
        for (word, host) in own_orders(&plan) {
            match word {
                "jam" => {
                    assert!(open.insert(host), "one fault at a time touches a host");
                    jammed.insert(host);
                }
                "free" => assert!(open.remove(&host)),
                other => panic!("{other}"),
            }
            assert!(open.len() < 3, "one host stays up");
        }
        assert!(open.is_empty(), "all faults end");
    }
    assert_eq!(jammed, BTreeSet::from([0, 1, 2]));
    let small = shrunk(&scenario, &[]);
    let text = small.scenario.to_toml();
    assert!(text.contains("jam = { who = \"n1\" }"), "{text}");
    assert!(!text.contains("chaos"), "{text}");
}

#[test]
fn a_fault_of_a_program_is_lifted_with_all_others() {
    let jam = "[[at]]\ntime = \"5s\"\njam = { who = \"n2\" }\n\
        [[expect]]\nalways = { state = { who = \"n2\", key = \"jammed\", is = true } }\nfrom = \"6s\"\nto = \"19s\"\n";
    let scenario = parse(jam).unwrap();
    assert_eq!(
        own_orders(&scenario.plan(1).unwrap()),
        [("jam", 1), ("free", 1)]
    );
    assert_eq!(failures(&outcome(&scenario, &[])), [""; 0]);
}

#[test]
fn search_draws_the_faults_of_all_programs() {
    let scenario = parse(STORY).unwrap();
    let runner = Model(&STREET);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage: &[],
    };
    let mut hunt = Hunt::new(vec![scenario], 1);
    let mut words = BTreeSet::new();
    for _ in 0..40 {
        let trial = hunt.draw();
        let varied = hunt.scenario(&trial);
        words.extend(
            own_orders(&varied.plan(trial.seed).unwrap())
                .into_iter()
                .map(|(word, _)| word),
        );
        let kinds = trial.chaos.iter().flat_map(|chaos| &chaos.kinds);
        if kinds.clone().any(|kind| kind.word() == "jam") && words.len() < 4 {
            let (failures, did) = attempt(subject, &varied, trial.seed).unwrap();
            assert!(failures.is_empty(), "{failures:?}");
            hunt.learn(&did);
        }
    }
    assert_eq!(words, BTreeSet::from(["announce", "dim", "free", "jam"]));
}

#[test]
fn a_replay_shows_the_states_of_all_programs() {
    let scenario = parse(STORY).unwrap();
    let plan = scenario.plan(1).unwrap();
    let mut replay = Replay::new(&STREET, &scenario, &plan, &[]).unwrap();
    let states = |replay: &Replay<'_>| -> Vec<(&'static str, Value)> {
        let processes = replay.processes(0);
        let states = processes.filter_map(|(program, view)| Some((program, view?.state())));
        states.collect()
    };
    replay.to_instant(Duration::from_secs(4));
    let before = states(&replay);
    let programs: Vec<&str> = before.iter().map(|(program, _)| *program).collect();
    assert_eq!(programs, ["mesh", "lamp"]);
    replay.to_instant(Duration::from_secs(10));
    let after = states(&replay);
    let shines = |states: &[(&str, Value)]| states[1].1["shines"].clone();
    assert_eq!((shines(&before), shines(&after)), (json!(3), json!(0)));
    assert_ne!(
        before[0].1, after[0].1,
        "the mesh node serves something else"
    );
}

#[test]
fn the_schema_is_the_union_over_the_programs() {
    let street = schema(&(STREET.vocabulary)());
    let of = |table: &str, key: &str| street["$defs"][table]["properties"][key].clone();
    assert_eq!(
        of("StepTable", "dim")["anyOf"][0]["$ref"],
        "#/$defs/DimTable"
    );
    assert_eq!(
        street["$defs"]["DimTable"]["required"],
        json!(["who", "to"])
    );
    assert_eq!(of("NodesTable", "brightness")["type"][0], "integer");
    assert_eq!(
        street["properties"]["wiring"]["$ref"],
        "#/$defs/WiringTable"
    );
    for key in ["sees", "shines", "converged"] {
        assert!(!of("ConditionTable", key).is_null(), "{key}");
    }
    let lamps = schema(&Vocabulary::of("lamps", [words()]));
    let without = &lamps["$defs"]["ConditionTable"]["properties"];
    assert!(without["sees"].is_null() && !without["shines"].is_null());
    assert!(lamps["$defs"]["SeesTable"].is_null() && lamps["properties"]["tuning"].is_null());
    let kinds = of("ChaosTable", "kinds")["description"].clone();
    assert!(
        kinds
            .as_str()
            .unwrap()
            .contains("`latency`, `announce`, `jam` (default")
    );
}

#[test]
fn words_of_a_program_that_is_absent_are_no_words() {
    let vocabulary = Vocabulary::of("lamps", [words()]);
    let text = HEAD
        .replace("[tuning]\nlinks-max = 9\n", "")
        .replace("services = [\"light/1\"]\n", "");
    let parse = |tail: &str| {
        let text = format!("{text}{tail}");
        Scenario::parse_with("lamps.toml", &text, &vocabulary).map_err(|why| why.to_string())
    };
    let expect = "[[expect]]\nnever = { shines = { min = 9 } }\n";
    assert!(parse(expect).is_ok());
    let sees =
        parse("[[expect]]\nnever = { sees = { of = \"n1\", as = \"down\" } }\n").unwrap_err();
    assert!(
        sees.starts_with("lamps.toml:13: sees: is not a key here"),
        "{sees}"
    );
    let announce = format!("[[at]]\ntime = \"1s\"\nannounce = {{ who = \"n1\" }}\n{expect}");
    let announce = parse(&announce).unwrap_err();
    assert!(
        announce.contains("announce: is not a key here"),
        "{announce}"
    );
    let deaths = parse("[[expect]]\nmetric = \"false-deaths\"\nmax = 0\n").unwrap_err();
    assert!(
        deaths.contains("`false-deaths` is not a metric"),
        "{deaths}"
    );
}

#[test]
#[should_panic(expected = "two programs have the word `shines`")]
fn two_programs_cannot_have_one_word() {
    let lantern = Words {
        program: "lantern",
        conditions: words().conditions,
        ..Words::default()
    };
    drop(Vocabulary::of("twice", [words(), lantern]));
}
