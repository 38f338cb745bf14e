//! The identity of a node and its proof: certificates, keys and the TLS configuration that uses
//! them.
//!
//! A node's id is in its certificate: the common name, and the URI `spiffe://MESH/node/ID`, a
//! [`Subject`]. Certificates come from a [`Source`]. [`open`] reads them, checks everything that
//! would make each link fail later, and returns an [`Identity`]; [`inspect`] does the same without
//! writing. [`Identity::server_config`] and [`Identity::client_config`] build the TLS
//! configurations. [`Identity::judge`] reads the identity of the other end.
//!
//! The module decides nothing about the mesh and never reads the clock: each check takes the time
//! as a value.
//!
//! - `subject`: the names in certificates.
//! - `authority`: creates certificates.
//! - `directory`: a certificate directory, which the first start fills in development.
//! - `secret`, `derive`: mesh secrets, and the CA derived from a secret.
//! - `check`: converts PEM or secrets into a checked identity.
//! - `trust`: the CAs or secrets that a node trusts, and the reason for not trusting a peer.
//! - `facts`: readable contents of certificates.
//! - `tls`: rustls with ring, TLS 1.3 only, mutual authentication.
//! - `unencrypted`: TLS records that are authenticated but not encrypted, used where both ends
//!   allow it.

mod authority;
mod calendar;
mod check;
mod derive;
mod directory;
mod error;
mod facts;
mod files;
mod secret;
mod source;
mod subject;
#[cfg(test)]
mod tests;
mod tls;
mod trust;
mod unencrypted;

pub use authority::{Authority, CA_DAYS, Issued, NODE_DAYS, Validity};
pub use calendar::iso_8601;
pub use check::{Identity, PemParts, PemText};
pub use directory::{IssuedFiles, ca_init, ca_issue};
pub use error::{IdentityError, PeerError, Place, Warning};
pub use facts::{Facts, ca_show, facts_of_pem};
pub use secret::{
    PASSPHRASE_CHARS_MIN, SECRET_VARIABLE, SECRETS_MAX, Secret, SecretError, secret_fingerprints,
    write_secret,
};
pub use source::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, Opened, Source, inspect, open};
pub use subject::{Peer, Role, Subject, SubjectError, peer_identity};
pub use tls::Encryption;
pub(crate) use tls::is_encrypted;
pub(crate) use trust::Claim;
pub use trust::{ACCEPTED_SECRETS, RESERVED_METADATA, Trust};
