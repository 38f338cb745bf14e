//! `phalanx sim …`.

use super::{run, scenario, text};
use std::path::Path;

/// A scenario that fails, because it expects a node to be down and causes no fault.
const IMPOSSIBLE: &str = r#"
scenario = 1
name = "impossible"
about = "No fault occurs, but a node is expected to be down."
engines = ["model"]
duration = "5s"

[[nodes]]
count = 3

[[expect]]
eventually = { sees = { of = "n2", as = "down" } }
from = "2s"
"#;

fn written(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    text(&path)
}

/// Writes a scenario that fails; returns its path.
pub(super) fn impossible(folder: &Path) -> String {
    written(folder, "impossible.toml", IMPOSSIBLE)
}

#[test]
fn the_tool_does_not_contain_the_systems_of_the_examples() {
    let example = scenario("../sim/examples/fleet/scenarios/rollout.toml");
    run(&["sim", "run", &example]).fails(2, &["there is no system `fleet`", "there is mesh"]);
}

#[test]
fn a_run_is_one_json_object_with_the_documented_fields() {
    let answer = run(&[
        "sim",
        "run",
        &scenario("two-nodes.toml"),
        "--seed",
        "1..3",
        "--json",
    ])
    .fine();
    let runs = answer.json();
    assert_eq!(
        runs.iter()
            .map(|it| it["seed"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for it in &runs {
        assert_eq!(
            (&it["scenario"], &it["engine"]),
            (&"two-nodes".into(), &"model".into())
        );
        assert_eq!(it["outcome"], "pass");
        assert_eq!(it["trace_hash"].as_str().unwrap().len(), 16);
        for number in [
            "virtual_ms",
            "wall_ms",
            "events",
            "messages",
            "bytes",
            "nodes",
        ] {
            assert!(it[number].is_u64(), "{number} in {it}");
        }
        assert!(it["metrics"].is_object() && it["failures"].is_array());
    }
}

#[test]
fn the_same_seed_gives_the_same_run_in_two_processes() {
    let runs = run(&[
        "sim",
        "run",
        &scenario("two-nodes.toml"),
        "--seed",
        "4..5",
        "--check",
        "--json",
    ])
    .fine()
    .json();
    assert!(
        runs.len() == 2 && runs.iter().all(|it| it["check"] == "same"),
        "{runs:?}"
    );
    assert_ne!(
        runs[0]["trace_hash"], runs[1]["trace_hash"],
        "different seeds are different runs"
    );
}

#[test]
fn a_failed_expectation_is_code_1_with_the_command_that_reproduces_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = impossible(folder.path());
    let answer = run(&["sim", "run", &file, "--seed", "7", "--json"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let failure = &answer.json()[0]["failures"][0];
    assert_eq!(failure["line"], 11);
    let reproduce = failure["reproduce"].as_str().unwrap();
    let command = format!("phalanx sim run {file} --seed 7 --engine model  # file ");
    assert!(reproduce.starts_with(&command), "{reproduce}");
    assert!(reproduce.ends_with(&format!(", phalanx {}", env!("CARGO_PKG_VERSION"))));
    assert!(!failure["causes"].as_array().unwrap().is_empty());
    let people = run(&["sim", "run", &file]);
    assert!(
        people.code == 1
            && people.out.contains("impossible.toml:11")
            && people.out.contains("1 failed")
            && people.out.contains("causes:")
    );
}

/// One of three nodes is killed. The seed decides which node is killed, so each node is alive with some seeds. No node
/// leaves with any seed.
const SOMETIMES: &str = r#"
scenario = 1
name = "sometimes"
about = "One of three nodes is killed; the seed decides which."
engines = ["model"]
duration = "12s"

[[nodes]]
count = 3

[[at]]
time = "2s"
crash = "1 of all"

[[expect]]
sometimes = { sees = { who = "running", of = "n1", as = "down" } }

[[expect]]
sometimes = { sees = { who = "running", of = "n1", as = "left" } }
"#;

#[test]
fn sometimes_expectations_are_counted_over_all_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "sometimes.toml", SOMETIMES);
    let verdicts = folder.path().join("verdicts.xml");
    let sweep = [
        "sim",
        "run",
        &file,
        "--seed",
        "1..24",
        "--json",
        "--junit",
        &text(&verdicts),
    ];
    let answer = run(&sweep);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let lines = answer.json();
    let (runs, overall) = (&lines[..24], &lines[24]);
    assert!(runs.iter().all(|it| it["outcome"] == "pass"));
    let reached = runs.iter().filter(|it| it["expected"][0]["met"] == true);
    let (reached, sometimes) = (reached.count(), &overall["sometimes"]);
    assert!(reached > 0 && reached < 24, "{reached}");
    assert_eq!(sometimes[0]["reached"], reached);
    assert_eq!(
        (&sometimes[1]["reached"], &sometimes[1]["runs"]),
        (&0.into(), &24.into())
    );
    let xml = std::fs::read_to_string(&verdicts).unwrap();
    assert!(
        xml.contains("line 18, over all seeds") && xml.contains("none of 24"),
        "{xml}"
    );
    let people = run(&["sim", "run", &file, "--seed", "1..24"]);
    assert_eq!(people.code, 1);
    for word in [
        &format!("{reached} of 24"),
        "none of 24",
        "1 expectation met in no seed",
    ] {
        assert!(people.out.contains(word), "{word}: {}", people.out);
    }
    // Fewer than 20 runs are not enough for a `sometimes` expectation to fail.
    let few = run(&["sim", "run", &file, "--seed", "1..19"]).fine();
    assert!(
        few.out
            .contains("warning  sometimes line 18: held in none of 19"),
        "{}",
        few.out
    );
    let one = run(&["sim", "run", &file]).fine();
    assert!(one.out.contains("held in none of 1"), "{}", one.out);
}

#[test]
fn a_disabled_mechanism_is_detected() {
    let file = scenario("partition-heals.toml");
    let answer = run(&["sim", "run", &file, "--sabotage", "no-detection", "--json"]);
    assert_eq!(
        (answer.code, answer.json()[0]["outcome"].as_str()),
        (1, Some("fail"))
    );
    // The printed command contains everything needed to reproduce the failure.
    let broken = &answer.json()[0]["failures"][0];
    let again = broken["reproduce"].as_str().unwrap_or_default();
    let (command, _) = again.split_once("  #").unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let repeated = run(&[&words[..], &["--json"]].concat());
    assert_eq!(repeated.json()[0]["failures"][0], *broken, "{again}");
    run(&["sim", "run", &file, "--sabotage", "no-detectio"]).fails(2, &["no-detection"]);
}

#[test]
fn the_command_of_a_run_that_fails_by_strict_contains_strict() {
    let folder = tempfile::tempdir().unwrap();
    let idle = "[[at]]\nafter = { event = \"peer-left\" }\ncrash = \"n2\"\n[[expect]]\neventually = { converged = true }\n";
    let text = format!(
        "scenario = 1\nname = \"idle\"\nabout = \"Crashes a node after a member left, which none does.\"\nengines = [\"model\"]\nduration = \"10s\"\n\
         [[nodes]]\ncount = 2\n{idle}"
    );
    let file = written(folder.path(), "idle.toml", &text);
    run(&["sim", "run", &file]).fine();
    let answer = run(&["sim", "run", &file, "--strict"]);
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert!(answer.out.contains(" --strict  # file"), "{}", answer.out);
    assert!(
        answer
            .out
            .contains("`peer-left` of all, which was not reported"),
        "{}",
        answer.out
    );
}

#[test]
fn steps_that_change_nothing_are_warnings_on_reading_and_errors_under_strict() {
    let folder = tempfile::tempdir().unwrap();
    let text = IMPOSSIBLE.replace(
        "[[expect]]",
        "[[at]]\ntime = \"1s\"\nloss = \"0%\"\n\n[[expect]]",
    );
    let file = written(folder.path(), "idle.toml", &text);
    let said = "idle.toml:11: loss: is the loss at that time already";
    let answer = run(&["sim", "run", &file]);
    assert!(answer.err.contains(&format!("{said}\n")), "{}", answer.err);
    assert_eq!(answer.out.matches("already").count(), 0, "{}", answer.out);
    run(&["sim", "list", &file]).fine();
    run(&["sim", "run", &file, "--strict"]).fails(2, &[said]);
}

#[test]
fn bad_files_and_flags_are_code_2_and_name_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let misspelt = IMPOSSIBLE.replace("duration", "durration");
    let file = written(folder.path(), "misspelt.toml", &misspelt);
    run(&["sim", "run", &file]).fails(2, &["misspelt.toml:6", "durration", "duration"]);
    let unknown = written(
        folder.path(),
        "unknown.toml",
        &IMPOSSIBLE.replace("n2", "n9"),
    );
    run(&["sim", "run", &unknown]).fails(2, &["unknown.toml:12", "n9"]);
    run(&["sim", "run", "nowhere.toml"]).fails(2, &["nowhere.toml"]);
    let good = scenario("two-nodes.toml");
    run(&["sim", "run", &good, "--seed", "5..1"]).fails(2, &["5..1", "empty"]);
    run(&["sim", "run", &good, "--engine", "wired"]).fails(2, &["wired", "wire"]);
    run(&["sim", "run", &good, "--seed", "1..2", "--trace", "x"])
        .fails(2, &["--trace", "one seed"]);
    run(&[
        "sim",
        "run",
        &scenario("slow-nodes.toml"),
        "--engine",
        "wire",
    ])
    .fails(2, &["slow-nodes.toml", "wire", "pause"]);
}

#[test]
fn a_trace_is_written_to_a_file_but_not_to_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let trace = text(&folder.path().join("trace.jsonl"));
    run(&["sim", "run", &scenario("two-nodes.toml"), "--trace", &trace]).fine();
    let lines = std::fs::read_to_string(&trace).unwrap();
    assert!(lines.lines().count() > 10);
    let header: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&header["phalanx-trace"], &header["seed"]),
        (&1.into(), &1.into())
    );
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    run(&[
        "sim",
        "run",
        &scenario("two-nodes.toml"),
        "--trace",
        &text(folder.path()),
    ])
    .fails(2, &["cannot be written"]);
}

