//! Errors of identities: each names the place and the fix.

use super::calendar::iso_8601;
use super::peer::PeerError;
use core::fmt;
use phalanx_core::subject::{CertificateRole, Subject, SubjectError};
use phalanx_core::time::Wall;
use std::io;
use std::path::PathBuf;

/// Origin of a PEM text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemOrigin {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// Created by this process.
    Memory(&'static str),
}

impl fmt::Display for PemOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Memory(what) => f.write_str(what),
        }
    }
}

/// Reason why an identity cannot be used. Nothing was changed on disk, except where a variant says
/// so.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error(
        "{place}: cannot be read: {error}; check that it exists and that this user may read it"
    )]
    Unreadable {
        /// The file.
        place: PemOrigin,
        /// The cause.
        error: io::Error,
    },
    /// The clock of this machine is evidently wrong.
    #[error(
        "this machine's clock shows {}; no certificate is made before the clock is set (NTP, or date --set)", iso_8601(*.now)
    )]
    Clock {
        /// The time that the clock shows.
        now: Wall,
    },
    /// A text does not contain the expected certificate or key.
    #[error(
        "{place}: does not contain a {wanted} in PEM form ({why}); it must contain a block that begins with \"-----BEGIN {label}-----\""
    )]
    NotPem {
        /// The text.
        place: PemOrigin,
        /// A description of the expected content.
        wanted: &'static str,
        /// The label of the PEM block.
        label: &'static str,
        /// A description of the actual content.
        why: String,
    },
    /// A certificate or key is in PEM form, but its content cannot be used.
    #[error("{place}: {why}")]
    Unusable {
        /// The text.
        place: PemOrigin,
        /// The reason and the fix.
        why: String,
    },
    /// A line in a text of secrets is not a valid secret.
    #[error("{place}:{line}: {why}")]
    Secret {
        /// The text.
        place: PemOrigin,
        /// The line number.
        line: usize,
        /// The reason and the fix.
        why: String,
    },
    /// The private key does not belong to the certificate.
    #[error(
        "{key}: is not the private key of the certificate in {certificate}; give the pair that was issued together"
    )]
    KeyMismatch {
        /// The certificate.
        certificate: PemOrigin,
        /// The private key.
        key: PemOrigin,
    },
    /// A certificate has expired.
    #[error("{place}: the certificate expired at {}, it is {}; issue a new one (phalanx ca issue)", iso_8601(*.not_after), iso_8601(*.now))]
    Expired {
        /// The certificate.
        place: PemOrigin,
        /// End of its validity.
        not_after: Wall,
        /// The time of the check.
        now: Wall,
    },
    /// A certificate is not valid yet.
    #[error("{place}: the certificate is valid from {}, it is {}; correct this machine's clock, or issue a new certificate", iso_8601(*.not_before), iso_8601(*.now))]
    NotYetValid {
        /// The certificate.
        place: PemOrigin,
        /// Start of its validity.
        not_before: Wall,
        /// The time of the check.
        now: Wall,
    },
    /// The certificate is not signed by a trusted CA.
    #[error(
        "{place}: the certificate is not signed by the CA in {ca} ({why}); use the CA of this mesh, or have it issue a certificate"
    )]
    ForeignCa {
        /// The certificate.
        place: PemOrigin,
        /// The CA.
        ca: PemOrigin,
        /// The verifier's reason.
        why: String,
    },
    /// The certificate is for another id.
    #[error(
        "{place}: the certificate is for {found:?}, this node is configured as {configured:?}; change the id or give the certificate of {configured:?}"
    )]
    WrongId {
        /// The certificate.
        place: PemOrigin,
        /// The id that the certificate names.
        found: String,
        /// The configured id.
        configured: String,
    },
    /// The certificate belongs to another mesh.
    #[error(
        "{place}: belongs to mesh {found:?}, this node is configured for {configured:?}; change the mesh or give a certificate of {configured:?}"
    )]
    WrongMesh {
        /// The certificate.
        place: PemOrigin,
        /// The mesh that the certificate names.
        found: String,
        /// The configured mesh.
        configured: String,
    },
    /// The certificate is for another role.
    #[error(
        "{place}: is the certificate of a {found}, a {wanted} certificate is needed here (phalanx ca issue)"
    )]
    WrongRole {
        /// The certificate.
        place: PemOrigin,
        /// Its role.
        found: CertificateRole,
        /// The role it should have.
        wanted: CertificateRole,
    },
    /// The certificate of a service would be minted from a mesh secret.
    #[error(
        "{subject}: a mesh with a secret has no services, because each member can mint the certificate of each service; \
         use certificates of a CA (phalanx ca init, phalanx ca issue --service)"
    )]
    MintedService {
        /// The service.
        subject: Subject,
    },
    /// The certificate does not name a subject of a mesh.
    #[error(
        "{place}: {why}; a certificate of this mesh names its holder as spiffe://MESH/node/ID (phalanx ca issue creates one)"
    )]
    NoSubject {
        /// The certificate.
        place: PemOrigin,
        /// The reason.
        why: PeerError,
    },
    /// A file or directory cannot be written. Files written earlier may remain.
    #[error("{}: cannot be written: {error}; check that the directory exists and that this user may write in it", .path.display())]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// Another process holds the lock of a certificate directory.
    #[error("{}: another process has held this lock for {} s; stop the process that holds it", .path.display(), .wait.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Time waited for the lock.
        wait: core::time::Duration,
    },
    /// Creating an identity would overwrite an existing one.
    #[error("{}: exists already; remove it first if its certificates should not be trusted any more", .path.display())]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// The CA's certificate is missing, but files that only a CA creates exist.
    #[error("{}: the CA's certificate is missing, though {} is there; restore it, or remove that file if its CA is not needed any more", .path.display(), .found.display())]
    NoCa {
        /// The missing certificate.
        path: PathBuf,
        /// The file that exists.
        found: PathBuf,
    },
    /// A certificate must be issued, but the CA's key is missing.
    #[error("{}: the CA's key is missing, so no certificate can be issued here; issue it where the key is kept (phalanx ca issue) and copy {certificate} and its key here, beside ca-cert.pem", .path.display())]
    NoCaKey {
        /// The missing key.
        path: PathBuf,
        /// The file name of the certificate to issue.
        certificate: String,
    },
    /// A name is not valid.
    #[error("{0}")]
    Name(#[from] SubjectError),
    /// The cryptography library failed.
    #[error("cannot make {what}: {why}")]
    Crypto {
        /// A description of what was being created.
        what: &'static str,
        /// The library's reason.
        why: String,
    },
}

/// Something that works, and should be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Other users can read a private key, or write to its directory.
    OpenPermissions {
        /// The file or directory.
        path: PathBuf,
        /// The current mode.
        mode: u32,
        /// The recommended mode.
        wanted: u32,
    },
    /// A mesh secret is a passphrase.
    Passphrase {
        /// The text that contains it.
        place: PemOrigin,
        /// The line number.
        line: usize,
    },
    /// A certificate expires soon.
    EndsSoon {
        /// The certificate.
        place: PemOrigin,
        /// End of its validity.
        not_after: Wall,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenPermissions { path, mode, wanted } => write!(
                f,
                "{}: other users have access (mode {mode:04o}); run: chmod {wanted:04o} {0}",
                path.display()
            ),
            Self::Passphrase { place, line } => write!(
                f,
                "{place}:{line}: is a passphrase, and every host that can connect to a node can guess passphrases; \
                 use a secret created by phalanx ca secret, which cannot be guessed"
            ),
            Self::EndsSoon { place, not_after } => {
                write!(
                    f,
                    "{place}: the certificate expires at {}; issue a new one (phalanx ca issue)",
                    iso_8601(*not_after)
                )
            }
        }
    }
}
