//! Connects to one node with the identity that the command line specifies.

use super::reply::{Service, StatusReply, Target, Topology};
use crate::arguments::NodeAccess;
use crate::authority::{CA_CERTIFICATE, mesh_of};
use crate::calendar::now;
use crate::failure::CommandError;
use crate::screen::Screen;
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::topology::record;
use phalanx_net::identity::{Identity, Source, Subject, ca_show, open};
use phalanx_net::registry::proto::GetRegistryStatusRequest;
use phalanx_net::registry::{OtherRegistry, RegistryEndpoint, other_registry};
use phalanx_net::service::Client;
use phalanx_net::wire::proto;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time;
use tonic::{Code, Streaming};

/// Name in the certificate that the tool issues for itself with the authority's key in a directory.
const ADMIN: &str = "admin";

/// A connection to a node, with its own single-threaded runtime.
pub(crate) struct NodeClient {
    runtime: Runtime,
    client: Client,
    timeout: Duration,
    address: String,
}

/// The runtime of one command. Dropping the runtime does not wait for its threads: the system's resolver blocks a
/// thread until a name server answers, and a command that timed out must not wait for this.
pub(crate) struct Runtime {
    /// `None` after the runtime was dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    pub(crate) fn new() -> Result<Self, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let failed =
            |error| CommandError::failed(format!("cannot start the async runtime: {error}"));
        Ok(Self {
            runtime: Some(runtime.map_err(failed)?),
        })
    }

    /// Runs a task until it completes.
    pub(crate) fn block_on<T>(&self, task: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(task),
            None => unreachable!("a runtime ends when it is dropped"),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns an administrator's identity in the mesh of a certificate directory.
pub(crate) fn admin_of(cert_dir: &Path) -> Result<Identity, CommandError> {
    let mesh = mesh_of(cert_dir)?;
    let name = NodeId::new(ADMIN).map_err(CommandError::usage)?;
    let subject = Subject::admin(&mesh, name).map_err(CommandError::usage)?;
    let opened = open(&Source::Directory(cert_dir.to_owned()), &subject, now())
        .map_err(CommandError::usage)?;
    Ok(opened.identity)
}

/// Returns the identity in PEM files.
fn identity_of(certificate: &Path, key: &Path, ca: &Path) -> Result<Identity, CommandError> {
    let facts = ca_show(certificate).map_err(CommandError::usage)?;
    let subject = facts
        .into_iter()
        .next()
        .and_then(|facts| facts.subject)
        .ok_or_else(|| {
            CommandError::usage(format!(
                "{} is not the certificate of a node or administrator of a mesh",
                certificate.display()
            ))
        })?;
    let source = Source::Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        ca: ca.to_owned(),
    };
    Ok(open(&source, &subject, now())
        .map_err(CommandError::usage)?
        .identity)
}

/// Returns an administrator's identity, minted from a secret of the mesh.
fn minted(secret_file: &Path, mesh: &str) -> Result<Identity, CommandError> {
    let name = NodeId::new(ADMIN).map_err(CommandError::usage)?;
    let subject = Subject::admin(mesh, name)
        .map_err(|error| CommandError::usage(format!("--mesh: `{mesh}` {error}")))?;
    let source = Source::SecretFile(secret_file.to_owned());
    let opened = open(&source, &subject, now()).map_err(CommandError::usage)?;
    Ok(opened.identity)
}

/// Returns the identity that the command line specifies.
pub(crate) fn identity(access: &NodeAccess) -> Result<Identity, CommandError> {
    if let (Some(secret_file), Some(mesh)) = (&access.secret_file, &access.mesh) {
        return minted(secret_file, mesh);
    }
    let identity = match (&access.cert_dir, &access.cert, &access.key, &access.ca) {
        (Some(cert_dir), None, None, None) => admin_of(cert_dir)?,
        (None, Some(certificate), Some(key), Some(ca)) => identity_of(certificate, key, ca)?,
        _ => {
            return Err(CommandError::usage(format!(
                "give --cert-dir (a directory with {CA_CERTIFICATE}), or --cert, --key and --ca, or --secret-file and --mesh"
            )));
        }
    };
    let own = identity.subject().mesh();
    match &access.mesh {
        Some(mesh) if mesh != own => Err(CommandError::usage(format!(
            "--mesh (or PHALANX_MESH): the certificates are of the mesh `{own}`, not of `{mesh}`; omit it, or give the \
             certificates of `{mesh}`"
        ))),
        Some(_) | None => Ok(identity),
    }
}

impl NodeClient {
    /// Connects to the node that the command line selects.
    pub(crate) fn open(access: &NodeAccess) -> Result<Self, CommandError> {
        Self::connect(&access.node, &identity(access)?, access.timeout.0)
    }

    /// Connects to the registry that the command line selects: at a node, or at the socket `unix:PATH` of one on this
    /// host, which needs no certificate. If the node runs no registry, connects to the one that the node names, and says
    /// so.
    pub(crate) fn open_registry(
        screen: &Screen,
        access: &NodeAccess,
    ) -> Result<Self, CommandError> {
        let Some(RegistryEndpoint::Local(path)) = RegistryEndpoint::local(&access.node) else {
            let identity = identity(access)?;
            let mut node = Self::connect(&access.node, &identity, access.timeout.0)?;
            let Some(other) = node.other_registry()? else {
                return Ok(node);
            };
            let (id, region, address) = (other.node, other.region, other.address);
            screen.note(format!(
                "{} runs no registry; asking that of region {region}, which {id} runs at {address}",
                access.node
            ));
            return Self::connect(&address.to_string(), &identity, access.timeout.0);
        };
        let (runtime, timeout) = (Runtime::new()?, access.timeout.0);
        let client = runtime.block_on(Client::local(&path, timeout));
        Ok(Self {
            runtime,
            client: client.map_err(CommandError::failed)?,
            timeout,
            address: access.node.clone(),
        })
    }

