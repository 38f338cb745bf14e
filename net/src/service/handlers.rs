//! Handlers of `MeshService`.

use super::access::{self, caller};
use super::answer::{self, Copy, Inside, Outside};
use super::journal::{EventJournal, JournalEntry};
use crate::clock;
use crate::driver::Stopped;
use crate::identity::Subject;
use crate::transport::{CALL_MESSAGE_BYTES_MAX, MeshNode, RevokeError};
use crate::wire;
use crate::wire::proto;
use crate::wire::proto::mesh_service_server::{MeshService, MeshServiceServer};
use phalanx_core::advertised::parse_target;
use phalanx_core::gossip::{ForgetRefusal, Gossip, Input, SEEDS_MAX};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::node::Node;
use phalanx_core::revocation::{Revocation, RevocationRefusal};
use phalanx_core::time::Instant;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

/// Maximum number of watchers at the same time.
pub const WATCHERS_MAX: usize = 64;
/// Maximum size of a request in bytes.
///
/// A view of 10 000 members with ids of 40 bytes fits into [`proto::SyncTopologyRequest`]. A caller with a larger view
/// fetches the whole view.
pub const REQUEST_BYTES_MAX: usize = 576 * 1024;
/// The most bytes a ping carries.
pub const PING_BYTES_MAX: usize = 1024;

/// The handlers of one node.
#[derive(Clone, Debug)]
pub struct Api {
    node: MeshNode,
    subject: Subject,
    journal: EventJournal,
    watchers: Arc<Semaphore>,
}

type Answer<T> = Result<Response<T>, Status>;

impl Api {
    /// Creates the handlers of a node. Clones share the places of watchers.
    #[must_use]
    pub fn new(node: MeshNode, journal: EventJournal) -> Self {
        Self {
            subject: node.identity().subject().clone(),
            node,
            journal,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }

    /// Returns the service of a node, to be served on the node's port.
    #[must_use]
    pub fn server(node: MeshNode, journal: EventJournal) -> MeshServiceServer<Self> {
        Self::new(node, journal).into_server()
    }

    /// Returns the service with these handlers.
    #[must_use]
    pub fn into_server(self) -> MeshServiceServer<Self> {
        MeshServiceServer::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(CALL_MESSAGE_BYTES_MAX)
    }

    /// Returns the health of the node. O(1).
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn health(&self) -> Result<proto::Health, Status> {
        let (phase, duplicate, alone) = self
            .ask(|node, now| {
                let mesh = node.mesh();
                let alone = mesh.members().nth(1).is_none();
                (mesh.phase(), mesh.duplicate_since(now).is_some(), alone)
            })
            .await?;
        let checked = clock::since_1970();
        Ok(answer::health(phase, duplicate, alone, checked))
    }

    /// Returns the status of the node. O(members).
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn status(&self) -> Result<proto::NodeStatus, Status> {
        let outside = self.node.clone();
        let inside = self
            .ask(move |node, now| Inside::of(node, now, &outside.unencrypted_links()))
            .await?;
        let watching = WATCHERS_MAX.saturating_sub(self.watchers.available_permits());
        let overlay = self.node.overlay();
        let kept = self.journal.kept();
        Ok(inside.status(&Outside {
            now: clock::since_1970(),
            listen: self.node.address().to_string(),
            identity: &self.node.identity(),
            kept: &kept,
            watchers: u32::try_from(watching).unwrap_or(u32::MAX),
            traffic: self.node.traffic(),
            connections: self.node.connections(),
            outdated_links: self.node.outdated_links(),
            trusted: self.node.trusted_subnets(),
            overlay: overlay.as_ref(),
        }))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Node, Instant) -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.node
            .driver()
            .inspect(question)
            .await
            .map_err(|error: Stopped| Status::unavailable(error.to_string()))
    }

    /// Gives the mesh's machine an input.
    async fn notify(&self, input: Input) -> Result<(), Status> {
        let sent = self.node.send(input).await;
        sent.map_err(|error: Stopped| Status::unavailable(error.to_string()))
    }

    /// The first of these addresses that is not a target.
    async fn unknown_target(&self, addresses: Vec<Address>) -> Result<Option<Address>, Status> {
        self.ask(move |node, _| {
            let held: BTreeSet<_> = targets(node.mesh()).collect();
            addresses.into_iter().find(|it| !held.contains(it))
        })
        .await
    }

    /// Says so if an edit was rejected because too many targets would have resulted.
    async fn check_added(&self, added: Vec<Address>, removed: Vec<Address>) -> Result<(), Status> {
        let edited = self
            .ask(move |node, _| node.mesh().edited_seeds(&added, &removed))
            .await?;
        edited.map(drop).map_err(too_many_targets)
    }

    /// Refuses those who may not see how the node is doing inside.
    fn inner_circle<T>(&self, request: &Request<T>) -> Result<(), Status> {
        access::inner_circle(&self.subject, request)
    }
}

