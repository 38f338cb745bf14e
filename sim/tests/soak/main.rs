//! Runs that are too long for `make test`; `make soak` runs them.

#[path = "../trace_hashes/kept_runs.rs"]
mod kept_runs;

use kept_runs::{LARGE, check, names};

#[test]
fn trace_hash_of_a_thousand_nodes_is_as_kept() {
    assert!(names().iter().any(|name| name == LARGE));
    check("trace_hashes_soak.txt", &[LARGE.to_owned()], 1..=1);
}
