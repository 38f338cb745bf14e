//! Output files: an output file is never an input, two outputs never have the same path, and both are checked before
//! the run.

use super::{Answer, run, scenario, text};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Copies a scenario, with an included file; returns its path.
fn copied(folder: &Path) -> String {
    let good = std::fs::read_to_string(scenario("two-nodes.toml")).unwrap();
    let expect = good.find("[[expect]]").unwrap();
    let head = good[..expect].replacen("engines", "include = [\"more.toml\"]\nengines", 1);
    std::fs::write(folder.join("more.toml"), &good[expect..]).unwrap();
    std::fs::write(folder.join("it.toml"), head).unwrap();
    text(&folder.join("it.toml"))
}

fn sweep(file: &str, flags: &[&str]) -> Answer {
    run(&[&["sim", "run", file], flags].concat())
}

#[test]
fn an_output_never_replaces_an_input() {
    let place = tempfile::tempdir().unwrap();
    let file = copied(place.path());
    let at = |name: &str| text(&place.path().join(name));
    symlink("it.toml", at("link")).unwrap();
    std::fs::hard_link(&file, at("hard")).unwrap();
    let before = std::fs::read(&file).unwrap();
    for flag in ["--trace", "--report", "--junit"] {
        for name in ["it.toml", "./it.toml", "link", "hard", "more.toml"] {
            sweep(&file, &[flag, &at(name)]).fails(2, &[flag, "is an input"]);
        }
    }
    run(&["sim", "shrink", &file, "--seed", "1", "-o", &at("hard")])
        .fails(2, &["--output", "is an input"]);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // A search that starts from a file with the name of its result chooses another name.
    let found = at("two-nodes-1.toml");
    std::fs::copy(scenario("two-nodes.toml"), &found).unwrap();
    let words = ["--sabotage", "no-detection", "--runs", "20", "--json"];
    let out = text(place.path());
    let answer = run(&[&["sim", "search", &found, "--out", &out], &words[..]].concat());
    assert_eq!(answer.code, 1, "{}", answer.err);
    let written = answer.json()[0]["found"]["file"].clone();
    assert_ne!(written, found.as_str());
}

#[test]
fn outputs_are_checked_before_the_run() {
    let place = tempfile::tempdir().unwrap();
    let good = scenario("two-nodes.toml");
    let one = text(&place.path().join("one"));
    let same = text(&place.path().join("./one"));
    sweep(&good, &["--report", &one, "--junit", &same])
        .fails(2, &["--junit", "the output of --report too"]);
    for flag in ["--trace", "--report", "--junit"] {
        let missing = text(&place.path().join("no/file"));
        sweep(&good, &[flag, &missing]).fails(2, &[flag, "does not exist; create it first"]);
        sweep(&good, &[flag, "-"]).fails(2, &[flag, "/dev/stdout"]);
    }
    run(&["sim", "search", &good, "--out", "/proc/no"]).fails(2, &["--out", "cannot be written"]);
    assert!(std::fs::read_dir(place.path()).unwrap().next().is_none());
}

#[test]
fn an_output_that_fails_at_the_end_is_an_error_and_the_verdict_is_printed() {
    let place = tempfile::tempdir().unwrap();
    let good = scenario("two-nodes.toml");
    let bad = super::simulator::impossible(place.path());
    for flag in ["--trace", "--report", "--junit"] {
        let answer = sweep(&good, &[flag, "/dev/full"]);
        answer.fails(2, &["/dev/full cannot be written"]);
        assert!(
            answer.out.contains("1 run, 1 passed"),
            "{flag}: {}",
            answer.out
        );
        let answer = sweep(&bad, &[flag, "/dev/full"]);
        answer.fails(1, &["/dev/full cannot be written"]);
        assert!(answer.out.contains("1 failed"), "{flag}: {}", answer.out);
    }
}
