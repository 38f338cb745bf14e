//! The stored revocations: their item and its format. Core decides what is stored.
//!
//! The item is a line of text, a check sum, and the revocations as a message of the wire format. The chains of signers
//! are stored once each.

use super::error::StoreError;
use super::interface::Store;
use super::name::ItemName;
use crate::wire::proto;
use crate::wire::revocation;
use phalanx_core::random::hash_bytes;
use phalanx_core::revocation::{REVOCATIONS_MAX, Revocation};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The item of the revocations.
pub const REVOCATIONS: ItemName = ItemName::sized("revocations", REVOCATIONS_BYTES_MAX);
/// The largest item, in bytes.
const REVOCATIONS_BYTES_MAX: usize = 64 << 20;
/// The first bytes of the item.
const HEAD: &[u8] = b"phalanx revocations 1\n";

/// A shared chain of certificates, as revocations hold it.
type Chain = Arc<[Vec<u8>]>;

/// The reason why revocations cannot be read or stored. The stored revocations remain.
#[derive(Debug, thiserror::Error)]
pub enum RevocationsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The item is not one that [`encode`] made.
    #[error(
        "{place}: is damaged ({reason}); remove it when other nodes of the mesh run: this node learns the revocations \
         from them before it links"
    )]
    Damaged {
        /// The place of the item.
        place: String,
        /// The first difference.
        reason: String,
    },
}

/// The stored revocations; none if none were stored.
///
/// # Errors
/// When the item is damaged or the store cannot be read.
pub async fn load<S: Store>(store: &S) -> Result<Vec<Arc<Revocation>>, RevocationsError> {
    let Some(bytes) = store.load(REVOCATIONS).await? else {
        return Ok(Vec::new());
    };
    decode(&bytes).map_err(|reason| RevocationsError::Damaged {
        place: store.place(REVOCATIONS),
        reason,
    })
}

/// Replaces the stored revocations; durable on return.
///
/// # Errors
/// When the store cannot be written.
pub async fn save<S: Store>(
    store: &S,
    revocations: &[Arc<Revocation>],
) -> Result<(), RevocationsError> {
    Ok(store.save(REVOCATIONS, encode(revocations)).await?)
}

/// The item of some revocations.
#[must_use]
pub fn encode(revocations: &[Arc<Revocation>]) -> Vec<u8> {
    let mut chains: BTreeMap<Chain, u32> = BTreeMap::new();
    let mut list = proto::StoredRevocations::default();
    for revocation in revocations {
        let chain = &revocation.signature.chain;
        let next = u32::try_from(chains.len()).unwrap_or(u32::MAX);
        let number = *chains.entry(Arc::clone(chain)).or_insert_with(|| {
            let certificates = chain.to_vec();
            list.chains.push(proto::StoredChain { certificates });
            next
        });
        let mut wire = proto::Revocation::from(revocation);
        wire.chain.clear();
        list.revocations.push(wire);
        list.chain_of.push(number);
    }
    let body = list.encode_to_vec();
    let check = hash_bytes(&body).to_be_bytes();
    [HEAD, &check, &body].concat()
}

/// The revocations of an item.
///
/// # Errors
/// The first difference from what [`encode`] makes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Arc<Revocation>>, String> {
    let rest = bytes
        .strip_prefix(HEAD)
        .ok_or("the first line is not that of revocations")?;
    let (check, body) = rest
        .split_first_chunk::<8>()
        .ok_or("the check sum is missing")?;
    if u64::from_be_bytes(*check) != hash_bytes(body) {
        return Err("the check sum does not fit".to_owned());
    }
    let list = proto::StoredRevocations::decode(body).map_err(|error| error.to_string())?;
    let found = list.revocations.len();
    if found > REVOCATIONS_MAX || found != list.chain_of.len() {
        return Err(format!("it holds {found} revocations"));
    }
    let chains: Vec<Chain> = list
        .chains
        .into_iter()
        .map(|chain| chain.certificates.into())
        .collect();
    let numbered = list.revocations.into_iter().zip(list.chain_of);
    numbered
        .map(|(wire, number)| {
            let mut parsed = revocation(wire).map_err(|error| error.to_string())?;
            let chain = chains.get(number as usize).ok_or("a chain is missing")?;
            parsed.signature.chain = Arc::clone(chain);
            Ok(Arc::new(parsed))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use phalanx_core::revocation::{
        Fingerprint, RevocationContent, RevocationSignature, RevocationTarget,
    };
    use phalanx_core::time::Wall;

    fn of(number: u8, signer: &[&[u8]]) -> Arc<Revocation> {
        Arc::new(Revocation {
            content: RevocationContent {
                target: RevocationTarget::Certificate(Fingerprint([number; 32])),
                begun_before: Wall(0),
                ends: Wall(9),
                signed: Wall(7),
            },
            signature: RevocationSignature {
                scheme: 0x0807,
                bytes: vec![number; 64],
                chain: signer.iter().map(|it| it.to_vec()).collect(),
            },
        })
    }

    #[tokio::test]
    async fn revocations_are_stored_with_each_chain_once() {
        let store = MemoryStore::default();
        assert_eq!(load(&store).await.unwrap(), []);
        let signer: &[&[u8]] = &[&[1; 500], &[2; 500]];
        let all: Vec<_> = (0..40)
            .map(|number| of(number, if number % 2 == 0 { signer } else { &[] }))
            .collect();
        save(&store, &all).await.unwrap();
        assert_eq!(load(&store).await.unwrap(), all);
        assert!(encode(&all).len() < 40 * 130 + 1_100);
    }

    #[test]
    fn a_damaged_item_is_not_taken_for_an_empty_list() {
        let whole = encode(&[of(1, &[])]);
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut flipped = whole.clone();
        for at in 0..whole.len() {
            flipped[at] ^= 1;
            assert!(decode(&flipped).is_err(), "byte {at}");
            flipped[at] ^= 1;
        }
        assert!(decode(&whole).is_ok());
    }
}
