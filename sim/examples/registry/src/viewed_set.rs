//! The objects that a watcher hears of: those of its scope that its service may read.

use phalanx_core::registry::access::RegistryCaller;
use phalanx_core::registry::object::Object;
use phalanx_core::registry::query::ObjectScope;

/// A set of objects, as a service sees it.
#[derive(Clone, Debug)]
pub struct ViewedSet {
    /// The service.
    pub viewer: RegistryCaller,
    /// The scope.
    pub scope: ObjectScope,
}

impl ViewedSet {
    /// The objects of a scope that a service may read.
    #[must_use]
    pub fn of(service: &str, scope: ObjectScope) -> Self {
        let viewer = RegistryCaller::Service(service.to_owned());
        Self { viewer, scope }
    }

    /// Whether an object belongs to the set.
    #[must_use]
    pub fn holds(&self, object: &Object) -> bool {
        self.viewer.sees(object) && self.scope.holds(object)
    }
}
