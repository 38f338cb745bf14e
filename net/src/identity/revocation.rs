//! Revocations: signatures, and the certificates that handshakes refuse.
//!
//! A revocation is signed by the mesh's CA, or by an administrator whose certificate was valid at the time of the
//! signature. The signed text is [`RevocationContent::signed_text`] with the mesh's name. Core decides which
//! revocations a node accepts and what they concern.

use super::authority::Authority;
use super::check::Identity;
use super::error::{IdentityError, PemOrigin};
use super::peer::peer_identity;
use super::tls;
use super::trust::Trust;
use phalanx_core::revocation::{
    Fingerprint, PresentedCertificate, Revocation, RevocationContent, RevocationList,
    RevocationSignature,
};
use phalanx_core::subject::CertificateRole;
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use rustls::{CertificateError, Error as Tls, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// The certificates that are revoked in a mesh. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct RevokedCertificates {
    list: Arc<RwLock<RevocationList>>,
}

impl RevokedCertificates {
    /// Adds a revocation that core ordered to enforce.
    pub(crate) fn enforce(&self, revocation: &Arc<Revocation>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.restore(revocation);
    }

    /// Returns whether a certificate is revoked.
    pub(crate) fn concerns(&self, certificate: &PresentedCertificate) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.revocation_of(certificate).is_some()
    }

    /// Returns whether this content is held.
    pub(crate) fn holds(&self, content: &RevocationContent) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.holds(content)
    }

    /// Refuses a revoked certificate in a TLS handshake. Other errors of the certificate are found elsewhere.
    pub(super) fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Tls> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.is_empty() {
            return Ok(());
        }
        drop(list);
        match presented(certificate) {
            Some(presented) if self.concerns(&presented) => {
                Err(Tls::InvalidCertificate(CertificateError::Revoked))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Returns the fingerprint of a certificate.
#[must_use]
pub fn fingerprint_of(certificate: &CertificateDer<'_>) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.as_ref());
    Fingerprint(fingerprint)
}

/// Returns what revocations look at in a certificate; none if it is not the certificate of a holder in a mesh.
pub(crate) fn presented(certificate: &CertificateDer<'_>) -> Option<PresentedCertificate> {
    let peer = peer_identity(certificate).ok()?;
    Some(PresentedCertificate {
        fingerprint: fingerprint_of(certificate),
        role: peer.subject.role(),
        id: peer.subject.id().clone(),
        not_before: peer.validity.not_before,
    })
}

/// Schemes in which revocations are signed, in the order of preference.
const SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
];

fn sign(
    key: &dyn SigningKey,
    chain: Vec<Vec<u8>>,
    content: RevocationContent,
    mesh: &str,
) -> Result<Revocation, IdentityError> {
    let failed = |why: String| IdentityError::Crypto {
        what: "the signature of a revocation",
        why,
    };
    let signer = key
        .choose_scheme(&SCHEMES)
        .ok_or_else(|| failed("the key has an unsupported type".to_owned()))?;
    let bytes = signer
        .sign(&content.signed_text(mesh))
        .map_err(|error| failed(error.to_string()))?;
    Ok(Revocation {
        content,
        signature: RevocationSignature {
            scheme: signer.scheme().into(),
            bytes,
            chain: chain.into(),
        },
    })
}

impl Authority {
    /// Signs a revocation.
    ///
    /// # Errors
    /// If the cryptography library fails.
    pub fn revoke(&self, content: RevocationContent) -> Result<Revocation, IdentityError> {
        let key = self.signing_key()?;
        sign(key.as_ref(), Vec::new(), content, self.mesh())
    }
}

impl Identity {
    /// Signs a revocation as an administrator.
    ///
    /// # Errors
    /// If the identity is not an administrator's, the mesh has shared secrets, or the cryptography library fails.
    pub fn revoke(&self, content: RevocationContent) -> Result<Revocation, IdentityError> {
        let refused = |why: &str| IdentityError::Unusable {
            place: PemOrigin::Memory("the identity"),
            why: why.to_owned(),
        };
        if *self.trust() != Trust::Authority {
            return Err(refused(SECRETS));
        }
        if self.subject().role() != CertificateRole::Admin {
            return Err(refused(
                "is not an administrator's; sign with the CA or an administrator's certificate (phalanx ca issue --admin)",
            ));
        }
        let certified = self.certified();
        let chain = certified.cert.iter().map(|it| it.as_ref().to_vec());
        let mesh = self.subject().mesh();
        sign(certified.key.as_ref(), chain.collect(), content, mesh)
    }

    /// Verifies the signature of a revocation.
    ///
    /// # Errors
    /// The reason why the signature is not that of the CA or an administrator.
    pub fn verify_revocation(&self, revocation: &Revocation) -> Result<(), String> {
        if *self.trust() != Trust::Authority {
            return Err(SECRETS.to_owned());
        }
        let Revocation { content, signature } = revocation;
        let text = content.signed_text(self.subject().mesh());
        let scheme = SignatureScheme::from(signature.scheme);
        let signed_by = |certificate: &CertificateDer<'_>| {
            tls::verify_signature(certificate, scheme, &text, &signature.bytes)
        };
        let chain: Vec<CertificateDer<'static>> =
            signature.chain.iter().map(|it| it.clone().into()).collect();
        let Some(own) = chain.first() else {
            let mut authorities = self.authorities().iter();
            return if authorities.any(signed_by) {
                Ok(())
            } else {
                Err("the signature is not that of the mesh's CA".to_owned())
            };
        };
        let peer =
            peer_identity(own).map_err(|error| format!("the signer's certificate {error}"))?;
        if peer.subject.role() != CertificateRole::Admin {
            return Err(format!("{} is not an administrator", peer.subject));
        }
        if peer.subject.mesh() != self.subject().mesh() {
            return Err(format!("{} belongs to another mesh", peer.subject));
        }
        self.verify_chain(&chain, CertificateRole::Admin, content.signed)
            .map_err(|why| format!("the signer's certificate is not trusted: {why}"))?;
        if signed_by(own) {
            Ok(())
        } else {
            Err(format!("the signature is not that of {}", peer.subject))
        }
    }
}

/// The reason why a mesh with shared secrets has no revocations.
const SECRETS: &str = "is minted from a shared secret, which every member could mint again; single certificates cannot \
                       be revoked: rotate the secret";
