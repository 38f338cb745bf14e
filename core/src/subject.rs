//! The names in certificates.

use crate::identity::{NameError, NodeId, check_name};
use core::fmt;
use core::str::FromStr;

/// Permissions that a certificate grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateRole {
    /// The holder may be a member of the mesh.
    Node,
    /// The holder may query members, as an administrator or a tool.
    Admin,
    /// The holder is a process of a service: it uses the registry.
    Service,
}

impl fmt::Display for CertificateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Node => "node",
            Self::Admin => "admin",
            Self::Service => "service",
        })
    }
}

/// The holder that a certificate names: `spiffe://MESH/node/ID`, `spiffe://MESH/admin/NAME` or
/// `spiffe://MESH/service/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    mesh: String,
    role: CertificateRole,
    id: NodeId,
}

/// Reason why a text is not a valid subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectError {
    /// The text does not have the form `spiffe://MESH/ROLE/ID` with a role that exists.
    Form,
    /// The mesh's name is not valid.
    Mesh(NameError),
    /// The id is not valid.
    Id(NameError),
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "does not have the form spiffe://MESH/node/ID, spiffe://MESH/admin/NAME or \
                 spiffe://MESH/service/NAME",
            ),
            Self::Mesh(error) => write!(f, "names a mesh that {error}"),
            Self::Id(error) => write!(f, "names an id that {error}"),
        }
    }
}

impl core::error::Error for SubjectError {}

impl Subject {
    /// Returns the subject of node `id` in `mesh`.
    ///
    /// # Errors
    /// Returns an error if the mesh's name is not valid.
    pub fn node(mesh: &str, id: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, CertificateRole::Node, id)
    }

    /// Returns the subject of administrator `name` in `mesh`.
    ///
    /// # Errors
    /// Returns an error if the mesh's name is not valid.
    pub fn admin(mesh: &str, name: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, CertificateRole::Admin, name)
    }

    /// Returns the subject of the processes of service `name` in `mesh`.
    ///
    /// # Errors
    /// Returns an error if the mesh's name is not valid.
    pub fn service(mesh: &str, name: NodeId) -> Result<Self, SubjectError> {
        Self::new(mesh, CertificateRole::Service, name)
    }

    /// Returns the subject of holder `id` with `role` in `mesh`.
    ///
    /// # Errors
    /// Returns an error if the mesh's name is not valid.
    pub fn new(mesh: &str, role: CertificateRole, id: NodeId) -> Result<Self, SubjectError> {
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
    pub const fn role(&self) -> CertificateRole {
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
            "node" => CertificateRole::Node,
            "admin" => CertificateRole::Admin,
            "service" => CertificateRole::Service,
            _ => return Err(SubjectError::Form),
        };
        Self::new(mesh, role, NodeId::new(id).map_err(SubjectError::Id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_from_its_text() {
        let id = NodeId::new("web-1").unwrap();
        let subjects = [
            Subject::node("shop", id.clone()).unwrap(),
            Subject::admin("shop", id.clone()).unwrap(),
            Subject::service("shop", id).unwrap(),
        ];
        for subject in subjects {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }

    #[test]
    fn another_form_and_invalid_names_are_refused() {
        let refused = |text: &str| text.parse::<Subject>().unwrap_err();
        for text in [
            "",
            "shop/node/a",
            "spiffe://shop/node",
            "spiffe://shop/other/a",
            "spiffe://shop/node/a/b",
        ] {
            assert_eq!(refused(text), SubjectError::Form, "{text}");
        }
        assert!(matches!(refused("spiffe:///node/a"), SubjectError::Mesh(_)));
        assert!(matches!(
            refused("spiffe://shop/node/"),
            SubjectError::Id(_)
        ));
    }
}