    /// The registry that the node names; none if the node runs one, or names none.
    fn other_registry(&mut self) -> Result<Option<OtherRegistry>, CommandError> {
        let asked = self.ask(Duration::ZERO, async |client| {
            let request = GetRegistryStatusRequest {};
            client.objects().get_registry_status(request).await
        })?;
        Ok(asked.err().as_ref().and_then(other_registry))
    }

    /// Connects to the node at an address.
    pub(crate) fn connect(
        address: &str,
        identity: &Identity,
        timeout: Duration,
    ) -> Result<Self, CommandError> {
        let parsed: Address = address
            .parse()
            .map_err(|error| CommandError::usage(format!("--node: `{address}` {error}")))?;
        let runtime = Runtime::new()?;
        let client = runtime
            .block_on(Client::connect(&parsed, identity, timeout))
            .map_err(CommandError::failed)?;
        Ok(Self {
            runtime,
            client,
            timeout,
            address: address.to_owned(),
        })
    }

    /// Makes one call within the timeout; a refused call is a failure.
    pub(crate) fn call<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T, CommandError> {
        let answer = self.ask(Duration::ZERO, ask)?;
        answer.map_err(|status| refused(&self.address, &status))
    }

    /// Makes one call within the timeout plus `more`; returns the status of a refused call.
    pub(crate) fn ask<T>(
        &mut self,
        more: Duration,
        ask: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<Result<T, tonic::Status>, CommandError> {
        let Self {
            runtime,
            client,
            timeout,
            address,
        } = self;
        let within = *timeout + more;
        let answer = runtime.block_on(async { time::timeout(within, ask(client)).await });
        match answer {
            Ok(answer) => Ok(answer.map(tonic::Response::into_inner)),
            Err(_) => Err(CommandError::failed(format!(
                "{address}: no reply within {} ms",
                within.as_millis()
            ))),
        }
    }

    pub(crate) fn status(&mut self) -> Result<StatusReply, CommandError> {
        self.call(async |client| client.calls().get_status(proto::GetStatusRequest {}).await)
            .map(Into::into)
    }

    pub(crate) fn topology(&mut self) -> Result<Topology, CommandError> {
        self.call(async |client| {
            client
                .calls()
                .get_topology(proto::GetTopologyRequest {})
                .await
        })
        .map(Into::into)
    }

    /// Makes a round trip. Returns the id of the node, and the time.
    pub(crate) fn ping(&mut self) -> Result<(String, Duration), CommandError> {
        let begun = Instant::now();
        let payload = b"phalanx".to_vec();
        let request = proto::PingRequest { payload };
        let reply = self.call(async |client| client.calls().ping(request).await)?;
        Ok((reply.id, begun.elapsed()))
    }

    /// Changes the seed addresses; returns the new addresses, and whether the node dials members learnt from other
    /// nodes.
    pub(crate) fn update_targets(
        &mut self,
        request: proto::UpdateTargetsRequest,
    ) -> Result<(Vec<Target>, bool), CommandError> {
        let reply =
            self.call(async |client| client.calls().update_targets(request.clone()).await)?;
        let targets = reply.targets.into_iter().map(Into::into).collect();
        Ok((targets, reply.discovery))
    }

    pub(crate) fn services(
        &mut self,
        wanted: Option<&record::Service>,
    ) -> Result<Vec<Service>, CommandError> {
        let request = wanted.map_or_else(proto::ListServicesRequest::default, |wanted| {
            proto::ListServicesRequest {
                name: wanted.name.clone(),
                version: Some(wanted.version.clone()).filter(|version| !version.is_empty()),
            }
        });
        let reply = self.call(async |client| client.calls().list_services(request).await)?;
        Ok(reply.services.into_iter().map(Into::into).collect())
    }

    pub(crate) fn watch(&mut self) -> Result<Streaming<proto::WatchEvent>, CommandError> {
        self.call(async |client| client.calls().watch(proto::WatchRequest {}).await)
    }

    /// Waits for a future on the connection's runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// Converts a refused call into a failure.
pub(crate) fn refused(address: &str, status: &tonic::Status) -> CommandError {
    let message = status.message();
    let code = status.code();
    let why = if code == Code::PermissionDenied {
        "not allowed: ".to_owned()
    } else if matches!(code, Code::Unavailable | Code::Unknown) {
        "the connection was lost: ".to_owned()
    } else if matches!(
        code,
        Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition | Code::ResourceExhausted
    ) {
        // The node's own words say what is wrong.
        String::new()
    } else {
        format!("{code:?}: ")
    };
    CommandError::failed(format!("{address}: {why}{message}"))
}

#[cfg(test)]
mod tests {
    use super::Runtime;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[test]
    fn a_blocked_thread_does_not_delay_the_end_of_the_runtime() {
        let (release, held) = channel::<()>();
        let stuck_for = Duration::from_secs(120);
        let begun = Instant::now();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let (started, has_started) = tokio::sync::oneshot::channel();
            let stuck = tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                held.recv_timeout(stuck_for)
            });
            has_started.await.unwrap();
            drop(stuck);
        });
        drop(runtime);
        assert!(begun.elapsed() < stuck_for / 2, "{:?}", begun.elapsed());
        drop(release);
    }
}
