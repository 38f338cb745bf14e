//! Names of objects, and the patterns of the names of a kind.
//!
//! A name alternates collections and ids: `services/shop.example/deployments/eu`. A name of a kind that a service has
//! registered begins with that service: `//shop.example/regions/eu/orders/o-17`. The collections of a name tell its
//! kind, and a segment `regions/ID` the region that owns the object.
//!
//! Names are ordered by their bytes; [`ObjectName::below`] is the range of the names below a name.
//!
//! Bounds: [`NAME_BYTES_MAX`] bytes, [`NAME_SEGMENTS_MAX`] pairs of collection and id.

use core::borrow::Borrow;
use core::fmt;
use core::ops::Range;
use core::str::FromStr;
use std::sync::Arc;

/// Maximum length of a name, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// Maximum number of pairs of collection and id in a name.
pub const NAME_SEGMENTS_MAX: usize = 8;
/// Maximum length of a collection and of most ids, in bytes.
const PART_BYTES_MAX: usize = 63;

/// Reason why a text is not a name or a pattern, and the byte at which the text is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectNameError {
    /// The number of bytes before the error.
    pub at: usize,
    /// The reason.
    pub problem: &'static str,
}

impl fmt::Display for ObjectNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.at + 1, self.problem)
    }
}

impl core::error::Error for ObjectNameError {}

/// Returns why a text is not the id of a region: `[a-z][a-z0-9-]{0,28}[a-z0-9]`.
const REGION_RULE: &str =
    "a region is 2 to 30 lower-case letters, digits and hyphens, and begins with a letter";
const SERVICE_RULE: &str =
    "a service is 1 to 63 lower-case letters, digits, dots and hyphens between letters or digits";
const KIND_RULE: &str = "a kind is 1 to 128 letters";
const ID_RULE: &str =
    "an id is 1 to 63 letters, digits, `.`, `_`, `~` and `-`, and begins with a letter or digit";
const COLLECTION_RULE: &str =
    "a collection is 1 to 63 letters and digits, and begins with a lower-case letter";

fn is_region(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (2..=30).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|it: char| it.is_ascii_lowercase())
        && !text.ends_with('-')
}

fn is_service(text: &str) -> bool {
    let outer = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    (1..=PART_BYTES_MAX).contains(&text.len())
        && text.chars().all(|it| outer(it) || matches!(it, '.' | '-'))
        && text.starts_with(outer)
        && text.ends_with(outer)
}

