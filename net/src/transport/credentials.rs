//! What a node proves itself with. It may be replaced while the node runs.

use crate::identity::{Identity, IdentityError};
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use tokio::sync::watch;

/// An identity, ready for handshakes.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Rises with each identity that takes another's place.
    pub(crate) generation: u64,
    pub(crate) identity: Identity,
    pub(crate) accepting: Arc<ServerConfig>,
    pub(crate) dialing: Arc<ClientConfig>,
}

impl Proof {
    fn new(identity: Identity, generation: u64) -> Result<Arc<Self>, IdentityError> {
        Ok(Arc::new(Self {
            generation,
            accepting: identity.server_config()?,
            dialing: identity.client_config()?,
            identity,
        }))
    }
}

/// The proof of a node, now and from here on. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    current: watch::Sender<Arc<Proof>>,
}

impl Credentials {
    pub(crate) fn new(identity: Identity) -> Result<Self, IdentityError> {
        let (current, _) = watch::channel(Proof::new(identity, 0)?);
        Ok(Self { current })
    }

    /// What new handshakes are done with.
    pub(crate) fn current(&self) -> Arc<Proof> {
        Arc::clone(&self.current.borrow())
    }

    /// The same, for whoever waits for another.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Proof>> {
        self.current.subscribe()
    }

    /// Puts another identity in the place of the present one.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        let next = Proof::new(identity, self.current().generation + 1)?;
        self.current.send_replace(next);
        Ok(())
    }
}
