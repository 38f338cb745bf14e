//! The fields of the four kinds of the registry, with their types.
//!
//! A body with another field, or with a field of another type, is refused. Bodies of kinds that services register are
//! not checked.

use super::value::{ObjectTable, ObjectValue};
use core::fmt;

/// A type of a field.
#[derive(Clone, Copy, Debug)]
pub enum FieldType {
    /// A text.
    Text,
    /// A truth value.
    Flag,
    /// An integer that is not negative.
    Count,
    /// A list of texts.
    Texts,
    /// A table of texts.
    TextsByName,
    /// A table with these fields.
    Table(&'static [FieldSchema]),
    /// A list of tables with these fields.
    Tables(&'static [FieldSchema]),
}

/// A field and its type.
#[derive(Clone, Copy, Debug)]
pub struct FieldSchema {
    /// The field.
    pub name: &'static str,
    /// The type.
    pub holds: FieldType,
}

const fn field(name: &'static str, holds: FieldType) -> FieldSchema {
    FieldSchema { name, holds }
}

/// Fields of a region.
pub const REGION: &[FieldSchema] = &[
    field("display_name", FieldType::Text),
    field("uid", FieldType::Text),
];

/// Fields of a policy: which regions hold the objects that a policy holder governs.
const POLICY: &[FieldSchema] = &[
    field("enabled_regions", FieldType::Texts),
    field("default_control_region", FieldType::Text),
    field("closing_regions", FieldType::Texts),
    field("criteria_for_disabled_sync", FieldType::Tables(CRITERIA)),
];

const CRITERIA: &[FieldSchema] = &[
    field("resource_type", FieldType::Text),
    field("source_region", FieldType::Text),
    field("dest_region", FieldType::Text),
];

/// Fields of a service.
pub const SERVICE: &[FieldSchema] = &[
    field("display_name", FieldType::Text),
    field("project", FieldType::Text),
    field("multi_region_policy", FieldType::Table(POLICY)),
    field("all_versions", FieldType::Texts),
    field("global_domain", FieldType::Text),
    field("labelled_domains", FieldType::TextsByName),
    field("leading_service", FieldType::Text),
    field("imported_services", FieldType::Texts),
    field("used_services", FieldType::Texts),
    field("imported_versions", FieldType::Tables(IMPORTED_VERSIONS)),
    field("env_registry_generation", FieldType::Count),
    field("automatic_version_switch", FieldType::Flag),
];

const IMPORTED_VERSIONS: &[FieldSchema] = &[
    field("own_version", FieldType::Text),
    field("service", FieldType::Text),
    field("version", FieldType::Text),
];

/// Fields of a deployment.
pub const DEPLOYMENT: &[FieldSchema] = &[
    field("region", FieldType::Text),
    field("public_domain", FieldType::Text),
    field("private_domain", FieldType::Text),
    field("local_network_id", FieldType::Text),
    field("location", FieldType::TextsByName),
    field("is_disabled", FieldType::Flag),
    field("current_version", FieldType::Text),
    field("db_data_version", FieldType::Text),
    field("db_location_tag", FieldType::Text),
    field("upgrade_state", FieldType::Text),
    field("available_upgrade", FieldType::Text),
    field("ready_shards", FieldType::Texts),
    field("pending_shards", FieldType::Texts),
];

/// Fields of a resource: a kind that a service registers.
pub const RESOURCE: &[FieldSchema] = &[
    field("plural", FieldType::Text),
    field("patterns", FieldType::Texts),
    field("fqn", FieldType::Text),
    field("versions", FieldType::Tables(RESOURCE_VERSIONS)),
    field("policy_holder", FieldType::Flag),
    field("is_public", FieldType::Flag),
    field("references", FieldType::Tables(REFERENCES)),
];

const REFERENCES: &[FieldSchema] = &[
    field("field", FieldType::Text),
    field("on_delete", FieldType::Text),
];

const RESOURCE_VERSIONS: &[FieldSchema] = &[
    field("version", FieldType::Text),
    field("is_regional", FieldType::Flag),
];

/// Reason why a body does not fit its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// The kind has no such field.
    Unknown {
        /// The path of the field.
        path: String,
        /// The fields that exist there.
        known: String,
    },
    /// The field has another type.
    Type {
        /// The path of the field.
        path: String,
        /// The required type.
        needed: &'static str,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { path, known } => {
                write!(f, "field `{path}` does not exist; the fields are {known}")
            }
            Self::Type { path, needed } => write!(f, "field `{path}` must be {needed}"),
        }
    }
}

