//! Tests of the analysis: it names the faults that a run needs and no others, and says how often the file passes without
//! each of them.

use super::words::moment;
use super::*;
use crate::explanation::sample::{has, head, line_of};
use crate::explanation::{Explanation, explain};
use crate::mesh::MESH;
use crate::record::Recording;
use crate::runner::Model;
use crate::{RunOptions, run as run_model};

const HEAD: &str = head!("10s");

/// A node that is restarted while its disk is full does not start. The pause of another node has no part in that.
const FULL_DISK: &str = r#"
[[nodes]]
count = 5
[[at]]
time = "5s"
disk = { who = "n4", fault = "full" }
for = "20s"
[[at]]
time = "8s"
pause = { who = "n2", for = "1s" }
[[at]]
time = "12s"
restart = { who = "n4" }
[[expect]]
eventually = { sees = { who = "n1", of = "n4", as = "alive" } }
from = "20s"
within = "4s"
"#;

fn parsed(text: &str) -> Scenario {
    Scenario::parse("explained.toml", &format!("{HEAD}{text}")).unwrap()
}

/// Analyses seed 1, at most with this number of runs.
fn analysed(scenario: &Scenario, sabotage: &[String], runs_max: usize) -> Option<MinimalFaults> {
    let runner = Model(&MESH);
    let subject = SystemUnderTest {
        runner: &runner,
        sabotage,
    };
    minimal_faults(
        subject,
        scenario,
        1,
        &mut |runs| runs < runs_max,
        &mut |_| {},
    )
    .unwrap()
}

/// Analyses seed 1 to the end; returns the result and its paragraph.
fn explained(text: &str, sabotage: &[&str]) -> (MinimalFaults, String) {
    let (found, _, paragraph) = with_explanation(text, sabotage);
    (found, paragraph)
}

/// Analyses seed 1 to the end; returns the result, the explanation of the failure and the paragraph.
fn with_explanation(text: &str, sabotage: &[&str]) -> (MinimalFaults, Explanation, String) {
    let scenario = parsed(text);
    let sabotage: Vec<String> = sabotage.iter().map(|name| (*name).to_owned()).collect();
    let found = analysed(&scenario, &sabotage, usize::MAX).expect("the run fails");
    assert!(found.minimal && found.complete);
    let mut recording = Recording::new(&scenario, scenario.plan(1).unwrap());
    let options = RunOptions {
        recorder: Some(&mut recording),
        sabotage: sabotage.clone(),
        ..RunOptions::default()
    };
    run_model(&MESH, &scenario, 1, options).unwrap();
    let failures = [found.failure.clone()];
    let explanation = explain(&MESH, &recording, &failures, &sabotage).remove(0);
    let paragraph = found.paragraph(&scenario, Some(&explanation), &sabotage);
    (found, explanation, paragraph)
}

fn names(found: &MinimalFaults) -> Vec<&str> {
    found
        .faults
        .iter()
        .map(|fault| fault.name.as_str())
        .collect()
}

#[test]
fn two_causes_are_named_and_an_irrelevant_fault_is_not() {
    let (found, paragraph) = explained(FULL_DISK, &[]);
    assert_eq!(
        names(&found),
        ["the disk fault of n4 at 5 s", "the restart of n4 at 12 s"]
    );
    assert_eq!(found.sets, [[0, 1]]);
    assert_eq!(found.of_file, 3);
    for fault in &found.faults {
        assert!(
            fault.without.passed >= 18 && fault.without.seeds == SEEDS,
            "{fault:?}"
        );
        assert_eq!(fault.nodes, ["n4"]);
    }
    assert_eq!(found.faults[0].line, Some(line_of(FULL_DISK, "disk")));
    assert_eq!(
        (found.faults[0].from_ms, found.faults[0].to_ms),
        (Some(5_000), Some(25_000))
    );
    assert!(
        !paragraph.contains("pause") && !paragraph.contains("n2"),
        "{paragraph}"
    );
    has(&paragraph, &["The other fault of the file is not needed."]);
}

