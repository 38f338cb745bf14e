//! Tests that a mesh forms at every latency for which the protocol has timeouts, on various kinds of slow networks.

use phalanx_sim::mesh::MESH;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{RunOptions, run};

/// A mesh of three nodes on a slow network.
const THREE: &str = r#"
scenario = 1
name = "three-on-a-slow-network"
about = "Three machines on a slow network, which form a mesh and stay in it, whatever the latency of its links is."
engines = ["model"]
duration = "60s"
recovery = "60s"

[[nodes]]
count = 3

NETWORK

[[expect]]
eventually = { converged = true }
from = "1s"
within = "50s"

[[expect]]
metric = "false-deaths"
max = 0
"#;

fn forms(network: &str) {
    let text = THREE.replace("NETWORK", network);
    let scenario = Scenario::parse("latencies.toml", &text).unwrap_or_else(|why| panic!("{why}"));
    for seed in 1..=5 {
        let outcome =
            run(&MESH, &scenario, seed, RunOptions::default()).expect("the model runs it");
        assert!(
            outcome.failures.is_empty(),
            "{network}, seed {seed}: {:?}",
            outcome.failures
        );
    }
}

#[test]
fn a_mesh_forms_at_every_latency() {
    for millis in [
        50, 100, 140, 180, 200, 210, 225, 240, 250, 260, 300, 375, 400, 500, 650, 800, 1_000,
        1_200, 1_400, 1_600,
    ] {
        forms(&format!("[network]\nlatency = \"{millis}ms\""));
    }
}

#[test]
fn a_mesh_forms_on_varying_lossy_narrow_and_one_way_slow_links() {
    for network in [
        "[network]\nlatency = \"200ms..1200ms\"",
        "[network]\nlatency = \"exponential 300ms from 300ms\"",
        "[network]\nlatency = \"log-normal 400ms p99 2s\"",
        "[network]\nlatency = \"600ms\"\nloss = \"5%\"",
        "[network]\nlatency = \"500ms\"\nbandwidth = \"32kbit\"",
        "[[link]]\nfrom = \"n1\"\nto = \"n2, n3\"\nlatency = \"1500ms\"\ndirection = \"out\"",
        "[[link]]\nfrom = \"n3\"\nto = \"all\"\nlatency = \"1s\"",
    ] {
        forms(network);
    }
}
