//! Creates certificates: the CA of a mesh, and the certificates that it signs.
//!
//! Keys are ECDSA P-256, which every TLS library offers, in PKCS #8 version 1. A simulator uses
//! Ed25519 keys ([`Authority::of_constant_sizes`]): certificates and handshakes then have constant
//! sizes, which keeps simulated runs comparable. So does a CA that is derived from a mesh secret.

use super::calendar::date_of;
use super::error::{IdentityError, PemOrigin};
use super::facts::hexadecimal;
use super::tls;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use phalanx_core::credentials::Validity;
use phalanx_core::identity::check_name;
use phalanx_core::registry::name::RegionId;
use phalanx_core::subject::{CertificateRole, Subject, SubjectError};
use phalanx_core::time::Wall;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
    SignatureAlgorithm,
};
use ring::digest;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use std::sync::Arc;

/// Organisation in the name of a CA with a random key.
const MADE: &str = "Phalanx mesh CA";
/// Organisation in the name of a CA derived from a mesh secret.
pub(super) const DERIVED: &str = "Phalanx mesh secret";
/// Number of bytes of a public key's hash that make its fingerprint.
const FINGERPRINT_BYTES: usize = 8;
/// A derived CA is valid as long as its secret, which does not expire: from 2020 to the last second
/// of 9999, the X.509 value for "no end".
const ALWAYS: Validity = Validity {
    not_before: Wall(1_577_836_800),
    not_after: Wall(253_402_300_799),
};

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl core::fmt::Debug for Issued {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The CA of one mesh, with its private key.
pub struct Authority {
    mesh: String,
    certificate_pem: String,
    not_after: Wall,
    issuer: Issuer<'static, KeyPair>,
    /// The algorithm of the keys that the CA issues.
    algorithm: &'static SignatureAlgorithm,
}

/// Names and addresses under which clients reach a node, in addition to its id and the loopback
/// addresses, and the region whose registry it may run. Links of the mesh do not need names: they
/// verify ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraNames {
    /// DNS names.
    pub names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// The region whose registry the node may run.
    pub registry: Option<RegionId>,
}

impl core::fmt::Debug for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authority")
            .field("mesh", &self.mesh)
            .finish_non_exhaustive()
    }
}

fn crypto(what: &'static str) -> impl Fn(rcgen::Error) -> IdentityError {
    move |error| IdentityError::Crypto {
        what,
        why: error.to_string(),
    }
}

fn params(
    common_name: &str,
    uri: &str,
    validity: Validity,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = date_of(validity.not_before);
    params.not_after = date_of(validity.not_after);
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(ia5(uri)?)];
    Ok(params)
}

fn ia5(text: &str) -> Result<Ia5String, IdentityError> {
    Ia5String::try_from(text).map_err(crypto("a certificate's name"))
}

/// Returns the fingerprint of a public key.
fn fingerprint(public_key: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, public_key);
    hexadecimal(&hash.as_ref()[..FINGERPRINT_BYTES])
}

impl Authority {
    /// Creates a CA for `mesh` with a new random key.
    ///
    /// # Errors
    /// If the mesh's name is not valid, or the cryptography library fails.
    pub fn new(mesh: &str, validity: Validity) -> Result<(Self, Issued), IdentityError> {
        Self::with_algorithm(mesh, validity, &PKCS_ECDSA_P256_SHA256)
    }

