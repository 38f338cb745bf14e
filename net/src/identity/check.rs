//! Converts PEM texts into a checked identity. Every error that would make all handshakes fail is
//! found here and names its cause.

use super::authority::Issued;
use super::error::{IdentityError, PemOrigin, Warning};
use super::facts::{self, CertificateFacts};
use super::files;
use super::peer::{Peer, PeerError, peer_identity, subject_of};
use super::revocation::{self, RevokedCertificates};
use super::secret::Secret;
use super::tls::{self, Credential, Encryption};
use super::trust::{CaName, MeshTrust, Trust};
use phalanx_core::credentials::{Validity, ValidityStage};
use phalanx_core::revocation::{Fingerprint, PresentedCertificate};
use phalanx_core::subject::{CertificateRole, Subject};
use phalanx_core::time::Wall;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A PEM text and its origin.
#[derive(Clone)]
pub struct PemText {
    /// The origin.
    pub place: PemOrigin,
    /// The text.
    pub pem: Vec<u8>,
}

/// The three PEM texts of an identity.
#[derive(Clone)]
pub struct PemParts {
    /// The certificate, followed by intermediate certificates.
    pub certificate: PemText,
    /// The private key of the certificate.
    pub key: PemText,
    /// The certificate of the CA, or of several CAs.
    pub ca: PemText,
}

impl PemParts {
    /// Returns the parts of a certificate that this process issued.
    #[must_use]
    pub fn issued(issued: &Issued, ca_pem: &str) -> Self {
        let text = |place, pem: &str| PemText {
            place: PemOrigin::Memory(place),
            pem: pem.as_bytes().to_vec(),
        };
        Self {
            certificate: text("the issued certificate", &issued.certificate_pem),
            key: text("the issued key", &issued.key_pem),
            ca: text("the CA", ca_pem),
        }
    }
}

