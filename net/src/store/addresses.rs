//! The stored addresses of members: their item. Core decides which addresses are stored, and their form.

use super::error::StoreError;
use super::interface::Store;
use super::name::ItemName;
use phalanx_core::gossip::{decode_addresses, encode_addresses};
use std::net::SocketAddr;

/// The item of the addresses.
pub const ADDRESSES: ItemName = ItemName::new("addresses");

/// The reason why the stored addresses cannot be used. The node starts without them, and replaces them.
#[derive(Debug, thiserror::Error)]
pub enum AddressesError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The item is not one that [`encode_addresses`] made.
    #[error("{place}: is damaged ({reason})")]
    Damaged {
        /// The place of the item.
        place: String,
        /// The first difference.
        reason: String,
    },
}

/// The stored addresses; none if none were stored.
///
/// # Errors
/// When the item is damaged or the store cannot be read.
pub async fn load<S: Store>(store: &S) -> Result<Vec<SocketAddr>, AddressesError> {
    let bytes = store.load(ADDRESSES).await?;
    let decoded = bytes.map_or(Ok(Vec::new()), |bytes| decode_addresses(&bytes));
    decoded.map_err(|reason| AddressesError::Damaged {
        place: store.place(ADDRESSES),
        reason,
    })
}

/// Replaces the stored addresses.
///
/// # Errors
/// When the store cannot be written.
pub async fn save<S: Store>(store: &S, addresses: &[SocketAddr]) -> Result<(), StoreError> {
    let bytes = encode_addresses(addresses);
    store.update(ADDRESSES, move |_| Ok((bytes, ()))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn addresses_are_stored_and_read_again() {
        let store = MemoryStore::default();
        assert_eq!(load(&store).await.unwrap(), []);
        let addresses: Vec<SocketAddr> = ["10.0.0.1:7400", "[2001:db8::1]:7400"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        save(&store, &addresses).await.unwrap();
        assert_eq!(load(&store).await.unwrap(), addresses);
        save(&store, &[]).await.unwrap();
        assert_eq!(load(&store).await.unwrap(), []);
    }
}
