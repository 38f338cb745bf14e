//! What an overlay is given of a link: who is at its ends, and the means to set a data path up.

use super::paths::Shared;
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
    /// The node, as its certificate says.
    pub id: NodeId,
    /// Which start of it.
    pub instance: u32,
    /// Its end of the link's own connection. The port is the mesh's; the IP address is one by which the other end
    /// was, or was seen to be, reached.
    pub address: SocketAddr,
}

/// A link that a data path goes beside. Cloning shares it; it does not keep the link.
#[derive(Clone)]
pub struct OverlayLink {
    shared: Arc<Shared>,
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
    pub(super) const fn new(shared: Arc<Shared>, offer: Offer, remote: End) -> Self {
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

    /// Whether this end dialled; exactly one of the two did.
    #[must_use]
    pub fn is_dialer(&self) -> bool {
        self.shared.dialed
    }

    /// Whether what the mesh says on the link, control messages included, is encrypted; not between subnets that both
    /// ends trust. The key is secret in any case.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.shared.encrypted
    }

    /// What the overlay at the other end offers.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Names the connection, equally at both ends.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.shared.connection
    }

    /// A secret of the two ends.
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
