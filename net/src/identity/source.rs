//! Where certificates come from.

use super::authority::NODE_DAYS;
use super::check::{Identity, PemParts, PemText};
use super::directory::{self, IssuedFiles};
use super::error::{IdentityError, Place, Warning};
use super::files;
use super::secret::{self, SECRET_VARIABLE, Secret};
use super::subject::Subject;
use phalanx_core::credentials::Validity;
use phalanx_core::time::Wall;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The environment variable that holds the certificate, as PEM.
pub const CERT_VARIABLE: &str = "PHALANX_TLS_CERT";
/// The environment variable that holds the private key, as PEM.
pub const KEY_VARIABLE: &str = "PHALANX_TLS_KEY";
/// The environment variable that holds the CA's certificate, as PEM.
pub const CA_VARIABLE: &str = "PHALANX_TLS_CA";

/// Where certificates come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory that the first start fills: for development, or filled by `phalanx ca issue`.
    Directory(PathBuf),
    /// PEM files.
    Files {
        /// The certificate, and intermediate ones after it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
        /// The CA's certificate, or several.
        ca: PathBuf,
    },
    /// The values of [`CERT_VARIABLE`], [`KEY_VARIABLE`] and [`CA_VARIABLE`].
    Variables {
        /// The certificate, and intermediate ones after it.
        certificate: String,
        /// Its private key.
        key: String,
        /// The CA's certificate, or several.
        ca: String,
    },
    /// A file of the mesh's secrets, the first to mint from; a certificate is minted at each start.
    SecretFile(PathBuf),
    /// The value of [`SECRET_VARIABLE`], as a file of secrets.
    SecretVariable(Zeroizing<String>),
}

impl core::fmt::Debug for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Files {
                certificate,
                key,
                ca,
            } => f
                .debug_struct("Files")
                .field("certificate", certificate)
                .field("key", key)
                .field("ca", ca)
                .finish(),
            // The values hold a private key, or are a secret.
            Self::Variables { .. } => f.debug_struct("Variables").finish_non_exhaustive(),
            Self::SecretFile(path) => f.debug_tuple("SecretFile").field(path).finish(),
            Self::SecretVariable(_) => f.debug_struct("SecretVariable").finish_non_exhaustive(),
        }
    }
}

/// A checked identity, and what should be mended though it works.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The identity.
    pub identity: Identity,
    /// What should be mended.
    pub warnings: Vec<Warning>,
}

/// Reads the identity of `subject` from `source`, and checks it as of `now`. A [`Source::Directory`] is filled
/// with what is missing.
///
/// # Errors
/// The first thing that would make links fail.
pub fn open(source: &Source, subject: &Subject, now: Wall) -> Result<Opened, IdentityError> {
    if let Source::Directory(path) = source {
        directory::complete(path, subject, now)?;
    }
    read(source, subject, now)
}

/// What [`open`] would give, without writing anything: none if it would have to fill a directory first.
///
/// # Errors
/// What keeps [`open`] from succeeding, as far as it can be known without writing.
pub fn inspect(
    source: &Source,
    subject: &Subject,
    now: Wall,
) -> Result<Option<Opened>, IdentityError> {
    if let Source::Directory(path) = source
        && directory::lacks(path, subject)?
    {
        return Ok(None);
    }
    read(source, subject, now).map(Some)
}

fn minted(
    (secrets, warnings): (Vec<Secret>, Vec<Warning>),
    subject: &Subject,
    now: Wall,
) -> Result<Opened, IdentityError> {
    let validity = Validity::days(now, NODE_DAYS);
    Ok(Opened {
        identity: Identity::from_secrets(&secrets, subject, validity, now)?,
        warnings,
    })
}

fn read(source: &Source, subject: &Subject, now: Wall) -> Result<Opened, IdentityError> {
    let mut warnings = Vec::new();
    let parts = match source {
        Source::SecretFile(path) => return minted(secret::read(path)?, subject, now),
        Source::SecretVariable(text) => {
            let place = Place::Variable(SECRET_VARIABLE.to_owned());
            return minted(secret::parse(&place, text)?, subject, now);
        }
        Source::Directory(path) => {
            let issued = IssuedFiles::of(path, subject);
            warnings.extend(files::permissions(path));
            warnings.extend(files::permissions(&issued.key));
            issued.read()?
        }
        Source::Files {
            certificate,
            key,
            ca,
        } => {
            warnings.extend(files::permissions(key));
            IssuedFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: ca.clone(),
            }
            .read()?
        }
        Source::Variables {
            certificate,
            key,
            ca,
        } => {
            let text = |name: &str, value: &String| PemText {
                place: Place::Variable(name.to_owned()),
                pem: value.as_bytes().to_vec(),
            };
            PemParts {
                certificate: text(CERT_VARIABLE, certificate),
                key: text(KEY_VARIABLE, key),
                ca: text(CA_VARIABLE, ca),
            }
        }
    };
    let identity = Identity::from_pem(&parts, subject, now)?;
    warnings.extend(identity.ends_soon(&parts.certificate.place, now));
    Ok(Opened { identity, warnings })
}
