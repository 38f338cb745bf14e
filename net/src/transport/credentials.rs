//! The credentials that a node proves itself with. They may be replaced while the node runs.

use super::subnets::TrustedSubnets;
use crate::identity::{Encryption, Identity, IdentityError, RevokedCertificates};
use rustls::{ClientConfig, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// An identity with its TLS configurations.
#[derive(Debug)]
pub(crate) struct TlsIdentity {
    /// Rises by one with each replacement.
    pub(crate) generation: u64,
    pub(crate) identity: Identity,
    trusted: TrustedSubnets,
    elsewhere: Configs,
    in_trusted: Configs,
}

/// The TLS configurations for one kind of network.
#[derive(Debug)]
struct Configs {
    accepting: Arc<ServerConfig>,
    dialing: Arc<ClientConfig>,
}

impl Configs {
    fn new(identity: &Identity, encryption: Encryption) -> Result<Self, IdentityError> {
        Ok(Self {
            accepting: identity.server_config(encryption)?,
            dialing: identity.client_config(encryption)?,
        })
    }
}

impl TlsIdentity {
    fn new(identity: Identity, trusted: TrustedSubnets) -> Result<Self, IdentityError> {
        Ok(Self {
            generation: 0,
            elsewhere: Configs::new(&identity, Encryption::Demanded)?,
            in_trusted: Configs::new(&identity, Encryption::Waived)?,
            identity,
            trusted,
        })
    }

    fn configs(&self, remote: SocketAddr) -> &Configs {
        if self.trusted.contains(remote) {
            &self.in_trusted
        } else {
            &self.elsewhere
        }
    }

    /// The configuration for a connection that is accepted from this address.
    pub(crate) fn accepting(&self, remote: SocketAddr) -> Arc<ServerConfig> {
        Arc::clone(&self.configs(remote).accepting)
    }

    /// The configuration for a link that is dialled to this address.
    pub(crate) fn dialing(&self, remote: SocketAddr) -> Arc<ClientConfig> {
        Arc::clone(&self.configs(remote).dialing)
    }

    /// The subnets in which encryption is waived.
    pub(crate) const fn trusted(&self) -> &TrustedSubnets {
        &self.trusted
    }
}

/// The current proof of a node. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct CurrentProof {
    current: watch::Sender<Arc<TlsIdentity>>,
    revoked: RevokedCertificates,
}

impl CurrentProof {
    pub(crate) fn new(identity: Identity, trusted: TrustedSubnets) -> Result<Self, IdentityError> {
        let revoked = RevokedCertificates::default();
        let identity = identity.refusing(revoked.clone());
        let (current, _) = watch::channel(Arc::new(TlsIdentity::new(identity, trusted)?));
        Ok(Self { current, revoked })
    }

    /// The certificates that handshakes refuse.
    pub(crate) const fn revoked(&self) -> &RevokedCertificates {
        &self.revoked
    }

    /// The proof for new handshakes.
    pub(crate) fn current(&self) -> Arc<TlsIdentity> {
        Arc::clone(&self.current.borrow())
    }

    /// A receiver that is notified when the proof is replaced; it may see the latest of several replacements alone.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<TlsIdentity>> {
        self.current.subscribe()
    }

    /// Replaces the identity.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        let identity = identity.refusing(self.revoked.clone());
        let mut next = TlsIdentity::new(identity, self.current().trusted.clone())?;
        // Counted under the lock of the channel, so that two concurrent replacements are two generations.
        self.current.send_modify(|current| {
            next.generation = current.generation + 1;
            *current = Arc::new(next);
        });
        Ok(())
    }
}
