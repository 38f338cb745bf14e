//! A directory that holds a mesh's CA and certificates. For development the first start fills it.
//!
//! `ca-cert.pem`, `ca-key.pem`, and for each holder `ID-cert.pem`, `ID-key.pem`. A lock serialises those that
//! write, so that two nodes that start at once share one CA. A key is written before its certificate: a
//! certificate that exists is complete.

use super::authority::{Authority, CA_DAYS, Issued, NODE_DAYS, Validity};
use super::check::{PemParts, PemText};
use super::error::{IdentityError, Place};
use super::files;
use super::subject::Subject;
use phalanx_core::time::Wall;
use std::path::{Path, PathBuf};

/// The CA's certificate.
pub(super) const CA_CERTIFICATE: &str = "ca-cert.pem";
const CA_KEY: &str = "ca-key.pem";

/// Where a holder's certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificate of the CA that signed it.
    pub ca: PathBuf,
}

impl IssuedFiles {
    pub(super) fn of(directory: &Path, subject: &Subject) -> Self {
        // No id holds a '+': a node called "ca" must not write over the authority's files.
        let id = subject.id().to_string();
        let stem = if id == "ca" { "ca+node" } else { &id };
        Self {
            certificate: directory.join(format!("{stem}-cert.pem")),
            key: directory.join(format!("{stem}-key.pem")),
            ca: directory.join(CA_CERTIFICATE),
        }
    }

    fn complete(&self) -> bool {
        self.certificate.exists() && self.key.exists() && self.ca.exists()
    }

    fn write(&self, issued: &Issued) -> Result<(), IdentityError> {
        files::write_private(&self.key, &issued.key_pem)?;
        files::write_private(&self.certificate, &issued.certificate_pem)
    }

    /// Their texts.
    pub(super) fn read(&self) -> Result<PemParts, IdentityError> {
        let text = |path: &PathBuf| {
            Ok::<_, IdentityError>(PemText {
                place: Place::File(path.clone()),
                pem: files::read(path)?,
            })
        };
        Ok(PemParts {
            certificate: text(&self.certificate)?,
            key: text(&self.key)?,
            ca: text(&self.ca)?,
        })
    }
}

/// Makes what is missing for `subject` in a development directory: the CA, the certificate, or nothing.
pub(super) fn complete(
    directory: &Path,
    subject: &Subject,
    now: Wall,
) -> Result<IssuedFiles, IdentityError> {
    let files_of = IssuedFiles::of(directory, subject);
    if files_of.complete() {
        return Ok(files_of);
    }
    files::make_directory(directory)?;
    let _lock = files::lock(directory)?;
    // Another process may have made them while we waited.
    if files_of.complete() {
        return Ok(files_of);
    }
    let authority = if files_of.ca.exists() {
        open_authority(directory, subject)?
    } else {
        make_authority(directory, subject.mesh(), Validity::days(now, CA_DAYS))?
    };
    files_of.write(&authority.issue(subject, Validity::days(now, NODE_DAYS))?)?;
    Ok(files_of)
}

fn make_authority(
    directory: &Path,
    mesh: &str,
    validity: Validity,
) -> Result<Authority, IdentityError> {
    let (authority, issued) = Authority::new(mesh, validity)?;
    files::write_private(&directory.join(CA_KEY), &issued.key_pem)?;
    files::write_private(&directory.join(CA_CERTIFICATE), &issued.certificate_pem)?;
    Ok(authority)
}

fn open_authority(directory: &Path, subject: &Subject) -> Result<Authority, IdentityError> {
    let (certificate, key) = (directory.join(CA_CERTIFICATE), directory.join(CA_KEY));
    if !key.exists() {
        return Err(IdentityError::NoCaKey {
            path: key,
            id: subject.id().to_string(),
        });
    }
    let (certificate_pem, key_pem) = (text(&certificate)?, text(&key)?);
    let certificate = Place::File(certificate);
    let authority = Authority::from_pem(
        (&certificate, &certificate_pem),
        (&Place::File(key), &key_pem),
    )?;
    if authority.mesh() != subject.mesh() {
        return Err(IdentityError::WrongMesh {
            place: certificate,
            found: authority.mesh().to_owned(),
            configured: subject.mesh().to_owned(),
        });
    }
    Ok(authority)
}

fn text(path: &Path) -> Result<String, IdentityError> {
    let bytes = files::read(path)?;
    String::from_utf8(bytes).map_err(|_| IdentityError::Unusable {
        place: Place::File(path.to_owned()),
        why: "is not text; PEM is text that begins with \"-----BEGIN\"".to_owned(),
    })
}

/// Makes a new CA for `mesh` in `directory`; returns where its certificate is.
///
/// # Errors
/// When there is one already, or the directory cannot be written.
pub fn ca_init(directory: &Path, mesh: &str, validity: Validity) -> Result<PathBuf, IdentityError> {
    files::make_directory(directory)?;
    let _lock = files::lock(directory)?;
    let path = directory.join(CA_CERTIFICATE);
    for existing in [&path, &directory.join(CA_KEY)] {
        if existing.exists() {
            return Err(IdentityError::Exists {
                path: existing.clone(),
            });
        }
    }
    make_authority(directory, mesh, validity)?;
    Ok(path)
}

/// Issues a certificate for `subject` with the CA in `directory`, into `target` (with a copy of the CA's
/// certificate, so that the target is all a node needs). An earlier certificate of the same id is replaced.
///
/// # Errors
/// When the CA or its key is missing, or is another mesh's, or the target cannot be written.
pub fn ca_issue(
    directory: &Path,
    subject: &Subject,
    target: &Path,
    validity: Validity,
) -> Result<IssuedFiles, IdentityError> {
    let authority = open_authority(directory, subject)?;
    files::make_directory(target)?;
    let _lock = files::lock(target)?;
    let files_of = IssuedFiles::of(target, subject);
    let foreign = files_of.ca.exists() && text(&files_of.ca)? != authority.certificate_pem();
    if foreign {
        return Err(IdentityError::Exists { path: files_of.ca });
    }
    files_of.write(&authority.issue(subject, validity)?)?;
    if !files_of.ca.exists() {
        files::write_private(&files_of.ca, authority.certificate_pem())?;
    }
    Ok(files_of)
}
