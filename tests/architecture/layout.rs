//! Tests of the top level of the repository, and of the help and version of each binary.

use phalanx_tests::{binary, repository};
use std::process::Command;

/// Files and directories allowed at the top level: those of the product, and those common in repositories.
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

/// Files that tools create at the top level and that .gitignore lists.
const LEFT_BY_TOOLS: &[&str] = &[
    "target",
    ".run",
    "result",
    ".direnv",
    "mutants.out",
    "mutants.out.old",
];

#[test]
fn the_top_level_contains_exactly_the_allowed_files() {
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
            "{name} is not allowed at the top level of the repository; move it into a directory"
        );
    }
    for name in TOP.iter().filter(|name| **name != ".git") {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is missing at the top level of the repository"
        );
    }
}

#[test]
fn every_binary_prints_its_help_and_version() {
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
                "{name} {flag} does not print {expected:?}:\n{text}"
            );
        }
    }
}

#[test]
fn continuous_integration_runs_make_test() {
    let script =
        std::fs::read_to_string(repository().join(".ci/run")).expect(".ci/run can be read");
    assert!(
        script.lines().any(|line| line.trim() == "exec make test"),
        ".ci/run does not call `make test`"
    );
}
