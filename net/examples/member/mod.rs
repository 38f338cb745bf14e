//! A member of a mesh with a shared secret, embedded in a program.

use phalanx_core::gossip::Config;
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::topology::record::Content;
use phalanx_net::identity::{self, Source, Subject};
use phalanx_net::overlay::DataPathProvider;
use phalanx_net::store::MemoryStore;
use phalanx_net::transport::{BoundPort, Limits, MeshNode, Settings, Tcp, TrustedSubnets};
use phalanx_net::{clock, entropy};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::service::Routes;
use zeroize::Zeroizing;

/// The mesh of the examples.
const MESH: &str = "example";

/// Joins the mesh of this secret as `id`, with the data paths of an overlay if one is given.
pub(crate) async fn join(
    id: &NodeId,
    secret: &str,
    listen: SocketAddr,
    targets: Vec<Address>,
    overlay: Option<Arc<dyn DataPathProvider>>,
) -> Result<MeshNode, Box<dyn Error>> {
    let subject = Subject::node(MESH, id.clone())?;
    let source = Source::SecretVariable(Zeroizing::new(secret.to_owned()));
    let identity = identity::open(&source, &subject, clock::wall())?.identity;
    let bound = BoundPort::bind(Tcp, listen).await?;
    let content = Content {
        address: Some(bound.local_address()),
        joined: clock::wall(),
        ..Content::default()
    };
    // The epoch must rise with each start; a real daemon also stores the epoch on disk.
    let epoch = clock::wall().0;
    let instance = entropy::instance()?;
    let settings = Settings {
        config: Config::new(id.clone(), MESH, epoch, instance, content, targets),
        seed: entropy::seed()?,
        identity,
        store: MemoryStore::default(),
        trusted: TrustedSubnets::default(),
        limits: Limits::default(),
        observer: None,
        overlay,
    };
    Ok(bound.start(settings, |_| Routes::default())?)
}
