//! The published shape of scenario files.

/// The JSON Schema of scenario files, as a JSON value.
#[must_use]
pub fn schema() -> serde_json::Value {
    let schema = schemars::schema_for!(super::file::ScenarioFile);
    serde_json::to_value(schema).unwrap_or(serde_json::Value::Null)
}
