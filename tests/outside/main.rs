//! A package outside of the workspace simulates its own machine: it builds, and its own tests pass.

mod guide;

use phalanx_tests::repository;
use std::process::Command;

#[test]
fn the_election_is_simulated_from_a_separate_package() {
    let root = repository();
    let package = root.join("sim/examples/election");
    // Uses the versions that are present already, so nothing is downloaded.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock"))
        .expect("the lock file can be copied");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet", "--target-dir"])
        .arg(root.join("target/election"))
        .current_dir(&package)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("test result: ok"), "{said}");
}
