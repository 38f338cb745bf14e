//! The interface of a store.

use super::error::StoreError;
use super::name::ItemName;
use std::future::Future;

/// Durable items by name. Cloning shares the store.
pub trait Store: Clone + Send + Sync + 'static {
    /// The bytes of an item; `None` if it was never saved.
    fn load(
        &self,
        name: ItemName,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Replaces an item by what `change` makes of its present bytes. No other writer comes between. On success the new
    /// bytes are durable; on an error of `change` the old ones remain.
    fn update<T, E>(
        &self,
        name: ItemName,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, T), E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static;

    /// Replaces an item. On success the new bytes are durable.
    fn save(
        &self,
        name: ItemName,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.update(name, move |_| Ok((bytes, ())))
    }

    /// The place of an item, for messages: a path, if it is a file.
    fn place(&self, name: ItemName) -> String;
}
