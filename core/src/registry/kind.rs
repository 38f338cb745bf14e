//! Kinds of objects: Region, Service, Deployment and Resource, and those that services register.
//!
//! A service registers a kind by an object `services/SERVICE/resources/KIND`. Its body has the patterns of the names
//! (`//SERVICE/orders/{order}`), the plural, and the versions. Objects of the kind then have the same operations as the
//! four kinds. The collections of a name tell its kind, so no two kinds share a pattern.

use super::name::{NamePattern, ObjectName, ObjectNameError};
use super::object::Object;
use super::references::{self, ReferenceError, ReferenceField};
use super::schema::{self, FieldSchema, SchemaError, check_body};
use super::value::ObjectTable;
use core::fmt;
use std::collections::BTreeMap;

/// Maximum number of patterns of a kind.
pub const KIND_PATTERNS_MAX: usize = 8;

/// One of the four kinds of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInKind {
    /// A possible location of services.
    Region,
    /// A service.
    Service,
    /// A service in one region.
    Deployment,
    /// A kind of objects of a service.
    Resource,
}

impl BuiltInKind {
    const ALL: &'static [(&'static str, Self)] = &[
        ("regions/*", Self::Region),
        ("services/*", Self::Service),
        ("services/*/deployments/*", Self::Deployment),
        ("services/*/resources/*", Self::Resource),
    ];

    /// The kind of a name; none if the name belongs to none of the four.
    #[must_use]
    pub fn of(name: &ObjectName) -> Option<Self> {
        let form = name.form();
        let found = Self::ALL.iter().find(|(known, _)| *known == form);
        found.map(|(_, kind)| *kind)
    }

    const fn fields(self) -> &'static [FieldSchema] {
        match self {
            Self::Region => schema::REGION,
            Self::Service => schema::SERVICE,
            Self::Deployment => schema::DEPLOYMENT,
            Self::Resource => schema::RESOURCE,
        }
    }
}

/// The kind of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// One of the four kinds of the registry.
    BuiltIn(BuiltInKind),
    /// The kind that this resource registers.
    Registered(ObjectName),
}

/// Reason why a kind cannot be registered, or why an object has no kind or does not fit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindError {
    /// No kind has names of this form.
    Unknown(String),
    /// A pattern is not valid.
    Pattern(String, ObjectNameError),
    /// The kind has no pattern, or more than [`KIND_PATTERNS_MAX`].
    PatternCount,
    /// A pattern does not begin with the service that registers the kind.
    OtherService(String),
    /// Another kind has a pattern of this form.
    Taken {
        /// The pattern.
        pattern: String,
        /// The resource that registers the other kind.
        by: ObjectName,
    },
    /// The body does not fit the kind.
    Schema(SchemaError),
    /// A reference is not valid.
    Reference(ReferenceError),
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(form) => write!(
                f,
                "no kind has names of the form {form}; register the kind by an object services/SERVICE/resources/KIND"
            ),
            Self::Pattern(pattern, error) => write!(f, "pattern `{pattern}`, {error}"),
            Self::PatternCount => write!(f, "a kind has 1 to {KIND_PATTERNS_MAX} patterns"),
            Self::OtherService(pattern) => write!(
                f,
                "pattern `{pattern}` does not begin with the service that registers the kind (//SERVICE/)"
            ),
            Self::Taken { pattern, by } => {
                write!(f, "pattern `{pattern}` has the form of a pattern of {by}")
            }
            Self::Schema(error) => error.fmt(f),
            Self::Reference(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for KindError {}

/// The registered kinds, by the forms of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindCatalog {
    registered: BTreeMap<String, ObjectName>,
    /// The references of the kinds that have any.
    references: BTreeMap<ObjectName, Vec<ReferenceField>>,
}

impl KindCatalog {
    /// The kind of an object.
    ///
    /// # Errors
    /// Returns an error if no kind has names of this form.
    pub fn kind_of(&self, name: &ObjectName) -> Result<ObjectKind, KindError> {
        if let Some(kind) = BuiltInKind::of(name) {
            return Ok(ObjectKind::BuiltIn(kind));
        }
        let form = name.form();
        match self.registered.get(&form) {
            Some(resource) => Ok(ObjectKind::Registered(resource.clone())),
            None => Err(KindError::Unknown(form)),
        }
    }

    /// Checks the body of an object that is about to be written.
    ///
    /// # Errors
    /// Returns an error if the name has no kind, if the body does not fit the kind, or, for a resource, if the kind
    /// cannot be registered.
    pub fn check(&self, name: &ObjectName, body: &ObjectTable) -> Result<(), KindError> {
        match self.kind_of(name)? {
            ObjectKind::BuiltIn(kind) => {
                check_body(body, kind.fields()).map_err(KindError::Schema)?;
                if kind == BuiltInKind::Resource {
                    self.check_patterns(name, body)?;
                    references::declared(body).map_err(KindError::Reference)?;
                }
                Ok(())
            }
            ObjectKind::Registered(_) => {
                let fields = self.references_of(name);
                references::check_fields(fields, body).map_err(KindError::Reference)
            }
        }
    }

