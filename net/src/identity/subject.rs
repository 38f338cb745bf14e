//! The names in certificates.

use super::authority::Validity;
use super::error::PeerError;
use core::fmt;
use core::str::FromStr;
use phalanx_core::identity::{NameError, NodeId, check_name};
use phalanx_core::time::Wall;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Permissions that a certificate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The holder may be a member of the mesh.
    Node,
    /// The holder may query members, as an administrator or a tool.
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

/// The holder that a certificate names: `spiffe://MESH/node/ID` or `spiffe://MESH/admin/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    mesh: String,
    role: Role,
    id: NodeId,
}

/// Reason why a text is not a valid subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The text does not have the form `spiffe://MESH/node/ID` or `spiffe://MESH/admin/NAME`.
    #[error("does not have the form spiffe://MESH/node/ID or spiffe://MESH/admin/NAME")]
    Form,
    /// The mesh's name is not valid.
    #[error("names a mesh that {0}")]
    Mesh(NameError),
    /// The id is not valid.
    #[error("names an id that {0}")]
    Id(NameError),
}

impl Subject {
    /// Returns the subject of node `id` in `mesh`.
    ///
    /// # Errors
    /// If the mesh's name is not valid.
    pub fn node(mesh: &str, id: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, Role::Node, id)
    }

    /// Returns the subject of administrator `name` in `mesh`.
    ///
    /// # Errors
    /// If the mesh's name is not valid.
    pub fn admin(mesh: &str, name: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, Role::Admin, name)
    }

    /// Returns the subject of holder `id` with `role` in `mesh`.
    ///
    /// # Errors
    /// If the mesh's name is not valid.
    pub fn new(mesh: &str, role: Role, id: NodeId) -> Result<Self, SubjectError> {
        check_name(mesh).map_err(SubjectError::Mesh)?;
        Ok(Self {
            mesh: mesh.to_owned(),
            role,
            id,
        })
    }

    /// Returns the mesh of the holder.
    #[must_use]
    pub fn mesh(&self) -> &str {
        &self.mesh
    }

    /// Returns the role of the holder.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the id of the holder, unique within its mesh and role.
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

/// The other end of a connection, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The subject of the certificate.
    pub subject: Subject,
    /// The whole certificate (DER).
    pub certificate: CertificateDer<'static>,
    /// Intermediate certificates between the certificate and the CA.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// The validity period of the certificate.
    pub validity: Validity,
}

/// Reads the peer that a certificate names. The certificate was verified in the handshake; this
/// function does not verify it.
///
/// # Errors
/// If the certificate is malformed, or does not name exactly one subject.
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

/// Returns the single SPIFFE id in a certificate's alternative names; its common name must agree.
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

/// Converts a certificate's seconds since 1970; earlier times become 1970.
pub(super) fn wall(seconds: i64) -> Wall {
    Wall(u64::try_from(seconds).unwrap_or(0))
}
