//! Handlers of `ChannelService`.

use super::access;
use super::events::{self, History, refused};
use crate::channel::{Channel, Error, Reader, TransactionOutcome};
use crate::identity::Subject;
use crate::transport::MeshNode;
use crate::wire::proto::channel_service_server::{ChannelService, ChannelServiceServer};
use crate::wire::proto::{self, compare, transact_reply};
use crate::wire::{self, WireError};
use phalanx_core::channel::message::PAYLOAD_BYTES_MAX;
use phalanx_core::channel::{
    ChannelName, Expected, Kind, MapEntry, Options, Refusal, Transaction, Write,
};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{Node, Route};
use phalanx_core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

/// Maximum number of subscribers at the same time.
pub const SUBSCRIBERS_MAX: usize = 256;
/// Maximum size of one call in bytes: a payload or the values of a transaction, and their names.
pub const CHANNEL_CALL_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 64 * 1024;

/// The handlers of one node.
#[derive(Clone, Debug)]
pub struct ChannelApi {
    node: MeshNode,
    subject: Subject,
    /// The channels shared by subscribers. Locked while a channel is opened.
    open: Arc<Mutex<BTreeMap<ChannelName, Weak<Channel>>>>,
    places: Arc<Semaphore>,
}

/// Admits administrators and holders of the node's own certificate, before their requests are read.
#[derive(Clone, Debug)]
pub struct InnerCircle(Subject);

impl InnerCircle {
    /// The callers that may manage the node with this subject.
    #[must_use]
    pub const fn of(own: Subject) -> Self {
        Self(own)
    }
}

impl Interceptor for InnerCircle {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        access::inner_circle(&self.0, &request)?;
        Ok(request)
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn invalid(error: impl core::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn node_id(field: &str, text: &str) -> Result<NodeId, Status> {
    NodeId::new(text).map_err(|error| invalid(format!("{field} {error}")))
}

fn channel(text: &str) -> Result<ChannelName, Status> {
    wire::channel("channel", text).map_err(invalid)
}

fn compared(wire: proto::Compare) -> Result<(Arc<str>, Expected), Status> {
    let expected = match wire.expected {
        Some(compare::Expected::Absent(true)) => Expected::Absent,
        Some(compare::Expected::Value(value)) => Expected::Value(Arc::from(value)),
        Some(compare::Expected::Version(version)) => {
            let version = wire::version(&version);
            Expected::Version(version.map_err(|error: WireError| invalid(error.inside("compare")))?)
        }
        Some(compare::Expected::Absent(false)) | None => {
            return Err(invalid(
                "compare.expected is missing; set absent, value or version",
            ));
        }
    };
    Ok((Arc::from(wire.key), expected))
}

fn transaction(wire: proto::TransactRequest) -> Result<Transaction, Status> {
    let compare = wire.compare.into_iter().map(compared);
    let write = wire.write.into_iter().map(|put| Write {
        key: Arc::from(put.key),
        value: put.value.map(Arc::from),
    });
    Ok(Transaction {
        compare: compare.collect::<Result<_, _>>()?,
        write: write.collect(),
    })
}

fn key_value(key: &str, held: &MapEntry) -> Option<proto::KeyValue> {
    let value = held.value.as_ref()?;
    Some(proto::KeyValue {
        key: key.to_owned(),
        value: value.to_vec(),
        version: Some((&held.version).into()),
    })
}

impl ChannelApi {
    /// Returns the service of a node, to be served on the node's port.
    #[must_use]
    pub fn server(node: MeshNode) -> InterceptedService<ChannelServiceServer<Self>, InnerCircle> {
        let subject = node.identity().subject().clone();
        let circle = InnerCircle(subject.clone());
        let server = ChannelServiceServer::new(Self {
            subject,
            node,
            open: Arc::default(),
            places: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
        })
        .max_decoding_message_size(CHANNEL_CALL_BYTES_MAX)
        .max_encoding_message_size(CHANNEL_CALL_BYTES_MAX);
        InterceptedService::new(server, circle)
    }

    /// Returns a reader of a channel. Opens the channel if necessary; it stays open as long as it
    /// has subscribers.
    async fn read(
        &self,
        name: &ChannelName,
        options: Options,
    ) -> Result<(Option<Arc<Channel>>, Reader), Error> {
        let mut open = self.open.lock().await;
        open.retain(|_, channel| channel.strong_count() > 0);
        let shared = open.get(name).and_then(Weak::upgrade);
        let found = match &shared {
            Some(channel) => Some(channel.reader()),
            None => Reader::of(&self.node, name),
        };
        if let Some(reader) = found {
            if reader.kind() != options.kind {
                return Err(Refusal::OtherKind(reader.kind()).into());
            }
            return Ok((shared, reader));
        }
        let (channel, reader) = Channel::begin(&self.node, name.clone(), options).await?;
        let channel = Arc::new(channel);
        open.insert(name.clone(), Arc::downgrade(&channel));
        Ok((Some(channel), reader))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Node) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let asked = self.node.driver().inspect(|node, _| question(node)).await;
        asked.map_err(|stopped| Status::unavailable(stopped.to_string()))
    }
}

#[tonic::async_trait]
impl ChannelService for ChannelApi {
    type SubscribeStream = Subscription;