#[test]
fn golden_paragraph_of_two_causes() {
    let (_, explanation, paragraph) = with_explanation(FULL_DISK, &[]);
    // These two times depend on the timers of the mesh.
    let heard = moment(Duration::from_nanos(explanation.heard.unwrap().at));
    let learnt = moment(Duration::from_nanos(explanation.learnt.unwrap().at));
    let expected = format!(
        "With seed 1, explained fails at 24 s because of two faults together. The disk of n4 is full from 5 s to 25 s \
         (line 11). n4 is restarted at 12 s (line 18). n1 last received a message from n4 at {heard}. n1 changed its \
         view of n4 from suspect to down at {learnt}, by its own timer. At 24 s, n1 sees n4 as Down; line 21 expects \
         `sees = {{ who = \"n1\", of = \"n4\", as = \"alive\" }}` at some time from 20 s to 24 s. With all faults of the \
         file, 20 of 20 seeds fail in this way; without the disk fault of n4 at 5 s, 20 of 20 pass; without the restart \
         of n4 at 12 s, 20 of 20 pass. The other fault of the file is not needed."
    );
    assert_eq!(paragraph, expected);
}

#[test]
fn two_faults_that_are_each_enough_are_alternatives() {
    let again = "[[at]]\ntime = \"16s\"\nrestart = { who = \"n4\" }\n[[expect]]";
    let (found, paragraph) = explained(&FULL_DISK.replace("[[expect]]", again), &[]);
    assert_eq!(found.sets.len(), 2, "{found:?}");
    let without: Vec<usize> = found.faults.iter().map(|it| it.without.passed).collect();
    assert_eq!(without, [20, 0, 0]);
    assert_eq!(found.without_alternatives.map(|it| it.passed), Some(20));
    has(
        &paragraph,
        &[
            "Either of these alternatives is enough in addition: n4 is restarted at ",
            "with which 20 of 20 seeds fail; or n4 is restarted at ",
            "without any of the alternatives, 20 of 20 pass",
        ],
    );
    assert!(!paragraph.contains("n2"), "{paragraph}");
}

#[test]
fn a_later_fault_that_is_enough_did_not_cause_the_failure() {
    let text = r#"
[[nodes]]
count = 4
[[at]]
time = "5s"
crash = "n2"
[[at]]
time = "20s"
crash = "n3"
[[expect]]
never = { event = { kind = "peer-down" } }
"#;
    let (found, paragraph) = explained(text, &[]);
    assert_eq!(
        names(&found),
        ["the crash of n2 at 5 s", "the crash of n3 at 20 s"]
    );
    has(
        &paragraph,
        &[
            "because of one fault. n2 crashes at 5 s and stays down",
            "without the crash of n2 at 5 s, 0 of 20 pass",
            "Later faults would be enough too: n3 crashes at 20 s",
        ],
    );
}

#[test]
fn a_file_that_fails_without_fault_says_so_with_its_network() {
    let network = r#"
[network]
loss = "100%"
[[nodes]]
count = 3
[[expect]]
eventually = { converged = true }
within = "9s"
"#;
    let (found, paragraph) = explained(network, &[]);
    assert_eq!((found.need, found.faults.len()), (FaultNeed::None, 0));
    has(
        &paragraph,
        &[
            "fails at 9 s without any fault",
            "100.00% loss",
            "The file has no faults, and 20 of 20 seeds fail in this way",
        ],
    );
    let pause = "[[at]]\ntime = \"5s\"\npause = { who = \"n2\", for = \"1s\" }\n[[expect]]";
    let (found, paragraph) = explained(&network.replace("[[expect]]", pause), &[]);
    assert_eq!(found.need, FaultNeed::None);
    has(
        &paragraph,
        &["Without the only fault of the file, 20 of 20 seeds fail"],
    );
    assert!(!paragraph.contains("pause"), "{paragraph}");
}

#[test]
fn a_run_that_passes_has_no_result() {
    let passes = parsed("[[nodes]]\ncount = 2\n[[expect]]\neventually = { converged = true }\n");
    assert_eq!(analysed(&passes, &[], usize::MAX), None);
}

