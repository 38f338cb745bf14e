//! Handlers of `ObjectService`.

use super::backup_session::{self, BackupReply};
use super::limits::MESSAGE_BYTES_MAX;
use super::message::link::of_copies;
use super::message::object::{of_draft, shown, to_object};
use super::message::query::{of_list, of_mask, of_view};
use super::message::status::{of_invalid, of_refusal, refused, terminal};
use super::message::write::{of_batch, of_delete, of_update, request_id, to_outcome};
use super::message::{InvalidField, parsed};
use super::proto::object_service_server::{ObjectService, ObjectServiceServer};
use super::proto::{self, WatchObjectsRequest};
use super::region::{RegionRegistry, RegionWrite, RegistryStopped, WriteFailure};
use super::store::BackupTurn;
use super::watch_session::{self, SessionReply};
use crate::identity::Subject;
use crate::service::access;
use phalanx_core::registry::access::{RegistryDenial, VisibleObjects};
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::placement::{ObjectPlacement, PlacementReason};
use phalanx_core::registry::query::{FieldMask, ObjectView, PAGE_SIZE_MAX};
use phalanx_core::registry::replica::{CopyStatus, FollowerStatus};
use phalanx_core::registry::sequencer::{Sequencer, store_text};
use phalanx_core::registry::state::ObjectMap;
use phalanx_core::registry::write::{
    RegistryCaller, WriteBatch, WriteOperation, WriteOutcome, WriteRefusal,
};
use phalanx_core::time::Instant;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::{Code, Request, Response, Status, Streaming};

/// Number of replies that wait on the stream of a session.
const REPLIES: usize = 16;

type Answer<T> = Result<Response<T>, Status>;

/// The handlers of one registry.
#[derive(Clone, Debug)]
pub struct ObjectApi {
    registry: RegionRegistry,
}

fn stopped(error: RegistryStopped) -> Status {
    Status::unavailable(error.to_string())
}

pub(super) fn invalid(error: InvalidField) -> Status {
    of_invalid(&error)
}

pub(super) fn denied(denial: &RegistryDenial) -> Status {
    terminal(Code::PermissionDenied, "DENIED", denial.to_string())
}

/// The caller of a request, as the interceptor of the service has found it.
pub(super) fn caller_of<T>(request: &Request<T>) -> Result<RegistryCaller, Status> {
    let caller = request.extensions().get::<RegistryCaller>();
    let missing = || Status::internal("the connection has no caller of the registry");
    caller.cloned().ok_or_else(missing)
}

/// Admits the callers of the registry on the port of a node, before their requests are read.
#[derive(Clone, Debug)]
pub struct RegistryCallers {
    own: Subject,
}

impl RegistryCallers {
    /// For the port of the node with this subject.
    pub(super) const fn new(own: Subject) -> Self {
        Self { own }
    }
}

impl Interceptor for RegistryCallers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let subject = &access::caller(&request)?.peer.subject;
        let caller = RegistryCaller::of(subject, &self.own).map_err(|it| denied(&it))?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

fn failed(failure: WriteFailure) -> Status {
    match failure {
        WriteFailure::Refused(refusal) => of_refusal(&refusal),
        WriteFailure::Stopped(error) => stopped(error),
    }
}

/// How much of an object a request asks for.
fn detail(
    view: i32,
    mask: Option<prost_types::FieldMask>,
) -> Result<(ObjectView, Option<FieldMask>), Status> {
    let view = of_view(view).map_err(invalid)?;
    let mask = of_mask("field_mask", mask).map_err(invalid)?;
    Ok((view, mask.filter(|mask| *mask != FieldMask::All)))
}

impl ObjectApi {
    /// The full name of the service.
    pub const NAME: &str = "phalanx.registry.v1.ObjectService";

    /// The handlers of a registry.
    pub(super) const fn of(registry: RegionRegistry) -> Self {
        Self { registry }
    }

