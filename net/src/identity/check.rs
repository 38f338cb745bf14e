//! From PEM to a checked identity: everything that would make each link fail is found here, by name.

use super::authority::Issued;
use super::error::{IdentityError, PeerError, Place, Warning};
use super::facts::{self, Facts};
use super::files;
use super::secret::Secret;
use super::subject::{Peer, Subject, peer_identity, subject_of};
use super::tls::{self, Credential, Encryption};
use super::trust::{Claim, Standing, Trust};
use phalanx_core::credentials::Validity;
use phalanx_core::time::Wall;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A PEM text and where it came from.
#[derive(Clone)]
pub struct PemText {
    /// Where it came from.
    pub place: Place,
    /// The text.
    pub pem: Vec<u8>,
}

/// The three texts that make an identity.
#[derive(Clone)]
pub struct PemParts {
    /// The certificate, and intermediate ones after it.
    pub certificate: PemText,
    /// Its private key.
    pub key: PemText,
    /// The CA's certificate, or several.
    pub ca: PemText,
}

impl PemParts {
    /// The parts of a certificate made by this process.
    #[must_use]
    pub fn issued(issued: &Issued, ca_pem: &str) -> Self {
        let text = |place, pem: &str| PemText {
            place: Place::Memory(place),
            pem: pem.as_bytes().to_vec(),
        };
        Self {
            certificate: text("the issued certificate", &issued.certificate_pem),
            key: text("the issued key", &issued.key_pem),
            ca: text("the CA", ca_pem),
        }
    }
}

