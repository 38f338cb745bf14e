//! The start of the daemon's registry.

use super::{blocking, start};
use crate::DaemonError;
use crate::config::{DaemonSettings, RegistryPlace, RegistrySettings};
use phalanx_net::entropy;
use phalanx_net::identity::Identity;
use phalanx_net::registry::store::{
    PostgresStore, PostgresStoreError, StoreDirectory, StoreDirectoryError,
};
use phalanx_net::registry::{LocalSocket, ObjectApi, RegionRegistry, serve_local};
use phalanx_net::rest::RestApi;
use std::env;
use std::path::PathBuf;
use tonic::service::Routes;

/// Checks that the certificate names the registry of the node's region, if the region is not the primary one, and that it
/// names no other region.
pub(super) fn check(settings: &DaemonSettings, identity: &Identity) -> Result<(), String> {
    let region = settings.registry.as_ref().map(|it| &it.region);
    let named = identity.facts().registry.as_ref();
    if let (Some(registry), None) = (&settings.registry, named)
        && registry.primary != registry.region
    {
        let (region, primary, id) = (&registry.region, &registry.primary, settings.subject.id());
        return Err(format!(
            "registry.primary: is {primary}, and the certificate does not name the registry of region {region}, which \
             the registry of {primary} must see; issue it with phalanx ca issue {id} --registry {region}"
        ));
    }
    match (region, named) {
        (Some(region), Some(named)) if region != named => Err(format!(
            "registry.region: is {region}, and the certificate is for the registry of region {named}; issue it with \
             --registry {region} (phalanx ca issue)"
        )),
        _ => Ok(()),
    }
}

/// Opens the store of the node's region, and starts its registry.
pub(super) async fn run(
    settings: &RegistrySettings,
    daemon: &DaemonSettings,
) -> Result<RegionRegistry, DaemonError> {
    let state_dir = &daemon.state_dir;
    let local = match settings.local(state_dir) {
        Some((path, users)) => Some((LocalSocket::bind(&path).map_err(start)?, users)),
        None => None,
    };
    let mut config = settings.sequencer(entropy::seed().map_err(start)?);
    let region = settings.region.clone();
    let started = match settings.store.clone() {
        RegistryPlace::Sqlite => {
            let directory = state_dir.join("registry");
            let opened = blocking(move || {
                let held = StoreDirectory::hold(&directory)?;
                let store = held.sqlite(&region)?;
                Ok((held, store))
            });
            let opened: Result<_, StoreDirectoryError> = opened.await?;
            let (held, store) = opened.map_err(start)?;
            RegionRegistry::start(config, held, store)
        }
        RegistryPlace::Postgres(database) => {
            config.shares_store = true;
            let database = database.with_pass_file(env::var_os("PGPASSFILE").map(PathBuf::from));
            let node = daemon.subject.id().to_string();
            let opened = blocking(move || PostgresStore::connect(database, &region, &node));
            let opened: Result<_, PostgresStoreError> = opened.await?;
            let store = opened.map_err(start)?;
            RegionRegistry::start(config, store.state().clone(), store)
        }
    };
    let registry = started.map_err(|error| {
        start(format!(
            "cannot start the thread of the registry's store: {error}"
        ))
    })?;
    if let Some(local) = local {
        serve_local(&registry, &daemon.subject, local, with_rest);
    }
    Ok(registry)
}

/// Adds the HTTP bindings of the registry.
pub(super) fn with_rest(routes: Routes) -> Routes {
    match RestApi::add(routes.clone(), ObjectApi::NAME) {
        Ok(routes) => routes,
        Err(error) => {
            tracing::error!("the registry is served over gRPC only: {error}");
            routes
        }
    }
}
