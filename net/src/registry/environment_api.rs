//! `EnvironmentService`: [`EnvRegistry`] for programs in other languages, on the port of the node and on the socket.
//!
//! Each process has an [`EnvRegistry`] in the daemon for as long as its stream lasts, with the rights of the caller and
//! a copy of what the caller may see. The number of streams is bounded as that of calls.

use super::endpoint::RegistryEndpoint;
use super::environment::{EnvRegistry, EnvRegistryError, EnvironmentSubscription};
use super::handlers::{caller_of, invalid};
use super::limits::MESSAGE_BYTES_MAX;
use super::message::object::{of_struct, to_object};
use super::message::status::{of_refusal, refused, terminal};
use super::message::watch::to_change;
use super::message::{InvalidField, parsed};
use super::proto::environment_reply::Reply;
use super::proto::environment_service_server::{EnvironmentService, EnvironmentServiceServer};
use super::proto::{self, EnvironmentReply, FollowEnvironmentRequest, GetServiceAddressRequest};
use super::region::RegionRegistry;
use crate::entropy;
use crate::transport::lifetime::until;
use phalanx_core::registry::access::RegistryCaller;
use phalanx_core::registry::environment::EnvironmentConfig;
use phalanx_core::registry::environment::address::{AddressReason, NoAddress};
use phalanx_core::registry::name::RegionId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

/// A reply, or the end of the stream.
type EnvironmentAnswer = Result<EnvironmentReply, Status>;

/// The environments of the processes that follow, by their names.
#[derive(Clone, Debug, Default)]
struct SharedEnvironments(Arc<Mutex<BTreeMap<String, (RegistryCaller, EnvRegistry)>>>);

impl SharedEnvironments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (RegistryCaller, EnvRegistry)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names an environment for as long as the returned value exists.
    fn name(&self, caller: RegistryCaller, environment: EnvRegistry) -> Result<Named, Status> {
        let number = entropy::seed().map_err(|error| Status::unavailable(error.to_string()))?;
        let name = format!("{number:016x}");
        self.lock().insert(name.clone(), (caller, environment));
        Ok(Named {
            name,
            environments: self.clone(),
        })
    }

    fn find(&self, name: &str, caller: &RegistryCaller) -> Option<EnvRegistry> {
        let environments = self.lock();
        let (owner, environment) = environments.get(name)?;
        (owner == caller).then(|| environment.clone())
    }
}

/// The name of an environment.
struct Named {
    name: String,
    environments: SharedEnvironments,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.environments.lock().remove(&self.name);
    }
}

/// The handlers of one registry.
#[derive(Clone, Debug)]
pub(super) struct EnvironmentApi {
    registry: RegionRegistry,
    environments: SharedEnvironments,
}