/// Who we are, and whom we trust; checked. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    subject: Subject,
    /// At least one. The first is shown, unless the other end accepts only a later one.
    credentials: Arc<[Credential]>,
    roots: Arc<RootCertStore>,
    standing: Arc<Standing>,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity of `subject` in these texts, as of `now`.
    ///
    /// # Errors
    /// The first thing that is wrong, by place.
    pub fn from_pem(parts: &PemParts, subject: &Subject, now: Wall) -> Result<Self, IdentityError> {
        let chain = facts::certificates(&parts.certificate.place, &parts.certificate.pem)?;
        let keys = private_keys(&parts.key)?;
        let certificate_facts = facts::first(&parts.certificate.place, &parts.certificate.pem)?;
        in_time(&parts.certificate.place, &certificate_facts, now)?;
        let roots = roots(&parts.ca, now)?;
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
        Ok(Self::of(subject, vec![credential], roots, Trust::Authority))
    }

    /// The identity of `subject` that these secrets give it, as of `now`, with certificates that have new keys: the
    /// first secret's is shown to whoever accepts it, another's to others.
    ///
    /// # Errors
    /// When there is no secret, or the cryptography library refuses.
    pub fn from_secrets(
        secrets: &[Secret],
        subject: &Subject,
        validity: Validity,
        now: Wall,
    ) -> Result<Self, IdentityError> {
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
                place: Place::Memory("the mesh's secrets"),
                why: "there is none".to_owned(),
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
        let standing = Standing {
            mesh: subject.mesh().to_owned(),
            trust,
        };
        Self {
            subject: subject.clone(),
            credentials: credentials.into(),
            roots: Arc::new(roots),
            standing: Arc::new(standing),
        }
    }

    /// Who we are.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What our certificate says.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.credentials[0].facts
    }

    /// Whom we trust.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.standing.trust
    }

    /// Why somebody who names these CAs is none of ours, if it is for the mesh's secret.
    pub(crate) fn quarrel(&self, claims: &[Claim]) -> Option<String> {
        self.standing.quarrel(claims)
    }

    /// When our certificate is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.facts().validity
    }

    /// TLS for accepting: TLS 1.3, HTTP/2, and a dialer without a certificate of our CA is turned away.
    ///
    /// # Errors
    /// When the TLS library refuses our key.
    pub fn server_config(
        &self,
        encryption: Encryption,
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        tls::server_config(&self.credentials, &self.roots, encryption)
    }

    /// TLS for dialling: TLS 1.3, HTTP/2; the acceptor needs a node's certificate of our CA, whatever its id.
    ///
    /// # Errors
    /// When the TLS library refuses our key.
    pub fn client_config(
        &self,
        encryption: Encryption,
    ) -> Result<Arc<ClientConfig>, IdentityError> {
        tls::client_config(&self.credentials, &self.roots, &self.standing, encryption)
    }

    /// Who the other end of a finished handshake is.
    ///
    /// # Errors
    /// When it presented no certificate, or one that names nobody, or another mesh's.
    pub fn judge(&self, presented: Option<&[CertificateDer<'_>]>) -> Result<Peer, PeerError> {
        let (certificate, others) = presented
            .and_then(<[_]>::split_first)
            .ok_or(PeerError::None)?;
        let mut peer = peer_identity(certificate)?;
        peer.intermediates = others.iter().map(|it| it.clone().into_owned()).collect();
        if peer.subject.mesh() == self.subject.mesh() {
            return Ok(peer);
        }
        Err(PeerError::WrongMesh {
            found: peer.subject.mesh().to_owned(),
            ours: self.subject.mesh().to_owned(),
        })
    }

    /// Whether somebody whom we judged earlier, perhaps by another identity, is still to be trusted as of `now`.
    pub(crate) fn still_trusts(&self, peer: &Peer, now: Wall) -> bool {
        let own = std::iter::once(&peer.certificate);
        let chain: Vec<_> = own.chain(&peer.intermediates).cloned().collect();
        tls::verify_chain(&chain, &self.roots, peer.subject.role(), now).is_ok()
    }

    /// Whether it proves the same, to the same.
    fn proves_the_same(&self, other: &Self) -> bool {
        let certificates = |identity: &Self| -> Vec<_> {
            let all = identity.credentials.iter();
            all.map(|held| held.certified.cert.clone()).collect()
        };
        self.roots.roots == other.roots.roots && certificates(self) == certificates(other)
    }

    /// Whether another identity is worth taking in this one's place, as of `now`. Secrets mint other certificates each
    /// time; they are worth taking when the secrets differ, or a renewal of ours is worth while.
    #[must_use]
    pub fn yields_to(&self, other: &Self, now: Wall) -> bool {
        match (self.trust(), other.trust()) {
            (Trust::Secrets(ours), Trust::Secrets(theirs)) => {
                ours != theirs || self.validity().is_renewable(now)
            }
            _ => !self.proves_the_same(other),
        }
    }

    /// When a new certificate is worth while: at two thirds of this one's life.
    #[must_use]
    pub fn renewal(&self) -> Wall {
        self.validity().renewable()
    }

    /// A warning in the last third of our certificate's life.
    pub(super) fn ends_soon(&self, place: &Place, now: Wall) -> Option<Warning> {
        let not_after = self.validity().not_after;
        (now >= self.renewal()).then(|| Warning::EndsSoon {
            place: place.clone(),
            not_after,
        })
    }
}

/// The private keys of a text, at least one: two while a certificate is replaced.
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

fn in_time(place: &Place, facts: &Facts, now: Wall) -> Result<(), IdentityError> {
    let Validity {
        not_before,
        not_after,
    } = facts.validity;
    if now > not_after {
        return Err(IdentityError::Expired {
            place: place.clone(),
            not_after,
            now,
        });
    }
    if now < not_before {
        return Err(IdentityError::NotYetValid {
            place: place.clone(),
            not_before,
            now,
        });
    }
    Ok(())
}

/// The CAs we trust. One that expired is left out when another is valid: that is how they are replaced.
fn roots(ca: &PemText, now: Wall) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
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
        roots
            .add(certificate)
            .map_err(|error| IdentityError::Unusable {
                place: ca.place.clone(),
                why: format!("holds a CA that cannot be used: {error}"),
            })?;
    }
    match out_of_time {
        Some(error) if roots.is_empty() => Err(error),
        Some(_) | None => Ok(roots),
    }
}

fn right_name(
    place: &Place,
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

/// The certificate with that of the keys which is its own.
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
