//! Tests of recordings, traces, and their readable forms.

use super::*;
use crate::mesh::MESH;
use crate::model::{RunOptions, run};
use crate::scenario::{Engine, Scenario};

const SCENARIO: &str = r#"
scenario = 1
name = "small"
about = "Three nodes, a cut and a crash."
engines = ["model"]
duration = "20s"
recovery = "10s"

[[nodes]]
count = 3

[[at]]
time = "5s"
partition = { sets = ["n1", "n2, n3"] }

[[at]]
time = "10s"
heal = true

[[at]]
time = "12s"
crash = "n3"

[[at]]
time = "15s"
restart = { who = "n3" }

[[expect]]
eventually = { converged = true }
within = "3s"
"#;

fn small() -> Scenario {
    Scenario::parse("small.toml", SCENARIO).unwrap()
}

fn record(scenario: &Scenario, seed: u64) -> (String, Recording<'_>) {
    let mut recording = Recording::new(scenario, scenario.plan(seed).unwrap());
    let options = RunOptions {
        recorder: Some(&mut recording),
        ..RunOptions::default()
    };
    let hash = run(&MESH, scenario, seed, options).unwrap().trace_hash;
    (hash, recording)
}

fn trace(scenario: &Scenario, seed: u64) -> String {
    let header = Header::of(scenario, seed, Engine::Model, &[]);
    let mut text = Vec::new();
    let mut writer = Writer::new(&mut text, scenario, scenario.plan(seed).unwrap(), &header);
    let options = RunOptions {
        recorder: Some(&mut writer),
        ..RunOptions::default()
    };
    run(&MESH, scenario, seed, options).unwrap();
    writer.finish().unwrap();
    String::from_utf8(text).unwrap()
}

