//! Tests that every wrong scenario file is rejected with file, line, key and fix. Each file contains one error; the
//! messages are in `wrong/errors.txt`, which `make golden` rewrites.

use phalanx_sim::scenario::Scenario;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/wrong")
}

fn files() -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder()).expect("the directory can be read");
    let names = entries.map(|entry| {
        entry
            .expect("an entry of the directory can be read")
            .file_name()
    });
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".toml")).collect()
}

#[test]
fn golden_errors_of_wrong_files() {
    let mut said = String::new();
    for name in files() {
        let path = folder().join(&name);
        // Some errors appear only when the plan is drawn.
        let error = Scenario::load(&path).and_then(|scenario| scenario.plan(1).map(|_| ()));
        let error = error.expect_err(&name);
        assert!(error.line >= 1, "{name}: the error has no line: {error}");
        assert!(
            !error.key.is_empty() || name == "not-toml.toml",
            "{name}: the error has no key: {error}"
        );
        // The path of the directory differs between machines.
        let text = error
            .to_string()
            .replace(&format!("{}/", folder().display()), "");
        writeln!(said, "{text}").expect("writing to a string cannot fail");
    }
    let golden = folder().join("errors.txt");
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&golden, &said).expect("the golden file is writable");
    }
    let kept = std::fs::read_to_string(&golden).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(said.lines())
        .find(|(kept, said)| kept != said);
    assert!(
        kept == said,
        "the errors differ from the golden file; run `make golden` and read the difference, which begins with {differs:#?}"
    );
}

#[test]
fn there_are_at_least_forty_wrong_files_with_different_errors() {
    assert!(files().len() >= 40);
    let golden =
        std::fs::read_to_string(folder().join("errors.txt")).expect("the golden file can be read");
    let without_place = |line: &str| line.split_once(": ").map(|(_, rest)| rest.to_owned());
    let distinct: BTreeSet<_> = golden.lines().filter_map(without_place).collect();
    // A few errors have the same text and differ only in their place.
    assert!(
        distinct.len() + 5 >= golden.lines().count(),
        "{}",
        distinct.len()
    );
}
