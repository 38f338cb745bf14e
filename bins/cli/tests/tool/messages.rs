//! Messages: each names the line that must change and the change, in plain words, with commands that can be pasted.

use super::{Answer, run, scenario, text, tool};
use std::path::Path;

const HEAD: &str = "scenario = 1\nname = \"it\"\nabout = \"A scenario of a test.\"\nengines = [\"model\"]\nduration = \"5s\"\n\
                    recovery = \"20s\"\n[[nodes]]\ncount = 2\n";
const EXPECT: &str = "[[expect]]\neventually = { converged = true }\n";

fn written(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    text(&path)
}

/// Runs a scenario with these tables in the wire engine.
fn wire(folder: &Path, tables: &str) -> Answer {
    let file = written(folder, "it.toml", &format!("{HEAD}{tables}{EXPECT}"));
    run(&["sim", "run", &file, "--engine", "wire"])
}

#[test]
fn an_engine_that_cannot_run_a_file_names_the_line_of_the_obstacle_and_the_mend() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    wire(place, "").fails(2, &["it.toml:4: engines", "add \"wire\" to `engines`"]);
    let partition = "[[at]]\ntime = \"2s\"\npartition = { halves = true }\n";
    wire(place, partition).fails(2, &["it.toml:4: engines", "add \"wire\""]);
    let network = "[network]\nlatency = \"1ms\"\nloss = \"5%\"\n";
    wire(place, network).fails(2, &["it.toml:11: loss", "use --engine model"]);
    let link = "[[link]]\nfrom = \"n1\"\nto = \"n2\"\nbandwidth = \"1Mbit\"\n";
    wire(place, link).fails(2, &["it.toml:9: link", "bandwidth"]);
    let pause = "[[at]]\ntime = \"2s\"\npause = { who = \"n1\", for = \"1s\" }\n";
    wire(place, pause).fails(2, &["it.toml:9: pause", "use --engine model"]);
    let expired = scenario("certificate-expires.toml");
    run(&["sim", "run", &expired, "--engine", "model"]).fails(2, &["certificate", "engine model"]);
}

