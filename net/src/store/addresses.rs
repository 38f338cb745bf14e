//! The stored addresses of members: their item and its format. Core decides which addresses are stored.

use super::error::StoreError;
use super::interface::Store;
use super::name::ItemName;
use phalanx_core::gossip::KEPT_MAX;
use phalanx_core::random::hash_bytes;
use std::net::SocketAddr;

/// The item of the addresses.
pub const ADDRESSES: ItemName = ItemName::new("addresses");
/// The first line of the item.
const HEAD: &str = "phalanx addresses 1";

/// The reason why the stored addresses cannot be used. The node starts without them, and replaces them.
#[derive(Debug, thiserror::Error)]
pub enum AddressesError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The item is not one that [`encode`] made.
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
    let decoded = bytes.map_or(Ok(Vec::new()), |bytes| decode(&bytes));
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
    let bytes = encode(addresses);
    store.update(ADDRESSES, move |_| Ok((bytes, ()))).await
}

/// The item of addresses: a head, one line an address, and a check sum.
#[must_use]
pub fn encode(addresses: &[SocketAddr]) -> Vec<u8> {
    let lines = addresses.iter().map(|address| format!("{address}\n"));
    let text = format!("{HEAD}\n{}", lines.collect::<String>());
    let check = hash_bytes(text.as_bytes());
    format!("{text}{check:016x}\n").into_bytes()
}

/// The addresses of an item, at most [`KEPT_MAX`].
///
/// # Errors
/// The first difference from what [`encode`] makes.
pub fn decode(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let found = str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let lines: Vec<&str> = found.lines().collect();
    let [HEAD, addresses @ .., _] = &lines[..] else {
        return Err(format!("line 1 is not {HEAD:?}"));
    };
    if addresses.len() > KEPT_MAX {
        return Err(format!("it holds more than {KEPT_MAX} addresses"));
    }
    let parsed = addresses.iter().enumerate().map(|(at, line)| {
        let address = line.parse::<SocketAddr>();
        address.map_err(|_| format!("line {}, {line:?}, is not an address", at + 2))
    });
    let parsed: Vec<SocketAddr> = parsed.collect::<Result<_, _>>()?;
    if bytes != encode(&parsed) {
        return Err("the last line, the check sum, does not fit".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use proptest::prelude::*;

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

    #[test]
    fn a_damaged_item_is_refused_with_the_place() {
        let good = encode(&["10.0.0.1:7400".parse().unwrap()]);
        let text = String::from_utf8(good).unwrap();
        for (damaged, why) in [
            (String::new(), "line 1 is not"),
            (text.replace("addresses 1", "addresses 2"), "line 1 is not"),
            (text.replace("10.0.0.1", "10.0.0.x"), "line 2"),
            (text.replace("10.0.0.1", "10.0.0.2"), "the check sum"),
            (text[..text.len() - 2].to_owned(), "the check sum"),
        ] {
            let found = decode(damaged.as_bytes()).unwrap_err();
            assert!(found.contains(why), "{damaged:?}: {found}");
        }
        assert_eq!(decode(&[0xff]).unwrap_err(), "it is not text");
        let many = vec!["10.0.0.1:7400".parse().unwrap(); KEPT_MAX + 1];
        assert!(decode(&encode(&many)).unwrap_err().contains("more than 64"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes).is_ok();
        }
    }
}
