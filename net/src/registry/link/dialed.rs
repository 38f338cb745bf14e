//! The links that a registry dials: performs the orders of core, and tells core what happens on them.

use crate::driver::Handle;
use crate::registry::limits::LINK_MESSAGE_BYTES_MAX;
use crate::registry::message::link::{
    of_reply, of_result, shortened, to_confirm, to_open, to_route,
};
use crate::registry::message::status::to_refusal;
use crate::registry::proto::registry_link_client::RegistryLinkClient;
use crate::registry::proto::{FollowReply, FollowRequest};
use crate::transport::lifetime::until;
use crate::transport::{MeshNode, Tasks};
use phalanx_core::link::Address;
use phalanx_core::registry::members::RegistryMember;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::replica::{FeedRefusal, ReplicaInput, ReplicaOutput};
use phalanx_core::registry::sequencer::{Input, Sequencer, WriteRequest};
use phalanx_core::registry::write::WriteRefusal;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// The node of a registry, once it runs.
pub(crate) type JoinedNode = Arc<OnceLock<MeshNode>>;

type LinkClient = RegistryLinkClient<Channel>;

/// A link that is dialled or connected. Dropped, it ends with its calls.
#[derive(Debug)]
struct DialedLink {
    requests: mpsc::UnboundedSender<FollowRequest>,
    /// The client of the connection, once it is made.
    client: Arc<OnceLock<LinkClient>>,
    ending: watch::Sender<()>,
}

/// The links of a registry.
#[derive(Debug)]
pub(crate) struct DialedLinks {
    region: RegionId,
    node: JoinedNode,
    driver: Handle<Sequencer>,
    tasks: Tasks,
    /// Maximum time of an attempt to connect.
    timeout: Duration,
    links: BTreeMap<RegionId, DialedLink>,
}

/// Waits until a link is dropped.
async fn ended(mut ending: watch::Receiver<()>) {
    // Nothing is ever sent: the channel closes with the link.
    while ending.changed().await.is_ok() {}
}

impl DialedLinks {
    /// No links of the registry of a region.
    pub(crate) const fn new(
        region: RegionId,
        node: JoinedNode,
        driver: Handle<Sequencer>,
        tasks: Tasks,
        timeout: Duration,
    ) -> Self {
        Self {
            region,
            node,
            driver,
            tasks,
            timeout,
            links: BTreeMap::new(),
        }
    }

    /// Performs an order about the link to a region.
    pub(crate) fn perform(&mut self, region: &RegionId, order: ReplicaOutput) {
        let request = match order {
            ReplicaOutput::Connect { attempt, member } => {
                return self.connect(region, attempt, member);
            }
            ReplicaOutput::Disconnect => {
                drop(self.links.remove(region));
                return;
            }
            ReplicaOutput::Follow(request) => to_open(&request),
            ReplicaOutput::Confirm { sequence, bytes } => to_confirm(sequence, bytes),
        };
        if let Some(link) = self.links.get(region) {
            // The end of the link is told by its task.
            let _ended = link.requests.send(request).is_err();
        }
    }

    fn connect(&mut self, region: &RegionId, attempt: u64, member: Option<RegistryMember>) {
        let (requests, orders) = mpsc::unbounded_channel();
        let (ending, is_ending) = watch::channel(());
        let client = Arc::new(OnceLock::new());
        let dial = LinkDial {
            own: self.region.clone(),
            region: region.clone(),
            attempt,
            node: self.node.get().cloned(),
            driver: self.driver.clone(),
            timeout: self.timeout,
            client: Arc::clone(&client),
        };
        let link = DialedLink {
            requests,
            client,
            ending,
        };
        // A link that takes the place of another one ends it.
        drop(self.links.insert(region.clone(), link));
        self.tasks
            .spawn(until(dial.run(member, orders), ended(is_ending)));
    }

