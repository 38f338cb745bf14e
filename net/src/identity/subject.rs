//! The names in certificates.

use core::fmt;
use core::str::FromStr;
use phalanx_core::identity::{NameError, NodeId, check_name};

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
