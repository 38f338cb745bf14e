//! Outputs made from a recorded run: an HTML report, a timeline, JUnit XML, a replay, a difference.

use super::{run, scenario, text, tool};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the HTML of the page after the browser has run its script.
fn rendered(page: &Path, folder: &Path) -> String {
    let profile = folder.join("profile");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--virtual-time-budget=10000", "--window-size=1400,1000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("chromium is installed (`make tools`)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_report_draws_a_lane_per_node_in_a_browser_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seeds, nodes) in [("two-nodes", "1..4", 2), ("partition-heals", "1", 30)] {
        let page = folder.path().join(format!("{name}.html"));
        let file = scenario(&format!("{name}.toml"));
        run(&[
            "sim",
            "run",
            &file,
            "--seed",
            seeds,
            "--report",
            &text(&page),
        ])
        .fine();
        let shown = rendered(&page, folder.path());
        assert!(
            !shown.contains("data-error=\""),
            "{}",
            &shown[..shown.len().min(3_000)]
        );
        assert!(
            shown.contains(&format!("data-lanes=\"{nodes}\"")),
            "{name} drew no lanes"
        );
        assert!(shown.contains(">Passed</span>") && shown.contains("partition"));
        let seeds = shown.matches("title=\"seed ").count();
        assert_eq!(seeds, if name == "two-nodes" { 4 } else { 0 });
    }
}

#[test]
fn a_failing_report_shows_the_failing_seed_and_its_causes() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("failed.html");
    let file = scenario("two-nodes.toml");
    let failing = ["sim", "run", &file, "--sabotage", "no-detection"];
    let answer = run(&[&failing[..], &["--report", &text(&page)]].concat());
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(answer.out.contains("causes:"), "{}", answer.out);
    let shown = rendered(&page, folder.path());
    assert!(shown.contains(">Failed</span>") && shown.contains("Causes of the first failure"));
    assert!(!shown.contains("data-error=\"") && shown.contains("data-lanes=\"2\""));
    // Above the lanes, the page shows the failed expectation and the facts that explain it. Within the lanes, the page
    // shows the place of the failure.
    let (above, _) = shown.split_once("<main>").unwrap();
    let (_, broken) = above.split_once("<div class=\"failure\">").unwrap();
    assert!(
        broken.contains("events that led to it</a>") && !broken.contains("<time>"),
        "{broken}"
    );
    for fact in [
        "n1 last received a message from n2",
        "between them: partition",
    ] {
        assert!(broken.contains(fact), "{broken}");
        assert!(
            answer.out.contains(&format!("    - {fact}")),
            "{}",
            answer.out
        );
    }
    let (_, place) = answer.out.split_once("two-nodes.toml:").unwrap();
    let (line, _) = place.split_once(':').unwrap();
    assert!(broken.contains(&format!("two-nodes.toml:{line}</a></b>")));
    // Below the lanes, the page shows the line of the expectation in the text of the scenario.
    assert!(shown.contains(&format!("<div class=\"failed\" id=\"source-{line}\">")));
    let (_, flags) = shown.split_once("data-flags=\"").unwrap();
    let (flags, _) = flags.split_once('"').unwrap();
    assert!(
        flags.starts_with("✗ line") && flags.contains(line),
        "{flags}"
    );
}

#[test]
fn a_failure_in_json_names_the_nodes_the_message_and_the_fault() {
    let file = scenario("two-nodes.toml");
    let answer = run(&["sim", "run", &file, "--sabotage", "no-detection", "--json"]);
    let line = answer.out.lines().next().unwrap();
    let run: Value = serde_json::from_str(line).unwrap();
    let explained = &run["failures"][0]["explanation"];
    assert_eq!(
        (&explained["observer"], &explained["observed"]),
        (&"n1".into(), &"n2".into())
    );
    assert!(
        explained["heard"]["at"].as_u64().is_some_and(|at| at > 0),
        "{explained}"
    );
    let fault = &explained["faults"][0];
    assert_eq!(
        (&fault["step"], &fault["standing"]),
        (&"partition".into(), &"in-force".into())
    );
    assert!(
        fault["line"].as_u64().is_some_and(|line| line > 0),
        "{explained}"
    );
}

#[test]
fn other_failing_seeds_groups_and_colours_are_reachable_from_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (
        folder.path().join("zones.toml"),
        folder.path().join("zones.html"),
    );
    let scenario = r#"
