//! Sources of certificates.

use super::check::{Identity, PemParts, PemText};
use super::directory::{self, IssuedFiles};
use super::error::{IdentityError, PemOrigin, Warning};
use super::files;
use super::secret::{self, SECRET_VARIABLE, Secret};
use phalanx_core::credentials::{NODE_DAYS, Validity};
use phalanx_core::subject::Subject;
use phalanx_core::time::Wall;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Environment variable that holds the certificate, as PEM.
pub const CERT_VARIABLE: &str = "PHALANX_TLS_CERT";
/// Environment variable that holds the private key, as PEM.
pub const KEY_VARIABLE: &str = "PHALANX_TLS_KEY";
/// Environment variable that holds the CA's certificate, as PEM.
pub const CA_VARIABLE: &str = "PHALANX_TLS_CA";

/// Source of a node's certificates.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory, filled by the first start in development, or by `phalanx ca issue`.
    Directory(PathBuf),
    /// PEM files.
    Files {
        /// The certificate, followed by intermediate certificates.
        certificate: PathBuf,
        /// The private key of the certificate.
        key: PathBuf,
        /// The certificate of the CA, or of several CAs.
        ca: PathBuf,
    },
    /// The values of [`CERT_VARIABLE`], [`KEY_VARIABLE`] and [`CA_VARIABLE`].
    Variables {
        /// The certificate, followed by intermediate certificates.
        certificate: String,
        /// The private key of the certificate.
        key: String,
        /// The certificate of the CA, or of several CAs.
        ca: String,
    },
    /// A file of the mesh's secrets. A certificate is minted from the first secret at each start.
    SecretFile(PathBuf),
    /// The value of [`SECRET_VARIABLE`], in the format of a file of secrets.
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
            // The values are omitted: they contain a private key or a secret.
            Self::Variables { .. } => f.debug_struct("Variables").finish_non_exhaustive(),
            Self::SecretFile(path) => f.debug_tuple("SecretFile").field(path).finish(),
            Self::SecretVariable(_) => f.debug_struct("SecretVariable").finish_non_exhaustive(),
        }
    }
}

/// A checked identity, with warnings.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The identity.
    pub identity: Identity,
    /// Problems that should be fixed.
    pub warnings: Vec<Warning>,
}

/// Reads the identity of `subject` from `source` and checks it as of `now`. Missing files of a
/// [`Source::Directory`] are created.
///
/// # Errors
/// The first error that would make links fail.
pub fn open(source: &Source, subject: &Subject, now: Wall) -> Result<Opened, IdentityError> {
    if let Source::Directory(path) = source {
        directory::complete(path, subject, now)?;
    }
    read(source, subject, now)
}

/// Returns the result of [`open`] without writing any file, or `None` if `open` would have to
/// create files in a directory.
///
/// # Errors
/// Errors of [`open`] that can be detected without writing.
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
            let place = PemOrigin::Variable(SECRET_VARIABLE.to_owned());
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
                place: PemOrigin::Variable(name.to_owned()),
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