fn is_kind(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_id(text: &str) -> bool {
    let outer = |it: char| it.is_ascii_alphanumeric();
    (1..=PART_BYTES_MAX).contains(&text.len())
        && text
            .chars()
            .all(|it| outer(it) || matches!(it, '.' | '_' | '~' | '-'))
        && text.starts_with(outer)
}

fn is_collection(text: &str) -> bool {
    (1..=PART_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.starts_with(|it: char| it.is_ascii_lowercase())
}

/// The rule of the ids of a collection: `Err` with the rule if the id breaks it.
fn check_id(collection: &str, is_built_in: bool, id: &str) -> Result<(), &'static str> {
    let (holds, rule) = match collection {
        "regions" => (is_region(id), REGION_RULE),
        "deployments" if is_built_in => (is_region(id), REGION_RULE),
        "services" if is_built_in => (is_service(id), SERVICE_RULE),
        "resources" if is_built_in => (is_kind(id), KIND_RULE),
        _ => (is_id(id), ID_RULE),
    };
    if holds { Ok(()) } else { Err(rule) }
}

/// The id of a region.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(Arc<str>);

impl RegionId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionId {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        if is_region(text) {
            Ok(Self(text.into()))
        } else {
            let (at, problem) = (0, REGION_RULE);
            Err(ObjectNameError { at, problem })
        }
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a service's record.
    ///
    /// # Errors
    /// Returns an error if the id is not valid.
    pub fn service(id: &str) -> Result<Self, ObjectNameError> {
        format!("services/{id}").parse()
    }

    /// The service that registered the kind; none for the four kinds of the registry.
    #[must_use]
    pub fn registrant(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("//")?;
        rest.split_once('/').map(|(service, _)| service)
    }

    /// The service that the object belongs to: the one that registered its kind, or the one that its name begins with.
    /// None for regions.
    #[must_use]
    pub fn of_service(&self) -> Option<&str> {
        let first = || self.0.strip_prefix("services/")?.split('/').next();
        self.registrant().or_else(first)
    }

    /// The name without its service.
    fn relative(&self) -> &str {
        match self.0.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, relative)| relative),
            None => &self.0,
        }
    }

    /// The pairs of collection and id.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        let parts: Vec<&str> = self.relative().split('/').collect();
        let pairs: Vec<_> = parts.chunks_exact(2).map(|it| (it[0], it[1])).collect();
        pairs.into_iter()
    }

    /// The last id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The name without its last collection and id; none for a name of one pair.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.segments().nth(1)?;
        let end = self.0.rmatch_indices('/').nth(1)?.0;
        Some(Self(self.0[..end].into()))
    }

    /// The ancestors, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        core::iter::successors(self.parent(), Self::parent)
    }

    /// The region in the name: the id of its segment `regions`, or of a deployment.
    #[must_use]
    pub fn region(&self) -> Option<RegionId> {
        let is_built_in = self.registrant().is_none();
        let names = |it: &(&str, &str)| it.0 == "regions" || is_built_in && it.0 == "deployments";
        let (_, id) = self.segments().find(names)?;
        id.parse().ok()
    }

    /// The collections, which tell the kind: `services/*/deployments/*`.
    #[must_use]
    pub fn form(&self) -> String {
        let service = self.registrant().map(|it| format!("//{it}/"));
        let collections = self
            .segments()
            .map(|(collection, _)| collection.to_owned() + "/*");
        service.unwrap_or_default() + &collections.collect::<Vec<_>>().join("/")
    }

    /// The range of the names below this name, without the name itself.
    #[must_use]
    pub fn below(&self) -> Range<String> {
        // `0` follows `/`.
        format!("{}/", self.0)..format!("{}0", self.0)
    }
}

