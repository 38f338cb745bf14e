//! Golden files in docs/ that the tool itself generates; `make golden` rewrites them.

use super::run;
use std::path::PathBuf;

/// Compares a text with the golden file, or writes the file if PHALANX_GOLDEN=write.
fn golden(file: &str, text: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", file]
        .iter()
        .collect();
    if std::env::var("PHALANX_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/{file} differs from the output of the tool; run `make golden` and read the difference"
    );
}

#[test]
fn golden_schema_of_scenario_files() {
    golden("scenario.schema.json", &run(&["sim", "schema"]).fine().out);
}