#[tonic::async_trait]
impl MeshService for Api {
    async fn ping(&self, request: Request<proto::PingRequest>) -> Answer<proto::PingReply> {
        let caller = caller(&request)?.peer.subject.to_string();
        let payload = request.into_inner().payload;
        if payload.len() > PING_BYTES_MAX {
            let found = payload.len();
            return Err(Status::invalid_argument(format!(
                "payload: {found} bytes exceed the limit of {PING_BYTES_MAX} bytes"
            )));
        }
        let id = self.subject.id().to_string();
        Ok(Response::new(proto::PingReply {
            payload,
            id,
            caller,
        }))
    }

    async fn get_health(&self, request: Request<proto::GetHealthRequest>) -> Answer<proto::Health> {
        caller(&request)?;
        Ok(Response::new(self.health().await?))
    }

    async fn get_node_info(
        &self,
        request: Request<proto::GetNodeInfoRequest>,
    ) -> Answer<proto::NodeInfo> {
        caller(&request)?;
        let record = self.ask(|node, _| Arc::clone(node.mesh().record())).await?;
        Ok(Response::new(answer::node_info(
            &record,
            self.subject.mesh(),
        )))
    }

    async fn sync_topology(
        &self,
        request: Request<proto::SyncTopologyRequest>,
    ) -> Answer<proto::SyncTopologyReply> {
        access::viewers(&request)?;
        let mut held = request.into_inner().held;
        let copy = self.ask(|node, _| Copy::of(node.mesh())).await?;
        let mut news = Vec::new();
        for member in &copy.members {
            if held.remove(member.0.record.id().as_str()) != Some(member.0.record.digest()) {
                news.push(answer::member(member));
            }
        }
        let (viewer, unknown) = (copy.viewer.to_string(), held.into_keys().collect());
        Ok(Response::new(proto::SyncTopologyReply {
            viewer,
            hash: copy.hash,
            news,
            unknown,
        }))
    }

    async fn get_topology(
        &self,
        request: Request<proto::GetTopologyRequest>,
    ) -> Answer<proto::Topology> {
        access::viewers(&request)?;
        let copy = self.ask(|node, _| Copy::of(node.mesh())).await?;
        let members = copy.members.iter().map(answer::member).collect();
        Ok(Response::new(proto::Topology {
            viewer: copy.viewer.to_string(),
            hash: copy.hash,
            members,
        }))
    }

    async fn get_status(
        &self,
        request: Request<proto::GetStatusRequest>,
    ) -> Answer<proto::NodeStatus> {
        self.inner_circle(&request)?;
        Ok(Response::new(self.status().await?))
    }

    async fn list_links(
        &self,
        request: Request<proto::ListLinksRequest>,
    ) -> Answer<proto::ListLinksReply> {
        self.inner_circle(&request)?;
        let outside = self.node.clone();
        let (links, unreachable) = self
            .ask(move |node, now| {
                let links = answer::links(node.mesh(), now, &outside.unencrypted_links());
                (links, answer::unreachable(node.mesh()))
            })
            .await?;
        let links = answer::with_paths(links, self.node.overlay().as_ref());
        Ok(Response::new(proto::ListLinksReply { links, unreachable }))
    }

    async fn list_services(
        &self,
        request: Request<proto::ListServicesRequest>,
    ) -> Answer<proto::ListServicesReply> {
        caller(&request)?;
        let request = request.into_inner();
        let services = self.ask(move |node, _| services(node, &request)).await?;
        Ok(Response::new(proto::ListServicesReply { services }))
    }

    async fn update_targets(
        &self,
        request: Request<proto::UpdateTargetsRequest>,
    ) -> Answer<proto::UpdateTargetsReply> {
        self.inner_circle(&request)?;
        let request = request.into_inner();
        let add = addresses("add", &request.add)?;
        let forget = addresses("forget", &request.forget)?;
        if request.replace && add.len() > SEEDS_MAX {
            return Err(too_many_targets(add.len()));
        }
        let unknown = self.unknown_target(forget.clone()).await?;
        if let Some(unknown) = unknown {
            return Err(Status::not_found(format!(
                "forget: {unknown} is not a target; see phalanx targets"
            )));
        }
        if request.replace {
            let (targets, replace) = (add, true);
            self.notify(Input::Seeds {
                addresses: targets,
                replace,
            })
            .await?;
        } else if !add.is_empty() || !forget.is_empty() {
            let (added, remove) = (add.clone(), forget.clone());
            self.notify(Input::EditSeeds { add, remove }).await?;
            self.check_added(added, forget).await?;
        }
        if let Some(discovery) = request.discovery {
            self.notify(Input::Discover(discovery)).await?;
        }
        let reply = self
            .ask(|node, _| proto::UpdateTargetsReply {
                targets: answer::targets(node.mesh()),
                discovery: node.mesh().discovers(),
            })
            .await?;
        Ok(Response::new(reply))
    }

