//! The names in certificates.

use super::error::PeerError;
use core::fmt;
use core::str::FromStr;
use phalanx_core::credentials::Validity;
use phalanx_core::identity::{NameError, NodeId, check_name};
use phalanx_core::time::Wall;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a certificate entitles its holder to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To be a member of the mesh.
    Node,
    /// To ask members about themselves, as a person or a tool.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Node => "node",
            Self::Admin => "admin",
        })
    }
}

/// Whom a certificate names: `spiffe://MESH/node/ID` or `spiffe://MESH/admin/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    mesh: String,
    role: Role,
    id: NodeId,
}

/// Why a text names no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It has not the form `spiffe://MESH/node/ID` or `spiffe://MESH/admin/NAME`.
    #[error("has not the form spiffe://MESH/node/ID or spiffe://MESH/admin/NAME")]
    Form,
    /// The mesh's name breaks the rules of names.
    #[error("names a mesh that {0}")]
    Mesh(NameError),
    /// The id breaks the rules of names.
    #[error("names an id that {0}")]
    Id(NameError),
}

impl Subject {
    /// The node `id` of `mesh`.
    ///
    /// # Errors
    /// When the mesh's name breaks the rules of names.
    pub fn node(mesh: &str, id: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, Role::Node, id)
    }

    /// The administrator `name` of `mesh`.
    ///
    /// # Errors
    /// When the mesh's name breaks the rules of names.
    pub fn admin(mesh: &str, name: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, Role::Admin, name)
    }

    /// The holder `id` of `role` in `mesh`.
    ///
    /// # Errors
    /// When the mesh's name breaks the rules of names.
    pub fn new(mesh: &str, role: Role, id: NodeId) -> Result<Self, SubjectError> {
        check_name(mesh).map_err(SubjectError::Mesh)?;
        Ok(Self {
            mesh: mesh.to_owned(),
            role,
            id,
        })
    }

    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.mesh
    }

    /// What it is entitled to.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Its id, unique in its mesh and role.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.id
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.mesh, self.role, self.id)
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let path = text.strip_prefix("spiffe://").ok_or(SubjectError::Form)?;
        let mut parts = path.split('/');
        let (Some(mesh), Some(role), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SubjectError::Form);
        };
        let role = match role {
            "node" => Role::Node,
            "admin" => Role::Admin,
            _ => return Err(SubjectError::Form),
        };
        Self::new(mesh, role, NodeId::new(id).map_err(SubjectError::Id)?)
    }
}

/// Who is at the other end of a connection, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whom the certificate names.
    pub subject: Subject,
    /// The whole certificate (DER).
    pub certificate: CertificateDer<'static>,
    /// Certificates between it and the CA.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// When it is valid.
    pub validity: Validity,
}

/// Reads who a certificate names. Whether it is to be trusted was decided in the handshake.
///
/// # Errors
/// When it is no certificate, or names no subject, or several.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<Peer, PeerError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| PeerError::Malformed(error.to_string()))?;
    Ok(Peer {
        subject: subject_of(&parsed)?,
        certificate: certificate.clone().into_owned(),
        intermediates: Vec::new(),
        validity: Validity {
            not_before: wall(parsed.validity().not_before.timestamp()),
            not_after: wall(parsed.validity().not_after.timestamp()),
        },
    })
}

/// The one SPIFFE id among a certificate's alternative names; its common name must agree.
pub(super) fn subject_of(certificate: &X509Certificate<'_>) -> Result<Subject, PeerError> {
    let uris = spiffe_uris(certificate);
    let [uri] = uris.as_slice() else {
        return Err(if uris.is_empty() {
            PeerError::NoSubject
        } else {
            PeerError::ManySubjects
        });
    };
    let subject: Subject = uri
        .parse()
        .map_err(|error| PeerError::BadSubject(uri.clone(), error))?;
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

/// Calendar time of a certificate's seconds; before 1970 is 1970.
pub(super) fn wall(seconds: i64) -> Wall {
    Wall(u64::try_from(seconds).unwrap_or(0))
}
