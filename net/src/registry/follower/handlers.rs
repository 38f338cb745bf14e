//! Handlers of `RegistryLink`.

use super::session::{self, FollowerReply, other_region};
use crate::identity::Subject;
use crate::registry::limits::LINK_MESSAGE_BYTES_MAX;
use crate::registry::message::link::{RoutedBatch, of_route, to_result};
use crate::registry::message::status::{of_invalid, terminal};
use crate::registry::proto;
use crate::registry::proto::registry_link_server::{RegistryLink, RegistryLinkServer};
use crate::registry::region::{RegionRegistry, RegionWrite, WriteFailure};
use crate::service::access;
use phalanx_core::registry::name::RegionId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Response, Status, Streaming};

/// Number of replies that wait on the stream of a follower.
const REPLIES: usize = 4;

/// The region whose registry the caller is, as its certificate proves.
#[derive(Clone, Debug)]
struct CallingRegion(RegionId);

/// The handlers of one registry.
#[derive(Clone, Debug)]
pub struct LinkApi {
    registry: RegionRegistry,
}

/// Admits the registries of other regions on the port of a node, before their requests are read.
#[derive(Clone, Copy, Debug)]
pub struct LinkCallers;

fn unproven(subject: &Subject) -> Status {
    let text = format!(
        "the certificate of {subject} does not name the registry of a region; issue it with --registry REGION (phalanx \
         ca issue)"
    );
    terminal(Code::PermissionDenied, "DENIED", text)
}

impl Interceptor for LinkCallers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let peer = &access::caller(&request)?.peer;
        let region = peer.registry.clone();
        let region = region.ok_or_else(|| unproven(&peer.subject))?;
        request.extensions_mut().insert(CallingRegion(region));
        Ok(request)
    }
}

/// The region of the caller, as the interceptor of the service has found it.
fn region_of<T>(request: &Request<T>) -> Result<RegionId, Status> {
    let region = request.extensions().get::<CallingRegion>();
    let missing = || Status::internal("the connection has no region");
    region.map(|it| it.0.clone()).ok_or_else(missing)
}

impl LinkApi {
    /// Returns the service of a registry, to be served on the port of its node.
    #[must_use]
    pub fn server(
        registry: RegionRegistry,
    ) -> InterceptedService<RegistryLinkServer<Self>, LinkCallers> {
        let server = RegistryLinkServer::new(Self { registry })
            .max_decoding_message_size(LINK_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(LINK_MESSAGE_BYTES_MAX);
        InterceptedService::new(server, LinkCallers)
    }
}

#[tonic::async_trait]
impl RegistryLink for LinkApi {
    type FollowStream = ReceiverStream<FollowerReply>;

    async fn follow(
        &self,
        request: Request<Streaming<proto::FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let region = region_of(&request)?;
        let (out, replies) = mpsc::channel(REPLIES);
        let registry = self.registry.clone();
        let session = session::serve(registry, region, request.into_inner(), out);
        self.registry.spawn(session);
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn route(
        &self,
        request: Request<proto::RouteRequest>,
    ) -> Result<Response<proto::RouteReply>, Status> {
        let region = region_of(&request)?;
        let routed = of_route(request.into_inner()).map_err(|it| of_invalid(&it))?;
        let RoutedBatch {
            region: claimed,
            caller,
            request,
            batch,
            copies,
        } = routed;
        if claimed != region {
            return Err(other_region(&region, &claimed));
        }
        let write = RegionWrite {
            caller,
            request,
            batch,
            copies,
            is_routed: true,
        };
        let result = match self.registry.write(write).await {
            Ok(outcome) => Ok(outcome),
            Err(WriteFailure::Refused(refusal)) => Err(refusal),
            Err(WriteFailure::Stopped(error)) => {
                return Err(Status::unavailable(error.to_string()));
            }
        };
        Ok(Response::new(to_result(&result)))
    }
}
