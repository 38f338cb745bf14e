//! Revocations and the certificates that they concern.

use crate::credentials::CA_DAYS;
use crate::identity::NodeId;
use crate::random::hash_bytes;
use crate::size::{self, Encoded};
use crate::subject::CertificateRole;
use crate::time::Wall;
use core::fmt;
use std::sync::Arc;

/// Maximum encoded size of one revocation, in bytes.
pub const REVOCATION_BYTES_MAX: usize = 8 * 1024;
/// The start of every signed text. A signature over another kind of text is not valid for a revocation.
const DOMAIN: &[u8] = b"phalanx revocation 1\0";

/// SHA-256 of a whole certificate (DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(FingerprintError);
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let pair = str::from_utf8(pair).map_err(|_| FingerprintError)?;
            let valid = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = u8::from_str_radix(pair, 16).ok().filter(|_| valid);
            *byte = value.ok_or(FingerprintError)?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerprintError;

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a SHA-256 of 64 hexadecimal digits")
    }
}

impl core::error::Error for FingerprintError {}

/// The certificate at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// The role that the certificate grants.
    pub role: CertificateRole,
    /// The holder.
    pub id: NodeId,
    /// The first second of the validity.
    pub not_before: Wall,
}

impl PresentedCertificate {
    /// The certificate of a node of which only the id is known. Every revocation of the id concerns the certificate.
    #[must_use]
    pub const fn of_node(id: NodeId) -> Self {
        Self {
            fingerprint: Fingerprint([0; 32]),
            role: CertificateRole::Node,
            id,
            not_before: Wall(0),
        }
    }
}

/// The certificates that a revocation concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationTarget {
    /// One certificate.
    Certificate(Fingerprint),
    /// Certificates of one holder.
    Holder(CertificateRole, NodeId),
}

impl fmt::Display for RevocationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(fingerprint) => write!(f, "the certificate {fingerprint}"),
            Self::Holder(role, id) => write!(f, "the certificates of {role} {id}"),
        }
    }
}

/// The content of a revocation, without its signature. Revocations of one target are ordered; the greatest one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationContent {
    /// The certificates that the revocation concerns.
    pub target: RevocationTarget,
    /// With a holder: certificates whose validity begins before this second are revoked. With one certificate: 0.
    pub begun_before: Wall,
    /// The last second in which a revoked certificate could be valid. The revocation is kept until then.
    pub ends: Wall,
    /// The time of the signature.
    pub signed: Wall,
}

impl RevocationContent {
    /// The text that is signed for a mesh.
    #[must_use]
    pub fn signed_text(&self, mesh: &str) -> Vec<u8> {
        let mut text = DOMAIN.to_vec();
        let delimited = |text: &mut Vec<u8>, part: &str| {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(part.as_bytes());
        };
        delimited(&mut text, mesh);
        match &self.target {
            RevocationTarget::Certificate(fingerprint) => {
                text.push(0);
                text.extend(fingerprint.0);
            }
            RevocationTarget::Holder(role, id) => {
                text.push(match role {
                    CertificateRole::Node => 1,
                    CertificateRole::Admin => 2,
                    CertificateRole::Service => 3,
                });
                delimited(&mut text, id.as_str());
            }
        }
        for wall in [self.begun_before, self.ends, self.signed] {
            text.extend(wall.0.to_be_bytes());
        }
        text
    }

    /// The last second for which the revocation is kept: `ends`, and for a holder at least [`CA_DAYS`] after
    /// `begun_before`, because no certificate that began before it lasts longer. A later revocation of a holder
    /// therefore never ends an earlier one.
    #[must_use]
    pub fn kept_until(&self) -> Wall {
        match self.target {
            RevocationTarget::Certificate(_) => self.ends,
            RevocationTarget::Holder(..) => {
                let life = CA_DAYS * 86_400;
                self.ends
                    .max(Wall(self.begun_before.0.saturating_add(life)))
            }
        }
    }

    /// The digest, by which nodes compare their revocations.
    #[must_use]
    pub fn digest(&self) -> u64 {
        hash_bytes(&self.signed_text(""))
    }

