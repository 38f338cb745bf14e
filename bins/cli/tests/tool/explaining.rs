//! `phalanx sim explain` as a process.

use super::{run, scenario, text};
use serde_json::Value;

/// A node with a full disk is restarted. The pause of another node has no part in the failure.
const FULL_DISK: &str = r#"
scenario = 1
name = "full-disk"
about = "A node with a full disk is restarted, and another node is paused."
engines = ["model"]
duration = "30s"
recovery = "10s"

[[nodes]]
count = 5

[[at]]
time = "5s"
disk = { who = "n4", fault = "full" }
for = "20s"

[[at]]
time = "8s"
pause = { who = "n2", for = "1s" }

[[at]]
time = "12s"
restart = { who = "n4" }

[[expect]]
eventually = { sees = { who = "n1", of = "n4", as = "alive" } }
from = "20s"
within = "4s"
"#;

#[test]
fn the_faults_that_a_run_needs_are_named_with_the_runs_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = text(&folder.path().join("full-disk.toml"));
    std::fs::write(&file, FULL_DISK).unwrap();
    let words = ["sim", "explain", &file, "--seed", "3"];
    let answer = run(&words).fine();
    let joined = answer.out.replace('\n', " ");
    for words in [
        "With seed 3, full-disk fails at 24 s because of two faults together.",
        "The disk of n4 is full from 5 s to 25 s (line 12).",
        "without the restart of n4 at 12 s, 20 of 20 pass",
        "RUNS OF THE FILE",
        "again:   phalanx sim run ",
        "smaller: phalanx sim shrink ",
    ] {
        assert!(joined.contains(words), "{words}: {}", answer.out);
    }
    assert!(!joined.contains("pause"), "{}", answer.out);
    let widest = answer
        .out
        .lines()
        .take_while(|line| !line.starts_with("RUNS"));
    assert!(widest.map(str::len).max() <= Some(100), "{}", answer.out);

    let json = run(&[&words[..], &["--json"]].concat())
        .fine()
        .json()
        .remove(0);
    assert_eq!(json["outcome"], "explained");
    assert_eq!(json["need"], "needed");
    assert_eq!(json["sets"], serde_json::json!([[0, 1]]));
    assert_eq!(json["faults"][0]["line"], 12);
    assert_eq!(json["faults"][0]["nodes"], serde_json::json!(["n4"]));
    assert_eq!(json["faults"][1]["without"]["passed"], 20);
    assert_eq!(json["explanation"]["observer"], "n1");
    assert_eq!(json["complete"], true);
    let paragraph = json["paragraph"].as_str().unwrap();
    assert!(joined.contains(paragraph), "{paragraph}\n{joined}");
    assert_eq!(json["failure"]["reproduce"], json["reproduce"]);

    // A limit of runs ends the analysis with what it has.
    let few = run(&[&words[..], &["--runs", "30", "--json"]].concat()).fine();
    let few: Value = few.json().remove(0);
    assert_eq!(few["complete"], false);
    assert!(few["runs"].as_u64() <= Some(30), "{few}");
}

#[test]
fn a_run_that_passes_has_an_exit_code_of_its_own() {
    let good = scenario("two-nodes.toml");
    let words = ["sim", "explain", &good, "--seed", "1"];
    let answer = run(&words);
    assert_eq!(answer.code, 4, "{}{}", answer.out, answer.err);
    assert!(
        answer.out.contains("passes: there is nothing to explain"),
        "{}",
        answer.out
    );
    let answer = run(&[&words[..], &["--json"]].concat());
    assert_eq!(answer.code, 4);
    assert_eq!(answer.json()[0]["outcome"], "passes");
    run(&["sim", "explain", &good]).fails(2, &["--seed"]);
    run(&["sim", "explain", "no-such.toml", "--seed", "1"]).fails(2, &["no-such.toml"]);
}

#[test]
fn planted_bugs_are_taken_and_are_in_the_printed_commands() {
    let file = scenario("crash-and-restart.toml");
    let planted = ["--sabotage", "no-detection"];
    let words = ["sim", "explain", &file, "--seed", "1"];
    let answer = run(&[&words[..], &planted].concat()).fine();
    let joined = answer.out.replace('\n', " ");
    for words in [
        "The expectation is about the crash of n5 at 8 s",
        "Without the planted bug `no-detection`, 20 of 20 pass.",
        "--seed 1 --engine model --sabotage no-detection  # file ",
        "--seed 1 --sabotage no-detection -o small.toml",
    ] {
        assert!(joined.contains(words), "{words}: {}", answer.out);
    }
    let unknown = run(&[&words[..], &["--sabotage", "no-detektion"]].concat());
    unknown.fails(2, &["did you mean `no-detection`?"]);
}
