//! Readable contents of certificates.

use super::error::{IdentityError, PemOrigin};
use super::files;
use super::peer::{holder_of, wall};
use core::fmt::Write as _;
use core::net::IpAddr;
use phalanx_core::credentials::Validity;
use phalanx_core::registry::name::RegionId;
use phalanx_core::subject::Subject;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Contents of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The distinguished name of the subject.
    pub name: String,
    /// The distinguished name of the issuer.
    pub issuer: String,
    /// The holder in a mesh, if the certificate names one.
    pub subject: Option<Subject>,
    /// The region whose registry the holder may run, if the certificate names one.
    pub registry: Option<RegionId>,
    /// All URIs in the subject alternative names.
    pub uris: Vec<String>,
    /// DNS names in the subject alternative names.
    pub dns_names: Vec<String>,
    /// IP addresses in the subject alternative names.
    pub addresses: Vec<IpAddr>,
    /// The validity period.
    pub validity: Validity,
    /// Whether the certificate may sign other certificates.
    pub ca: bool,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The algorithm of the public key, as a name or an object identifier.
    pub algorithm: String,
    /// SHA-256 of the whole certificate, in hexadecimal.
    pub fingerprint: String,
    public_key: Vec<u8>,
}

impl CertificateFacts {
    /// Returns whether the certificate's public key has these raw bytes.
    pub(super) fn has_public_key(&self, raw: &[u8]) -> bool {
        self.public_key == raw
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// The reason why it is not a valid certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let (subject, registry) = holder_of(&parsed).ok().unzip();
        let mut facts = Self {
            name: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            subject,
            registry: registry.flatten(),
            uris: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            validity: Validity {
                not_before: wall(parsed.validity().not_before.timestamp()),
                not_after: wall(parsed.validity().not_after.timestamp()),
            },
            ca: parsed.is_ca(),
            serial: parsed.raw_serial_as_string(),
            algorithm: algorithm(&parsed.public_key().algorithm.algorithm.to_id_string()),
            fingerprint: hexadecimal(
                ring::digest::digest(&ring::digest::SHA256, certificate).as_ref(),
            ),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
        };
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                facts.add(name);
            }
        }
        Ok(facts)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        if let GeneralName::URI(uri) = name {
            self.uris.push((*uri).to_owned());
        } else if let GeneralName::DNSName(dns) = name {
            self.dns_names.push((*dns).to_owned());
        } else if let GeneralName::IPAddress(bytes) = name {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            self.addresses.extend(v4.or(v6).ok());
        }
    }
}

fn algorithm(oid: &str) -> String {
    match oid {
        "1.3.101.112" => "Ed25519",
        "1.2.840.10045.2.1" => "ECDSA",
        "1.2.840.113549.1.1.1" => "RSA",
        other => other,
    }
    .to_owned()
}

/// Formats bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads the certificates of a PEM text; at least one.
pub(super) fn certificates(
    place: &PemOrigin,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let none = |why: String| IdentityError::NotPem {
        place: place.clone(),
        wanted: "certificate",
        label: "CERTIFICATE",
        why,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(none(files::looks_like(pem).to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(none(error.to_string())),
    }
}

/// Reads the contents of the certificates in a PEM text; at least one.
///
/// # Errors
/// If the text contains no certificate, or one that cannot be read.
pub fn facts_of_pem(place: &PemOrigin, pem: &[u8]) -> Result<Vec<CertificateFacts>, IdentityError> {
    let read = |certificate: &CertificateDer<'_>| {
        CertificateFacts::of(certificate).map_err(|why| IdentityError::Unusable {
            place: place.clone(),
            why: format!("holds a certificate that cannot be read: {why}"),
        })
    };
    certificates(place, pem)?.iter().map(read).collect()
}

/// Reads the contents of the first certificate of a PEM text.
pub(super) fn first(place: &PemOrigin, pem: &[u8]) -> Result<CertificateFacts, IdentityError> {
    let mut all = facts_of_pem(place, pem)?;
    Ok(all.swap_remove(0))
}

/// Reads the contents of the certificates in a PEM file.
///
/// # Errors
/// If the file cannot be read or contains no certificate.
pub fn ca_show(path: &Path) -> Result<Vec<CertificateFacts>, IdentityError> {
    let pem = files::read(path)?;
    facts_of_pem(&PemOrigin::File(path.to_owned()), &pem)
}