impl EnvironmentApi {
    /// The service, to be served behind an interceptor that finds the callers.
    pub(super) fn plain(registry: RegionRegistry) -> EnvironmentServiceServer<Self> {
        let api = Self {
            registry,
            environments: SharedEnvironments::default(),
        };
        EnvironmentServiceServer::new(api)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// The settings of a process.
fn config(
    request: FollowEnvironmentRequest,
    (caller, own): (&RegistryCaller, &RegionId),
) -> Result<EnvironmentConfig, InvalidField> {
    let service = match (request.service, caller) {
        (service, RegistryCaller::Service(own)) if service.is_empty() => own.clone(),
        (service, _) if service.is_empty() => {
            let problem = "is empty; a caller that is not a service names the service";
            return Err(InvalidField::new("service", problem));
        }
        (service, _) => service,
    };
    let region = match request.region.as_str() {
        "" => own.clone(),
        region => parsed("region", region)?,
    };
    if request.version.is_empty() {
        return Err(InvalidField::new(
            "version",
            "is empty; give one such as v1",
        ));
    }
    let config = EnvironmentConfig::new(&service, region, &request.version);
    let mut config = config.map_err(|error| InvalidField::new("service", error))?;
    config.registers = !request.discovers_only;
    config.service_fields = of_struct(request.service_fields.unwrap_or_default());
    config.deployment_fields = of_struct(request.deployment_fields.unwrap_or_default());
    for (kind, fields) in request.kinds {
        let with = config.with_kind(&kind, of_struct(fields));
        config = with.map_err(|error| InvalidField::new("kinds", error))?;
    }
    Ok(config)
}

fn failed(error: &EnvRegistryError) -> Status {
    match error {
        EnvRegistryError::Rejected(refusal) => of_refusal(refusal),
        EnvRegistryError::Watch(refusal) => {
            terminal(Code::PermissionDenied, "DENIED", refusal.to_string())
        }
        EnvRegistryError::Entropy(_) | EnvRegistryError::Stopped(_) => {
            Status::unavailable(error.to_string())
        }
    }
}

/// Sends a reply. An error means that the process is gone.
async fn send(out: &mpsc::Sender<EnvironmentAnswer>, reply: Reply) -> Result<(), Status> {
    let reply = EnvironmentReply { reply: Some(reply) };
    let sent = out.send(Ok(reply)).await;
    sent.map_err(|_| Status::cancelled("the process is gone"))
}

/// Tells a process what its records wait for, until they stand.
async fn wait(
    environment: &EnvRegistry,
    out: &mpsc::Sender<EnvironmentAnswer>,
) -> Result<(), Status> {
    let mut waiting = environment.waiting();
    while let Some(reason) = waiting.next().await {
        send(out, Reply::Waiting(reason.to_string())).await?;
    }
    environment.ready().await.map_err(|error| failed(&error))
}

/// Follows the registry for a process.
async fn follow(
    environment: EnvRegistry,
    named: Named,
    out: &mpsc::Sender<EnvironmentAnswer>,
) -> Result<(), Status> {
    wait(&environment, out).await?;
    let own = environment.inspect(|it, _| {
        let (service, deployment) = (it.own_service(), it.own_deployment());
        (
            service.map(|it| to_object(it)),
            deployment.map(|it| to_object(it)),
        )
    });
    let (service, deployment) = own.await.map_err(|error| failed(&error))?;
    let ready = proto::EnvironmentReady {
        environment: named.name.clone(),
        service,
        deployment,
    };
    send(out, Reply::Ready(ready)).await?;
    let mut changes: EnvironmentSubscription = environment.subscribe();
    loop {
        let update = changes.next().await.map_err(|error| failed(&error))?;
        let update = proto::EnvironmentUpdate {
            is_snapshot: update.is_snapshot,
            changes: update.changes.iter().map(to_change).collect(),
        };
        send(out, Reply::Update(update)).await?;
    }
}

const fn to_reason(reason: AddressReason) -> proto::AddressReason {
    match reason {
        AddressReason::Label => proto::AddressReason::Label,
        AddressReason::Private => proto::AddressReason::Private,
        AddressReason::Public => proto::AddressReason::Public,
        AddressReason::Regional => proto::AddressReason::Regional,
        AddressReason::Global => proto::AddressReason::Global,
    }
}

fn no_address(service: &str, label: &str, reason: NoAddress) -> Status {
    let (reason, text) = match reason {
        NoAddress::UnknownService => ("UNKNOWN_SERVICE", format!("{service}: does not exist")),
        NoAddress::UnknownLabel => (
            "UNKNOWN_LABEL",
            format!("{service}: has no domain with the label {label:?}"),
        ),
        NoAddress::NoDomain => (
            "NO_DOMAIN",
            format!("{service}: neither the service nor its deployment in the region has a domain"),
        ),
    };
    refused(Code::NotFound, reason, text)
}

#[tonic::async_trait]
impl EnvironmentService for EnvironmentApi {
    type FollowEnvironmentStream = ReceiverStream<EnvironmentAnswer>;

    async fn follow_environment(
        &self,
        request: Request<FollowEnvironmentRequest>,
    ) -> Result<Response<Self::FollowEnvironmentStream>, Status> {
        let caller = caller_of(&request)?;
        let config = config(request.into_inner(), (&caller, self.registry.region()));
        let config = config.map_err(invalid)?;
        let endpoint = RegistryEndpoint::own(self.registry.clone(), caller.clone());
        let environment = EnvRegistry::begin_at(config, endpoint);
        let environment = environment.map_err(|error| failed(&error))?;
        let named = self.environments.name(caller, environment.clone())?;
        let (out, replies) = mpsc::channel(1);
        let gone = out.clone();
        let following = async move {
            if let Err(status) = follow(environment, named, &out).await {
                // The process may be gone.
                let _gone = out.send(Err(status)).await.is_err();
            }
        };
        self.registry.spawn(until(following, async move {
            gone.closed().await;
        }));
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn get_service_address(
        &self,
        request: Request<GetServiceAddressRequest>,
    ) -> Result<Response<proto::ServiceAddress>, Status> {
        let caller = caller_of(&request)?;
        let GetServiceAddressRequest {
            environment,
            service,
            label,
        } = request.into_inner();
        let Some(environment) = self.environments.find(&environment, &caller) else {
            let text = "the environment is not that of an open stream of this caller";
            return Err(refused(
                Code::NotFound,
                "UNKNOWN_ENVIRONMENT",
                text.to_owned(),
            ));
        };
        let wanted = Some(label.as_str()).filter(|label| !label.is_empty());
        let chosen = environment.address(&service, wanted).await;
        let chosen = chosen.map_err(|error| failed(&error))?;
        let address = chosen.map_err(|reason| no_address(&service, &label, reason))?;
        Ok(Response::new(proto::ServiceAddress {
            domain: address.domain,
            reason: to_reason(address.reason).into(),
        }))
    }
}
