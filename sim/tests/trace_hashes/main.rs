//! Trace hashes of every scenario of the model engine, on five seeds each, against a kept list.
//!
//! A change of structure keeps all of them. A change that moves one is a commit of its own, which writes the list
//! again (`make golden`) and states the cause.

mod kept_runs;

use kept_runs::{LARGE, check, names};

/// The seeds of each scenario.
const SEEDS: core::ops::RangeInclusive<u64> = 1..=5;

#[test]
fn trace_hashes_of_all_scenarios_are_as_kept() {
    let names: Vec<String> = names().into_iter().filter(|name| name != LARGE).collect();
    assert!(names.len() >= 30, "{names:?}");
    check("trace_hashes.txt", &names, SEEDS);
}