    /// The service, to be served behind an interceptor that finds the callers.
    pub(super) fn plain(registry: RegionRegistry) -> ObjectServiceServer<Self> {
        ObjectServiceServer::new(Self::of(registry))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The durable objects. A copy costs O(1).
    async fn objects(&self) -> Result<ObjectMap, Status> {
        let copy = |machine: &Sequencer| machine.is_readable().then(|| machine.objects().clone());
        let copied = self.registry.inspect(copy).await.map_err(stopped)?;
        copied.ok_or_else(|| of_refusal(&WriteRefusal::Opening))
    }

    /// Writes one operation. Returns the object after the write; none if it was removed.
    async fn write(
        &self,
        caller: RegistryCaller,
        request: String,
        operation: WriteOperation,
    ) -> Result<Option<Arc<Object>>, Status> {
        let request = request_id(request).map_err(invalid)?;
        let name = operation.name().clone();
        let batch = WriteBatch {
            operations: vec![operation],
        };
        let outcome = self.registry.write(RegionWrite {
            caller,
            request,
            batch,
            copies: None,
            is_routed: false,
        });
        let outcome = outcome.await.map_err(failed)?;
        let found = self
            .registry
            .inspect(move |machine| after(machine, &outcome, &name));
        found.await.map_err(stopped)
    }

    async fn written(
        &self,
        caller: RegistryCaller,
        request: String,
        operation: WriteOperation,
    ) -> Answer<proto::Object> {
        let name = operation.name().clone();
        let object = self.write(caller, request, operation).await?;
        let gone = || of_refusal(&WriteRefusal::NotFound(name));
        let object = object.ok_or_else(gone)?;
        Ok(Response::new(to_object(&object)))
    }
}

/// The object after the batch of an outcome; its present content if the batch did not change it.
fn after(machine: &Sequencer, outcome: &WriteOutcome, name: &ObjectName) -> Option<Arc<Object>> {
    let revision = outcome.revision;
    let before = revision.sequence.saturating_sub(1);
    let log = machine.logs().of(&outcome.region);
    let entry = log.and_then(|log| log.after(before).next());
    let entry = entry.filter(|entry| entry.revision == revision);
    let change = entry.and_then(|entry| entry.changes.iter().find(|it| it.name == *name));
    match change {
        Some(change) => change.after.clone(),
        None => machine.get(name).cloned(),
    }
}

/// Why a registry accepts no writes; empty if it does.
fn obstacle(machine: &Sequencer, now: Instant, region: &RegionId, primary: &RegionId) -> String {
    if machine.takes_writes() {
        return String::new();
    }
    if let Some(holder) = machine.holder() {
        return format!("standby of {holder}");
    }
    if !machine.is_serving() {
        return "the registry does not hold its store at present".to_owned();
    }
    if machine.is_taken() {
        return format!(
            "another store has region {region}; stop the registry of one of the two stores, or remove field `uid` of \
             regions/{region} to give the region to the other store"
        );
    }
    let copy = machine.copies(now).find(|it| it.region == *primary);
    let why = copy.and_then(|it| it.refusal).map(|it| format!(": {it}"));
    let waits = match machine.is_readable() {
        true => "the registry waits until the primary region has noted its store",
        false => "the registry waits for the first copy of the primary region",
    };
    format!("{waits} {primary}{}", why.unwrap_or_default())
}

fn region_copy(copy: CopyStatus) -> proto::RegionCopy {
    let at = copy.position.map(|it| it.at).unwrap_or_default();
    let age = copy.age.map(|age| age.as_millis());
    let member = copy.member.as_ref();
    let obstacle = copy.refusal.filter(|_| !copy.is_following);
    proto::RegionCopy {
        region: copy.region.to_string(),
        following: copy.is_following,
        epoch: at.epoch.number,
        revision: at.sequence,
        lag: copy.lag,
        age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
        node: member.map(|it| it.id.to_string()).unwrap_or_default(),
        address: member.map(|it| it.address.to_string()).unwrap_or_default(),
        obstacle: obstacle.map(|it| it.to_string()).unwrap_or_default(),
    }
}

fn region_follower(follower: FollowerStatus, head: u64) -> proto::RegionFollower {
    proto::RegionFollower {
        region: follower.region.to_string(),
        connected: follower.is_connected,
        confirmed: follower.confirmed,
        lag: head.saturating_sub(follower.confirmed),
    }
}

#[tonic::async_trait]
impl ObjectService for ObjectApi {
    type WatchObjectsStream = ReceiverStream<SessionReply>;
    type BackUpRegistryStream = ReceiverStream<BackupReply>;

