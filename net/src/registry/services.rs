//! The services of a registry on a port.

use super::environment_api::EnvironmentApi;
use super::follower::LinkApi;
use super::handlers::{ObjectApi, RegistryCallers};
use super::kinds;
use super::region::RegionRegistry;
use crate::identity::Subject;
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};

/// Adds the services of a registry to the routes of the node with this subject, with that for registries of other
/// regions.
#[must_use]
pub fn add_services(routes: Routes, registry: &RegionRegistry, own: Subject) -> Routes {
    let routes = routes.add_service(LinkApi::server(registry.clone()));
    add(routes, registry, &RegistryCallers::new(own))
}

/// Adds the services of a registry to routes. `callers` finds the callers of requests.
pub(super) fn add<I>(routes: Routes, registry: &RegionRegistry, callers: &I) -> Routes
where
    I: Interceptor + Clone + Send + Sync + 'static,
{
    let objects = ObjectApi::plain(registry.clone());
    let environments = EnvironmentApi::plain(registry.clone());
    let routes = routes
        .add_service(InterceptedService::new(objects, callers.clone()))
        .add_service(InterceptedService::new(environments, callers.clone()));
    kinds::add(routes, registry, callers)
}