#[test]
fn a_replay_shows_what_nodes_see_at_an_instant() {
    let file = scenario("partition-heals.toml");
    let cut = run(&[
        "sim", "replay", &file, "--until", "30s", "--node", "n1", "--json",
    ])
    .fine()
    .json();
    let down = cut[0]["members"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["status"] == "down")
        .count();
    assert_eq!((down, &cut[0]["at_ms"]), (15, &30_000.into()));
    let all = run(&["sim", "replay", &file, "--until", "9s", "--json"])
        .fine()
        .json();
    assert!(all.len() == 30 && all.iter().all(|it| it["hash"] == all[0]["hash"]));
    run(&["sim", "replay", &file, "--until", "9s", "--node", "m1"]).fails(2, &["m1", "n1"]);
}

#[test]
fn the_list_and_the_schema_are_json() {
    let folder = text(Path::new(&scenario("")));
    let list = run(&["sim", "list", &folder, "--json"]).fine().json();
    assert!(
        list.iter()
            .any(|it| it["name"] == "thousand-nodes" && it["nodes"] == 1_000)
    );
    let schema: serde_json::Value =
        serde_json::from_str(&run(&["sim", "schema"]).fine().out).unwrap();
    assert!(schema["properties"]["expect"].is_object(), "{schema}");
}

#[test]
fn both_engines_end_in_the_same_state() {
    let runs = run(&[
        "sim",
        "run",
        &scenario("two-nodes.toml"),
        "--engine",
        "both",
        "--json",
    ])
    .fine()
    .json();
    let engines: Vec<&str> = runs.iter().filter_map(|it| it["engine"].as_str()).collect();
    assert_eq!(engines, ["model", "wire"]);
    assert_eq!(runs[1]["same_state_as_model"], true, "{}", runs[1]);
}

#[test]
fn a_scenario_runs_only_in_its_engines() {
    let files = ["certificate-expires.toml", "two-nodes.toml"].map(scenario);
    let runs = run(&["sim", "run", &files[0], &files[1], "--json"]);
    let runs = runs.fine().json();
    let engines: Vec<&str> = runs.iter().filter_map(|it| it["engine"].as_str()).collect();
    assert_eq!(engines, ["wire", "model"]);
    run(&["sim", "run", &files[0], "--engine", "model"]).fails(
        2,
        &["certificate-expires.toml:", "certificate", "engine model"],
    );
}
