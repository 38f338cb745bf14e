//! Reaches one node: which identity asks, and the connection.

use super::answer::{FailedDial, Link, Service, Status, Target, Topology};
use crate::arguments::Reach;
use crate::authority::{CA_CERTIFICATE, mesh_of};
use crate::calendar::now;
use crate::failure::Failure;
use phalanx_core::gossip::Address;
use phalanx_core::identity::NodeId;
use phalanx_core::topology::record;
use phalanx_net::identity::{Identity, Source, Subject, ca_show, open};
use phalanx_net::service::Client;
use phalanx_net::wire::proto;
use std::path::Path;
use std::time::Duration;
use tokio::time;
use tonic::{Code, Streaming};

/// The name under which the tool asks, when a folder's authority issues its certificate.
const ADMIN: &str = "admin";

/// A connection to a node, with its own small runtime.
pub(crate) struct Node {
    runtime: Runtime,
    client: Client,
    timeout: Duration,
    address: String,
}

/// The runtime of one command. Its end waits for nothing: the system's resolver, for one, holds a thread until a name
/// server answers, and a command that gave up does not wait for that.
pub(crate) struct Runtime {
    /// None once it has ended.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    pub(crate) fn new() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let failed = |error| Failure::failed(format!("no async runtime: {error}"));
        Ok(Self {
            runtime: Some(runtime.map_err(failed)?),
        })
    }

    /// Runs a task to its end.
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

/// The identity of an administrator of the mesh whose certificates are in a folder.
pub(crate) fn admin_of(cert_dir: &Path) -> Result<Identity, Failure> {
    let mesh = mesh_of(cert_dir)?;
    let name = NodeId::new(ADMIN).map_err(Failure::usage)?;
    let subject = Subject::admin(&mesh, name).map_err(Failure::usage)?;
    let opened =
        open(&Source::Directory(cert_dir.to_owned()), &subject, now()).map_err(Failure::usage)?;
    Ok(opened.identity)
}

/// The identity of PEM files.
fn identity_of(certificate: &Path, key: &Path, ca: &Path) -> Result<Identity, Failure> {
    let facts = ca_show(certificate).map_err(Failure::usage)?;
    let subject = facts
        .into_iter()
        .next()
        .and_then(|facts| facts.subject)
        .ok_or_else(|| {
            Failure::usage(format!(
                "{} names neither a node nor an administrator of a mesh",
                certificate.display()
            ))
        })?;
    let source = Source::Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        ca: ca.to_owned(),
    };
    Ok(open(&source, &subject, now())
        .map_err(Failure::usage)?
        .identity)
}

/// The identity of an administrator of a mesh whose secret we know.
fn minted(secret_file: &Path, mesh: &str) -> Result<Identity, Failure> {
    let name = NodeId::new(ADMIN).map_err(Failure::usage)?;
    let subject = Subject::admin(mesh, name)
        .map_err(|error| Failure::usage(format!("--mesh: `{mesh}` {error}")))?;
    let source = Source::SecretFile(secret_file.to_owned());
    let opened = open(&source, &subject, now()).map_err(Failure::usage)?;
    Ok(opened.identity)
}

fn identity(reach: &Reach) -> Result<Identity, Failure> {
    if let (Some(secret_file), Some(mesh)) = (&reach.secret_file, &reach.mesh) {
        return minted(secret_file, mesh);
    }
    match (&reach.cert_dir, &reach.cert, &reach.key, &reach.ca) {
        (Some(cert_dir), None, None, None) => admin_of(cert_dir),
        (None, Some(certificate), Some(key), Some(ca)) => identity_of(certificate, key, ca),
        _ => Err(Failure::usage(format!(
            "give --cert-dir (a folder with {CA_CERTIFICATE}), or --cert, --key and --ca, or --secret-file and --mesh"
        ))),
    }
}

impl Node {
    /// Connects to the node that the command line names.
    pub(crate) fn reach(reach: &Reach) -> Result<Self, Failure> {
        Self::connect(&reach.node, &identity(reach)?, reach.timeout.0)
    }

    /// Connects to the node at an address.
    pub(crate) fn connect(
        address: &str,
        identity: &Identity,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let parsed: Address = address
            .parse()
            .map_err(|error| Failure::usage(format!("--node: `{address}` {error}")))?;
        let runtime = Runtime::new()?;
        let client = runtime
            .block_on(Client::connect(&parsed, identity, timeout))
            .map_err(Failure::failed)?;
        Ok(Self {
            runtime,
            client,
            timeout,
            address: address.to_owned(),
        })
    }

    /// Makes one call, within the time there is.
    fn call<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T, Failure> {
        let answer = self.ask(Duration::ZERO, ask)?;
        answer.map_err(|status| refused(&self.address, &status))
    }

    /// One call, within the time there is and some more; what the node declines is given back.
    pub(crate) fn ask<T>(
        &mut self,
        more: Duration,
        ask: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<Result<T, tonic::Status>, Failure> {
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
            Err(_) => Err(Failure::failed(format!(
                "{address}: no answer within {} ms",
                within.as_millis()
            ))),
        }
    }

    pub(crate) fn status(&mut self) -> Result<Status, Failure> {
        self.call(async |client| client.calls().get_status(proto::GetStatusRequest {}).await)
            .map(Into::into)
    }

    pub(crate) fn topology(&mut self) -> Result<Topology, Failure> {
        self.call(async |client| {
            client
                .calls()
                .get_topology(proto::GetTopologyRequest {})
                .await
        })
        .map(Into::into)
    }

    /// The links, and what is not reached.
    pub(crate) fn links(&mut self) -> Result<(Vec<Link>, Vec<FailedDial>), Failure> {
        let status = self.status()?;
        Ok((status.links, status.failed_dials))
    }

    /// The addresses the node joins by after this, and whether it dials members learnt from others.
    pub(crate) fn update_targets(
        &mut self,
        request: proto::UpdateTargetsRequest,
    ) -> Result<(Vec<Target>, bool), Failure> {
        let reply =
            self.call(async |client| client.calls().update_targets(request.clone()).await)?;
        let targets = reply.targets.into_iter().map(Into::into).collect();
        Ok((targets, reply.discovery))
    }

    pub(crate) fn services(
        &mut self,
        wanted: Option<&record::Service>,
    ) -> Result<Vec<Service>, Failure> {
        let request = wanted.map_or_else(proto::ListServicesRequest::default, |wanted| {
            proto::ListServicesRequest {
                name: wanted.name.clone(),
                version: Some(wanted.version.clone()).filter(|version| !version.is_empty()),
            }
        });
        let reply = self.call(async |client| client.calls().list_services(request).await)?;
        Ok(reply.services.into_iter().map(Into::into).collect())
    }

    pub(crate) fn watch(&mut self) -> Result<Streaming<proto::WatchEvent>, Failure> {
        self.call(async |client| client.calls().watch(proto::WatchRequest {}).await)
    }

    /// Waits on the connection's runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// A call that the node refused, in words.
pub(crate) fn refused(address: &str, status: &tonic::Status) -> Failure {
    let message = status.message();
    let code = status.code();
    let why = if code == Code::PermissionDenied {
        "not allowed".to_owned()
    } else if matches!(code, Code::Unavailable | Code::Unknown) {
        "the connection broke".to_owned()
    } else {
        format!("{code:?}")
    };
    Failure::failed(format!("{address}: {why}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::Runtime;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_that_is_stuck_does_not_hold_up_the_end() {
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