scenario = 1
name = "zones"
about = "Two zones, and an expectation that fails in each seed."
engines = ["model"]
duration = "10s"
[[nodes]]
count = 2
prefix = "east"
zone = "east"
channels = { chat = "messages every 5s" }
[[nodes]]
count = 2
prefix = "west"
zone = "west"
[[at]]
time = "3s"
every = "1s"
times = 5
command = { who = "east1", name = "publish", with = { channel = "chat" } }
[[expect]]
eventually = { members = { who = "all", min = 5 } }
within = "5s"
"#;
    std::fs::write(&file, scenario).unwrap();
    let file = text(&file);
    let answer = run(&[
        "sim",
        "run",
        &file,
        "--seed",
        "3..5",
        "--report",
        &text(&page),
    ]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let shown = rendered(&page, folder.path());
    assert!(
        !shown.contains("data-error=\""),
        "{}",
        &shown[..shown.len().min(3_000)]
    );
    assert!(shown.contains("<option value=\"zone\">zone</option>"));
    assert!(shown.contains("<label id=\"colours-label\">"));
    assert!(
        shown.contains("<dt>Seed</dt><dd>3</dd>") && shown.contains("<dt>Seeds run</dt><dd>3</dd>")
    );
    for seed in [4, 5] {
        let command = format!(
            "phalanx sim run {file} --seed {seed} --engine model --report seed-{seed}.html"
        );
        assert!(shown.contains(&command), "{command}");
    }
}

#[test]
fn lanes_thinner_than_a_pixel_keep_their_colours() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("thin.html");
    let file = scenario("two-nodes.toml");
    run(&["sim", "run", &file, "--report", &text(&page)]).fine();
    // Turns the page of two nodes into a page of a thousand nodes: repeats each node five hundred times before the
    // script reads the data. Afterwards, compares the colours of a column of pixels at rest with those of a later
    // column, where one lane is stopped.
    let more = r#"<script>
        const data = document.getElementById("data"), few = JSON.parse(data.textContent);
        const repeat = (list) => Array.from({ length: 1000 }, (_, node) => list[node % 2]);
        few.nodes = few.nodes.flatMap((_, half) => Array.from({ length: 500 }, (_, node) => `n${half * 500 + node}`));
        few.strip.lanes = repeat([[0, 2], [0, 2]]);
        few.strip.lanes[700] = [0, 2, few.end / 2, 0];
        for (const figures of ["sent", "sent_bytes", "took"]) few.traffic[figures] = repeat(few.traffic[figures]);
        few.bands = []; few.reports.at = []; few.failures = [];
        data.textContent = JSON.stringify(few);
        </script>"#;
    let after = r#"<script>
        setTimeout(() => {
            const column = (share) => {
                const wide = canvas.width / canvas.clientWidth;
                const across = Math.round((GUTTER + (width() - GUTTER) * share) * wide);
                const pixels = pen.getImageData(across, Math.ceil(lanesTop * wide) + 1, 1, Math.floor(lanesHeight() * wide) - 2).data;
                return new Set(Array.from({ length: pixels.length / 4 }, (_, at) => pixels.slice(at * 4, at * 4 + 3).join())).size;
            };
            document.body.dataset.colours = [column(0.3), column(0.7)].join();
        }, 500);
        </script></body>"#;
    let html = std::fs::read_to_string(&page).unwrap();
    let begin = "<script>\n\"use strict\"";
    assert_eq!(html.matches(begin).count(), 1);
    let html = html.replacen(begin, &format!("{more}{begin}"), 1);
    std::fs::write(&page, html.replace("</body>", after)).unwrap();
    let shown = rendered(&page, folder.path());
    assert!(shown.contains("data-lanes=\"1000\"") && !shown.contains("data-error=\""));
    let (_, colours) = shown.split_once("data-colours=\"").unwrap();
    assert!(
        colours.starts_with("1,2\""),
        "{}",
        &colours[..colours.len().min(20)]
    );
}

#[test]
fn reports_and_timelines_need_one_scenario_in_the_model_engine() {
    let (one, two) = (scenario("two-nodes.toml"), scenario("graceful-leave.toml"));
    run(&["sim", "run", &one, &two, "--report", "x.html"]).fails(2, &["--report", "one scenario"]);
    run(&["sim", "run", &one, "--engine", "wire", "--timeline"]).fails(2, &["--timeline", "model"]);
    run(&["sim", "run", &one, "--report", "no/such/folder/x.html"]).fails(2, &["no/such/folder"]);
}

