//! Trust anchors of a node, and explanations of why two nodes do not trust each other.
//!
//! Each end of a handshake learns which CAs the other end trusts or is signed by: a dialer with
//! mesh secrets names their CAs in its first message, and an acceptor presents its certificate. The
//! name of a CA derived from a secret contains the mesh and the secret's fingerprint. A malicious
//! peer can send any name, so the name is used only to choose a certificate and to explain errors.

use super::authority::DERIVED;
use crate::printable::foreign_name;
use core::fmt;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// Metadata key under which a node publishes the fingerprints of the secrets it accepts.
pub const ACCEPTED_SECRETS: &str = "phalanx.secrets";
/// Prefix reserved for metadata keys of Phalanx itself.
pub const RESERVED_METADATA: &str = "phalanx.";

/// The proof of membership that a mesh requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A certificate signed by the mesh's CA, whose key only the CA has.
    Authority,
    /// Knowledge of one of these secrets, named by fingerprint. Every member can then mint
    /// certificates, as a CA can. This node's certificate is minted from the first, unless the
    /// other end accepts only a later one.
    Secrets(Vec<String>),
}

impl Trust {
    /// Returns the accepted secrets as published under [`ACCEPTED_SECRETS`]; `None` in a mesh with
    /// a CA.
    #[must_use]
    pub fn accepted(&self) -> Option<String> {
        match self {
            Self::Authority => None,
            Self::Secrets(fingerprints) => Some(fingerprints.join(" ")),
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => f.write_str("certificates of one authority"),
            Self::Secrets(fingerprints) => {
                write!(f, "shared secret {} (one trust domain)", fingerprints[0])?;
                match &fingerprints[1..] {
                    [] => Ok(()),
                    others => write!(f, ", also accepted: {}", others.join(", ")),
                }
            }
        }
    }
}

/// Content of a CA's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CaName {
    /// A CA with a random key.
    Authority,
    /// A CA derived from a secret of this mesh.
    Secret {
        /// The mesh.
        mesh: String,
        /// The secret's fingerprint.
        fingerprint: String,
    },
}

impl CaName {
    fn of(name: &X509Name<'_>) -> Self {
        let organization = name
            .iter_organization()
            .next()
            .and_then(|o| o.as_str().ok());
        let mesh = name.iter_common_name().next().and_then(|c| c.as_str().ok());
        let unit = name.iter_organizational_unit().next();
        let fingerprint = unit.and_then(|unit| unit.as_str().ok());
        match (organization, mesh, fingerprint) {
            (Some(DERIVED), Some(mesh), Some(fingerprint)) => Self::Secret {
                mesh: foreign_name(mesh),
                fingerprint: foreign_name(fingerprint),
            },
            _ => Self::Authority,
        }
    }

    /// Reads the claim from the name of a CA that appears in a handshake.
    pub(crate) fn of_name(der: &[u8]) -> Self {
        X509Name::from_der(der).map_or(Self::Authority, |(_, name)| Self::of(&name))
    }

    /// Reads the claim from the issuer of a certificate.
    pub(super) fn of_issuer(certificate: &CertificateDer<'_>) -> Self {
        X509Certificate::from_der(certificate)
            .map_or(Self::Authority, |(_, parsed)| Self::of(parsed.issuer()))
    }
}

/// The mesh of a node, and its trust anchors.
#[derive(Clone, Debug)]
pub(crate) struct MeshTrust {
    pub(super) mesh: String,
    pub(super) trust: Trust,
}

impl MeshTrust {
    /// Explains why a peer that trusts these CAs, or is signed by one of them, is not trusted.
    /// `None` if mesh secrets are not the reason. The text continues a sentence with the subject
    /// "it".
    pub(crate) fn quarrel(&self, claims: &[CaName]) -> Option<String> {
        let ours = match &self.trust {
            Trust::Authority => &[],
            Trust::Secrets(fingerprints) => fingerprints.as_slice(),
        };
        let mut foreign = None;
        for claim in claims {
            let CaName::Secret { mesh, fingerprint } = claim else {
                continue;
            };
            if *mesh != self.mesh {
                foreign = Some(format!(
                    "it belongs to mesh {mesh:?}, not to {:?}",
                    self.mesh
                ));
            } else if ours.is_empty() {
                return Some(
                    "it has the mesh's secret, but this node has none; configure the secret on this node (tls.secret_file)"
                        .to_owned(),
                );
            } else if ours.contains(fingerprint) {
                return None;
            } else {
                return Some(format!(
                    "it has a different secret of the mesh ({fingerprint}; this node accepts {}); configure the same secret on both",
                    ours.join(" and ")
                ));
            }
        }
        if foreign.is_none() && !ours.is_empty() {
            return Some(
                "it does not have the mesh's secret, but this node does; configure the secret on it (tls.secret_file)".to_owned(),
            );
        }
        foreign
    }
}
