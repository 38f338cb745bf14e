//! What can be wrong with an identity: each error names the place and the mend.

use super::calendar::iso_8601;
use super::peer::PeerError;
use super::subject::{Role, SubjectError};
use core::fmt;
use phalanx_core::time::Wall;
use std::io;
use std::path::PathBuf;

/// Where a PEM text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// Made by this process.
    Memory(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Memory(what) => f.write_str(what),
        }
    }
}

/// Why there is no identity. Nothing was changed on disk, except where a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error(
        "{place}: cannot be read: {error}; check that it exists and that this user may read it"
    )]
    Unreadable {
        /// Which.
        place: Place,
        /// Why.
        error: io::Error,
    },
    /// A text that should hold a certificate or key does not.
    #[error(
        "{place}: holds no {wanted} in PEM form ({why}); it must have a block that begins with \"-----BEGIN {label}-----\""
    )]
    NotPem {
        /// Which.
        place: Place,
        /// What was looked for, in words.
        wanted: &'static str,
        /// The label of the PEM block.
        label: &'static str,
        /// What was found instead.
        why: String,
    },
    /// A certificate or key is in PEM form, but what it holds is of no use.
    #[error("{place}: {why}")]
    Unusable {
        /// Which.
        place: Place,
        /// Why, and the mend.
        why: String,
    },
    /// A line of a text of secrets holds none.
    #[error("{place}:{line}: {why}")]
    Secret {
        /// Which text.
        place: Place,
        /// Which line.
        line: usize,
        /// Why, and the mend.
        why: String,
    },
    /// The private key belongs to another certificate.
    #[error(
        "{key}: is not the private key of the certificate in {certificate}; give the pair that was issued together"
    )]
    KeyMismatch {
        /// Where the certificate is.
        certificate: Place,
        /// Where the key is.
        key: Place,
    },
    /// A certificate's time is over.
    #[error("{place}: the certificate expired at {}, it is {}; issue a new one (phalanx ca issue)", iso_8601(*.not_after), iso_8601(*.now))]
    Expired {
        /// Where it is.
        place: Place,
        /// When it ended.
        not_after: Wall,
        /// The time of the check.
        now: Wall,
    },
    /// A certificate's time has not begun.
    #[error("{place}: the certificate is valid from {}, it is {}; set this machine's clock or issue a new one", iso_8601(*.not_before), iso_8601(*.now))]
    NotYetValid {
        /// Where it is.
        place: Place,
        /// When it begins.
        not_before: Wall,
        /// The time of the check.
        now: Wall,
    },
    /// The certificate was signed by somebody else.
    #[error(
        "{place}: the certificate is not signed by the CA in {ca} ({why}); use the CA of this mesh, or have it issue a certificate"
    )]
    ForeignCa {
        /// Where the certificate is.
        place: Place,
        /// Where the CA is.
        ca: Place,
        /// The verifier's reason.
        why: String,
    },
    /// The certificate names somebody else.
    #[error(
        "{place}: the certificate is for {found:?}, this node is configured as {configured:?}; change the id or give the certificate of {configured:?}"
    )]
    WrongId {
        /// Where the certificate is.
        place: Place,
        /// Whom it names.
        found: String,
        /// Who we are.
        configured: String,
    },
    /// The certificate belongs to another mesh.
    #[error(
        "{place}: belongs to mesh {found:?}, this node is configured for {configured:?}; change the mesh or give a certificate of {configured:?}"
    )]
    WrongMesh {
        /// Where the certificate is.
        place: Place,
        /// The mesh it names.
        found: String,
        /// Ours.
        configured: String,
    },
    /// The certificate entitles to another role.
    #[error(
        "{place}: is the certificate of a {found}, a {wanted} certificate is needed here (phalanx ca issue)"
    )]
    WrongRole {
        /// Where the certificate is.
        place: Place,
        /// Its role.
        found: Role,
        /// The role it should have.
        wanted: Role,
    },
    /// The certificate names no subject of a mesh.
    #[error(
        "{place}: {why}; a certificate of this mesh names its holder as spiffe://MESH/node/ID (phalanx ca issue makes one)"
    )]
    NoSubject {
        /// Where the certificate is.
        place: Place,
        /// What is wrong.
        why: PeerError,
    },
    /// A file or directory cannot be written. Files made before may remain.
    #[error("{}: cannot be written: {error}; check that the directory exists and that this user may write in it", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process holds the directory where certificates are made.
    #[error("{}: another process has held this lock for {} s; end whoever makes certificates there and does not get on", .path.display(), .wait.as_secs())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// How long we waited.
        wait: core::time::Duration,
    },
    /// Making an identity would overwrite one.
    #[error("{}: exists already; remove it first if its certificates shall no longer be trusted", .path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// There is no CA, but what only a CA makes.
    #[error("{}: the CA's certificate is missing, though {} is there; put it back, or remove that file if its CA is no longer needed", .path.display(), .found.display())]
    NoCa {
        /// Where it should be.
        path: PathBuf,
        /// What is there.
        found: PathBuf,
    },
    /// A certificate is to be issued, but the CA's key is not here.
    #[error("{}: the CA's key is missing, so no certificate can be issued here; issue it where the key is kept (phalanx ca issue) and copy {certificate} and its key here, beside ca-cert.pem", .path.display())]
    NoCaKey {
        /// Where it should be.
        path: PathBuf,
        /// The name of the certificate that was wanted.
        certificate: String,
    },
    /// A name breaks the rules.
    #[error("{0}")]
    Name(#[from] SubjectError),
    /// The cryptography library refused.
    #[error("cannot make {what}: {why}")]
    Crypto {
        /// What was being made.
        what: &'static str,
        /// The library's reason.
        why: String,
    },
}

/// Something that works, and should be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Others may read a private key, or write where it is.
    OpenPermissions {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
    },
    /// A mesh's secret is a passphrase.
    Passphrase {
        /// The text it is in.
        place: Place,
        /// Its line.
        line: usize,
    },
    /// A certificate ends soon.
    EndsSoon {
        /// Where it is.
        place: Place,
        /// When it ends.
        not_after: Wall,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenPermissions { path, mode, wanted } => write!(
                f,
                "{}: others may use it (mode {mode:04o}); run: chmod {wanted:04o} {0}",
                path.display()
            ),
            Self::Passphrase { place, line } => write!(
                f,
                "{place}:{line}: is a passphrase: whoever can connect to a node can try passphrases until one fits; \
                 a secret made by phalanx ca secret cannot be guessed"
            ),
            Self::EndsSoon { place, not_after } => {
                write!(
                    f,
                    "{place}: the certificate ends at {}; issue a new one (phalanx ca issue)",
                    iso_8601(*not_after)
                )
            }
        }
    }
}