    /// Creates a CA whose certificates have constant sizes, for simulators.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn of_constant_sizes(
        mesh: &str,
        validity: Validity,
    ) -> Result<(Self, Issued), IdentityError> {
        Self::with_algorithm(mesh, validity, &PKCS_ED25519)
    }

    fn with_algorithm(
        mesh: &str,
        validity: Validity,
        algorithm: &'static SignatureAlgorithm,
    ) -> Result<(Self, Issued), IdentityError> {
        check_name(mesh).map_err(SubjectError::Mesh)?;
        let key = KeyPair::generate_for(algorithm).map_err(crypto("the CA's key"))?;
        let key_pem = key.serialize_pem();
        let authority = Self {
            algorithm,
            ..Self::with_key(mesh, validity, key, MADE, None)?
        };
        let issued = Issued {
            certificate_pem: authority.certificate_pem.clone(),
            key_pem,
        };
        Ok((authority, issued))
    }

    /// The CA whose key, an Ed25519 key in PKCS #8, was derived from a secret of `mesh`.
    pub(super) fn derived(mesh: &str, key: &[u8]) -> Result<Self, IdentityError> {
        let der = PrivatePkcs8KeyDer::from(key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)
            .map_err(crypto("the key of a mesh secret"))?;
        let fingerprint = fingerprint(key.public_key_raw());
        Self::with_key(mesh, ALWAYS, key, DERIVED, Some(&fingerprint))
    }

    /// Returns the fingerprint of the CA's key, by which messages and users identify it.
    pub(super) fn fingerprint(&self) -> String {
        fingerprint(self.issuer.key().public_key_raw())
    }

    fn with_key(
        mesh: &str,
        validity: Validity,
        key: KeyPair,
        organization: &str,
        unit: Option<&str>,
    ) -> Result<Self, IdentityError> {
        let mut params = params(mesh, &format!("spiffe://{mesh}"), validity)?;
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, organization);
        if let Some(unit) = unit {
            name.push(DnType::OrganizationalUnitName, unit);
        }
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).map_err(crypto("the CA"))?.pem();
        Ok(Self {
            mesh: mesh.to_owned(),
            certificate_pem,
            not_after: validity.not_after,
            issuer: Issuer::new(params, key),
            algorithm: &PKCS_ED25519,
        })
    }

    /// Reads a CA from PEM texts.
    ///
    /// # Errors
    /// If a text cannot be parsed, the key does not belong to the certificate, or the certificate
    /// is not that of a CA.
    pub fn from_pem(
        certificate: (&PemOrigin, &str),
        key: (&PemOrigin, &str),
    ) -> Result<Self, IdentityError> {
        let facts = super::facts::first(certificate.0, certificate.1.as_bytes())?;
        if !facts.ca {
            let why =
                "is not the certificate of a CA; give the file made by phalanx ca init".to_owned();
            return Err(IdentityError::Unusable {
                place: certificate.0.clone(),
                why,
            });
        }
        let Some(mesh) = facts
            .uris
            .iter()
            .find_map(|uri| uri.strip_prefix("spiffe://"))
        else {
            let why = "is a CA that does not name a mesh (spiffe://MESH); create one with phalanx ca init"
                .to_owned();
            return Err(IdentityError::Unusable {
                place: certificate.0.clone(),
                why,
            });
        };
        let mesh = mesh.to_owned();
        let pair = KeyPair::from_pem(key.1).map_err(|error| IdentityError::NotPem {
            place: key.0.clone(),
            wanted: "private key",
            label: "PRIVATE KEY",
            why: error.to_string(),
        })?;
        if !facts.has_public_key(pair.public_key_raw()) {
            return Err(IdentityError::KeyMismatch {
                certificate: certificate.0.clone(),
                key: key.0.clone(),
            });
        }
        let issuer =
            Issuer::from_ca_cert_pem(certificate.1, pair).map_err(crypto("an issuer of the CA"))?;
        Ok(Self {
            mesh,
            certificate_pem: certificate.1.to_owned(),
            not_after: facts.validity.not_after,
            issuer,
            algorithm: &PKCS_ECDSA_P256_SHA256,
        })
    }

    /// Returns the mesh of the CA.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.mesh
    }

    /// Returns the signer of the CA's private key.
    pub(super) fn signing_key(&self) -> Result<Arc<dyn SigningKey>, IdentityError> {
        let key = PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der());
        tls::signing_key(&key.into()).map_err(|why| IdentityError::Crypto {
            what: "the CA's key",
            why,
        })
    }

    /// Returns the CA's certificate, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate with a new key for `subject`. The certificate does not outlive the CA.
    ///
    /// # Errors
    /// If the subject belongs to another mesh, or the cryptography library fails.
    pub fn issue(&self, subject: &Subject, validity: Validity) -> Result<Issued, IdentityError> {
        self.issue_for(subject, validity, &ExtraNames::default())
    }

    /// The same, for a node that clients reach under further names.
    ///
    /// # Errors
    /// The errors of [`issue`](Self::issue), and names that are not ASCII.
    pub fn issue_for(
        &self,
        subject: &Subject,
        validity: Validity,
        extra: &ExtraNames,
    ) -> Result<Issued, IdentityError> {
        if subject.mesh() != self.mesh {
            return Err(IdentityError::WrongMesh {
                place: PemOrigin::Memory("the CA"),
                found: self.mesh.clone(),
                configured: subject.mesh().to_owned(),
            });
        }
        let id = subject.id().as_str();
        let not_after = validity.not_after.min(self.not_after);
        let mut params = params(
            id,
            &subject.to_string(),
            Validity {
                not_after,
                ..validity
            },
        )?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if subject.role() == CertificateRole::Node {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.extend([
                SanType::DnsName(ia5(id)?),
                SanType::DnsName(ia5("localhost")?),
                SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
                SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
            ]);
            for name in &extra.names {
                params.subject_alt_names.push(SanType::DnsName(ia5(name)?));
            }
            if let Some(region) = &extra.registry {
                let uri = format!("spiffe://{}/registry/{region}", self.mesh);
                params.subject_alt_names.push(SanType::URI(ia5(&uri)?));
            }
            let addresses = extra.addresses.iter().copied().map(SanType::IpAddress);
            params.subject_alt_names.extend(addresses);
        }
        let key = KeyPair::generate_for(self.algorithm).map_err(crypto("a key"))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(crypto("a certificate"))?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}
