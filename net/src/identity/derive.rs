//! Derives the CA of a mesh from its secret. Every holder of the secret can mint any certificate of
//! the mesh.
//!
//! ```text
//! made secret ------------------------------> 16 bytes --+
//!                                                        +-- HKDF-SHA-256 --> Ed25519 seed --> CA
//! passphrase --- Argon2id(64 MiB, 3, 4) ----> 32 bytes --+   (salt: domain, info: mesh)
//! ```
//!
//! Every step is fixed, across versions too: nodes that derive different keys from the same secret
//! do not trust each other. The CA certificate does not expire, because the secret does not; all
//! nodes derive the same certificate byte for byte. Its name contains a fingerprint of the key,
//! which distinguishes the CAs of several secrets in TLS and in messages.

use super::authority::Authority;
use super::error::IdentityError;
use super::secret::{Secret, SecretKind};
use argon2::{Algorithm, Argon2, Params, Version};
use phalanx_core::identity::check_name;
use phalanx_core::subject::SubjectError;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

const SALT: &[u8] = b"phalanx mesh secret 1";
const INFO: &[u8] = b"ca ed25519";
const SEED_BYTES: usize = 32;
/// RFC 9106's recommendation for memory-constrained environments.
const ARGON_KIBIBYTES: u32 = 64 * 1024;
const ARGON_PASSES: u32 = 3;
const ARGON_LANES: u32 = 4;
/// PKCS #8 header of an Ed25519 seed.
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
    /// Derives the CA of `mesh` from this secret. A passphrase takes several hundred milliseconds
    /// and 64 MiB.
    ///
    /// # Errors
    /// If the mesh's name is not valid, or the cryptography library fails.
    pub fn authority(&self, mesh: &str) -> Result<Authority, IdentityError> {
        check_name(mesh).map_err(SubjectError::Mesh)?;
        Authority::derived(mesh, self.ca_key(mesh)?.as_slice())
    }

    /// Returns the fingerprint of this secret in `mesh`.
    pub(super) fn fingerprint(&self, mesh: &str) -> Result<String, IdentityError> {
        Ok(self.authority(mesh)?.fingerprint())
    }

    pub(super) fn ca_key(&self, mesh: &str) -> Result<DerivedKey, IdentityError> {
        match &self.0 {
            SecretKind::Made(bytes) => expand(bytes.as_slice(), mesh),
            SecretKind::Passphrase(text) => expand(stretch(text, mesh)?.as_slice(), mesh),
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
    // Argon2 requires a salt of at least eight bytes, and a mesh's name may be shorter.
    let salt = [SALT, &[0], mesh.as_bytes()].concat();
    let mut stretched = Zeroizing::new([0; SEED_BYTES]);
    argon
        .hash_password_into(passphrase.as_bytes(), &salt, stretched.as_mut_slice())
        .map_err(crypto)?;
    Ok(stretched)
}