fn refused(text: &str) -> String {
    let mut reader = match TraceReader::new("t.jsonl", text.as_bytes()) {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    loop {
        match reader.next_line() {
            Ok(Some(_)) => {}
            Ok(None) => return String::new(),
            Err(error) => return error.to_string(),
        }
    }
}

#[test]
fn recording_does_not_change_the_run() {
    let scenario = small();
    let bare = run(&MESH, &scenario, 7, RunOptions::default()).unwrap();
    let (hash, recording) = record(&scenario, 7);
    assert_eq!(hash, bare.trace_hash);
    assert!(recording.len() > 100);
    assert_eq!(recording.seen(), recording.len() as u64);
}

#[test]
fn every_event_follows_its_cause_and_every_message_its_sending() {
    let scenario = small();
    let (_, recording) = record(&scenario, 7);
    let (mut messages, mut timers, mut by_faults) = (0, 0, 0);
    for event in recording.events() {
        assert!(event.cause < event.number);
        let Some(host) = event.host else {
            assert_eq!(event.cause, 0);
            continue;
        };
        let cause = recording
            .event(event.cause)
            .expect("every step has a cause");
        assert!(cause.at <= event.at);
        match (event.size > 0, event.kind) {
            (true, _) => {
                let (sender, sent) = recording.sending(&event).unwrap();
                assert_ne!(sender, host);
                assert!(sent.at < event.at, "a message takes time");
                messages += 1;
            }
            (false, "wake") => {
                assert_eq!(cause.host, Some(host), "a node sets its own timers");
                timers += 1;
            }
            (false, "start") => assert_eq!(cause.host, None),
            (false, "closed") if cause.host.is_none() => {
                assert_eq!(cause.kind, "crash");
                by_faults += 1;
            }
            (false, _) => {}
        }
    }
    assert!(
        messages > 20 && timers > 20 && by_faults > 0,
        "{messages} {timers} {by_faults}"
    );
}

#[test]
fn bands_last_from_the_beginning_to_the_end_of_a_fault() {
    let scenario = small();
    let (_, recording) = record(&scenario, 7);
    let second = 1_000_000_000;
    let bands: Vec<_> = recording
        .bands(60 * second)
        .into_iter()
        .map(|band| {
            (
                band.fault.word,
                band.fault.text,
                band.from / second,
                band.to / second,
            )
        })
        .collect();
    assert_eq!(
        bands,
        [
            ("partition", "n1 | n2, n3".to_owned(), 5, 10),
            ("crash", String::new(), 12, 15)
        ]
    );
    let (held, count) = recording.held();
    assert_eq!(held.len() as u64, count);
    assert!(
        held.iter().any(|held| held.cut),
        "the cut dropped a message"
    );
}

#[test]
fn a_written_trace_is_read_back() {
    let scenario = small();
    let text = trace(&scenario, 7);
    let (_, recording) = record(&scenario, 7);
    let mut reader = TraceReader::new("t.jsonl", text.as_bytes()).unwrap();
    assert_eq!(
        *reader.header(),
        Header::of(&scenario, 7, Engine::Model, &[])
    );
    let mut lines = 0;
    while let Some(line) = reader.next_line().unwrap() {
        let event = recording.event(line.event).unwrap();
        assert_eq!(line.kind, event.kind);
        assert_eq!(
            (line.at, line.cause, line.size),
            (event.at, event.cause, event.size.into())
        );
        let name = event.host.map(|host| scenario.hosts[host].name.as_str());
        assert_eq!(line.node.as_deref(), name);
        assert_eq!(line.says.len(), recording.reports_of(line.event).len());
        lines += 1;
    }
    assert_eq!(lines, recording.len());
    let heal = SCENARIO.find("time = \"10s\"").unwrap();
    let line = SCENARIO[..heal].lines().count();
    let ends = format!(r#""fault":{{"turn":"ends","line":{line},"#);
    assert!(text.contains(&ends), "the heal names its line, {line}");
}

#[test]
fn an_invalid_trace_is_an_error_with_its_fix() {
    let whole = trace(&small(), 1);
    let (first, rest) = whole.split_once('\n').unwrap();
    let newer = first
        .replace(r#""phalanx-trace":1"#, r#""phalanx-trace":9"#)
        .replace(VERSION, "7.7.7");
    let error = refused(&format!("{newer}\n{rest}"));
    assert!(
        error.starts_with("t.jsonl:1: ") && error.contains("format 9"),
        "{error}"
    );
    assert!(
        error.contains("phalanx 7.7.7") && error.contains("record the trace again"),
        "{error}"
    );

    assert!(refused("").contains("empty"));
    assert!(refused(rest).contains("not a trace"));
    assert!(refused("scenario = 1\n").contains("not a trace"));
    let cut_off = &whole[..whole.len() - 9];
    let error = refused(cut_off);
    let last = whole.lines().count();
    assert!(error.starts_with(&format!("t.jsonl:{last}: ")), "{error}");
    let lines: Vec<&str> = whole.lines().collect();
    let gap = [&lines[..5], &lines[6..]].concat().join("\n");
    assert!(
        refused(&gap).contains("event 6 instead of 5"),
        "{}",
        refused(&gap)
    );
    assert_eq!(refused(&whole), "");
}

#[test]
fn an_event_is_one_short_line_even_with_many_reports() {
    let scenario = Scenario::parse("ten.toml", &SCENARIO.replace("count = 3", "count = 10"));
    let scenario = scenario.unwrap();
    let (_, recording) = record(&scenario, 1);
    let mut many = 0;
    for event in recording.events() {
        let line = causes::describe(&recording, &event);
        assert!(line.len() < 160 && line.trim_end() == line, "{line:?}");
        let said = recording.reports_of(event.number);
        let mut words: Vec<_> = line.split("; reports ").skip(1).collect();
        words
            .iter_mut()
            .for_each(|said| *said = said.split(' ').next().unwrap());
        let told = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), told, "a word twice: {line}");
        assert_eq!(said.is_empty(), words.is_empty(), "{line}");
        let up = said
            .iter()
            .filter(|report| report.word == "peer-up")
            .count();
        if up > 6 {
            assert!(
                line.contains(&format!("; reports peer-up {up} nodes (n")),
                "{line}"
            );
            many += 1;
        }
    }
    assert!(many > 0, "no step reported more than six nodes");
}
