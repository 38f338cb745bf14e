//! The overlay's view of a link: the two ends, and the means to set up a data path.

use super::path_driver::SharedPath;
use super::{ConnectionId, Offer, SendError, SessionKey};
use bytes::Bytes;
use core::fmt;
use phalanx_core::data_path::Input;
use phalanx_core::identity::NodeId;
use std::net::SocketAddr;
use std::sync::Arc;

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The node's id, from its certificate.
    pub id: NodeId,
    /// The node's instance: a number that differs between starts of one node.
    pub instance: u32,
    /// The address of this end of the link's connection. The port is that of the mesh; the IP address is the one at which
    /// the connection reached this end, as its own socket or its peer shows it.
    pub address: SocketAddr,
}

/// A link with a data path. Clones share one link, and none of them keeps the link open.
#[derive(Clone)]
pub struct OverlayLink {
    shared: Arc<SharedPath>,
    offer: Offer,
    remote: End,
}

impl fmt::Debug for OverlayLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayLink")
            .field("local", &self.shared.local)
            .field("remote", &self.remote)
            .field("connection", &self.shared.connection)
            .field("dialed", &self.shared.dialed)
            .finish_non_exhaustive()
    }
}

impl OverlayLink {
    pub(super) const fn new(shared: Arc<SharedPath>, offer: Offer, remote: End) -> Self {
        Self {
            shared,
            offer,
            remote,
        }
    }

    /// This end.
    #[must_use]
    pub fn local(&self) -> &End {
        &self.shared.local
    }

    /// The other end.
    #[must_use]
    pub const fn remote(&self) -> &End {
        &self.remote
    }

    /// Whether this end dialled. Exactly one of the two ends did.
    #[must_use]
    pub fn is_dialer(&self) -> bool {
        self.shared.dialed
    }

    /// Whether the messages on the link, control messages included, are encrypted. They are not between subnets that
    /// both ends trust. The key is secret in any case.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.shared.encrypted
    }

    /// The offer of the overlay at the other end.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The id of the connection, equal at both ends.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.shared.connection
    }

    /// The key that only the two ends know.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.shared.key
    }

    /// Sends a message to the data path at the other end, where messages arrive in order, once it is prepared.
    ///
    /// # Errors
    /// When it is too long, the other end has not consumed the earlier ones, or the data path ended; it is then not sent.
    pub fn send(&self, kind: u8, payload: impl Into<Bytes>) -> Result<(), SendError> {
        // The caller's code runs before and after the lock is held, also if the message is not sent.
        let payload = payload.into();
        self.shared.send(kind, &payload)
    }

    /// Waits until another message may be sent, or the data path ended.
    pub async fn room(&self) {
        self.shared.wait_for(|flow| flow.room || flow.over).await;
    }

    /// Reports that the data path works. It counts from [`confirm`](super::DataPath::confirm) on; a second report has no
    /// effect.
    pub fn established(&self) {
        let link = self.shared.link;
        self.shared.step(Input::Works { link });
    }

    /// Ends the data path with a reason, which the other end is sent; the link stays.
    pub fn fail(&self, reason: impl Into<String>) {
        self.end(reason.into(), false);
    }

    /// Ends the data path with a reason, and the link with it, also if the data path failed before. The mesh makes
    /// another link if it needs one, and a data path is prepared there.
    pub fn fail_with_link(&self, reason: impl Into<String>) {
        self.end(reason.into(), true);
    }

    fn end(&self, reason: String, with_link: bool) {
        self.shared.step(Input::Fail {
            link: self.shared.link,
            reason,
            with_link,
        });
    }

    /// Waits until the data path ended, for whatever reason; [`stop`](super::DataPath::stop) is called then.
    pub async fn over(&self) {
        self.shared.wait_for(|flow| flow.over).await;
    }
}
