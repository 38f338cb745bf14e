//! Authorization: the actions that the holder of a certificate may perform on a node's port.
//!
//! | action | allowed to |
//! |---|---|
//! | an unencrypted connection, in trusted subnets | nodes, for links |
//! | a link | nodes of the same mesh |
//! | to accept connections | nodes |
//! | a call | all holders, on an encrypted connection |
//! | a call that shows the members of the mesh | nodes and administrators |
//! | a call that manages the node or shows its inside | administrators, and holders of the node's own id |

use crate::calls::CallerClass;
use crate::subject::{CertificateRole, Subject};
use core::fmt;

/// Reasons why an action is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The holder is not a node and requested an unencrypted connection.
    UnencryptedConnection(Subject),
    /// The holder belongs to a mesh other than that of this node.
    OtherMesh(Subject, String),
    /// The holder is not a node and opens a link.
    NotANode(Subject),
    /// The holder is not a node and accepted a connection.
    NotAServer(Subject),
    /// The connection of a call is not encrypted.
    UnencryptedCall,
    /// The holder is a service and asks for the members of the mesh.
    NotAViewer(Subject),
    /// The holder is neither an administrator nor the node itself.
    NotAManager(Subject),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnencryptedConnection(subject) => write!(
                f,
                "{subject} requested an unencrypted connection; only nodes may, for links"
            ),
            Self::OtherMesh(subject, mesh) => write!(f, "{subject} is not of mesh {mesh:?}"),
            Self::NotANode(subject) => {
                write!(f, "{subject} is not a node; only nodes open links")
            }
            Self::NotAServer(subject) => write!(f, "{subject} is not a node"),
            Self::UnencryptedCall => f.write_str(
                "this connection is not encrypted and may carry only links; open an encrypted connection for calls",
            ),
            Self::NotAViewer(subject) => write!(
                f,
                "{subject} may not see the members of the mesh; a service uses the registry, and asks this node for \
                 its health, its record and the services of the mesh alone"
            ),
            Self::NotAManager(subject) => write!(
                f,
                "{subject} may not do this; use an administrator's certificate (phalanx ca issue --admin) or this \
                 node's own"
            ),
        }
    }
}

impl core::error::Error for Denial {}

fn allow(allowed: bool, denial: impl FnOnce() -> Denial) -> Result<(), Denial> {
    if allowed { Ok(()) } else { Err(denial()) }
}

/// Whether a holder may have a connection.
///
/// # Errors
/// Returns an error if the connection is unencrypted and the holder is not a node.
pub fn connect(subject: &Subject, encrypted: bool) -> Result<(), Denial> {
    let allowed = encrypted || subject.role() == CertificateRole::Node;
    allow(allowed, || Denial::UnencryptedConnection(subject.clone()))
}

/// Whether a holder may open a link to a node of `mesh`.
///
/// # Errors
/// Returns an error if the holder is not a node of the mesh.
pub fn open_link(subject: &Subject, mesh: &str) -> Result<(), Denial> {
    allow(subject.mesh() == mesh, || {
        Denial::OtherMesh(subject.clone(), mesh.to_owned())
    })?;
    allow(subject.role() == CertificateRole::Node, || {
        Denial::NotANode(subject.clone())
    })
}

/// Whether a holder may be at the other end of a connection that this process dialled.
///
/// # Errors
/// Returns an error if the holder is not a node.
pub fn serve(subject: &Subject) -> Result<(), Denial> {
    allow(subject.role() == CertificateRole::Node, || {
        Denial::NotAServer(subject.clone())
    })
}

/// Whether calls may be made on a connection.
///
/// # Errors
/// Returns an error if the connection is not encrypted.
pub fn call(encrypted: bool) -> Result<(), Denial> {
    allow(encrypted, || Denial::UnencryptedCall)
}

/// Whether a holder may see the members of the mesh.
///
/// # Errors
/// Returns an error if the holder is a service.
pub fn view(subject: &Subject) -> Result<(), Denial> {
    let allowed = match subject.role() {
        CertificateRole::Node | CertificateRole::Admin => true,
        CertificateRole::Service => false,
    };
    allow(allowed, || Denial::NotAViewer(subject.clone()))
}

