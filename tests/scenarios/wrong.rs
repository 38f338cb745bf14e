//! Every wrong scenario file is refused with file, line, key and mend. One fault a file; what is said about it is
//! kept in `wrong/errors.txt`, written anew by `make golden`.

use phalanx_sim::scenario::Scenario;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/wrong")
}

fn files() -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder can be read");
    let names = entries.map(|entry| entry.expect("its entries too").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".toml")).collect()
}

#[test]
fn golden_errors_of_wrong_files() {
    let mut said = String::new();
    for name in files() {
        let path = folder().join(&name);
        // Some mistakes show only when the choices are made.
        let error = Scenario::load(&path).and_then(|scenario| scenario.plan(1).map(|_| ()));
        let error = error.expect_err(&name);
        assert!(error.line >= 1, "{name} names no line: {error}");
        assert!(
            !error.key.is_empty() || name == "not-toml.toml",
            "{name} names no key: {error}"
        );
        // The folder stands elsewhere on another machine.
        let text = error
            .to_string()
            .replace(&format!("{}/", folder().display()), "");
        writeln!(said, "{text}").expect("a text takes everything");
    }
    let golden = folder().join("errors.txt");
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&golden, &said).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&golden).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(said.lines())
        .find(|(kept, said)| kept != said);
    assert!(
        kept == said,
        "run `make golden` and read the difference, which begins with {differs:#?}"
    );
}

#[test]
fn there_are_many_and_each_mends_another_mistake() {
    assert!(files().len() >= 40);
    let golden = std::fs::read_to_string(folder().join("errors.txt")).expect("it is there");
    let without_place = |line: &str| line.split_once(": ").map(|(_, rest)| rest.to_owned());
    let distinct: BTreeSet<_> = golden.lines().filter_map(without_place).collect();
    // A few mistakes are alike in words and differ in their place.
    assert!(
        distinct.len() + 5 >= golden.lines().count(),
        "{}",
        distinct.len()
    );
}