    async fn revoke(&self, request: Request<proto::RevokeRequest>) -> Answer<proto::RevokeReply> {
        self.inner_circle(&request)?;
        let invalid = |why: String| Status::invalid_argument(format!("revocation: {why}"));
        let wire = request.into_inner().revocation;
        let wire = wire.ok_or_else(|| invalid("is missing".to_owned()))?;
        let revocation = wire::revocation(wire).map_err(|error| invalid(error.to_string()))?;
        self.node.revoke(revocation).await.map_err(|error| {
            let text = error.to_string();
            match error {
                RevokeError::Signature(_) => Status::permission_denied(text),
                RevokeError::Refused(RevocationRefusal::Busy | RevocationRefusal::Full) => {
                    Status::resource_exhausted(text)
                }
                RevokeError::Refused(RevocationRefusal::Future | RevocationRefusal::Ended) => {
                    Status::failed_precondition(text)
                }
                RevokeError::Stopped => Status::unavailable(text),
            }
        })?;
        let held = self.ask(|node, _| node.revocations().list().len()).await?;
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        Ok(Response::new(proto::RevokeReply { held }))
    }

    async fn forget_member(
        &self,
        request: Request<proto::ForgetMemberRequest>,
    ) -> Answer<proto::ForgetMemberReply> {
        self.inner_circle(&request)?;
        let text = request.into_inner().id;
        let id = NodeId::new(&text)
            .map_err(|why| Status::invalid_argument(format!("id: {text:?} {why}")))?;
        let peer = id.clone();
        let asked = self
            .ask(move |node, _| node.mesh().may_forget(&peer))
            .await?;
        asked.map_err(|refusal| {
            let why = format!("{id} {refusal}");
            match refusal {
                ForgetRefusal::Unknown => Status::not_found(why),
                ForgetRefusal::Myself => Status::invalid_argument(why),
                ForgetRefusal::Alive | ForgetRefusal::Linked => Status::failed_precondition(why),
            }
        })?;
        self.notify(Input::Forget { peer: id }).await?;
        Ok(Response::new(proto::ForgetMemberReply {}))
    }

    async fn list_revocations(
        &self,
        request: Request<proto::ListRevocationsRequest>,
    ) -> Answer<proto::ListRevocationsReply> {
        self.inner_circle(&request)?;
        let (revocations, hash, durable) = self
            .ask(|node, _| {
                let held = node.revocations();
                let all: Vec<_> = held.list().iter().cloned().collect();
                (all, held.list().hash(), held.is_durable())
            })
            .await?;
        let unsigned = |revocation: &Arc<Revocation>| proto::Revocation {
            signature: Vec::new(),
            chain: Vec::new(),
            ..revocation.into()
        };
        Ok(Response::new(proto::ListRevocationsReply {
            revocations: revocations.iter().map(unsigned).collect(),
            hash,
            durable,
        }))
    }

    type WatchStream = Watching;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Answer<Watching> {
        self.inner_circle(&request)?;
        let place = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| {
                Status::resource_exhausted(format!(
                    "the limit of {WATCHERS_MAX} watchers is reached; try again when one has disconnected"
                ))
            })?;
        let watched = self.node.watch_routes().await;
        watched.map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        Ok(Response::new(Watching {
            events: BroadcastStream::new(self.journal.watch()),
            closed: Box::pin(self.node.closed()),
            _place: place,
        }))
    }
}

fn targets(mesh: &Gossip) -> impl Iterator<Item = &Address> {
    mesh.seeds().map(|(address, _, _)| address)
}

fn too_many_targets(found: usize) -> Status {
    Status::invalid_argument(format!(
        "add: {found} targets are too many; at most {SEEDS_MAX} are allowed"
    ))
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<Address>, Status> {
    let address = |text: &String| {
        parse_target(text)
            .map_err(|why| Status::invalid_argument(format!("{field}: {text:?} {why}")))
    };
    texts.iter().map(address).collect()
}

fn services(node: &Node, request: &proto::ListServicesRequest) -> Vec<proto::ServiceProviders> {
    let fits = |name: &str, version: &str| {
        (request.name.is_empty() || request.name == name)
            && request
                .version
                .as_ref()
                .is_none_or(|request| request == version)
    };
    let all = node
        .mesh()
        .services()
        .filter(|(name, version, _)| fits(name, version));
    all.map(|(name, version, providers)| proto::ServiceProviders {
        name: name.to_owned(),
        version: version.to_owned(),
        providers: providers.iter().map(ToString::to_string).collect(),
    })
    .collect()
}

/// The stream of events, until the watcher or the node ends.
pub struct Watching {
    events: BroadcastStream<Arc<JournalEntry>>,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: OwnedSemaphorePermit,
}

impl core::fmt::Debug for Watching {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

impl Stream for Watching {
    type Item = Result<proto::WatchEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.events).poll_next(context);
        match next {
            Poll::Ready(Some(Ok(entry))) => Poll::Ready(Some(Ok(answer::event(&entry)))),
            Poll::Ready(Some(Err(BroadcastStreamRecvError::Lagged(missed)))) => {
                Poll::Ready(Some(Ok(answer::lagged(missed, clock::since_1970()))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.closed.as_mut().poll(context).map(|()| None),
        }
    }
}
