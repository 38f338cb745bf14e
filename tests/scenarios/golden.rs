//! Transcripts of small scenarios under scenarios/golden, a readable introduction to the protocol.
//! `make golden` rewrites them.

use phalanx_sim::mesh::MESH;
use phalanx_sim::record::{Recording, transcript};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::{RunOptions, run};

const SEED: u64 = 1;

fn golden(name: &str) {
    let scenarios = phalanx_tests::repository().join("scenarios");
    let scenario = Scenario::load(&scenarios.join(format!("{name}.toml")))
        .expect("the file is a valid scenario");
    let mut recording = Recording::new(
        &scenario,
        scenario.plan(SEED).expect("the scenario can be planned"),
    );
    let options = RunOptions {
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    run(&MESH, &scenario, SEED, options).expect("the scenario supports this engine");
    let mut text = transcript::lines(&recording, SEED).join("\n");
    text.push('\n');
    let path = scenarios.join("golden").join(format!("{name}.txt"));
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &text).expect("the directory is writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).find(|(one, two)| one != two);
    assert!(
        kept == text,
        "scenarios/golden/{name}.txt differs from the run; run `make golden` and read the difference, which begins \
         with {differs:?}"
    );
}

#[test]
fn golden_transcript_of_two_nodes() {
    golden("two-nodes");
}

#[test]
fn golden_transcript_of_graceful_leave() {
    golden("graceful-leave");
}

#[test]
fn golden_transcript_of_early_crash() {
    golden("early-crash");
}
