//! Published texts that the tool prints itself: kept in docs/, written anew by `make golden`.

use super::run;
use std::path::PathBuf;

/// Compares with the published file, or with PHALANX_GOLDEN=write publishes.
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
        "docs/{file} is not what the tool prints; run `make golden` and read the difference"
    );
}

#[test]
fn golden_schema_of_scenario_files() {
    golden("scenario.schema.json", &run(&["sim", "schema"]).fine().out);
}
