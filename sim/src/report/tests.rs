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
            failure: None,
        })
        .collect();
    let mut html = Vec::new();
    let explained = crate::explanation::explain(&MESH, &recording, &outcome.failures, &[]);
    let sources = [SourceFile {
        file: scenario.file.clone(),
        text: text.to_owned(),
    }];
    let shown = ShownRun {
        definition: &MESH,
        sabotage: &[],
        sources: &sources,
        recording: &recording,
        outcome: &outcome,
        explained: &explained,
        seeds: &seeds,
        coverage: &[],
    };
    write(&mut html, &shown).unwrap();
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

/// A scenario with zones, clocks that drift and jump, and a broadcast every second.
fn zones() -> String {
    let groups = r#"[[nodes]]
count = 2
prefix = "east"
zone = "east"
channels = { chat = "messages every 5s" }
clock = { drift-ppm = -50 }
[[nodes]]
count = 2
prefix = "west"
zone = "west"
channels = { chat = "messages every 5s" }
[[at]]
time = "3s"
every = "1s"
times = 10
command = { who = "east1", name = "publish", with = { channel = "chat" } }
[[at]]
time = "6s"
clock = { who = "west1", jump = "2s" }
[[at]]
time = "8s"
clock = { who = "west2", drift-ppm = 300 }
"#;
    let (head, rest) = SPLIT.split_once("[[nodes]]").unwrap();
    let (_, expect) = rest.split_once("[[expect]]").unwrap();
    format!("{head}{groups}[[expect]]{expect}")
}

#[test]
fn broadcasts_change_the_colours_of_states_and_not_of_membership() {
    let data = data(&page(&zones(), 1));
    let changes = |strip: &str| {
        let lane: Vec<u64> = serde_json::from_value(data[strip]["lanes"][0].clone()).unwrap();
        let states = lane.chunks(2).filter(|state| state[0] > 2_500_000);
        states.count()
    };
    assert_eq!(changes("strip"), 0);
    assert!(changes("states") >= 10, "{}", data["states"]["lanes"][0]);
    let quiet = self::data(&page(SPLIT, 1));
    assert!(quiet["states"].is_null());
}

#[test]
fn lanes_are_grouped_by_zone_and_clocks_are_named() {
    let data = data(&page(&zones(), 1));
    let groups = &data["groupings"][0];
    assert_eq!(groups["by"], "zone");
    assert_eq!(groups["groups"][1]["label"], "west");
    assert_eq!(groups["groups"][1]["nodes"], serde_json::json!([2, 3]));
    let bands = data["bands"].as_array().unwrap();
    let band = |text: &str| {
        let found = bands.iter().find(|band| band["text"] == text);
        found.unwrap_or_else(|| panic!("{text}: {bands:?}"))
    };
    let (jump, drift) = (band("west1 forward 2s"), band("west2 drift +300 ppm"));
    assert_eq!(
        (&jump["once"], &jump["word"]),
        (&true.into(), &"clock".into())
    );
    assert_eq!(
        (&drift["once"], &drift["to"]),
        (&false.into(), &data["end"])
    );
    let start = band("east1, east2 drift -50 ppm");
    assert_eq!((&start["from"], &start["to"]), (&0.into(), &data["end"]));
}

#[test]
fn a_page_has_the_text_of_the_scenario_and_the_commands_of_its_tool() {
    let data = data(&page(SPLIT, 1));
    assert_eq!(data["sources"][0]["file"], "page.toml");
    assert_eq!(data["sources"][0]["text"], SPLIT);
    let command = |name: &str| data["commands"][name].as_str().unwrap().to_owned();
    assert!(command("replay").starts_with("phalanx sim replay page.toml --seed 1 --until "));
    let report = command("report");
    assert!(
        report.ends_with(" --seed {seed} --engine model --report seed-{seed}.html"),
        "{report}"
    );
}
