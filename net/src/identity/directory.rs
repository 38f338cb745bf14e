//! A directory with a mesh's CA and certificates. In development, the first start fills it.
//!
//! Files: `ca-cert.pem`, `ca-key.pem`; `ID-cert.pem` and `ID-key.pem` for each node; the same with
//! `NAME+admin` for each administrator and `NAME+service` for each service. Writers hold a lock, so that nodes that start at the same
//! time share one CA.
//!
//! A certificate and its key are two files, replaced in an order that keeps them consistent: the
//! new key is written beside the old key in one file, then the certificate is replaced, then the
//! old key is removed. The key file therefore always contains the key of the current certificate,
//! also after a crash. Readers without the lock read the certificate before and after the key, and
//! repeat both if the certificate changed.

use super::authority::{Authority, ExtraNames, Issued};
use super::check::{PemParts, PemText};
use super::error::{IdentityError, PemOrigin};
use super::{facts, files};
use phalanx_core::credentials::{CA_DAYS, NODE_DAYS, Validity};
use phalanx_core::subject::{CertificateRole, Subject};
use phalanx_core::time::Wall;
use std::path::{Path, PathBuf};

/// Maximum number of times that a changed certificate is read again.
const REREADS: usize = 16;
/// File name of the CA's certificate.
pub(super) const CA_CERTIFICATE: &str = "ca-cert.pem";
const CA_KEY: &str = "ca-key.pem";

/// Paths of a holder's certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificate of the CA that signed it.
    pub ca: PathBuf,
}

impl IssuedFiles {
    pub(super) fn of(directory: &Path, subject: &Subject) -> Self {
        // An id cannot contain '+', so the files of holders of different roles never collide.
        let stem = match (subject.role(), subject.id().as_str()) {
            (CertificateRole::Node, "ca") => "ca+node".to_owned(),
            (CertificateRole::Node, id) => id.to_owned(),
            (CertificateRole::Admin, name) => format!("{name}+admin"),
            (CertificateRole::Service, name) => format!("{name}+service"),
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

    /// Returns whether two thirds of the certificate's validity have passed, or it has not begun
    /// because the issuer's clock was ahead. An unreadable certificate is reported later, by the code
    /// that reads it.
    fn is_due(&self, now: Wall) -> bool {
        let facts = facts::ca_show(&self.certificate).unwrap_or_default();
        let first = facts.first();
        first.is_some_and(|facts| facts.validity.is_renewable(now))
    }

    /// Returns the region that the certificate names, which its successor names too.
    fn extra_names(&self) -> ExtraNames {
        let facts = facts::ca_show(&self.certificate).unwrap_or_default();
        ExtraNames {
            registry: facts.first().and_then(|facts| facts.registry.clone()),
            ..ExtraNames::default()
        }
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

    /// Reads the files; the certificate and the key belong together even while they are replaced.
    pub(super) fn read(&self) -> Result<PemParts, IdentityError> {
        let text = |path: &PathBuf| {
            Ok::<_, IdentityError>(PemText {
                place: PemOrigin::File(path.clone()),
                pem: files::read(path)?,
            })
        };
        let mut certificate = text(&self.certificate)?;
        let mut key = text(&self.key)?;
        // A certificate is not replaced this often; a remaining mismatch is reported when the pair
        // is checked.
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

/// Creates the missing files for `subject` in a development directory: the CA and the certificate.
/// Replaces a certificate after two thirds of its validity if the CA's key is available.
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
    check_clock(now)?;
    files::make_directory(directory)?;
    let _lock = files::lock(directory)?;
    // Another process may have created the files while this one waited for the lock.
    if settled() {
        return Ok(());
    }
    let authority = match existing_authority(directory, subject)? {
        Some(authority) => authority,
        None => make_authority(directory, subject.mesh(), Validity::days(now, CA_DAYS))?,
    };
    let extra = files_of.extra_names();
    files_of.write(&authority.issue_for(subject, Validity::days(now, NODE_DAYS), &extra)?)
}

/// Returns whether files for `subject` are missing; an error if they could not be created. Writes
/// nothing.
pub(super) fn lacks(directory: &Path, subject: &Subject) -> Result<bool, IdentityError> {
    let lacks = !IssuedFiles::of(directory, subject).complete();
    if lacks {
        existing_authority(directory, subject)?;
    }
    Ok(lacks)
}

/// Returns the CA of a directory, if there is one. A CA without its certificate, or a node
/// certificate without its CA, is an error: a new CA beside them would make a mesh that the
/// existing members do not trust.
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
    let certificate = PemOrigin::File(certificate);
    let authority = Authority::from_pem(
        (&certificate, &certificate_pem),
        (&PemOrigin::File(key), &key_pem),
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
        place: PemOrigin::File(path.to_owned()),
        why: "is not text; PEM is text that begins with \"-----BEGIN\"".to_owned(),
    })
}

/// The start of 2025. A clock that shows an earlier time was not set since the machine started.
const EARLIEST: Wall = Wall(1_735_689_600);

/// Checks that the clock is plausible, before a certificate is made with it: a certificate of 1970
/// has ended when the clock is set.
///
/// # Errors
/// If the clock shows a time before 2025.
pub fn check_clock(now: Wall) -> Result<(), IdentityError> {
    if now < EARLIEST {
        return Err(IdentityError::Clock { now });
    }
    Ok(())
}

/// Opens the CA in `directory`.
///
/// # Errors
/// If the CA or its key is missing or cannot be read, or it is not the CA of the mesh of `subject`.
pub fn ca_open(directory: &Path, subject: &Subject) -> Result<Authority, IdentityError> {
    open_authority(directory, subject)
}

/// Creates a CA for `mesh` in `directory`; returns the path of its certificate.
///
/// # Errors
/// If there is a CA already, or the directory cannot be written.
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

/// Issues a certificate for `subject` with the CA in `directory`, into `target`. A copy of the CA's
/// certificate is written too, so that `target` has all files that a node needs. An existing
/// certificate of the same id is replaced. The certificate of a node names `names` too.
///
/// # Errors
/// If the CA or its key is missing or belongs to another mesh, or `target` cannot be written.
pub fn ca_issue(
    directory: &Path,
    subject: &Subject,
    target: &Path,
    validity: Validity,
    names: &ExtraNames,
) -> Result<IssuedFiles, IdentityError> {
    let authority = open_authority(directory, subject)?;
    files::make_directory(target)?;
    let _lock = files::lock(target)?;
    let files_of = IssuedFiles::of(target, subject);
    let foreign = files_of.ca.exists() && text(&files_of.ca)? != authority.certificate_pem();
    if foreign {
        return Err(IdentityError::Exists { path: files_of.ca });
    }
    files_of.write(&authority.issue_for(subject, validity, names)?)?;
    if !files_of.ca.exists() {
        files::write_private(&files_of.ca, authority.certificate_pem())?;
    }
    Ok(files_of)
}