#[test]
fn the_fault_that_an_expectation_is_about_stays() {
    let text = r#"
[[nodes]]
count = 4
[[at]]
time = "6s"
pause = { who = "n2", for = "1s" }
[[at]]
time = "10s"
crash = "n3"
[[expect]]
eventually = { sees = { who = "n1", of = "n3", as = "down" } }
from = "10s"
within = "10s"
"#;
    let (found, paragraph) = explained(text, &["no-detection"]);
    assert_eq!(names(&found), ["the crash of n3 at 10 s"]);
    assert!(found.faults[0].is_subject);
    assert_eq!(found.without_bug.map(|it| it.passed), Some(SEEDS));
    has(
        &paragraph,
        &[
            "after the fault that the expectation is about. n3 crashes at 10 s and stays down",
            "The expectation is about the crash of n3 at 10 s, and cannot hold without it",
            "Without the planted bug `no-detection`, 20 of 20 pass",
        ],
    );
    // Without a planted bug, the stop of the observed node shows that the expectation is about it.
    let impatient = text.replace("within = \"10s\"", "within = \"200ms\"");
    let (found, _) = explained(&impatient, &[]);
    assert_eq!(names(&found), ["the crash of n3 at 10 s"]);
    assert!(found.faults[0].is_subject);
}

#[test]
fn faults_that_chaos_drew_are_named_with_their_nodes_and_times() {
    let text = r#"
[chaos]
kinds = ["crash", "loss", "jump"]
every = "3s"
shortest = "5s"
longest = "9s"
[[nodes]]
count = 6
[[expect]]
never = { event = { kind = "peer-down" } }
"#;
    let (found, paragraph) = explained(text, &[]);
    assert!(
        found.has_chaos && found.of_file > found.faults.len(),
        "{found:?}"
    );
    let first = &found.faults[0];
    assert_eq!(first.line, None);
    assert!(first.from_ms < Some(found.failure.at_ms), "{found:?}");
    assert!(first.name.starts_with("the crash of n"), "{first:?}");
    has(
        &first.text,
        &[" crash", " at ", "again at ", "(drawn by chaos)"],
    );
    has(&paragraph, &[&first.text]);
}

#[test]
fn a_stopped_analysis_says_what_it_has() {
    let scenario = parsed(FULL_DISK);
    let found = analysed(&scenario, &[], 25).expect("the run fails");
    assert!(!found.minimal && !found.complete && found.runs <= 25);
    let paragraph = found.paragraph(&scenario, None, &[]);
    has(&paragraph, &["The analysis was stopped after 25 runs"]);
}

#[test]
fn a_stop_and_its_start_are_one_fault_and_the_workload_is_none() {
    let text = r#"
[[nodes]]
count = 4
channels = { chat = "messages" }
[[at]]
time = "5s"
crash = "n2, n3"
[[at]]
time = "6s"
command = { who = "n1", name = "publish", with = { channel = "chat" } }
[[at]]
time = "7s"
leave = "n4"
[[at]]
time = "9s"
restart = { who = "n2, n3, n4" }
[[at]]
time = "12s"
restart = { who = "n1" }
[[expect]]
eventually = { converged = true }
from = "20s"
"#;
    let scenario = parsed(text);
    let written = explicit(&scenario, &scenario.plan(1).unwrap());
    let faults = removable(&written);
    let hosts: Vec<_> = faults.iter().map(|it| (it.host, it.steps.len())).collect();
    assert_eq!(hosts, [(Some(1), 2), (Some(2), 2), (Some(0), 1)]);
    let none = removable::with_only(&written, &faults, &FaultIndices::new());
    let words: Vec<&str> = none.steps.iter().map(|step| step.action.word()).collect();
    assert_eq!(words, ["command", "leave", "restart"]);
    let all: FaultIndices = (0..faults.len()).collect();
    assert_eq!(
        removable::with_only(&written, &faults, &all).steps,
        written.steps
    );
}
