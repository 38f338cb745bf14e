//! Trace hashes of every scenario of the model engine, with five seeds each, compared with a stored list.
//!
//! A change of structure keeps all hashes. A change that alters a hash is a commit of its own, which rewrites the list
//! (`make golden`) and states the cause.

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