/// A node's checked subject, credentials and trust anchors. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    subject: Subject,
    /// At least one. The first is presented, unless the other end accepts only a later one.
    credentials: Arc<[Credential]>,
    roots: Arc<RootCertStore>,
    /// The certificates of the CAs in `roots`; none in a mesh with secrets.
    authorities: Arc<[CertificateDer<'static>]>,
    mesh_trust: Arc<MeshTrust>,
    revoked: RevokedCertificates,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Checks the identity of `subject` in these texts, as of `now`.
    ///
    /// # Errors
    /// The first error found, with its place.
    pub fn from_pem(parts: &PemParts, subject: &Subject, now: Wall) -> Result<Self, IdentityError> {
        let chain = facts::certificates(&parts.certificate.place, &parts.certificate.pem)?;
        let keys = private_keys(&parts.key)?;
        let certificate_facts = facts::first(&parts.certificate.place, &parts.certificate.pem)?;
        in_time(&parts.certificate.place, &certificate_facts, now)?;
        let (roots, authorities) = roots(&parts.ca, now)?;
        right_name(&parts.certificate.place, &chain[0], subject)?;
        let certified = certified(parts, chain, keys)?;
        tls::verify_chain(&certified.cert, &roots, subject.role(), now).map_err(|why| {
            IdentityError::ForeignCa {
                place: parts.certificate.place.clone(),
                ca: parts.ca.place.clone(),
                why,
            }
        })?;
        let credential = Credential::new(certificate_facts, certified);
        let identity = Self::of(subject, vec![credential], roots, Trust::Authority);
        Ok(Self {
            authorities: authorities.into(),
            ..identity
        })
    }

    /// Mints certificates with new keys for `subject` from secrets, as of `now`. The certificate of
    /// the first secret is presented to peers that accept that secret; other peers get the
    /// certificate of a later one.
    ///
    /// # Errors
    /// If there is no secret, the subject is a service, or the cryptography library fails.
    pub fn from_secrets(
        secrets: &[Secret],
        subject: &Subject,
        validity: Validity,
        now: Wall,
    ) -> Result<Self, IdentityError> {
        if subject.role() == CertificateRole::Service {
            return Err(IdentityError::MintedService {
                subject: subject.clone(),
            });
        }
        let mut credentials = Vec::new();
        let mut roots = RootCertStore::empty();
        let mut fingerprints = Vec::new();
        for secret in secrets {
            let authority = secret.authority(subject.mesh())?;
            let issued = authority.issue(subject, validity)?;
            let parts = PemParts::issued(&issued, authority.certificate_pem());
            let minted = Self::from_pem(&parts, subject, now)?;
            credentials.extend(minted.credentials.iter().cloned());
            fingerprints.push(authority.fingerprint());
            roots.roots.extend(minted.roots.roots.iter().cloned());
        }
        if credentials.is_empty() {
            return Err(IdentityError::Unusable {
                place: PemOrigin::Memory("the mesh's secrets"),
                why: "the list is empty".to_owned(),
            });
        }
        let trust = Trust::Secrets(fingerprints);
        Ok(Self::of(subject, credentials, roots, trust))
    }

    fn of(
        subject: &Subject,
        credentials: Vec<Credential>,
        roots: RootCertStore,
        trust: Trust,
    ) -> Self {
        let mesh_trust = MeshTrust {
            mesh: subject.mesh().to_owned(),
            trust,
        };
        Self {
            subject: subject.clone(),
            credentials: credentials.into(),
            roots: Arc::new(roots),
            authorities: Vec::new().into(),
            mesh_trust: Arc::new(mesh_trust),
            revoked: RevokedCertificates::default(),
        }
    }

    /// Returns the same identity, which refuses peers with these revoked certificates.
    #[must_use]
    pub(crate) fn refusing(self, revoked: RevokedCertificates) -> Self {
        Self { revoked, ..self }
    }

    /// Returns the first certificate with its key.
    pub(super) fn certified(&self) -> &CertifiedKey {
        &self.credentials[0].certified
    }

    /// Returns what revocations look at in each of this identity's certificates.
    pub(crate) fn presented(&self) -> impl Iterator<Item = PresentedCertificate> {
        let all = self.credentials.iter();
        all.filter_map(|held| revocation::presented(held.certified.cert.first()?))
    }

    /// Returns the last second in which a certificate of the mesh's CAs can be valid; none in a mesh with secrets.
    #[must_use]
    pub fn authorities_end(&self) -> Option<Wall> {
        let all = self.authorities.iter();
        let facts = all.filter_map(|it| CertificateFacts::of(it).ok());
        facts.map(|facts| facts.validity.not_after).max()
    }

    /// Whether the certificate with this fingerprint is that of a CA of the mesh.
    #[must_use]
    pub fn trusts(&self, fingerprint: Fingerprint) -> bool {
        let mut all = self.authorities.iter();
        all.any(|it| revocation::fingerprint_of(it) == fingerprint)
    }

    /// Returns the certificates of the mesh's CAs.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Verifies a chain of certificates, as of `now`.
    pub(super) fn verify_chain(
        &self,
        chain: &[CertificateDer<'static>],
        role: CertificateRole,
        now: Wall,
    ) -> Result<(), String> {
        tls::verify_chain(chain, &self.roots, role, now)
    }

    /// Returns the subject of this identity.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns the contents of the first certificate.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.credentials[0].facts
    }

    /// Returns the trust anchors: an authority, or secrets.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.mesh_trust.trust
    }

    /// Explains why a peer with these CAs is not trusted, if the reason is a mesh secret.
    pub(crate) fn quarrel(&self, claims: &[CaName]) -> Option<String> {
        self.mesh_trust.quarrel(claims)
    }

    /// Returns the validity period of the first certificate.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.facts().validity
    }

    /// Returns the TLS configuration for accepting: TLS 1.3, HTTP/2, and client certificates of a
    /// trusted CA are required.
    ///
    /// # Errors
    /// If the TLS library rejects the key.
    pub fn server_config(
        &self,
        encryption: Encryption,
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        tls::server_config(&self.credentials, &self.roots, &self.revoked, encryption)
    }

    /// Returns the TLS configuration for dialling: TLS 1.3, HTTP/2, and the acceptor must present a
    /// node certificate of a trusted CA, with any id.
    ///
    /// # Errors
    /// If the TLS library rejects the key.
    pub fn client_config(
        &self,
        encryption: Encryption,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        tls::client_config(
            &self.credentials,
            &self.roots,
            (&self.mesh_trust, &self.revoked),
            encryption,
        )
    }

    /// Returns the identity of the other end of a completed handshake.
    ///
    /// # Errors
    /// If the peer presented no certificate, or one without a subject or of another mesh.
    pub fn judge(&self, presented: Option<&[CertificateDer<'_>]>) -> Result<Peer, PeerError> {
        let (certificate, others) = presented
            .and_then(<[_]>::split_first)
            .ok_or(PeerError::None)?;
        let mut peer = peer_identity(certificate)?;
        peer.intermediates = others.iter().map(|it| it.clone().into_owned()).collect();
        if peer.subject.mesh() == self.subject.mesh() {
            if self.revoked.check(certificate).is_err() {
                return Err(PeerError::Revoked);
            }
            let is_service = peer.subject.role() == CertificateRole::Service;
            if is_service && *self.trust() != Trust::Authority {
                return Err(PeerError::MintedService);
            }
            return Ok(peer);
        }
        Err(PeerError::WrongMesh {
            found: peer.subject.mesh().to_owned(),
            ours: self.subject.mesh().to_owned(),
        })
    }

    /// Returns whether a peer that was verified earlier, perhaps by another identity, is still
    /// trusted as of `now`.
    pub(crate) fn still_trusts(&self, peer: &Peer, now: Wall) -> bool {
        let own = std::iter::once(&peer.certificate);
        let chain: Vec<_> = own.chain(&peer.intermediates).cloned().collect();
        tls::verify_chain(&chain, &self.roots, peer.subject.role(), now).is_ok()
    }

    /// Returns whether both identities have the same certificates and trust the same CAs.
    fn proves_the_same(&self, other: &Self) -> bool {
        let certificates = |identity: &Self| -> Vec<_> {
            let all = identity.credentials.iter();
            all.map(|held| held.certified.cert.clone()).collect()
        };
        self.roots.roots == other.roots.roots && certificates(self) == certificates(other)
    }

    /// Returns whether `other` should replace this identity, as of `now`. Secrets mint a different
    /// certificate each time, so identities from secrets are replaced only if the secrets differ or
    /// this certificate is due for renewal.
    #[must_use]
    pub fn yields_to(&self, other: &Self, now: Wall) -> bool {
        match (self.trust(), other.trust()) {
            (Trust::Secrets(ours), Trust::Secrets(theirs)) => {
                ours != theirs || self.validity().is_renewable(now)
            }
            _ => !self.proves_the_same(other),
        }
    }

    /// Returns when a new certificate is due: after two thirds of the validity period.
    #[must_use]
    pub fn renewal(&self) -> Wall {
        self.validity().renewable()
    }

    /// Returns a warning in the last third of the certificate's validity period.
    pub(super) fn ends_soon(&self, place: &PemOrigin, now: Wall) -> Option<Warning> {
        let validity = self.validity();
        validity.ends_soon(now).then(|| Warning::EndsSoon {
            place: place.clone(),
            not_after: validity.not_after,
        })
    }
}