/// Whether a holder may manage the node `own` and see its internal state.
///
/// # Errors
/// Returns an error if the holder is neither an administrator nor a holder of the node's own id.
pub fn manage(subject: &Subject, own: &Subject) -> Result<(), Denial> {
    let allowed = match subject.role() {
        CertificateRole::Admin => true,
        CertificateRole::Node => subject.id() == own.id(),
        CertificateRole::Service => false,
    };
    allow(allowed, || Denial::NotAManager(subject.clone()))
}

/// The class of a holder's calls to the node `own`.
#[must_use]
pub fn class(subject: &Subject, is_registry: bool, own: &Subject) -> CallerClass {
    match subject.role() {
        CertificateRole::Service => CallerClass::Service,
        // A registry routes the writes of its services.
        CertificateRole::Node if is_registry && subject.id() != own.id() => CallerClass::Service,
        CertificateRole::Node | CertificateRole::Admin if manage(subject, own).is_ok() => {
            CallerClass::Manager
        }
        CertificateRole::Node | CertificateRole::Admin => CallerClass::Member,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn only_nodes_have_unencrypted_connections() {
        let (node, admin) = (subject("spiffe://m/node/a"), subject("spiffe://m/admin/a"));
        assert_eq!(connect(&node, false), Ok(()));
        assert_eq!(connect(&admin, true), Ok(()));
        let denied = Denial::UnencryptedConnection(admin.clone());
        assert_eq!(connect(&admin, false), Err(denied));
    }

    #[test]
    fn only_nodes_serve_and_only_those_of_the_mesh_open_links() {
        let (node, admin) = (subject("spiffe://m/node/a"), subject("spiffe://m/admin/a"));
        assert_eq!(serve(&node), Ok(()));
        assert_eq!(serve(&admin), Err(Denial::NotAServer(admin.clone())));
        assert_eq!(open_link(&node, "m"), Ok(()));
        assert_eq!(open_link(&admin, "m"), Err(Denial::NotANode(admin.clone())));
        let service = subject("spiffe://m/service/a");
        assert_eq!(serve(&service), Err(Denial::NotAServer(service.clone())));
        assert_eq!(
            open_link(&service, "m"),
            Err(Denial::NotANode(service.clone()))
        );
        let other = Denial::OtherMesh(admin.clone(), "n".to_owned());
        assert_eq!(open_link(&admin, "n"), Err(other));
    }

    #[test]
    fn calls_need_encryption_and_management_needs_an_administrator_or_the_own_id() {
        assert_eq!(call(true), Ok(()));
        assert_eq!(call(false), Err(Denial::UnencryptedCall));
        let own = subject("spiffe://m/node/a");
        assert_eq!(manage(&subject("spiffe://m/admin/x"), &own), Ok(()));
        assert_eq!(manage(&own, &own), Ok(()));
        let service = subject("spiffe://m/service/a");
        assert_eq!(
            manage(&service, &own),
            Err(Denial::NotAManager(service.clone())),
            "a service of the node's name is not the node"
        );
        assert_eq!(view(&service), Err(Denial::NotAViewer(service.clone())));
        assert_eq!(view(&own), Ok(()));
        let other = subject("spiffe://m/node/b");
        let classes = [&own, &other, &service].map(|it| class(it, false, &own));
        let expected = [
            CallerClass::Manager,
            CallerClass::Member,
            CallerClass::Service,
        ];
        assert_eq!(classes, expected);
        assert_eq!(
            manage(&other, &own),
            Err(Denial::NotAManager(other.clone()))
        );
    }

    #[test]
    fn the_registry_of_another_region_has_the_limits_of_a_service() {
        let own = subject("spiffe://m/node/a");
        let other = subject("spiffe://m/node/b");
        assert_eq!(class(&other, true, &own), CallerClass::Service);
        assert_eq!(class(&other, false, &own), CallerClass::Member);
        assert_eq!(class(&own, true, &own), CallerClass::Manager);
    }
}
