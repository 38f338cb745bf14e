//! Selectors: one object, a collection, or all objects.
//!
//! | text | selects |
//! |---|---|
//! | (empty) | all objects |
//! | `services/shop` | the object |
//! | `services/shop/deployments` | the deployments of one service |
//! | `services/-/deployments` | the deployments of all services |

use crate::registry::name::{ObjectName, ObjectNameError};
use core::fmt;
use core::str::FromStr;

/// An id that stands for every id.
const WILDCARD: &str = "-";

/// A selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSelector {
    text: String,
    /// The form of the selected names; none for all objects.
    form: Option<String>,
    /// The ids of the names; none for a wildcard.
    ids: Vec<Option<String>>,
}

impl ObjectSelector {
    /// Selects one object.
    #[must_use]
    pub fn object(name: &ObjectName) -> Self {
        Self {
            text: name.as_str().to_owned(),
            form: Some(name.form()),
            ids: name.segments().map(|it| Some(it.1.to_owned())).collect(),
        }
    }

    /// The form of the selected names; none for all objects.
    #[must_use]
    pub fn form(&self) -> Option<&str> {
        self.form.as_deref()
    }

    /// Whether a name is selected.
    #[must_use]
    pub fn matches(&self, name: &ObjectName) -> bool {
        self.form.as_ref().is_none_or(|form| {
            let mut ids = self.ids.iter().zip(name.segments());
            *form == name.form()
                && ids.all(|(id, (_, other))| id.as_ref().is_none_or(|id| id == other))
        })
    }

    /// The beginning that all selected names have: a search may be narrowed to it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let wildcard = self.text.find("/-").map_or(self.text.len(), |at| at + 1);
        &self.text[..wildcard]
    }
}

impl FromStr for ObjectSelector {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (scheme, relative) = text.strip_prefix("//").map_or(("", text), |it| ("//", it));
        let mut parts: Vec<&str> = relative.split('/').collect();
        let first = usize::from(!scheme.is_empty());
        let is_collection = parts.len().saturating_sub(first) % 2 == 1;
        if is_collection {
            parts.push(WILDCARD);
        }
        // A name whose wildcards are replaced by an id that each collection accepts.
        let mut ids = Vec::new();
        for (index, part) in parts.iter_mut().enumerate().skip(first) {
            if (index - first) % 2 == 1 {
                let is_wildcard = *part == WILDCARD;
                ids.push((!is_wildcard).then(|| (*part).to_owned()));
                if is_wildcard {
                    *part = "aa";
                }
            }
        }
        let sample: ObjectName = (scheme.to_owned() + &parts.join("/")).parse()?;
        Ok(Self {
            text: text.to_owned(),
            form: Some(sample.form()),
            ids,
        })
    }
}

impl fmt::Display for ObjectSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(selector: &str, name: &str) -> bool {
        let selector: ObjectSelector = selector.parse().unwrap();
        let name = name.parse().unwrap();
        let is_match = selector.matches(&name);
        assert!(!is_match || name.as_str().starts_with(selector.prefix()));
        is_match
    }

    #[test]
    fn selectors_match_as_documented() {
        let deployment = "services/shop/deployments/eu";
        assert!(matches("", deployment));
        assert!(matches(deployment, deployment));
        assert!(matches("services/shop/deployments", deployment));
        assert!(matches("services/-/deployments", deployment));
        assert!(matches("services/-/deployments/eu", deployment));
        assert!(!matches("services/-/deployments/us", deployment));
        assert!(!matches("services/other/deployments", deployment));
        assert!(!matches("services", deployment));
        assert!(!matches("services/-", "services/shop/resources/Order"));
        assert!(matches("//shop/orders", "//shop/orders/o-1"));
        assert!(!matches("//shop/orders", "//shop/regions/eu/orders/o-1"));
        assert!(matches(
            "//shop/regions/-/orders",
            "//shop/regions/eu/orders/o-1"
        ));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[a-c/-]{0,16}", name in "(//a/)?(a|b)/[ab](/c/[ab])?") {
            if let (Ok(selector), Ok(name)) = (text.parse::<ObjectSelector>(), name.parse()) {
                let selects = selector.matches(&name);
                prop_assert!(!selects || name.as_str().starts_with(selector.prefix()));
                prop_assert!(ObjectSelector::object(&name).matches(&name));
            }
        }
    }
}
