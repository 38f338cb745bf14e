//! The table of coverage: never-seen rows first, the same with any number of parallel runs, as text and as JSON.

use super::{run, scenario, text};

/// Returns the output of a sweep with its coverage, without the summary, which has measured times.
fn coverage(jobs: &str) -> String {
    let file = scenario("two-nodes.toml");
    let arguments = [
        "sim",
        "run",
        &file,
        "--seed",
        "1..4",
        "--coverage",
        "--jobs",
    ];
    let answer = run(&[&arguments[..], &[jobs]].concat()).fine();
    let end = answer.out.find("SCENARIO").expect("a summary follows");
    answer.out[..end].to_owned()
}

#[test]
fn the_table_begins_with_what_never_occurred_and_does_not_depend_on_the_jobs() {
    let table = coverage("1");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("coverage of mesh in 4 runs: ")
            && lines[0].ends_with(" never occurred"),
        "{table}"
    );
    assert!(lines[1].starts_with("  never inputs"), "{table}");
    let never = table.find("never invariants").expect("it is listed");
    let occurred = table.find("inputs, with the number of occurrences and of runs");
    assert!(Some(never) < occurred, "{table}");
    let words: Vec<&str> = table.split_whitespace().collect();
    let packets = "packet (datagram, delivered, failed, message, state)";
    assert!(words.join(" ").contains(packets), "{table}");
    assert!(lines.iter().all(|line| line.len() <= 100), "{table}");
    assert_eq!(coverage("2"), table);
}

#[test]
fn json_ends_with_the_same_table() {
    let file = scenario("two-nodes.toml");
    let answer = run(&[
        "sim",
        "run",
        &file,
        "--seed",
        "1..2",
        "--coverage",
        "--json",
    ])
    .fine();
    let objects = answer.json();
    assert_eq!(objects.len(), 3, "two runs and the table");
    let mesh = &objects[2]["coverage"][0];
    assert_eq!(
        (&mesh["program"], &mesh["runs"]),
        (&"mesh".into(), &2.into())
    );
    let rows = mesh["rows"].as_array().expect("the table has rows");
    let never = mesh["never"]
        .as_u64()
        .expect("the number of never-seen rows") as usize;
    assert!(rows[..never].iter().all(|row| row["runs"] == 0));
    assert!(rows[never..].iter().all(|row| row["runs"] != 0));
    let down = rows.iter().find(|row| row["word"] == "peer-down");
    assert_eq!(down.map(|row| &row["kind"]), Some(&"transition".into()));
}

#[test]
fn a_search_prints_the_coverage_of_its_trials() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (scenario("two-nodes.toml"), text(folder.path()));
    let search = [
        "sim", "search", &file, "--runs", "6", "--jobs", "1", "--out", &out,
    ];
    let plain = run(&[&search[..], &["--coverage"]].concat()).fine();
    assert!(
        plain.out.starts_with("coverage of mesh in 6 runs: "),
        "{}",
        plain.out
    );
    let json = run(&[&search[..], &["--coverage", "--json"]].concat()).fine();
    assert_eq!(json.json()[0]["coverage"][0]["runs"], 6);
    let without = run(&[&search[..], &["--json"]].concat()).fine();
    assert!(without.json()[0].get("coverage").is_none());
}

#[test]
fn a_report_has_the_table_of_all_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (scenario("two-nodes.toml"), folder.path().join("page.html"));
    let arguments = [
        "sim",
        "run",
        &file,
        "--seed",
        "1..2",
        "--report",
        &text(&page),
    ];
    run(&[&arguments[..], &["--coverage"]].concat()).fine();
    let with = std::fs::read_to_string(&page).unwrap();
    assert!(with.contains(r#""coverage":[{"program":"mesh","runs":2,"#));
    run(&arguments).fine();
    let without = std::fs::read_to_string(&page).unwrap();
    assert!(without.contains(r#""coverage":[],"#));
}

#[test]
fn an_engine_without_coverage_is_refused() {
    let file = scenario("two-nodes.toml");
    let refused = run(&["sim", "run", &file, "--engine", "wire", "--coverage"]);
    refused.fails(2, &["--coverage", "--engine model"]);
}
