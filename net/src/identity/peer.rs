//! The other end of a connection, as its certificate names it.

use super::subject::{Subject, SubjectError};
use super::validity::Validity;
use phalanx_core::time::Wall;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why the other end's certificate, though signed by our CA, does not make it a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It presented none.
    #[error("presented no certificate")]
    None,
    /// It is no X.509 certificate.
    #[error("is no X.509 certificate ({0})")]
    Malformed(String),
    /// It has no SPIFFE id.
    #[error("names no SPIFFE id")]
    NoSubject,
    /// It has several SPIFFE ids.
    #[error("names several SPIFFE ids")]
    ManySubjects,
    /// Its SPIFFE id is none of ours.
    #[error("names {0:?}, which {1}")]
    BadSubject(String, SubjectError),
    /// Its common name and SPIFFE id disagree.
    #[error("has the common name {0:?} but names {1}")]
    CommonName(String, Subject),
    /// It belongs to another mesh.
    #[error("belongs to mesh {found:?}, not to {ours:?}")]
    WrongMesh {
        /// The mesh it names.
        found: String,
        /// Ours.
        ours: String,
    },
}

/// Who is at the other end of a connection, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whom the certificate names.
    pub subject: Subject,
    /// The whole certificate (DER).
    pub certificate: CertificateDer<'static>,
    /// Certificates between it and the CA.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// When it is valid.
    pub validity: Validity,
}

/// Reads who a certificate names. Whether it is to be trusted was decided in the handshake.
///
/// # Errors
/// When it is no certificate, or names no subject, or several.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<Peer, PeerError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PeerError::Malformed(error.to_string()))?;
    Ok(Peer {
        subject: subject_of(&parsed)?,
        certificate: certificate.clone().into_owned(),
        intermediates: Vec::new(),
        validity: Validity {
            not_before: wall(parsed.validity().not_before.timestamp()),
            not_after: wall(parsed.validity().not_after.timestamp()),
        },
    })
}

/// The one SPIFFE id among a certificate's alternative names; its common name must agree.
pub(super) fn subject_of(certificate: &X509Certificate<'_>) -> Result<Subject, PeerError> {
    let uris = spiffe_uris(certificate);
    let [uri] = uris.as_slice() else {
        return Err(if uris.is_empty() {
            PeerError::NoSubject
        } else {
            PeerError::ManySubjects
        });
    };
    let subject: Subject = uri
        .parse()
        .map_err(|error| PeerError::BadSubject(uri.clone(), error))?;
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    match common_name {
        Some(name) if name != subject.id().as_str() => {
            Err(PeerError::CommonName(name.to_owned(), subject))
        }
        Some(_) | None => Ok(subject),
    }
}

fn spiffe_uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let uri = |name: &GeneralName<'_>| {
        if let GeneralName::URI(uri) = name {
            Some((*uri).to_owned())
        } else {
            None
        }
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(uri)
        .filter(|uri| uri.starts_with("spiffe://"))
        .collect()
}

/// Calendar time of a certificate's seconds; before 1970 is 1970.
pub(super) fn wall(seconds: i64) -> Wall {
    Wall(u64::try_from(seconds).unwrap_or(0))
}
