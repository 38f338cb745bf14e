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
//! - `subject`, `peer`: the names in certificates, and the other end of a connection as its certificate names it.
//! - `authority`: makes certificates.
//! - `directory`: the development mode, a directory that fills itself at the first start.
//! - `secret`, `derive`: a mesh's secret, and the CA that it stands for.
//! - `check`: from PEM or secrets to a checked identity.
//! - `trust`: whom a node trusts, and why it does not trust another.
//! - `facts`: what people want to know of a certificate.
//! - `revocation`: signatures of revocations, and the certificates that handshakes refuse.
//! - `tls`: rustls on ring, TLS 1.3 alone, both ends prove who they are.
//! - `unencrypted`: records that are authenticated and not encrypted, where both ends waive that.

mod authority;
mod calendar;
mod check;
mod derive;
mod directory;
mod error;
mod facts;
mod files;
mod peer;
mod revocation;
mod secret;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod trust;
mod unencrypted;

pub use authority::{Authority, ExtraNames, Issued};
pub use calendar::iso_8601;
pub use check::{Identity, PemParts, PemText};
pub use directory::{IssuedFiles, ca_init, ca_issue, ca_open, check_clock};
pub use error::{IdentityError, PemOrigin, Warning};
pub use facts::{CertificateFacts, ca_show, facts_of_pem};
pub use peer::{Peer, PeerError, peer_identity};
pub use phalanx_core::credentials::{CA_DAYS, NODE_DAYS, Validity};
pub use phalanx_core::subject::{CertificateRole, Subject, SubjectError};
pub(crate) use revocation::presented;
pub use revocation::{RevokedCertificates, fingerprint_of};
pub use secret::{
    PASSPHRASE_CHARS_MIN, SECRET_VARIABLE, SECRETS_MAX, Secret, SecretError, secret_fingerprints,
    write_secret,
};
pub use source::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, Opened, Source, inspect, open};
pub use tls::Encryption;
pub(crate) use tls::is_encrypted;
pub(crate) use trust::CaName;
pub use trust::{ACCEPTED_SECRETS, RESERVED_METADATA, Trust};