impl core::error::Error for SchemaError {}

/// Checks a body.
///
/// # Errors
/// Returns an error for the first field that does not exist or has another type. A null field is as good as none.
pub fn check_body(body: &ObjectTable, fields: &[FieldSchema]) -> Result<(), SchemaError> {
    check_table(body, fields, "")
}

fn check_table(
    table: &ObjectTable,
    fields: &[FieldSchema],
    above: &str,
) -> Result<(), SchemaError> {
    for (name, value) in table {
        let path = format!("{above}{name}");
        let Some(schema) = fields.iter().find(|field| field.name == name) else {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            let known = known.join(", ");
            return Err(SchemaError::Unknown { path, known });
        };
        check_value(value, schema.holds, path)?;
    }
    Ok(())
}

fn check_value(value: &ObjectValue, holds: FieldType, path: String) -> Result<(), SchemaError> {
    let is_text = |value: &ObjectValue| value.as_text().is_some();
    let (fits, needed) = match (holds, value) {
        (_, ObjectValue::Null) => (true, ""),
        (FieldType::Text, _) => (is_text(value), "a text"),
        (FieldType::Flag, _) => (matches!(value, ObjectValue::Bool(_)), "true or false"),
        (FieldType::Count, ObjectValue::Number(number)) => {
            (number.as_integer().is_some(), "an integer from 0 on")
        }
        (FieldType::Count, _) => (false, "an integer from 0 on"),
        (FieldType::Texts, ObjectValue::List(list)) => {
            (list.iter().all(is_text), "a list of texts")
        }
        (FieldType::Texts, _) => (false, "a list of texts"),
        (FieldType::TextsByName, ObjectValue::Table(table)) => {
            (table.values().all(is_text), "a table of texts")
        }
        (FieldType::TextsByName, _) => (false, "a table of texts"),
        (FieldType::Table(fields), ObjectValue::Table(table)) => {
            return check_table(table, fields, &format!("{path}."));
        }
        (FieldType::Table(_), _) => (false, "a table"),
        (FieldType::Tables(fields), ObjectValue::List(list)) => {
            for (index, element) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                check_value(element, FieldType::Table(fields), path)?;
            }
            return Ok(());
        }
        (FieldType::Tables(_), _) => (false, "a list of tables"),
    };
    if fits {
        Ok(())
    } else {
        Err(SchemaError::Type { path, needed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(fields: &[(&str, ObjectValue)]) -> ObjectTable {
        fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn fields_of_the_schema_are_accepted() {
        let policy = table(&[
            ("enabled_regions", ObjectValue::texts(["eu", "us"])),
            ("default_control_region", "eu".into()),
        ]);
        let service = table(&[
            ("display_name", "Shop".into()),
            ("multi_region_policy", ObjectValue::Table(policy)),
            ("env_registry_generation", 3.into()),
            ("leading_service", ObjectValue::Null),
        ]);
        assert_eq!(check_body(&service, SERVICE), Ok(()));
    }

    #[test]
    fn an_error_names_the_path() {
        let error = |fields: &[(&str, ObjectValue)], schema| {
            check_body(&table(fields), schema).unwrap_err().to_string()
        };
        let policy = ObjectValue::Table(table(&[("regions", ObjectValue::Null)]));
        assert_eq!(
            error(&[("multi_region_policy", policy)], SERVICE),
            "field `multi_region_policy.regions` does not exist; the fields are enabled_regions, \
             default_control_region, closing_regions, criteria_for_disabled_sync"
        );
        let versions = ObjectValue::List(vec![ObjectValue::Table(table(&[(
            "is_regional",
            1.into(),
        )]))]);
        assert_eq!(
            error(&[("versions", versions)], RESOURCE),
            "field `versions[0].is_regional` must be true or false"
        );
        let number = ObjectValue::Number("1.5".parse().unwrap());
        assert_eq!(
            error(&[("env_registry_generation", number)], SERVICE),
            "field `env_registry_generation` must be an integer from 0 on"
        );
    }
}
