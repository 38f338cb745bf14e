//! Conversions between the registry's types and the messages of `net/proto/registry.proto`.
//!
//! - [`object`]: objects, drafts and views.
//! - [`query`]: selectors, filters, orders, masks and pages.
//! - [`write`](mod@write): operations, conditions and outcomes.
//! - [`watch`]: requests and messages of watches.
//! - [`status`]: refusals as gRPC statuses, and back.
//! - [`entry`]: batches, as stores keep them.
//! - [`link`]: messages between the registries of two regions.
//!
//! Every bound that a machine relies on is checked here or by the machine; malformed data never reaches a machine.

pub(super) mod entry;
pub(super) mod link;
pub(super) mod object;
pub(super) mod query;
pub(super) mod status;
pub(super) mod watch;
pub(super) mod write;

use core::fmt::Display;

/// A field of a message is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// The path of the field.
    pub field: String,
    /// The reason.
    pub problem: String,
}

impl InvalidField {
    pub(super) fn new(field: &str, problem: impl Display) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.to_string(),
        }
    }

    /// The same error of a message that is the field `outer` of another one.
    pub(super) fn inside(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            problem: self.problem,
        }
    }
}

/// The value of a field that must be set.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, InvalidField> {
    value.ok_or_else(|| InvalidField::new(field, "is missing"))
}

/// The parsed text of a field.
pub(super) fn parsed<T: core::str::FromStr<Err: Display>>(
    field: &str,
    text: &str,
) -> Result<T, InvalidField> {
    let parsed = text.parse();
    parsed.map_err(|error| InvalidField::new(field, format_args!("{text:?}: {error}")))
}