impl Borrow<str> for ObjectName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Splits a text into the service and the pairs of parts; `part` checks and takes each pair and its position.
fn read_pairs<'a>(
    text: &'a str,
    mut part: impl FnMut(usize, &'a str, &'a str, bool) -> Result<(), ObjectNameError>,
) -> Result<Option<&'a str>, ObjectNameError> {
    let error = |at, problem| Err(ObjectNameError { at, problem });
    if text.len() > NAME_BYTES_MAX {
        return error(NAME_BYTES_MAX, "the name is longer than 512 bytes");
    }
    let (service, mut at) = match text.strip_prefix("//") {
        Some(rest) => {
            let service = rest.split('/').next().unwrap_or_default();
            if !is_service(service) {
                return error(2, SERVICE_RULE);
            }
            (Some(service), 2 + service.len() + 1)
        }
        None => (None, 0),
    };
    let Some(relative) = text.get(at..).filter(|relative| !relative.is_empty()) else {
        return error(text.len(), "expected a collection");
    };
    let parts: Vec<&str> = relative.split('/').collect();
    for (index, pair) in parts.chunks(2).enumerate() {
        if index == NAME_SEGMENTS_MAX {
            return error(at, "the name has more than 8 collections");
        }
        let [collection, id] = pair else {
            return error(text.len(), "expected an id after the collection");
        };
        if !is_collection(collection) {
            return error(at, COLLECTION_RULE);
        }
        at += collection.len() + 1;
        part(at, collection, id, service.is_none())?;
        at += id.len() + 1;
    }
    Ok(service)
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        read_pairs(text, |at, collection, id, is_built_in| {
            check_id(collection, is_built_in, id).map_err(|problem| ObjectNameError { at, problem })
        })?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pattern of the names of a kind: `services/{service}/deployments/{deployment}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    form: String,
}

impl NamePattern {
    /// The collections, as [`ObjectName::form`] has them.
    #[must_use]
    pub fn form(&self) -> &str {
        &self.form
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for NamePattern {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        let mut collections = Vec::new();
        let service = read_pairs(text, |at, collection, id, _| {
            let variable = id.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            if !variable.is_some_and(is_collection) {
                let problem = "expected a variable, such as `{order}`";
                return Err(ObjectNameError { at, problem });
            }
            collections.push(format!("{collection}/*"));
            Ok(())
        })?;
        let service = service.map(|it| format!("//{it}/")).unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            form: service + &collections.join("/"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_tells_its_parts() {
        let deployment = name("services/shop.example/deployments/eu");
        assert_eq!(deployment.form(), "services/*/deployments/*");
        assert_eq!(deployment.id(), "eu");
        assert_eq!(deployment.of_service(), Some("shop.example"));
        assert_eq!(deployment.parent(), Some(name("services/shop.example")));
        assert_eq!(deployment.region(), Some("eu".parse().unwrap()));
        let order = name("//shop.example/regions/us/orders/o-17");
        assert_eq!(order.form(), "//shop.example/regions/*/orders/*");
        assert_eq!(order.of_service(), Some("shop.example"));
        assert_eq!(order.region(), Some("us".parse().unwrap()));
        let ancestors: Vec<_> = order.ancestors().collect();
        assert_eq!(ancestors, [name("//shop.example/regions/us")]);
        assert_eq!(name("regions/eu").of_service(), None);
        assert_eq!(name("services/shop").region(), None);
    }

    #[test]
    fn an_error_names_its_column_and_the_rule() {
        let error = |text: &str| text.parse::<ObjectName>().unwrap_err().to_string();
        assert_eq!(error(""), "column 1: expected a collection");
        assert_eq!(
            error("regions"),
            "column 8: expected an id after the collection"
        );
        assert_eq!(error("regions/EU"), format!("column 9: {REGION_RULE}"));
        assert_eq!(error("services/-a"), format!("column 10: {SERVICE_RULE}"));
        assert_eq!(
            error("services/a/resources/b1"),
            format!("column 22: {KIND_RULE}")
        );
        assert_eq!(
            error("//a/Orders/1"),
            format!("column 5: {COLLECTION_RULE}")
        );
        assert_eq!(error("//a/orders/"), format!("column 12: {ID_RULE}"));
        assert_eq!(error("//a"), "column 4: expected a collection");
        assert_eq!(error("//"), format!("column 3: {SERVICE_RULE}"));
        assert!(error(&format!("orders/{}", "a".repeat(600))).contains("512 bytes"));
    }

    #[test]
    fn a_pattern_has_the_form_of_its_names() {
        let pattern: NamePattern = "//shop/regions/{region}/orders/{order}".parse().unwrap();
        assert_eq!(pattern.form(), name("//shop/regions/eu/orders/1").form());
        assert!("orders/1".parse::<NamePattern>().is_err());
        assert!("orders/{1}".parse::<NamePattern>().is_err());
    }

    #[test]
    fn the_range_below_a_name_has_its_descendants_alone() {
        let below = name("services/a").below();
        let holds = |text: &str| below.contains(&text.to_owned());
        assert!(holds("services/a/deployments/eu") && holds("services/a/resources/B"));
        assert!(
            !holds("services/a") && !holds("services/a.b") && !holds("services/ab/resources/B")
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_keeps_the_text(text in "[a-zA-Z0-9/{}.é-]{0,40}") {
            if let Ok(name) = text.parse::<ObjectName>() {
                prop_assert_eq!(name.as_str(), text.as_str());
                prop_assert!(name.segments().count() >= 1);
            }
            drop(text.parse::<NamePattern>());
        }
    }
}