    /// Whether a certificate is revoked.
    #[must_use]
    pub fn concerns(&self, certificate: &PresentedCertificate) -> bool {
        match &self.target {
            RevocationTarget::Certificate(fingerprint) => *fingerprint == certificate.fingerprint,
            RevocationTarget::Holder(role, id) => {
                *role == certificate.role
                    && *id == certificate.id
                    && certificate.not_before < self.begun_before
            }
        }
    }
}

/// The signature of a revocation. The adapter makes and verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSignature {
    /// The signature scheme, by its number in TLS 1.3.
    pub scheme: u16,
    /// The signature.
    pub bytes: Vec<u8>,
    /// The administrator's certificate (DER) and the certificates between it and the CA; empty if the CA signed.
    pub chain: Arc<[Vec<u8>]>,
}

/// A signed revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The content.
    pub content: RevocationContent,
    /// The signature over the content.
    pub signature: RevocationSignature,
}

impl Encoded for Revocation {
    fn encoded_len(&self) -> usize {
        let target = match &self.content.target {
            RevocationTarget::Certificate(fingerprint) => size::bytes(fingerprint.0.len()),
            RevocationTarget::Holder(role, id) => {
                size::boolean(*role != CertificateRole::Node) + size::bytes(id.as_str().len())
            }
        };
        let walls = [
            self.content.begun_before,
            self.content.ends,
            self.content.signed,
        ];
        let chain = self.signature.chain.iter();
        target
            + walls.iter().map(|wall| size::uint(wall.0)).sum::<usize>()
            + size::uint(self.signature.scheme.into())
            + size::bytes(self.signature.bytes.len())
            + chain.map(|it| size::delimited(it.len())).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::tests::{by_holder, id};

    #[test]
    fn a_revocation_of_a_holder_concerns_certificates_that_began_before_it() {
        let content = by_holder("a", 100).content.clone();
        let presented = |role, name: &str, not_before| PresentedCertificate {
            fingerprint: Fingerprint([1; 32]),
            role,
            id: id(name),
            not_before: Wall(not_before),
        };
        let (node, admin) = (CertificateRole::Node, CertificateRole::Admin);
        assert!(content.concerns(&presented(node, "a", 99)));
        assert!(!content.concerns(&presented(node, "a", 100)));
        assert!(!content.concerns(&presented(node, "b", 99)));
        assert!(!content.concerns(&presented(admin, "a", 99)));
        let one = RevocationContent {
            target: RevocationTarget::Certificate(Fingerprint([1; 32])),
            ..content
        };
        assert!(one.concerns(&presented(admin, "b", 9_999)));
        assert!(!one.concerns(&PresentedCertificate::of_node(id("a"))));
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let fingerprint = Fingerprint([0xa7; 32]);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(vec!["A7"; 32].join(":").parse(), Ok(fingerprint));
        for wrong in [
            "",
            "a7",
            &"+7".repeat(32),
            &"a7".repeat(33),
            &"é".repeat(32),
        ] {
            assert_eq!(
                wrong.parse::<Fingerprint>(),
                Err(FingerprintError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn each_field_and_the_mesh_change_the_signed_text() {
        let content = by_holder("a", 100).content.clone();
        let mut texts: Vec<_> = ["m", "n"].map(|mesh| content.signed_text(mesh)).into();
        let target = [
            RevocationTarget::Certificate(Fingerprint([0; 32])),
            RevocationTarget::Holder(CertificateRole::Admin, id("a")),
            RevocationTarget::Holder(CertificateRole::Service, id("a")),
            RevocationTarget::Holder(CertificateRole::Node, id("ab")),
        ];
        for target in target {
            let changed = RevocationContent {
                target,
                ..content.clone()
            };
            texts.push(changed.signed_text("m"));
        }
        let later = Wall(content.ends.0 + 1);
        texts.push(
            RevocationContent {
                begun_before: later,
                ..content.clone()
            }
            .signed_text("m"),
        );
        texts.push(
            RevocationContent {
                ends: later,
                ..content.clone()
            }
            .signed_text("m"),
        );
        texts.push(
            RevocationContent {
                signed: later,
                ..content
            }
            .signed_text("m"),
        );
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }
}