    /// Sends a write to the region that owns its objects. A write whose link ends has no answer.
    pub(crate) fn route(&self, owner: &RegionId, write: Box<WriteRequest>) {
        let link = self.links.get(owner);
        let open = link.and_then(|link| Some((link.client.get()?.clone(), link)));
        let (driver, id) = (self.driver.clone(), write.write);
        let routed = async move |result| {
            let input = Input::Routed { write: id, result };
            // A registry that has stopped waits for no answer.
            let _stopped = driver.send(input).await.is_err();
        };
        let Some((mut client, link)) = open else {
            let refusal = match write.batch.operations.first() {
                Some(first) => WriteRefusal::Unreachable {
                    name: first.name().clone(),
                    owner: owner.clone(),
                },
                None => WriteRefusal::Empty,
            };
            self.tasks.spawn(async move { routed(Err(refusal)).await });
            return;
        };
        let request = to_route(&self.region, &write);
        let is_ending = link.ending.subscribe();
        let call = async move {
            let result = match client.route(request).await {
                Ok(reply) => of_result(reply.into_inner()).unwrap_or_else(|error| {
                    tracing::error!("the answer to a routed write is not valid: {error}");
                    Err(WriteRefusal::Unknown)
                }),
                Err(status) => Err(to_refusal(&status)),
            };
            routed(result).await;
        };
        self.tasks.spawn(until(call, ended(is_ending)));
    }
}

/// An attempt to connect, and the connection that it makes.
struct LinkDial {
    own: RegionId,
    region: RegionId,
    attempt: u64,
    node: Option<MeshNode>,
    driver: Handle<Sequencer>,
    timeout: Duration,
    client: Arc<OnceLock<LinkClient>>,
}

fn unreachable(why: impl ToString) -> FeedRefusal {
    FeedRefusal::Unreachable(shortened(why.to_string()))
}

impl LinkDial {
    async fn tell(&self, input: ReplicaInput) {
        let input = Input::Link {
            region: self.region.clone(),
            attempt: self.attempt,
            input: Box::new(input),
        };
        // A registry that has stopped has no links.
        let _stopped = self.driver.send(input).await.is_err();
    }

    async fn run(
        self,
        member: Option<RegistryMember>,
        orders: mpsc::UnboundedReceiver<FollowRequest>,
    ) {
        let refusal = match self.open(member, orders).await {
            Ok(replies) => {
                self.tell(ReplicaInput::Connected).await;
                self.hear(replies).await
            }
            Err(refusal) => refusal,
        };
        self.tell(ReplicaInput::Refused(refusal)).await;
    }

    /// Connects to a member, and verifies that it is the registry of the region.
    async fn open(
        &self,
        member: Option<RegistryMember>,
        orders: mpsc::UnboundedReceiver<FollowRequest>,
    ) -> Result<Streaming<FollowReply>, FeedRefusal> {
        let (Some(node), Some(member)) = (&self.node, member) else {
            let region = &self.region;
            return Err(unreachable(format_args!(
                "no member of the mesh announces the registry of region {region}"
            )));
        };
        let (at, id) = (member.address, member.id);
        let call = node.call(&Address::Socket(at), self.timeout).await;
        let call = call.map_err(|error| unreachable(format_args!("{id} at {at}: {error}")))?;
        if call.peer.registry.as_ref() != Some(&self.region) {
            return Err(FeedRefusal::Unproven {
                region: self.region.clone(),
                member: call.peer.subject.to_string(),
            });
        }
        let client = RegistryLinkClient::new(call.channel.clone())
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX);
        let orders = UnboundedReceiverStream::new(orders);
        match client.clone().follow(orders).await {
            Ok(replies) => {
                self.client.get_or_init(|| client);
                Ok(replies.into_inner())
            }
            Err(status) if denies(&status) => Err(FeedRefusal::Denied(format!(
                "{id} at {at} does not serve region {}: {}",
                self.own,
                shortened(status.message().to_owned())
            ))),
            Err(status) => Err(unreachable(format_args!(
                "{id} at {at}: {}",
                call.explain(&status)
            ))),
        }
    }

    /// Passes the replies of the owner on until the stream ends; returns the reason.
    async fn hear(&self, mut replies: Streaming<FollowReply>) -> FeedRefusal {
        loop {
            let reply = match replies.message().await {
                Ok(Some(reply)) => reply,
                Ok(None) => return unreachable("the connection has ended"),
                Err(status) if denies(&status) => {
                    return FeedRefusal::Denied(shortened(status.message().to_owned()));
                }
                Err(status) => return unreachable(status.message()),
            };
            match of_reply(reply) {
                Ok(ReplicaInput::Refused(refusal)) => return refusal,
                Ok(input) => self.tell(input).await,
                Err(error) => {
                    return FeedRefusal::Denied(format!("its message is not valid: {error}"));
                }
            }
        }
    }
}

/// Whether a status says that a repetition of the call is refused, too.
fn denies(status: &Status) -> bool {
    let codes = [
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::Unimplemented,
        Code::InvalidArgument,
    ];
    codes.contains(&status.code())
}
