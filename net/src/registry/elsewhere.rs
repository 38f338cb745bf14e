//! `ObjectService` of a node that runs no registry: each call is refused, and the refusal names the registry to ask.
//!
//! Core chooses the registry: that of the node's own region, else that of the primary region.

use super::handlers::RegistryCallers;
use super::link::nearest_registry;
use super::message::status::no_registry;
use super::proto::object_service_server::{ObjectService, ObjectServiceServer};
use super::proto::{self, WatchObjectsReply, WatchObjectsRequest};
use crate::driver::Stopped;
use crate::transport::MeshNode;
use tokio_stream::Empty;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;

/// The handlers of a node that runs no registry.
#[derive(Clone, Debug)]
pub struct ElsewhereApi {
    node: MeshNode,
}

impl ElsewhereApi {
    /// Returns the service of a node, to be served on its port.
    #[must_use]
    pub fn server(
        node: MeshNode,
    ) -> InterceptedService<ObjectServiceServer<Self>, RegistryCallers> {
        let callers = RegistryCallers::new(node.identity().subject().clone());
        InterceptedService::new(ObjectServiceServer::new(Self { node }), callers)
    }

    async fn refuse<T>(&self) -> Answer<T> {
        let found = nearest_registry(self.node.driver()).await;
        let found = found.map_err(|error: Stopped| Status::unavailable(error.to_string()))?;
        let own = self.node.identity().subject().id().clone();
        Err(no_registry(&own, found.as_ref()))
    }
}

#[tonic::async_trait]
impl ObjectService for ElsewhereApi {
    type WatchObjectsStream = Empty<Result<WatchObjectsReply, Status>>;
    type BackUpRegistryStream = Empty<Result<proto::BackUpRegistryReply, Status>>;

    async fn get_object(&self, _: Request<proto::GetObjectRequest>) -> Answer<proto::Object> {
        self.refuse().await
    }

    async fn batch_get_objects(
        &self,
        _: Request<proto::BatchGetObjectsRequest>,
    ) -> Answer<proto::BatchGetObjectsReply> {
        self.refuse().await
    }

    async fn list_objects(
        &self,
        _: Request<proto::ListObjectsRequest>,
    ) -> Answer<proto::ListObjectsReply> {
        self.refuse().await
    }

    async fn create_object(&self, _: Request<proto::CreateObjectRequest>) -> Answer<proto::Object> {
        self.refuse().await
    }

    async fn update_object(&self, _: Request<proto::UpdateObjectRequest>) -> Answer<proto::Object> {
        self.refuse().await
    }

    async fn delete_object(
        &self,
        _: Request<proto::DeleteObjectRequest>,
    ) -> Answer<proto::DeleteObjectReply> {
        self.refuse().await
    }

    async fn apply_batch(
        &self,
        _: Request<proto::ApplyBatchRequest>,
    ) -> Answer<proto::ApplyBatchReply> {
        self.refuse().await
    }

    async fn watch_objects(
        &self,
        _: Request<Streaming<WatchObjectsRequest>>,
    ) -> Answer<Self::WatchObjectsStream> {
        self.refuse().await
    }

    async fn back_up_registry(
        &self,
        _: Request<proto::BackUpRegistryRequest>,
    ) -> Answer<Self::BackUpRegistryStream> {
        self.refuse().await
    }

    async fn explain_object(
        &self,
        _: Request<proto::ExplainObjectRequest>,
    ) -> Answer<proto::ObjectExplanation> {
        self.refuse().await
    }

    async fn get_registry_status(
        &self,
        _: Request<proto::GetRegistryStatusRequest>,
    ) -> Answer<proto::RegistryStatus> {
        self.refuse().await
    }
}