#[test]
fn a_timeline_shows_lanes_and_faults_without_colours_in_a_pipe() {
    let answer = run(&["sim", "run", &scenario("two-nodes.toml"), "--timeline"]).fine();
    let lanes = answer
        .out
        .lines()
        .filter(|line| line.starts_with("n1 ") || line.starts_with("n2 "));
    assert_eq!(lanes.count(), 2, "{}", answer.out);
    assert!(answer.out.contains("partition n1 | n2") && !answer.out.contains('\x1b'));
}

#[test]
fn junit_names_the_failures() {
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("verdicts.xml");
    let file = scenario("two-nodes.toml");
    let arguments = [
        "sim",
        "run",
        &file,
        "--seed",
        "1..2",
        "--junit",
        &text(&xml),
    ];
    run(&arguments).fine();
    let good = std::fs::read_to_string(&xml).unwrap();
    assert!(
        good.contains(r#"tests="2" failures="0""#) && good.contains(r#"name="seed 2""#),
        "{good}"
    );
    let answer = run(&[&arguments[..], &["--sabotage", "no-detection"]].concat());
    assert_eq!(answer.code, 1);
    let bad = std::fs::read_to_string(&xml).unwrap();
    assert!(bad.contains(r#"tests="2" failures="2""#), "{bad}");
    assert!(
        bad.contains("<failure message=\"eventually = ")
            && bad.contains("reproduce: phalanx sim run"),
        "{bad}"
    );
    let nowhere = text(&folder.path().join("no/verdicts.xml"));
    run(&["sim", "run", &file, "--junit", &nowhere]).fails(2, &["--junit", "cannot be written"]);
}

#[test]
fn a_broken_pipe_does_not_change_the_exit_code() {
    let file = scenario("two-nodes.toml");
    let arguments = ["sim", "run", &file, "--seed", "1..8", "--json"];
    for (more, code) in [(&[][..], 0), (&["--sabotage", "no-detection"][..], 1)] {
        let mut child = tool(&[&arguments[..], more].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().unwrap());
        reader.read_line(&mut first).unwrap();
        drop(reader);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{first}");
    }
}

fn trace(folder: &Path, name: &str, seed: &str) -> String {
    let trace = text(&folder.join(name));
    let file = scenario("two-nodes.toml");
    run(&["sim", "run", &file, "--seed", seed, "--trace", &trace]).fine();
    trace
}

#[test]
fn a_trace_is_replayed_to_events_and_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let trace = trace(folder.path(), "t.jsonl", "3");
    let state = run(&[
        "sim", "replay", &trace, "--event", "200", "--node", "n1", "--json",
    ])
    .fine()
    .json();
    assert_eq!(
        (&state[0]["node"], &state[0]["event"]),
        (&"n1".into(), &200.into())
    );
    let text = std::fs::read_to_string(&trace).unwrap();
    let line: Value = serde_json::from_str(text.lines().nth(200).unwrap()).unwrap();
    assert_eq!(line["event"], 200);
    let between = run(&["sim", "replay", &trace, "--until", "4s..20s", "--json"])
        .fine()
        .json();
    let changes = between[0]["changes"].as_array().unwrap();
    let member = changes.iter().find(|it| it["what"] == "member n2").unwrap();
    assert!(
        member["after"].as_str().unwrap().starts_with("down"),
        "{member}"
    );
    let words = run(&[
        "sim", "replay", &trace, "--until", "4s..20s", "--node", "n1",
    ])
    .fine();
    assert!(
        words.out.contains("member n2") && words.out.contains("BEFORE"),
        "{}",
        words.out
    );

    run(&["sim", "replay", &trace, "--until", "4s", "--seed", "9"])
        .fails(2, &["--seed", "trace of seed 3"]);
    run(&["sim", "replay", &trace, "--event", "99999999"])
        .fails(2, &["--event 99999999", "events in"]);
    run(&["sim", "replay", &trace]).fails(2, &["--until", "--event", "--step"]);
    run(&["sim", "replay", &trace, "--event", "1..x"]).fails(2, &["--event"]);

    for (from, to, words) in [
        (
            r#""phalanx-trace":1"#,
            r#""phalanx-trace":7"#,
            ["format 7", "record the trace again"],
        ),
        (
            r#""file-hash":""#,
            r#""file-hash":"0"#,
            ["two-nodes.toml", "record the trace again"],
        ),
        (
            r#""engine":"model""#,
            r#""engine":"wire""#,
            ["wire", "model engine"],
        ),
    ] {
        let other = folder.path().join("other.jsonl");
        std::fs::write(&other, text.replacen(from, to, 1)).unwrap();
        let other = super::text(&other);
        run(&["sim", "replay", &other, "--until", "4s"]).fails(2, &words);
    }
}

#[test]
fn a_replay_executes_the_commands_on_its_input() {
    let mut child = tool(&[
        "sim",
        "replay",
        &scenario("two-nodes.toml"),
        "--until",
        "5.0s",
        "--node",
        "n1",
        "--step",
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut orders = child.stdin.take().unwrap();
    orders
        .write_all(b"\n3\ns n2\nt 9s\nt soon\n?\nq\n")
        .unwrap();
    drop(orders);
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    let steps = shown
        .lines()
        .filter(|line| line.contains(" n1 ") && line.contains('#'))
        .count();
    assert!(steps >= 4, "{shown}");
    assert!(
        shown.contains("n2 at ")
            && shown.contains("`soon` is not a valid duration")
            && shown.contains("Enter"),
        "{shown}"
    );
}

#[test]
fn a_difference_is_code_1_and_names_its_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let (one, same, other) = (
        trace(folder.path(), "one.jsonl", "1"),
        trace(folder.path(), "same.jsonl", "1"),
        trace(folder.path(), "other.jsonl", "2"),
    );
    let equal = run(&["sim", "diff", &one, &same]).fine();
    assert!(equal.out.starts_with("equal"), "{}", equal.out);
    let differs = run(&["sim", "diff", &one, &other, "--json"]);
    assert_eq!(differs.code, 1, "{}", differs.err);
    let found = &differs.json()[0];
    assert_eq!(found["equal"], false);
    assert_ne!(found["left"], found["right"]);
    assert!(
        found["states"].is_array() || found["states_missing"].is_string(),
        "{found}"
    );
    let seeds = run(&[
        "sim",
        "diff",
        &scenario("two-nodes.toml"),
        "--seed",
        "1",
        "2",
    ]);
    assert_eq!(seeds.code, 1, "{}", seeds.err);
    assert!(
        seeds
            .out
            .contains(&format!("first differ at event {},", found["event"])),
        "{}",
        seeds.out
    );
    run(&[
        "sim",
        "diff",
        &scenario("two-nodes.toml"),
        "--seed",
        "1",
        "1",
    ])
    .fine();

    run(&["sim", "diff", &one]).fails(2, &["two traces", "--seed 1 2"]);
    run(&["sim", "diff", &one, &scenario("two-nodes.toml")])
        .fails(2, &["two-nodes.toml:1", "not a trace"]);
    run(&["sim", "diff", &one, "nowhere.jsonl"]).fails(2, &["nowhere.jsonl", "cannot be read"]);
}

#[test]
fn a_missing_file_is_named_without_a_line_number() {
    let answer = run(&["sim", "run", "nowhere.toml"]);
    answer.fails(2, &["nowhere.toml: cannot be read"]);
    assert!(!answer.err.contains("nowhere.toml:0"), "{}", answer.err);
}

#[test]
fn traces_of_another_engine_can_be_compared_but_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario("two-nodes.toml");
    let trace = |seed: &str| {
        let path = text(&folder.path().join(seed));
        let engine = ["--engine", "wire", "--seed", seed, "--trace", &path];
        let mut words = vec!["sim", "run", &file];
        words.extend(engine);
        run(&words).fine();
        path
    };
    let (one, two) = (trace("1"), trace("2"));
    assert!(
        run(&["sim", "diff", &one, &one])
            .fine()
            .out
            .contains("equal")
    );
    let differ = run(&["sim", "diff", &one, &two]);
    assert_eq!(differ.code, 1, "{}", differ.err);
    assert!(
        differ.out.contains("first differ at event"),
        "{}",
        differ.out
    );
    run(&["sim", "replay", &one, "--until", "5s"])
        .fails(2, &[&one, "the engine wire", "the model engine"]);
}