    async fn subscribe(&self, request: Request<proto::SubscribeRequest>) -> Answer<Subscription> {
        let request = request.into_inner();
        let (name, kind) = (
            channel(&request.channel)?,
            wire::kind("kind", request.kind).map_err(invalid)?,
        );
        let mut options = Options::of(kind);
        if request.interval_ms > 0 {
            options.interval = Duration::from_millis(request.interval_ms);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "the limit of {SUBSCRIBERS_MAX} subscribers is reached; try again when one has disconnected"
            ))
        })?;
        let (channel, reader) = self.read(&name, options).await.map_err(refused)?;
        let history = if request.with_history {
            let retained = reader.catch_up().await;
            retained.map_err(|stopped| refused(stopped.into()))?.into()
        } else {
            History::nothing()
        };
        Ok(Response::new(Subscription {
            history,
            begun: Some(events::subscribed(self.subject.id().as_str())),
            reader,
            closed: Box::pin(self.node.closed()),
            _channel: channel,
            _place: place,
        }))
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Answer<proto::PublishReply> {
        let request = request.into_inner();
        let (name, kind) = (
            channel(&request.channel)?,
            wire::kind("kind", request.kind).map_err(invalid)?,
        );
        let payload: Arc<[u8]> = Arc::from(request.payload);
        let client = self.node.channel_client();
        let id = client.publish_once(name, kind, payload).await;
        let id = id.map_err(refused)?;
        Ok(Response::new(proto::PublishReply {
            id: id.as_ref().map(Into::into),
        }))
    }

    async fn send(&self, request: Request<proto::SendRequest>) -> Answer<proto::SendReply> {
        let request = request.into_inner();
        let (to, name) = (node_id("to", &request.to)?, channel(&request.channel)?);
        let client = self.node.channel_client();
        let payload = Arc::from(request.payload);
        let sent = match request.datagram {
            true => client.send_datagram(name, to, payload).await,
            false => client.send(name, to, payload).await,
        };
        sent.map_err(refused)?;
        Ok(Response::new(proto::SendReply {}))
    }

    async fn transact(
        &self,
        request: Request<proto::TransactRequest>,
    ) -> Answer<proto::TransactReply> {
        let request = request.into_inner();
        let name = channel(&request.channel)?;
        let transaction = transaction(request)?;
        let client = self.node.channel_client();
        let outcome = client.transact_once(name, transaction).await;
        let outcome = match outcome.map_err(refused)? {
            TransactionOutcome::Committed(version) => {
                transact_reply::Outcome::Committed((&version).into())
            }
            TransactionOutcome::Differs(key) => {
                transact_reply::Outcome::Differs(key.as_ref().to_owned())
            }
        };
        Ok(Response::new(proto::TransactReply {
            outcome: Some(outcome),
        }))
    }

    async fn get_key(&self, request: Request<proto::GetKeyRequest>) -> Answer<proto::GetKeyReply> {
        let proto::GetKeyRequest { channel: name, key } = request.into_inner();
        let name = channel(&name)?;
        let look = move |node: &Node| {
            let held = node.channels().value(&name, &key);
            held.and_then(|held| key_value(&key, held))
        };
        let found = self.ask(look).await?;
        Ok(Response::new(proto::GetKeyReply { found }))
    }

    type ListKeysStream = Listing;

    async fn list_keys(&self, request: Request<proto::ListKeysRequest>) -> Answer<Listing> {
        let proto::ListKeysRequest {
            channel: name,
            prefix,
        } = request.into_inner();
        let name = channel(&name)?;
        let copy = move |node: &Node| {
            let values = node.channels().values(&name);
            let wanted = values.filter(|(key, _)| key.starts_with(&prefix));
            wanted
                .map(|(key, held)| (Arc::clone(key), held.clone()))
                .collect::<Vec<_>>()
        };
        let values = self.ask(copy).await?;
        Ok(Response::new(Listing {
            values: values.into_iter(),
        }))
    }

    async fn list_channels(
        &self,
        _: Request<proto::ListChannelsRequest>,
    ) -> Answer<proto::ListChannelsReply> {
        let channels = self.ask(known_channels).await?;
        Ok(Response::new(proto::ListChannelsReply { channels }))
    }

    async fn get_routes(
        &self,
        request: Request<proto::GetRoutesRequest>,
    ) -> Answer<proto::GetRoutesReply> {
        let own = self.subject.id().clone();
        let source = match request.into_inner().source {
            text if text.is_empty() => own,
            text => node_id("source", &text)?,
        };
        let reply = self.ask(move |node| routes(node, &source)).await?;
        Ok(Response::new(reply?))
    }
}

