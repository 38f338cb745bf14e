//! The typed services of the four kinds: `RegionService`, `ServiceService`, `DeploymentService` and `ResourceService`.
//!
//! A call becomes a call of [`ObjectApi`] with the caller of its connection. The names of a kind's methods and messages
//! follow from the kind's own, so one implementation serves all four.
//!
//! - `transcode`: the messages.

mod transcode;

use super::endpoint::RegistryEndpoint;
use super::handlers::{ObjectApi, caller_of, invalid};
use super::limits::MESSAGE_BYTES_MAX;
use super::message::{InvalidField, parsed};
use super::proto::object_service_client::ObjectServiceClient;
use super::proto::object_service_server::ObjectService as _;
use super::proto::watch_objects_reply::Reply as WatchReply;
use super::proto::watch_objects_request::Request as WatchCall;
use super::proto::{self, WatchObjectsRequest, WatchRefusalReason};
use super::region::RegionRegistry;
use crate::dynamic::{DynamicCodec, definitions};
use core::marker::PhantomData;
use core::task::{Context, Poll};
use phalanx_core::registry::kind::BuiltInKind;
use phalanx_core::registry::name::ObjectName;
use phalanx_core::time::Duration;
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::{Request, Response, Status};
use transcode::{to_generic, to_typed};

/// Time to connect within the process.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The number of the watch on its stream.
const WATCH_ID: u64 = 1;

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;
type Typed = Result<Response<DynamicMessage>, Status>;

/// A kind with a typed service.
trait TypedKind: Send + Sync + 'static {
    /// The service.
    const SERVICE: &'static str;
    /// The kind.
    const KIND: BuiltInKind;
    /// The name of the kind in methods and messages.
    const ONE: &'static str;
    /// The plural.
    const MANY: &'static str;
    /// The field of a request that has the object.
    const FIELD: &'static str;
    /// The collection, below the parent if the kind has one.
    const COLLECTION: &'static str;
    /// Whether the objects of the kind are below others.
    const HAS_PARENT: bool;
}

/// Defines the kinds.
macro_rules! kinds {
    ($($kind:ident: $one:literal, $many:literal, $field:literal, $collection:literal, $parent:literal;)*) => {$(
        /// See [`BuiltInKind`].
        #[derive(Clone, Copy, Debug)]
        struct $kind;

        impl TypedKind for $kind {
            const SERVICE: &'static str = concat!("phalanx.registry.v1.", $one, "Service");
            const KIND: BuiltInKind = BuiltInKind::$kind;
            const ONE: &'static str = $one;
            const MANY: &'static str = $many;
            const FIELD: &'static str = $field;
            const COLLECTION: &'static str = $collection;
            const HAS_PARENT: bool = $parent;
        }
    )*};
}

kinds! {
    Region: "Region", "Regions", "region", "regions", false;
    Service: "Service", "Services", "service", "services", false;
    Deployment: "Deployment", "Deployments", "deployment", "deployments", true;
    Resource: "Resource", "Resources", "resource", "resources", true;
}

/// Adds the typed services of a registry to routes. `callers` finds the callers of requests.
pub(super) fn add<I>(routes: Routes, registry: &RegionRegistry, callers: &I) -> Routes
where
    I: Interceptor + Clone + Send + Sync + 'static,
{
    routes
        .add_service(server::<Region, I>(registry, callers))
        .add_service(server::<Service, I>(registry, callers))
        .add_service(server::<Deployment, I>(registry, callers))
        .add_service(server::<Resource, I>(registry, callers))
}

fn server<K: TypedKind, I: Interceptor + Clone>(
    registry: &RegionRegistry,
    callers: &I,
) -> InterceptedService<KindApi<K>, I> {
    let api = KindApi {
        registry: registry.clone(),
        objects: ObjectApi::of(registry.clone()),
        kind: PhantomData,
    };
    InterceptedService::new(api, callers.clone())
}

/// The handlers of a kind.
struct KindApi<K> {
    registry: RegionRegistry,
    objects: ObjectApi,
    kind: PhantomData<K>,
}

impl<K> Clone for KindApi<K> {
    fn clone(&self) -> Self {
        Self {
            registry: self.registry.clone(),
            objects: self.objects.clone(),
            kind: PhantomData,
        }
    }
}

impl<K: TypedKind> NamedService for KindApi<K> {
    const NAME: &'static str = K::SERVICE;
}

/// The effect of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    BatchGet,
    List,
    WatchOne,
    WatchMany,
    Create,
    Update,
    Delete,
}

