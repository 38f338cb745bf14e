//! The other end of a connection, as its certificate names it.

use phalanx_core::credentials::Validity;
use phalanx_core::registry::name::RegionId;
use phalanx_core::subject::{CertificateRole, Subject, SubjectError};
use phalanx_core::time::Wall;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The reason why a certificate that our CA signed does not make its holder a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The other end presented no certificate.
    #[error("presented no certificate")]
    None,
    /// The bytes are not an X.509 certificate.
    #[error("is no X.509 certificate ({0})")]
    Malformed(String),
    /// The certificate has no SPIFFE id.
    #[error("names no SPIFFE id")]
    NoSubject,
    /// The certificate has several SPIFFE ids.
    #[error("names several SPIFFE ids")]
    ManySubjects,
    /// The SPIFFE id does not name a subject of a mesh.
    #[error("names {0:?}, which {1}")]
    BadSubject(String, SubjectError),
    /// The certificate names the registry of a region, and no node of the same mesh, or two regions.
    #[error(
        "names {0:?}, which belongs beside the SPIFFE id of one node of the same mesh (phalanx ca issue NODE --registry REGION)"
    )]
    BadRegistry(String),
    /// The certificate of a service is minted from a mesh secret.
    #[error(
        "is that of a service, and minted from the mesh's secret, from which each member can mint it; services need a mesh with a CA"
    )]
    MintedService,
    /// The common name and the SPIFFE id disagree.
    #[error("has the common name {0:?} but names {1}")]
    CommonName(String, Subject),
    /// The certificate is revoked.
    #[error("is revoked")]
    Revoked,
    /// The subject belongs to another mesh.
    #[error("belongs to mesh {found:?}, not to {ours:?}")]
    WrongMesh {
        /// The mesh it names.
        found: String,
        /// Ours.
        ours: String,
    },
}

/// The other end of a connection, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The subject of the certificate.
    pub subject: Subject,
    /// The whole certificate (DER).
    pub certificate: CertificateDer<'static>,
    /// The certificates between it and the CA.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// The time in which the certificate is valid.
    pub validity: Validity,
    /// The region whose registry the node may run, if the certificate names one.
    pub registry: Option<RegionId>,
}

/// Reads the subject of a certificate. The handshake decided whether the certificate is trusted.
///
/// # Errors
/// When it is not a valid certificate, or names no subject or several.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<Peer, PeerError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PeerError::Malformed(error.to_string()))?;
    let (subject, registry) = holder_of(&parsed)?;
    Ok(Peer {
        subject,
        registry,
        certificate: certificate.clone().into_owned(),
        intermediates: Vec::new(),
        validity: Validity {
            not_before: wall(parsed.validity().not_before.timestamp()),
            not_after: wall(parsed.validity().not_after.timestamp()),
        },
    })
}

/// The subject of a certificate.
pub(super) fn subject_of(certificate: &X509Certificate<'_>) -> Result<Subject, PeerError> {
    holder_of(certificate).map(|(subject, _)| subject)
}

/// The region of a SPIFFE id of the form `spiffe://MESH/registry/REGION`.
fn region_of(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("spiffe://")?;
    rest.split_once("/registry/")
}

/// The subject of a certificate, and the region whose registry it may run.
///
/// The subject is the one SPIFFE id of a holder among the alternative names; the common name must agree. Beside the id of a
/// node, a second SPIFFE id may name a region.
pub(super) fn holder_of(
    certificate: &X509Certificate<'_>,
) -> Result<(Subject, Option<RegionId>), PeerError> {
    let uris = spiffe_uris(certificate);
    let (regions, holders): (Vec<_>, Vec<_>) =
        uris.iter().partition(|uri| region_of(uri).is_some());
    let subject = holder(certificate, &holders)?;
    let registry = match regions.as_slice() {
        [] => None,
        [uri, others @ ..] => {
            let of_node = |(mesh, _): &(&str, &str)| {
                *mesh == subject.mesh() && subject.role() == CertificateRole::Node
            };
            let named = region_of(uri).filter(of_node);
            let region = named.and_then(|(_, region)| region.parse().ok());
            let region = region.filter(|_| others.is_empty());
            Some(region.ok_or_else(|| PeerError::BadRegistry((*uri).clone()))?)
        }
    };
    Ok((subject, registry))
}

/// The holder that a certificate with these SPIFFE ids of holders names.
fn holder(certificate: &X509Certificate<'_>, uris: &[&String]) -> Result<Subject, PeerError> {
    let [uri] = uris else {
        return Err(if uris.is_empty() {
            PeerError::NoSubject
        } else {
            PeerError::ManySubjects
        });
    };
    let subject: Subject = uri
        .parse()
        .map_err(|error| PeerError::BadSubject((*uri).clone(), error))?;
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

/// Converts the Unix seconds of a certificate to calendar time; a time before 1970 becomes 1970.
pub(super) fn wall(seconds: i64) -> Wall {
    Wall(u64::try_from(seconds).unwrap_or(0))
}