fn known_channels(node: &Node) -> Vec<proto::KnownChannel> {
    let channels = node.channels();
    let known = channels.known().map(|(name, kind, open)| {
        let held = match kind {
            Kind::Messages => channels.messages(name).count(),
            Kind::Map => channels.values(name).count(),
            Kind::Custom => usize::from(channels.custom(name).is_some()),
        };
        proto::KnownChannel {
            name: name.as_str().to_owned(),
            kind: proto::ChannelKind::from(kind).into(),
            open,
            held: u32::try_from(held).unwrap_or(u32::MAX),
        }
    });
    known.collect()
}

fn routes(node: &Node, source: &NodeId) -> Result<proto::GetRoutesReply, Status> {
    let mesh = node.mesh();
    if mesh.member(source).is_none() {
        return Err(Status::not_found(format!(
            "source {source}: no member of this name is known"
        )));
    }
    let ways = node.tree_of(source);
    let reached: BTreeSet<&NodeId> = ways.iter().map(|way| &way.to).collect();
    let members = mesh.members().map(|member| member.record.id().clone());
    let unreachable = members
        .filter(|id| id != source && !reached.contains(id))
        .map(|id| id.to_string());
    let way = |way: &Route| proto::Way {
        to: way.to.to_string(),
        first: way.first.to_string(),
        last: way.last.to_string(),
        hops: way.hops,
    };
    Ok(proto::GetRoutesReply {
        source: source.to_string(),
        unreachable: unreachable.collect(),
        ways: ways.iter().map(way).collect(),
    })
}

/// The events on a channel, until the subscriber or the node ends.
pub struct Subscription {
    history: History,
    begun: Option<proto::ChannelEvent>,
    reader: Reader,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
    _channel: Option<Arc<Channel>>,
    _place: OwnedSemaphorePermit,
}

impl core::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Stream for Subscription {
    type Item = Result<proto::ChannelEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let earlier = self.history.next();
        if let Some(event) = earlier.or_else(|| self.begun.take()) {
            return Poll::Ready(Some(Ok(event)));
        }
        let next = Pin::new(&mut self.reader).poll_next(context);
        next.map(|received| received.map(|received| Ok(events::received(received))))
    }
}

/// Iterates over a map's keys and values.
#[derive(Debug)]
pub struct Listing {
    values: std::vec::IntoIter<(Arc<str>, MapEntry)>,
}

impl Stream for Listing {
    type Item = Result<proto::KeyValue, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.values.find_map(|(key, held)| key_value(&key, &held));
        Poll::Ready(next.map(Ok))
    }
}
