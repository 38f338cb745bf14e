//! A directory that holds a mesh's CA and certificates. For development the first start fills it.
//!
//! `ca-cert.pem`, `ca-key.pem`, for each node `ID-cert.pem`, `ID-key.pem`, and for each administrator the same with
//! `NAME+admin`. A lock serialises those that write, so that two nodes that start at once share one CA.
//!
//! A certificate and its key are replaced in one act, though they are two files: the new key is put beside the old
//! one, then the certificate is renamed over, then the old key goes. At every instant, also after a crash, the key of
//! the certificate that is there is there too. Who reads without the lock reads the certificate before and after the
//! key, and again if it changed meanwhile.

use super::authority::{Authority, CA_DAYS, Issued, NODE_DAYS};
use super::check::{PemParts, PemText};
use super::error::{IdentityError, Place};
use super::subject::{Role, Subject};
use super::{facts, files};
use phalanx_core::credentials::Validity;
use phalanx_core::time::Wall;
use std::path::{Path, PathBuf};

/// How often a certificate is read again because it changed meanwhile.
const REREADS: usize = 16;
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
        // No id holds a '+': what one holder is called never names another's files.
        let stem = match (subject.role(), subject.id().as_str()) {
            (Role::Node, "ca") => "ca+node".to_owned(),
            (Role::Node, id) => id.to_owned(),
            (Role::Admin, name) => format!("{name}+admin"),
        };
        Self {
            certificate: directory.join(format!("{stem}-cert.pem")),
            key: directory.join(format!("{stem}-key.pem")),
            ca: directory.join(CA_CERTIFICATE),
        }
    }

    fn complete(&self) -> bool {
        self.certificate.exists() && self.key.exists() && self.ca.exists()
    }

    /// Whether two thirds of the certificate's life are over. One that cannot be read is named by who reads it.
    fn is_due(&self, now: Wall) -> bool {
        let facts = facts::ca_show(&self.certificate).unwrap_or_default();
        let first = facts.first();
        first.is_some_and(|facts| now >= facts.validity.renewable())
    }

    fn write(&self, issued: &Issued) -> Result<(), IdentityError> {
        let replaced = if self.certificate.exists() && self.key.exists() {
            text(&self.key)?
        } else {
            String::new()
        };
        files::write_private(&self.key, &format!("{}{replaced}", issued.key_pem))?;
        files::write_private(&self.certificate, &issued.certificate_pem)?;
        if !replaced.is_empty() {
            files::write_private(&self.key, &issued.key_pem)?;
        }
        Ok(())
    }

    /// Their texts; the certificate and the key belong together even while they are replaced.
    pub(super) fn read(&self) -> Result<PemParts, IdentityError> {
        let text = |path: &PathBuf| {
            Ok::<_, IdentityError>(PemText {
                place: Place::File(path.clone()),
                pem: files::read(path)?,
            })
        };
        let mut certificate = text(&self.certificate)?;
        let mut key = text(&self.key)?;
        // Nobody replaces a certificate so often; what then does not fit is named when it is checked.
        for _ in 0..REREADS {
            let again = text(&self.certificate)?;
            if again.pem == certificate.pem {
                break;
            }
            certificate = again;
            key = text(&self.key)?;
        }
        Ok(PemParts {
            certificate,
            key,
            ca: text(&self.ca)?,
        })
    }
}

/// Makes what is missing for `subject` in a development directory: the CA, the certificate, or nothing. A certificate of
/// which two thirds are over is replaced, if the CA's key is there.
pub(super) fn complete(
    directory: &Path,
    subject: &Subject,
    now: Wall,
) -> Result<(), IdentityError> {
    let files_of = IssuedFiles::of(directory, subject);
    let can_renew = directory.join(CA_KEY).exists();
    let settled = || files_of.complete() && !(can_renew && files_of.is_due(now));
    if settled() {
        return Ok(());
    }
    files::make_directory(directory)?;
    let _lock = files::lock(directory)?;
    // Another process may have made them while we waited.
    if settled() {
        return Ok(());
    }
    let authority = match existing_authority(directory, subject)? {
        Some(authority) => authority,
        None => make_authority(directory, subject.mesh(), Validity::days(now, CA_DAYS))?,
    };
    files_of.write(&authority.issue(subject, Validity::days(now, NODE_DAYS))?)
}

/// Whether something would have to be made for `subject`; an error if it could not be. Writes nothing.
pub(super) fn lacks(directory: &Path, subject: &Subject) -> Result<bool, IdentityError> {
    let lacks = !IssuedFiles::of(directory, subject).complete();
    if lacks {
        existing_authority(directory, subject)?;
    }
    Ok(lacks)
}

/// The CA of a directory, if there is one; half of one, or certificates without theirs, are an error: another CA
/// beside them would be a mesh that nobody of theirs trusts.
fn existing_authority(
    directory: &Path,
    subject: &Subject,
) -> Result<Option<Authority>, IdentityError> {
    let path = directory.join(CA_CERTIFICATE);
    if path.exists() {
        return open_authority(directory, subject).map(Some);
    }
    let orphans = [
        directory.join(CA_KEY),
        IssuedFiles::of(directory, subject).certificate,
    ];
    match orphans.into_iter().find(|file| file.exists()) {
        Some(found) => Err(IdentityError::NoCa { path, found }),
        None => Ok(None),
    }
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
        let wanted = IssuedFiles::of(directory, subject).certificate;
        let name = wanted.file_name().unwrap_or_default();
        return Err(IdentityError::NoCaKey {
            path: key,
            certificate: name.to_string_lossy().into_owned(),
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