    async fn get_object(&self, request: Request<proto::GetObjectRequest>) -> Answer<proto::Object> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (view, mask) = detail(request.view, request.field_mask)?;
        let name: ObjectName = parsed("name", &request.name).map_err(invalid)?;
        let objects = self.objects().await?;
        let missing = || {
            refused(
                Code::NotFound,
                "NOT_FOUND",
                format!("{name}: does not exist"),
            )
        };
        let visible = VisibleObjects::new(&objects, &caller);
        let object = visible.get(&name).ok_or_else(missing)?;
        Ok(Response::new(shown(object, view, mask.as_ref())))
    }

    async fn batch_get_objects(
        &self,
        request: Request<proto::BatchGetObjectsRequest>,
    ) -> Answer<proto::BatchGetObjectsReply> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (view, mask) = detail(request.view, request.field_mask)?;
        if request.names.len() > PAGE_SIZE_MAX {
            let problem = format_args!("has more than {PAGE_SIZE_MAX} names");
            return Err(invalid(InvalidField::new("names", problem)));
        }
        let names = request.names.iter().map(|name| parsed("names", name));
        let names: Result<Vec<ObjectName>, _> = names.collect();
        let objects = self.objects().await?;
        let visible = VisibleObjects::new(&objects, &caller);
        let mut reply = proto::BatchGetObjectsReply::default();
        for name in names.map_err(invalid)? {
            match visible.get(&name) {
                Some(object) => reply.objects.push(shown(object, view, mask.as_ref())),
                None => reply.missing.push(name.to_string()),
            }
        }
        Ok(Response::new(reply))
    }

    async fn list_objects(
        &self,
        request: Request<proto::ListObjectsRequest>,
    ) -> Answer<proto::ListObjectsReply> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let query = of_list(&request).map_err(invalid)?;
        let (view, mask) = detail(request.view, request.field_mask)?;
        let objects = self.objects().await?;
        let prefix = query.scope.selector.prefix();
        let visible = VisibleObjects::new(&objects, &caller);
        let page = query.page(visible.with_prefix(prefix));
        let page = page.map_err(|error| invalid(InvalidField::new("page_token", error)))?;
        let objects = page.objects.iter();
        let objects = objects.map(|object| shown(object, view, mask.as_ref()));
        Ok(Response::new(proto::ListObjectsReply {
            objects: objects.collect(),
            next_page_token: page.next.map(|it| it.to_string()).unwrap_or_default(),
            total_size: page.count.map(|count| count as u64),
        }))
    }

    async fn create_object(
        &self,
        request: Request<proto::CreateObjectRequest>,
    ) -> Answer<proto::Object> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let draft = of_draft("object", request.object).map_err(invalid)?;
        let operation = WriteOperation::Create(draft);
        self.written(caller, request.request_id, operation).await
    }

    async fn update_object(
        &self,
        request: Request<proto::UpdateObjectRequest>,
    ) -> Answer<proto::Object> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let operation = of_update(proto::UpdateOperation {
            object: request.object,
            update_mask: request.update_mask,
            condition: request.condition,
            allow_missing: request.allow_missing,
        });
        let operation = operation.map_err(invalid)?;
        self.written(caller, request.request_id, operation).await
    }

    async fn delete_object(
        &self,
        request: Request<proto::DeleteObjectRequest>,
    ) -> Answer<proto::DeleteObjectReply> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let operation = of_delete(proto::DeleteOperation {
            name: request.name,
            condition: request.condition,
            allow_missing: request.allow_missing,
        });
        let operation = operation.map_err(invalid)?;
        let object = self.write(caller, request.request_id, operation).await?;
        let object = object.as_deref().map(to_object);
        Ok(Response::new(proto::DeleteObjectReply { object }))
    }

    async fn apply_batch(
        &self,
        request: Request<proto::ApplyBatchRequest>,
    ) -> Answer<proto::ApplyBatchReply> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let id = request_id(request.request_id).map_err(invalid)?;
        let batch = of_batch(request.operations).map_err(invalid)?;
        let outcome = self.registry.write(RegionWrite {
            caller,
            request: id,
            batch,
            copies: of_copies(request.copies, request.copies_timeout_ms),
            is_routed: false,
        });
        let outcome = outcome.await.map_err(failed)?;
        Ok(Response::new(to_outcome(&outcome)))
    }

    async fn watch_objects(
        &self,
        request: Request<Streaming<WatchObjectsRequest>>,
    ) -> Answer<Self::WatchObjectsStream> {
        let (out, replies) = mpsc::channel(REPLIES);
        let caller = caller_of(&request)?;
        let registry = self.registry.clone();
        let session = watch_session::serve(registry, caller, request.into_inner(), out);
        self.registry.spawn(session);
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn back_up_registry(
        &self,
        request: Request<proto::BackUpRegistryRequest>,
    ) -> Answer<Self::BackUpRegistryStream> {
        let allowed = caller_of(&request)?.may_back_up();
        allowed.map_err(|it| denied(&it))?;
        let (out, parts) = mpsc::channel(1);
        let Some(directory) = self.registry.store().directory() else {
            let text = "the store is a database of PostgreSQL; save it with pg_dump";
            return Err(terminal(
                Code::FailedPrecondition,
                "DATABASE",
                text.to_owned(),
            ));
        };
        let Some(turn) = BackupTurn::begin(directory) else {
            let text = "another backup is under way; try again when it has ended";
            return Err(refused(Code::Aborted, "BUSY", text.to_owned()));
        };
        self.registry.spawn(backup_session::serve(turn, out));
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn explain_object(
        &self,
        request: Request<proto::ExplainObjectRequest>,
    ) -> Answer<proto::ObjectExplanation> {
        let allowed = caller_of(&request)?.may_see_status();
        allowed.map_err(|it| denied(&it))?;
        let name: ObjectName = parsed("name", &request.into_inner().name).map_err(invalid)?;
        let objects = self.objects().await?;
        let placement = ObjectPlacement::of(&name, &objects, self.registry.primary());
        let policy = match &placement.reason {
            PlacementReason::Policy(holder) => holder.to_string(),
            PlacementReason::PrimaryKind
            | PlacementReason::Named
            | PlacementReason::Created
            | PlacementReason::NoPolicy => String::new(),
        };
        let object = objects.get(&name).map(|object| to_object(object));
        Ok(Response::new(proto::ObjectExplanation {
            region: self.registry.region().to_string(),
            owner: placement.owner.to_string(),
            reason: placement.reason.to_string(),
            policy,
            service: name.of_service().unwrap_or_default().to_owned(),
            form: name.form(),
            metadata: object.and_then(|object| object.metadata),
            name: name.to_string(),
        }))
    }

    async fn get_registry_status(
        &self,
        request: Request<proto::GetRegistryStatusRequest>,
    ) -> Answer<proto::RegistryStatus> {
        let allowed = caller_of(&request)?.may_see_status();
        allowed.map_err(|it| denied(&it))?;
        let (region, primary) = (
            self.registry.region().clone(),
            self.registry.primary().clone(),
        );
        let store = self.registry.store();
        let lease_holder = store.holder().unwrap_or_default();
        let (store, store_bytes) = (store.to_string(), store.bytes());
        let status = self
            .registry
            .inspect_at(move |machine, now| proto::RegistryStatus {
                obstacle: obstacle(machine, now, &region, &primary),
                region: region.to_string(),
                primary: primary.to_string(),
                serving: machine.takes_writes(),
                epoch: machine.epoch().number,
                head: machine.log().head(),
                floor: machine.log().floor(),
                objects: machine.objects().len() as u64,
                watches: machine.watches() as u64,
                waiting: machine.waiting() as u64,
                store,
                store_bytes,
                lease_holder,
                store_uid: store_text(machine.store()),
                copies: machine.copies(now).map(region_copy).collect(),
                followers: machine
                    .followers()
                    .map(|it| region_follower(it, machine.log().head()))
                    .collect(),
            });
        Ok(Response::new(status.await.map_err(stopped)?))
    }
}