/// The effect of the method of a path; none if the kind has no such method.
fn verb<K: TypedKind>(path: &str) -> Option<Verb> {
    let method = path.strip_prefix('/')?.strip_prefix(K::SERVICE)?;
    let method = method.strip_prefix('/')?;
    let verbs = [
        ("Get", K::ONE, Verb::Get),
        ("BatchGet", K::MANY, Verb::BatchGet),
        ("List", K::MANY, Verb::List),
        ("Watch", K::ONE, Verb::WatchOne),
        ("Watch", K::MANY, Verb::WatchMany),
        ("Create", K::ONE, Verb::Create),
        ("Update", K::ONE, Verb::Update),
        ("Delete", K::ONE, Verb::Delete),
    ];
    let mut verbs = verbs.into_iter();
    let found = verbs.find(|(word, kind, _)| method.strip_prefix(word) == Some(*kind));
    found.map(|(_, _, verb)| verb)
}

/// The method of a path in the definitions.
fn method<K: TypedKind>(path: &str) -> Option<MethodDescriptor> {
    let service = definitions().ok()?.get_service_by_name(K::SERVICE)?;
    let mut methods = service.methods();
    methods.find(|method| path.ends_with(&format!("/{}", method.name())))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Checks that a name is one of the kind.
fn check<K: TypedKind>(field: &str, name: &str) -> Result<(), Status> {
    let parsed: ObjectName = parsed(field, name).map_err(invalid)?;
    if BuiltInKind::of(&parsed) == Some(K::KIND) {
        return Ok(());
    }
    let problem = format_args!("{name}: is not the name of a {}", K::FIELD);
    Err(invalid(InvalidField::new(field, problem)))
}

/// Checks the names of a request.
fn check_names<K: TypedKind>(verb: Verb, typed: &DynamicMessage) -> Result<(), Status> {
    match verb {
        Verb::Get | Verb::Delete | Verb::WatchOne => check::<K>("name", &text(typed, "name")),
        Verb::BatchGet => match typed.get_field_by_name("names").as_deref() {
            Some(Value::List(names)) => names.iter().try_for_each(|name| {
                let name = name.as_str().unwrap_or_default();
                check::<K>("names", name)
            }),
            _ => Ok(()),
        },
        Verb::Create | Verb::Update => {
            let field = format!("{}.name", K::FIELD);
            match typed.get_field_by_name(K::FIELD).as_deref() {
                Some(Value::Message(object)) => check::<K>(&field, &text(object, "name")),
                _ => check::<K>(&field, ""),
            }
        }
        Verb::List | Verb::WatchMany => Ok(()),
    }
}

/// The selector of the collection that a request names.
fn selector<K: TypedKind>(typed: &DynamicMessage) -> Result<String, Status> {
    if !K::HAS_PARENT {
        return Ok(K::COLLECTION.to_owned());
    }
    let parent = text(typed, "parent");
    let service = parent.strip_prefix("services/");
    let is_service = service.is_some_and(|id| !id.is_empty() && !id.contains('/'));
    if !is_service {
        let problem = format_args!("{parent:?} is neither services/ID nor services/-");
        return Err(invalid(InvalidField::new("parent", problem)));
    }
    Ok(format!("{parent}/{}", K::COLLECTION))
}

/// A request of `ObjectService` with the parts of a typed one.
fn with<M>(request: &Request<DynamicMessage>, message: M) -> Request<M> {
    let (metadata, extensions) = (request.metadata().clone(), request.extensions().clone());
    Request::from_parts(metadata, extensions, message)
}

/// The typed reply.
fn reply<M: Message>(
    reply: Response<M>,
    (name, method): (&str, &MethodDescriptor),
) -> Result<Response<DynamicMessage>, Status> {
    let typed = to_typed(&reply.into_inner(), name, &method.output())?;
    Ok(Response::new(typed))
}

impl<K: TypedKind> KindApi<K> {
    async fn unary(
        self,
        (verb, method): (Verb, MethodDescriptor),
        request: Request<DynamicMessage>,
    ) -> Typed {
        let typed = request.get_ref();
        check_names::<K>(verb, typed)?;
        let objects = &self.objects;
        match verb {
            Verb::Get => {
                let call = to_generic::<proto::GetObjectRequest>(typed, "GetObjectRequest")?;
                let found = objects.get_object(with(&request, call)).await?;
                reply(found, ("Object", &method))
            }
            Verb::BatchGet => {
                let call = to_generic(typed, "BatchGetObjectsRequest")?;
                let found = objects.batch_get_objects(with(&request, call)).await?;
                reply(found, ("BatchGetObjectsReply", &method))
            }
            Verb::List => {
                let mut call: proto::ListObjectsRequest = to_generic(typed, "ListObjectsRequest")?;
                call.selector = selector::<K>(typed)?;
                let found = objects.list_objects(with(&request, call)).await?;
                reply(found, ("ListObjectsReply", &method))
            }
            Verb::Create => {
                let call = to_generic(typed, "CreateObjectRequest")?;
                let written = objects.create_object(with(&request, call)).await?;
                reply(written, ("Object", &method))
            }
            Verb::Update => {
                let call = to_generic(typed, "UpdateObjectRequest")?;
                let written = objects.update_object(with(&request, call)).await?;
                reply(written, ("Object", &method))
            }
            Verb::Delete => {
                let call = to_generic(typed, "DeleteObjectRequest")?;
                let deleted = objects.delete_object(with(&request, call)).await?;
                reply(deleted, ("DeleteObjectReply", &method))
            }
            Verb::WatchOne | Verb::WatchMany => Err(Status::internal("a watch is a stream")),
        }
    }

    async fn watch(
        self,
        (verb, method): (Verb, MethodDescriptor),
        request: Request<DynamicMessage>,
    ) -> Result<Response<TypedReplies>, Status> {
        let typed = request.get_ref();
        check_names::<K>(verb, typed)?;
        let mut open: proto::OpenWatch = to_generic(typed, "OpenWatch")?;
        if verb == Verb::WatchMany {
            open.selector = selector::<K>(typed)?;
        }
        let own = RegistryEndpoint::own(self.registry, caller_of(&request)?);
        let channel = own
            .connect(CONNECT_MAX)
            .await
            .map_err(Status::unavailable)?;
        let mut client = ObjectServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let open = WatchObjectsRequest {
            watch_id: WATCH_ID,
            request: Some(WatchCall::Open(open)),
        };
        let calls = tokio_stream::once(open);
        let replies = client.watch_objects(calls).await?.into_inner();
        let output = method.output();
        let replies = replies.filter_map(move |reply| match reply {
            Ok(reply) => typed_reply(&reply, &output),
            Err(status) => Some(Err(status)),
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

/// The replies of a watch.
type TypedReplies = Pin<Box<dyn Stream<Item = Result<DynamicMessage, Status>> + Send>>;

/// The typed reply of a watch; none for a reply that only says that the watch is open.
fn typed_reply(
    reply: &proto::WatchObjectsReply,
    output: &prost_reflect::MessageDescriptor,
) -> Option<Result<DynamicMessage, Status>> {
    match &reply.reply {
        None | Some(WatchReply::Opened(_)) => None,
        Some(WatchReply::Refused(refused)) => Some(Err(of_refused(refused))),
        Some(
            WatchReply::Snapshot(_)
            | WatchReply::Changes(_)
            | WatchReply::Bookmark(_)
            | WatchReply::Reset(_),
        ) => Some(to_typed(reply, "WatchObjectsReply", output)),
    }
}

fn of_refused(refused: &proto::WatchRefused) -> Status {
    let text = refused.text.clone();
    match refused.reason() {
        WatchRefusalReason::Opening | WatchRefusalReason::Behind => Status::unavailable(text),
        WatchRefusalReason::TooMany => Status::resource_exhausted(text),
        WatchRefusalReason::Denied => Status::permission_denied(text),
        WatchRefusalReason::OtherRegion
        | WatchRefusalReason::InvalidRequest
        | WatchRefusalReason::Unspecified => Status::invalid_argument(text),
    }
}

/// A method with one reply.
struct OneReply<K> {
    api: KindApi<K>,
    method: (Verb, MethodDescriptor),
}

impl<K: TypedKind> UnaryService<DynamicMessage> for OneReply<K> {
    type Response = DynamicMessage;
    type Future = Boxed<Response<DynamicMessage>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        Box::pin(self.api.clone().unary(self.method.clone(), request))
    }
}

/// A method with a stream of replies.
struct ManyReplies<K>(OneReply<K>);

impl<K: TypedKind> ServerStreamingService<DynamicMessage> for ManyReplies<K> {
    type Response = DynamicMessage;
    type ResponseStream = TypedReplies;
    type Future = Boxed<Response<TypedReplies>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let OneReply { api, method } = &self.0;
        Box::pin(api.clone().watch(method.clone(), request))
    }
}

impl<K: TypedKind> tower::Service<http::Request<Body>> for KindApi<K> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (api, path) = (self.clone(), request.uri().path().to_owned());
        Box::pin(async move {
            let found = verb::<K>(&path).zip(method::<K>(&path));
            let Some((verb, method)) = found else {
                let text = format!("{path}: there is no such method");
                return Ok(Status::unimplemented(text).into_http());
            };
            let codec = DynamicCodec {
                decodes: method.input(),
            };
            let mut grpc = Grpc::new(codec)
                .apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), Some(MESSAGE_BYTES_MAX));
            let one = OneReply {
                api,
                method: (verb, method),
            };
            Ok(match verb {
                Verb::WatchOne | Verb::WatchMany => {
                    grpc.server_streaming(ManyReplies(one), request).await
                }
                Verb::Get
                | Verb::BatchGet
                | Verb::List
                | Verb::Create
                | Verb::Update
                | Verb::Delete => grpc.unary(one, request).await,
            })
        })
    }
}
