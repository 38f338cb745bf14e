//! Resolves the name that a node advertises. Core decides which of its addresses is published.

use super::network::Network;
use phalanx_core::advertised::{Undialable, choose};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time;

/// Reasons why the name that a node advertises gives no address to publish.
#[derive(Debug, thiserror::Error)]
pub enum AdvertiseError {
    /// The resolver failed, or does not know the name.
    #[error("advertise: {name} was not resolved: {error}; check the name, or give an IP address")]
    Resolver {
        /// The name with its port.
        name: String,
        /// The resolver's error.
        error: io::Error,
    },
    /// The resolver did not answer in time.
    #[error("advertise: {name} was not resolved within {} ms; check the resolver, or give an IP address", .within.as_millis())]
    TimedOut {
        /// The name with its port.
        name: String,
        /// The time waited.
        within: Duration,
    },
    /// The name has no address.
    #[error("advertise: {name} has no address; check the name, or give an IP address")]
    NoAddress {
        /// The name with its port.
        name: String,
    },
    /// Other nodes can dial none of the addresses of the name.
    #[error(
        "advertise: {name} has no address that other nodes can dial: the first {why}; give an IP address"
    )]
    Undialable {
        /// The name with its port.
        name: String,
        /// The reason for the first address.
        why: Undialable,
    },
}

/// Resolves the name that a node advertises. Returns the address to publish for a node that listens at `listen`.
///
/// # Errors
/// If the name gives no address that other nodes can dial within `within`.
pub async fn advertised_address<N: Network>(
    network: &N,
    name: &str,
    listen: SocketAddr,
    within: Duration,
) -> Result<SocketAddr, AdvertiseError> {
    let name = name.to_owned();
    let found = match time::timeout(within, network.resolve(&name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(AdvertiseError::Resolver { name, error }),
        Err(_) => return Err(AdvertiseError::TimedOut { name, within }),
    };
    choose(&found, listen).map_err(|why| match why {
        Some(why) => AdvertiseError::Undialable { name, why },
        None => AdvertiseError::NoAddress { name },
    })
}
