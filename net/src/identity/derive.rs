//! From a mesh's secret to its CA: whoever knows the secret can mint any certificate of the mesh.
//!
//! ```text
//! made secret ------------------------------> 16 bytes --+
//!                                                        +-- HKDF-SHA-256 --> Ed25519 seed --> CA
//! passphrase --- Argon2id(64 MiB, 3, 4) ----> 32 bytes --+   (salt: domain, info: mesh)
//! ```
//!
//! Every step is fixed, also between versions: nodes that derive another key from the same secret do not trust each
//! other. The CA's certificate does not end, since the secret does not; two nodes make the same one to the byte. Its
//! name carries a fingerprint of the key, so that CAs of several secrets are told apart by name, in TLS and by people.

use super::authority::Authority;
use super::error::IdentityError;
use super::secret::{Kind, Secret};
use super::subject::SubjectError;
use argon2::{Algorithm, Argon2, Params, Version};
use phalanx_core::identity::check_name;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

const SALT: &[u8] = b"phalanx mesh secret 1";
const INFO: &[u8] = b"ca ed25519";
const SEED_BYTES: usize = 32;
/// RFC 9106's choice where memory is scarce.
const ARGON_KIBIBYTES: u32 = 64 * 1024;
const ARGON_PASSES: u32 = 3;
const ARGON_LANES: u32 = 4;
/// What precedes the seed of an Ed25519 key in PKCS #8.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An Ed25519 key in PKCS #8, derived from a secret.
type DerivedKey = Zeroizing<[u8; PKCS8.len() + SEED_BYTES]>;

fn crypto(why: impl core::fmt::Display) -> IdentityError {
    IdentityError::Crypto {
        what: "the CA of a mesh secret",
        why: why.to_string(),
    }
}

struct Seed;

impl KeyType for Seed {
    fn len(&self) -> usize {
        SEED_BYTES
    }
}

impl Secret {
    /// The CA of `mesh` that this secret stands for. A passphrase takes a good part of a second and 64 MiB.
    ///
    /// # Errors
    /// When the mesh's name breaks the rules, or the cryptography library refuses.
    pub fn authority(&self, mesh: &str) -> Result<Authority, IdentityError> {
        check_name(mesh).map_err(SubjectError::Mesh)?;
        Authority::derived(mesh, self.ca_key(mesh)?.as_slice())
    }

    /// What people and messages call this secret in `mesh`.
    pub(super) fn fingerprint(&self, mesh: &str) -> Result<String, IdentityError> {
        Ok(self.authority(mesh)?.fingerprint())
    }

    pub(super) fn ca_key(&self, mesh: &str) -> Result<DerivedKey, IdentityError> {
        match &self.0 {
            Kind::Made(bytes) => expand(bytes.as_slice(), mesh),
            Kind::Passphrase(text) => expand(stretch(text, mesh)?.as_slice(), mesh),
        }
    }
}

fn expand(key_material: &[u8], mesh: &str) -> Result<DerivedKey, IdentityError> {
    let mut key = DerivedKey::new([0; PKCS8.len() + SEED_BYTES]);
    key[..PKCS8.len()].copy_from_slice(&PKCS8);
    let extracted = Salt::new(HKDF_SHA256, SALT).extract(key_material);
    extracted
        .expand(&[INFO, &[0], mesh.as_bytes()], Seed)
        .and_then(|expanded| expanded.fill(&mut key[PKCS8.len()..]))
        .map_err(crypto)?;
    Ok(key)
}

fn stretch(passphrase: &str, mesh: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>, IdentityError> {
    let params = Params::new(ARGON_KIBIBYTES, ARGON_PASSES, ARGON_LANES, Some(SEED_BYTES));
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(crypto)?);
    // The function wants a salt of eight bytes at least; a mesh's name may have one.
    let salt = [SALT, &[0], mesh.as_bytes()].concat();
    let mut stretched = Zeroizing::new([0; SEED_BYTES]);
    argon
        .hash_password_into(passphrase.as_bytes(), &salt, stretched.as_mut_slice())
        .map_err(crypto)?;
    Ok(stretched)
}
