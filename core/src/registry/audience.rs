//! The services that may read an object beside the one that it belongs to.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Stands for all services.
pub const ALL_SERVICES: &str = "*";
/// Maximum number of services that may read one object, unless all may.
pub const AUDIENCE_MAX: usize = 4_096;

/// The services that may read an object, without the service that the object belongs to. A copy costs O(1).
///
/// If all services may, the set is [`ALL_SERVICES`] alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ObjectAudience(Arc<BTreeSet<String>>);

impl ObjectAudience {
    /// Whether a service may read the object.
    #[must_use]
    pub fn admits(&self, service: &str) -> bool {
        self.0.contains(service) || self.admits_all()
    }

    /// Whether all services may read the object.
    #[must_use]
    pub fn admits_all(&self) -> bool {
        self.0.contains(ALL_SERVICES)
    }

    /// The services, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The number of services.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no other service may read the object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This audience and further services.
    #[must_use]
    pub fn with<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> Self {
        let mut services = services.into_iter().peekable();
        if services.peek().is_none() {
            return self.clone();
        }
        let all = self.0.iter().cloned();
        all.chain(services.map(str::to_owned)).collect()
    }
}

impl FromIterator<String> for ObjectAudience {
    fn from_iter<T: IntoIterator<Item = String>>(services: T) -> Self {
        let mut services: BTreeSet<String> = services.into_iter().collect();
        if services.contains(ALL_SERVICES) {
            services = [ALL_SERVICES.to_owned()].into();
        }
        Self(Arc::new(services))
    }
}

impl fmt::Debug for ObjectAudience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_services_are_the_only_entry() {
        let some = ObjectAudience::default().with(["mail", "shop"]);
        assert_eq!(some.iter().collect::<Vec<_>>(), ["mail", "shop"]);
        assert!(some.admits("shop") && !some.admits("store") && !some.admits_all());
        let all = some.with([ALL_SERVICES]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [ALL_SERVICES]);
        assert!(all.admits("store") && all.admits_all());
    }
}
