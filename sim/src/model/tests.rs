//! The engine with the real machines, small.

use super::{Options, run};
use crate::scenario::Scenario;

fn scenario(name: &str) -> Scenario {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios")
        .join(name);
    Scenario::load(&path).unwrap()
}

#[test]
fn a_cold_join_runs() {
    let outcome = run(&scenario("cold-join.toml"), 1, Options::default()).unwrap();
    assert_eq!(
        outcome.failures,
        [],
        "{}",
        serde_json::to_string_pretty(&outcome).unwrap()
    );
}