    fn check_patterns(&self, resource: &ObjectName, body: &ObjectTable) -> Result<(), KindError> {
        let patterns = patterns(body);
        if patterns.is_empty() || patterns.len() > KIND_PATTERNS_MAX {
            return Err(KindError::PatternCount);
        }
        let service = resource.of_service().unwrap_or_default();
        for pattern in patterns {
            let read: Result<NamePattern, _> = pattern.parse();
            let form = read
                .map_err(|error| KindError::Pattern(pattern.to_owned(), error))?
                .form()
                .to_owned();
            if !form.starts_with(&format!("//{service}/")) {
                return Err(KindError::OtherService(pattern.to_owned()));
            }
            if let Some(by) = self.registered.get(&form).filter(|by| *by != resource) {
                let (pattern, by) = (pattern.to_owned(), by.clone());
                return Err(KindError::Taken { pattern, by });
            }
        }
        Ok(())
    }

    /// Follows the change of an object. Resources change the catalogue, other objects do not.
    pub fn on_change(&mut self, name: &ObjectName, after: Option<&Object>) {
        if BuiltInKind::of(name) != Some(BuiltInKind::Resource) {
            return;
        }
        self.registered.retain(|_, resource| resource != name);
        self.references.remove(name);
        let declared = after.and_then(|it| references::declared(&it.body).ok());
        if let Some(fields) = declared.filter(|it| !it.is_empty()) {
            self.references.insert(name.clone(), fields);
        }
        for pattern in after.iter().flat_map(|it| patterns(&it.body)) {
            // The patterns were checked when the resource was written.
            if let Ok(pattern) = pattern.parse::<NamePattern>() {
                let form = pattern.form().to_owned();
                self.registered.insert(form, name.clone());
            }
        }
    }

    /// The fields of an object that are references, by the kind of its name.
    #[must_use]
    pub fn references_of(&self, name: &ObjectName) -> &[ReferenceField] {
        if self.references.is_empty() {
            return &[];
        }
        let resource = self.registered.get(&name.form());
        let fields = resource.and_then(|it| self.references.get(it));
        fields.map_or(&[], Vec::as_slice)
    }

    /// Whether a kind has references, so that its objects may refer to any other one.
    #[must_use]
    pub fn has_references(&self) -> bool {
        !self.references.is_empty()
    }

    /// Whether objects of a registered kind may be below an object of this form.
    #[must_use]
    pub fn has_below(&self, form: &str) -> bool {
        let below = format!("{form}/");
        let mut forms = self.registered.range(below.clone()..);
        forms
            .next()
            .is_some_and(|(form, _)| form.starts_with(&below))
    }

    /// The forms of the names of the kind that a resource registers.
    pub fn forms_of(&self, resource: &ObjectName) -> impl Iterator<Item = &str> {
        let own = self.registered.iter().filter(move |it| it.1 == resource);
        own.map(|(form, _)| form.as_str())
    }
}

fn patterns(body: &ObjectTable) -> Vec<&str> {
    let list = body.get("patterns").map_or(&[][..], |it| it.elements());
    list.iter().filter_map(|it| it.as_text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use crate::registry::value::ObjectValue;

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    fn with_patterns(patterns: &[&str]) -> ObjectTable {
        [("patterns".to_owned(), ObjectValue::texts(patterns))].into()
    }

    #[test]
    fn a_registered_kind_has_objects_until_its_resource_is_removed() {
        let mut catalog = KindCatalog::default();
        let (order, resource) = (
            name("//shop/orders/1"),
            name("services/shop/resources/Order"),
        );
        let body = with_patterns(&[
            "//shop/orders/{order}",
            "//shop/regions/{region}/orders/{order}",
        ]);
        assert!(catalog.check(&order, &ObjectTable::new()).is_err());
        assert_eq!(catalog.check(&resource, &body), Ok(()));
        catalog.on_change(&resource, Some(&object(resource.as_str(), body.clone())));
        assert_eq!(
            catalog.kind_of(&order),
            Ok(ObjectKind::Registered(resource.clone()))
        );
        assert_eq!(
            catalog.check(&resource, &body),
            Ok(()),
            "it does not conflict with itself"
        );
        assert_eq!(catalog.forms_of(&resource).count(), 2);
        catalog.on_change(&resource, None);
        assert_eq!(catalog, KindCatalog::default());
    }

    #[test]
    fn a_kind_needs_patterns_of_its_own_service_that_no_other_kind_has() {
        let mut catalog = KindCatalog::default();
        let (order, parcel) = (
            name("services/shop/resources/Order"),
            name("services/shop/resources/Parcel"),
        );
        let body = with_patterns(&["//shop/orders/{order}"]);
        catalog.on_change(&order, Some(&object(order.as_str(), body.clone())));
        let error = |body: &ObjectTable| catalog.check(&parcel, body).unwrap_err().to_string();
        assert!(
            error(&body).contains("has the form of a pattern of services/shop/resources/Order")
        );
        assert!(error(&with_patterns(&["//other/parcels/{p}"])).contains("does not begin"));
        assert!(error(&with_patterns(&["services/{s}/parcels/{p}"])).contains("does not begin"));
        assert!(error(&with_patterns(&["//shop/parcels/p"])).contains("expected a variable"));
        assert!(error(&ObjectTable::new()).contains("1 to 8 patterns"));
    }

    #[test]
    fn bodies_of_the_four_kinds_are_checked() {
        let catalog = KindCatalog::default();
        let body = ObjectTable::from([("colour".to_owned(), "red".into())]);
        for known in [
            "regions/eu",
            "services/shop",
            "services/shop/deployments/eu",
        ] {
            let error = catalog.check(&name(known), &body).unwrap_err().to_string();
            assert!(error.contains("`colour` does not exist"), "{error}");
        }
        let error = catalog.check(&name("orders/1"), &body).unwrap_err();
        assert!(error.to_string().contains("names of the form orders/*"));
    }
}
