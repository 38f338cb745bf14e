//! Tests of the page of a run: its content and its omissions.

use super::*;
use crate::mesh::MESH;
use crate::scenario::Scenario;
use crate::{RunOptions, run};

fn page(text: &str, seeds: u64) -> String {
    let scenario = Scenario::parse("page.toml", text).unwrap();
    let mut recording = Recording::new(&scenario, scenario.plan(1).unwrap());
    let options = RunOptions {
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    let outcome = run(&MESH, &scenario, 1, options).unwrap();
    let seeds: Vec<Seed> = (1..=seeds)
        .map(|seed| Seed {
            seed,
            passed: true,
            recovery_ms: outcome.metrics.get("recovery-ms").copied(),
            events: outcome.events,
            messages: outcome.messages,
            bytes: outcome.bytes,
            unmet: Vec::new(),
            idle: Vec::new(),
        })
        .collect();
    let mut html = Vec::new();
    write(&mut html, &recording, &outcome, &seeds).unwrap();
    String::from_utf8(html).unwrap()
}

fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once(r#"id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

const SPLIT: &str = r#"
scenario = 1
name = "page"
about = "A cut </script> and a crash."
engines = ["model"]
duration = "30s"
recovery = "10s"
[[nodes]]
count = 4
[[at]]
time = "5s"
partition = { sets = ["n1, n2", "n3, n4"] }
[[at]]
time = "15s"
heal = true
[[at]]
time = "22s"
crash = "n4"
[[expect]]
eventually = { converged = true }
from = "15s"
within = "10s"
"#;

#[test]
fn a_page_is_self_contained_and_no_text_ends_its_data() {
    let page = page(SPLIT, 1);
    for fetched in ["src=", "<link rel=\"style", "@import", "url(http", "fetch("] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(data(&page)["about"], "A cut </script> and a crash.");
    assert!(!page.contains("<!--data-->") && !page.contains("/*script*/"));
}

#[test]
fn lanes_are_equal_diverge_and_become_equal_again() {
    let data = data(&page(SPLIT, 1));
    let lanes = data["strip"]["lanes"].as_array().unwrap();
    let colour = |node: usize, second: u64| {
        let lane: Vec<u64> = serde_json::from_value(lanes[node].clone()).unwrap();
        let states = lane
            .chunks(2)
            .take_while(|state| state[0] <= second * 1_000_000);
        states.last().map(|state| state[1])
    };
    let at = |second| [0, 1, 2, 3].map(|node| colour(node, second).unwrap());
    let before = at(4);
    assert!(before.iter().all(|one| *one == before[0]), "{before:?}");
    let split = at(14);
    assert!(
        split[0] == split[1] && split[2] == split[3] && split[0] != split[2],
        "{split:?}"
    );
    let healed = at(21);
    assert!(healed.iter().all(|one| *one == healed[0]), "{healed:?}");
    let crashed = at(29);
    assert_eq!((crashed[3], crashed[0]), (0, crashed[2]), "{crashed:?}");
    let states: Vec<u32> = serde_json::from_value(data["strip"]["states"].clone()).unwrap();
    let second = |second: usize| {
        states[states.len() * second * 1_000_000
            / usize::try_from(data["end"].as_u64().unwrap()).unwrap()]
    };
    assert_eq!((second(4), second(14), second(21)), (1, 2, 1));
}

#[test]
fn a_page_has_limited_detail_and_lists_its_omissions() {
    let text = SPLIT
        .replace("count = 4", "count = 40")
        .replace("\"30s\"", "\"60s\"");
    let data = data(&page(&text, 3_000));
    let drawn = data["messages"]["took"].as_array().unwrap().len();
    let total = data["messages"]["total"].as_u64().unwrap();
    assert!(drawn <= detail::MESSAGES_MAX + 24, "{drawn}");
    let left_out = data["left_out"].to_string();
    assert!(
        total <= 40_000 || left_out.contains(&format!("{drawn} of {total} messages")),
        "{left_out}"
    );
    assert!(left_out.contains("of 3000 seeds"), "{left_out}");
    let counted: u64 = serde_json::from_value::<Vec<u64>>(data["traffic"]["messages"].clone())
        .unwrap()
        .iter()
        .sum();
    assert_eq!(counted, total, "counts are complete");
}

#[test]
fn the_chain_of_causes_leads_from_the_plan_to_the_last_change() {
    let data = data(&page(SPLIT, 1));
    let causes = data["causes"].as_array().unwrap();
    assert!(causes.len() > 1);
    let ordered = causes
        .windows(2)
        .all(|two| two[0]["at"].as_u64() <= two[1]["at"].as_u64());
    assert!(ordered, "{causes:?}");
    assert_eq!(data["causes_of_failure"], false);
}