#[test]
fn several_files_are_searched_and_run_without_those_that_the_engine_cannot_run() {
    let place = tempfile::tempdir().unwrap();
    let [good, bad] = ["two-nodes.toml", "certificate-expires.toml"].map(scenario);
    let out = text(place.path());
    let words = ["sim", "search", &good, &bad, "--runs", "2", "--out", &out];
    let answer = run(&words);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains("left aside: ") && answer.err.contains(&bad),
        "{}",
        answer.err
    );
    let answer = run(&["sim", "run", &good, &bad, "--engine", "model", "--json"]);
    assert_eq!((answer.code, answer.json().len()), (0, 1), "{}", answer.err);
    let verdicts = text(&place.path().join("verdicts.xml"));
    let junit = ["--engine", "model", "--junit", &verdicts];
    run(&[&["sim", "run", &good, &bad], &junit[..]].concat()).fine();
    let xml = std::fs::read_to_string(&verdicts).unwrap();
    assert!(
        xml.contains(r#"tests="2" failures="0" skipped="1""#)
            && xml.contains(r#"<testcase classname="certificate-expires" name="left aside""#)
            && xml.contains("<skipped message=\"")
            && xml.contains(&bad),
        "{xml}"
    );
    run(&["sim", "search", &bad]).fails(2, &[&bad]);
    for name in ["one", "two"] {
        let text = format!("{HEAD}{EXPECT}").replace("\"it\"", &format!("\"{name}\""));
        written(place.path(), &format!("{name}.toml"), &text);
    }
    let answer = run(&["sim", "run", &out, "--json", "--jobs", "1"]).fine();
    assert_eq!(answer.json().len(), 2, "a directory stands for its files");
}

#[test]
fn a_file_of_first_attempts_is_told_all_missing_keys_in_plain_words() {
    let place = tempfile::tempdir().unwrap();
    let first = written(
        place.path(),
        "it.toml",
        "scenario = 1\n[[nodes]]\ncount = 2\n",
    );
    run(&["sim", "run", &first]).fails(2, &["name, about, engines, duration, expect: are missing"]);
    let negative = format!("{HEAD}{EXPECT}").replace("count = 2", "count = -5");
    let negative = written(place.path(), "it.toml", &negative);
    run(&["sim", "run", &negative]).fails(2, &["it.toml:8: count", "a whole number", "-5"]);
    let group = "[[at]]\ntime = \"2s\"\npause = { who = \"n\", for = \"1s\" }\n";
    let group = format!("{HEAD}{group}{EXPECT}");
    run(&["sim", "run", &written(place.path(), "it.toml", &group)]).fine();
}

#[test]
fn positions_outside_of_a_run_and_backward_ranges_are_refused() {
    let good = scenario("two-nodes.toml");
    let replay = |flag: &str, value: &str| run(&["sim", "replay", &good, flag, value]);
    replay("--until", "9999s").fails(2, &["--until 9999s", "the run ends at"]);
    replay("--until", "5s..2s").fails(2, &["5s..2s", "goes backwards"]);
    replay("--event", "5..3").fails(2, &["5..3", "goes backwards"]);
    replay("--until", "-1s").fails(2, &["-1s", "is not a valid duration"]);
    for flags in [["search", "--for"], ["run", "--wall-limit"]] {
        let [command, flag] = flags;
        run(&["sim", command, &good, flag, "-1s"]).fails(2, &["`-1s` is not a valid duration"]);
    }
    let answer = run(&["sim", "run", &good, "--seed", "-1"]);
    answer.fails(2, &["`-1` is neither a seed nor a range"]);
    assert!(!answer.err.contains("use '-- "), "{}", answer.err);
    run(&["sim", "run", &good, "--engine", "foo"]).fails(2, &["model, wire, madsim, both"]);
}

#[test]
fn planted_bugs_are_in_the_help_and_are_taken_by_replay_and_diff() {
    for command in [
        "run", "search", "shrink", "explain", "soak", "replay", "diff",
    ] {
        let help = run(&["sim", command, "--help"]).fine();
        let words = ["--sabotage", "no-detection", "opens-twice"];
        assert!(
            words.iter().all(|word| help.out.contains(word)),
            "{}",
            help.out
        );
    }
    let good = scenario("two-nodes.toml");
    let state = |flags: &[&str]| {
        let words = ["sim", "replay", &good, "--until", "20s", "--json"];
        run(&[&words[..], flags].concat()).fine().out
    };
    assert_ne!(state(&[]), state(&["--sabotage", "no-detection"]));
    let words = ["sim", "diff", &good, "--seed", "1", "1"];
    let planted = [&words[..], &["--sabotage", "no-detection"]].concat();
    run(&planted).fine();
    run(&[
        "sim",
        "replay",
        &good,
        "--until",
        "1s",
        "--sabotage",
        "no-detectio",
    ])
    .fails(2, &["no-detection"]);
    let place = tempfile::tempdir().unwrap();
    let trace = text(&place.path().join("trace"));
    run(&["sim", "run", &good, "--trace", &trace]).fine();
    run(&[
        "sim",
        "replay",
        &trace,
        "--until",
        "1s",
        "--sabotage",
        "no-graft",
    ])
    .fails(2, &["a trace contains the planted bugs"]);
}

#[test]
fn printed_commands_keep_planted_bugs_and_are_quoted_for_a_shell() {
    let place = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(scenario("two-nodes.toml")).unwrap();
    let name = "-it's a file.toml";
    std::fs::write(place.path().join(name), good).unwrap();
    let sim = |words: &[&str]| {
        let output = tool(&[&["sim"], words].concat())
            .current_dir(place.path())
            .output();
        let output = output.unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    // A shell runs a printed command, with the tool of this test.
    let paste = |command: &str| {
        let tool = env!("CARGO_BIN_EXE_phalanx");
        let command = command.replacen("phalanx", tool, 1);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).current_dir(place.path());
        shell.output().unwrap().status.code()
    };
    let after = |text: &str, word: &str| -> String {
        let line = text.lines().find_map(|line| line.split_once(word));
        line.unwrap_or_else(|| panic!("{word:?} is not in: {text}"))
            .1
            .trim()
            .to_owned()
    };
    let planted = ["--sabotage", "no-detection"];
    let said = sim(&[&["run", &format!("./{name}")], &planted[..]].concat());
    assert_eq!(paste(&after(&said, "reproduce:")), Some(1), "{said}");
    let out = "-found here";
    let file = format!("./{name}");
    let search = ["search", &file, "--runs", "20", "--out=-found here"];
    let said = sim(&[&search[..], &planted[..]].concat());
    assert_eq!(paste(&after(&said, "again:")), Some(1), "{said}");
    let smaller = after(&said, "smaller:");
    assert_eq!(paste(&smaller), Some(0), "{said}");
    let small = std::fs::read_to_string(place.path().join("small.toml")).unwrap();
    let again = small
        .lines()
        .find_map(|line| line.strip_prefix("# phalanx "));
    let again = format!("phalanx {}", again.unwrap());
    assert!(again.contains("--sabotage no-detection"), "{again}");
    assert_eq!(paste(&again), Some(1), "{again}");
    let mut found = std::fs::read_dir(place.path().join(out)).unwrap();
    let found = std::fs::read_to_string(found.next().unwrap().unwrap().path()).unwrap();
    let again = found
        .lines()
        .find_map(|line| line.strip_prefix("# phalanx "));
    assert_eq!(
        paste(&format!("phalanx {}", again.unwrap())),
        Some(1),
        "{found}"
    );
}

#[test]
fn a_comparison_of_engines_says_when_nothing_is_compared() {
    let place = tempfile::tempdir().unwrap();
    let other = format!("{HEAD}{EXPECT}").replace("[\"model\"]", "[\"model\", \"wire\"]");
    let other = written(place.path(), "other.toml", &other);
    let answer = run(&["sim", "run", &other, "--engine", "both"]);
    let words = "not `confluent`, so the final states of model and wire are not compared";
    assert!(answer.out.contains(words), "{}{}", answer.out, answer.err);
    let good = scenario("two-nodes.toml");
    let answer = run(&["sim", "run", &good, "--engine", "both"]).fine();
    assert!(!answer.out.contains("not compared"), "{}", answer.out);
}

#[test]
fn a_timeline_has_the_width_of_columns_and_a_run_names_both_counts_of_events() {
    let good = scenario("two-nodes.toml");
    let width = |columns: &str| {
        let mut command = tool(&["sim", "run", &good, "--timeline"]);
        let output = command.env("COLUMNS", columns).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let lane = out.lines().find(|line| line.starts_with("n1 "));
        lane.unwrap_or_else(|| panic!("{out}")).chars().count()
    };
    let (narrow, wide) = (width("60"), width("150"));
    assert!(narrow <= 60 && wide > 100, "{narrow} {wide}");
    let place = tempfile::tempdir().unwrap();
    let trace = text(&place.path().join("trace"));
    let answer = run(&["sim", "run", &good, "--json", "--trace", &trace]).fine();
    let lines = std::fs::read_to_string(&trace).unwrap();
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(answer.json()[0]["trace_events"], last["event"]);
}
