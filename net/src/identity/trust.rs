//! Whom a node trusts, and in which words two nodes that do not trust each other say why.
//!
//! Each end of a handshake learns which CAs the other one trusts or was signed by: a dialer that holds mesh secrets
//! names their CAs in its first message, an acceptor shows its certificate. The name of a CA that was derived from a
//! secret says so, and of which mesh; a liar can put anything there, so it serves the choice of a certificate and
//! messages alone.

use super::authority::DERIVED;
use core::fmt;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// The entry among a node's metadata in which it names the secrets it accepts, by their fingerprints.
pub const ACCEPTED_SECRETS: &str = "phalanx.secrets";
/// No metadata of users begin so.
pub const RESERVED_METADATA: &str = "phalanx.";

/// What makes a node a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A certificate from the mesh's CA, which alone has the key.
    Authority,
    /// Knowing one of these secrets, named by their fingerprints: every member is as powerful as a CA. The first is
    /// what this node's certificate is minted from, unless the other end accepts only a later one.
    Secrets(Vec<String>),
}

impl Trust {
    /// The secrets that are accepted, as others are told of them ([`ACCEPTED_SECRETS`]); none in a mesh with a CA.
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

/// What a CA says of itself in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Somebody keeps its key.
    Authority,
    /// It is derived from a secret of this mesh.
    Secret {
        /// The mesh.
        mesh: String,
        /// The secret's fingerprint.
        fingerprint: String,
    },
}

impl Claim {
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
                mesh: mesh.to_owned(),
                fingerprint: fingerprint.to_owned(),
            },
            _ => Self::Authority,
        }
    }

    /// Of a CA that is named in a handshake.
    pub(crate) fn of_name(der: &[u8]) -> Self {
        X509Name::from_der(der).map_or(Self::Authority, |(_, name)| Self::of(&name))
    }

    /// Of the CA that signed this certificate.
    pub(super) fn of_issuer(certificate: &CertificateDer<'_>) -> Self {
        X509Certificate::from_der(certificate)
            .map_or(Self::Authority, |(_, parsed)| Self::of(parsed.issuer()))
    }
}

/// The mesh of a node, and whom it trusts.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(super) mesh: String,
    pub(super) trust: Trust,
}

impl Standing {
    /// Why somebody who trusts these CAs, or was signed by one of them, is none of ours; none when it is not for the
    /// secrets. The text goes on from "it".
    pub(crate) fn quarrel(&self, claims: &[Claim]) -> Option<String> {
        let ours = match &self.trust {
            Trust::Authority => &[],
            Trust::Secrets(fingerprints) => fingerprints.as_slice(),
        };
        let mut foreign = None;
        for claim in claims {
            let Claim::Secret { mesh, fingerprint } = claim else {
                continue;
            };
            if *mesh != self.mesh {
                foreign = Some(format!(
                    "it belongs to mesh {mesh:?}, not to {:?}",
                    self.mesh
                ));
            } else if ours.is_empty() {
                return Some(
                    "it has the mesh's secret, and this node has none; give this node the secret (tls.secret_file)"
                        .to_owned(),
                );
            } else if ours.contains(fingerprint) {
                return None;
            } else {
                return Some(format!(
                    "it has another secret of the mesh ({fingerprint}, this node accepts {}); give both the same",
                    ours.join(" and ")
                ));
            }
        }
        if foreign.is_none() && !ours.is_empty() {
            return Some(
                "it has no secret of the mesh, and this node has one; give it the secret (tls.secret_file)".to_owned(),
            );
        }
        foreign
    }
}
