//! Checks that packages outside of the workspace can simulate their own programs: they build, and their own tests pass.

mod guide;

use phalanx_tests::repository;
use std::process::Command;

/// Runs the tests of an example package with the dependencies that the workspace has locked.
fn passes(example: &str) {
    let root = repository();
    let package = root.join("sim/examples").join(example);
    // Uses the dependency versions that are already present, so nothing is downloaded.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock"))
        .expect("the lock file can be copied");
    // The examples have the workspace's settings of dependencies, so that cargo finds these built in the common folder.
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet", "--target-dir"])
        .arg(root.join("target"))
        .current_dir(&package)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("test result: ok"), "{said}");
}

#[test]
fn the_election_is_simulated_from_a_package_of_its_own() {
    passes("election");
}

#[test]
fn the_counter_is_simulated_from_a_package_of_its_own() {
    passes("counter");
}

#[test]
fn the_queue_is_simulated_from_a_package_of_its_own() {
    passes("queue");
}

#[test]
fn the_fleet_is_simulated_from_a_package_of_its_own() {
    passes("fleet");
}

#[test]
fn the_registry_is_simulated_from_a_package_of_its_own() {
    passes("registry");
}