/// Reads the private keys of a text: at least one, and two while a certificate is being replaced.
fn private_keys(text: &PemText) -> Result<Vec<PrivateKeyDer<'static>>, IdentityError> {
    let none = |why: String| IdentityError::NotPem {
        place: text.place.clone(),
        wanted: "private key",
        label: "PRIVATE KEY",
        why,
    };
    let found: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(&text.pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(none(files::looks_like(&text.pem).to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(none(error.to_string())),
    }
}

fn in_time(place: &PemOrigin, facts: &CertificateFacts, now: Wall) -> Result<(), IdentityError> {
    let Validity {
        not_before,
        not_after,
    } = facts.validity;
    let place = || place.clone();
    match facts.validity.stage(now) {
        ValidityStage::Valid | ValidityStage::Renewable => Ok(()),
        ValidityStage::NotYetValid => Err(IdentityError::NotYetValid {
            place: place(),
            not_before,
            now,
        }),
        ValidityStage::Expired => Err(IdentityError::Expired {
            place: place(),
            not_after,
            now,
        }),
    }
}

/// Reads the trusted CAs. Expired CAs are left out if another CA is valid, so that a CA can be
/// replaced.
fn roots(
    ca: &PemText,
    now: Wall,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), IdentityError> {
    let mut roots = RootCertStore::empty();
    let mut authorities = Vec::new();
    let mut out_of_time = None;
    let all = facts::certificates(&ca.place, &ca.pem)?;
    for (certificate, facts) in all
        .into_iter()
        .zip(facts::facts_of_pem(&ca.place, &ca.pem)?)
    {
        if !facts.ca {
            return Err(IdentityError::Unusable {
                place: ca.place.clone(),
                why: format!(
                    "holds {}, which is not the certificate of a CA; give the mesh's ca-cert.pem",
                    facts.name
                ),
            });
        }
        if let Err(error) = in_time(&ca.place, &facts, now) {
            out_of_time = Some(error);
            continue;
        }
        authorities.push(certificate.clone());
        roots
            .add(certificate)
            .map_err(|error| IdentityError::Unusable {
                place: ca.place.clone(),
                why: format!("holds a CA that cannot be used: {error}"),
            })?;
    }
    match out_of_time {
        Some(error) if roots.is_empty() => Err(error),
        Some(_) | None => Ok((roots, authorities)),
    }
}

fn right_name(
    place: &PemOrigin,
    certificate: &CertificateDer<'_>,
    wanted: &Subject,
) -> Result<(), IdentityError> {
    let no_subject = |why| IdentityError::NoSubject {
        place: place.clone(),
        why,
    };
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| no_subject(PeerError::Malformed(error.to_string())))?;
    let found = subject_of(&parsed).map_err(no_subject)?;
    if found.mesh() != wanted.mesh() {
        return Err(IdentityError::WrongMesh {
            place: place.clone(),
            found: found.mesh().to_owned(),
            configured: wanted.mesh().to_owned(),
        });
    }
    if found.role() != wanted.role() {
        return Err(IdentityError::WrongRole {
            place: place.clone(),
            found: found.role(),
            wanted: wanted.role(),
        });
    }
    if found.id() != wanted.id() {
        return Err(IdentityError::WrongId {
            place: place.clone(),
            found: found.id().to_string(),
            configured: wanted.id().to_string(),
        });
    }
    Ok(())
}

/// Combines the certificate with the one of the keys that belongs to it.
fn certified(
    parts: &PemParts,
    chain: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
) -> Result<CertifiedKey, IdentityError> {
    for key in keys {
        let signer = tls::signing_key(&key).map_err(|why| IdentityError::Unusable {
            place: parts.key.place.clone(),
            why,
        })?;
        let certified = CertifiedKey::new(chain.clone(), signer);
        if certified.keys_match().is_ok() {
            return Ok(certified);
        }
    }
    Err(IdentityError::KeyMismatch {
        certificate: parts.certificate.place.clone(),
        key: parts.key.place.clone(),
    })
}
