//! Items in memory.

use super::error::StoreError;
use super::interface::Store;
use super::name::{ITEM_BYTES_MAX, ItemName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Items kept in memory, for nodes that are simulated or short-lived.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    items: Arc<Mutex<BTreeMap<ItemName, Vec<u8>>>>,
}

impl MemoryStore {
    /// A new store with the same items, which does not share later changes.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            items: Arc::new(Mutex::new(self.items().clone())),
        }
    }

    /// The bytes of an item, if it was saved.
    #[must_use]
    pub fn item(&self, name: ItemName) -> Option<Vec<u8>> {
        self.items().get(&name).cloned()
    }

    /// Sets the bytes of an item.
    pub fn set(&self, name: ItemName, bytes: Vec<u8>) {
        self.items().insert(name, bytes);
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<ItemName, Vec<u8>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn load(&self, name: ItemName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.item(name))
    }

    async fn update<T, E>(
        &self,
        name: ItemName,
        change: impl FnOnce(Option<&[u8]>) -> Result<(Vec<u8>, T), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let mut items = self.items();
        let (new, result) = change(items.get(&name).map(Vec::as_slice))?;
        if new.len() > ITEM_BYTES_MAX {
            let bytes = new.len();
            return Err(StoreError::TooLarge { name, bytes }.into());
        }
        items.insert(name, new);
        Ok(result)
    }

    fn place(&self, name: ItemName) -> String {
        format!("{name} in memory")
    }
}
