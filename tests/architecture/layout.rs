//! What stands at the top of the tree, and that each binary introduces itself.

use phalanx_tests::{binary, repository};
use std::process::Command;

/// What may stand at the top: the product's folders, and what every good repository has.
const TOP: &[&str] = &[
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "bins",
    "clippy.toml",
    "core",
    "deny.toml",
    "docs",
    "flake.nix",
    "net",
    "rustfmt.toml",
    "scenarios",
    "sim",
    "tests",
];

/// What tools leave there; .gitignore names it.
const LEFT_BY_TOOLS: &[&str] = &[
    "target",
    ".run",
    "result",
    ".direnv",
    "mutants.out",
    "mutants.out.old",
];

#[test]
fn the_top_of_the_tree_holds_what_it_may_and_no_more() {
    let names: Vec<String> = std::fs::read_dir(repository())
        .expect("the repository can be listed")
        .map(|entry| {
            entry
                .expect("an entry can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    for name in &names {
        let known = TOP.contains(&name.as_str()) || LEFT_BY_TOOLS.contains(&name.as_str());
        assert!(
            known,
            "{name} may not stand at the top of the repository; find its place below"
        );
    }
    for name in TOP.iter().filter(|name| **name != ".git") {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is missing at the top of the repository"
        );
    }
}

#[test]
fn every_binary_says_what_it_is() {
    for name in ["phalanx", "phalanxd", "phalanx-sim-wire"] {
        for (flag, expected) in [
            ("--help", "Usage"),
            ("--version", env!("CARGO_PKG_VERSION")),
        ] {
            let output = Command::new(binary(name))
                .arg(flag)
                .output()
                .expect("the binary starts");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success(),
                "{name} {flag} ended with {}",
                output.status
            );
            assert!(
                text.contains(expected),
                "{name} {flag} does not say {expected:?}:\n{text}"
            );
        }
    }
}

#[test]
fn continuous_integration_runs_what_people_run() {
    let script =
        std::fs::read_to_string(repository().join(".ci/run")).expect(".ci/run can be read");
    assert!(
        script.lines().any(|line| line.trim() == "exec make test"),
        ".ci/run does not call `make test`"
    );
}
