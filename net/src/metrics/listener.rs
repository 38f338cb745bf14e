//! The listener, and its three paths.

use super::page::MetricsPage;
use super::{node, registry};
use crate::registry::RegionRegistry;
use crate::service::Api;
use crate::transport::Tasks;
use crate::transport::lifetime::until;
use crate::wire::proto::{Health, NodeStatus};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use core::net::SocketAddr;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time;
use tonic::Status;

/// Maximum number of connections at the same time. Further ones wait.
pub const CONNECTIONS_MAX: usize = 16;
/// Maximum time of a connection.
pub const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// Maximum time in which the loops of the node and of its registry answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The pause after a failure to accept a connection, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// The time for which open connections may go on at the end.
const END_MAX: Duration = Duration::from_millis(100);
/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The listener cannot use its address.
#[derive(Debug, thiserror::Error)]
#[error("metrics.listen: cannot listen on {address}: {problem}; choose another address or port")]
pub struct MetricsListenerError {
    address: SocketAddr,
    problem: io::Error,
}

/// The parts of a daemon that are shown.
#[derive(Clone, Debug)]
struct Shown {
    api: Api,
    registry: Option<RegionRegistry>,
}

/// A listener for monitoring systems. It accepts connections when it is served.
#[derive(Debug)]
pub struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsListener {
    /// Binds the address.
    ///
    /// # Errors
    /// If the address is in use or is not an address of this host.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsListenerError> {
        let failed = |problem| MetricsListenerError { address, problem };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `end` completes.
    pub async fn serve(
        self,
        api: Api,
        registry: Option<RegionRegistry>,
        end: impl Future<Output = ()> + Send,
    ) {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(Shown { api, registry });
        let tasks = Tasks::new();
        let accepting = accept(self.listener, router, tasks.clone());
        until(accepting, end).await;
        tasks.finish(END_MAX).await;
    }
}

async fn accept(listener: TcpListener, router: Router, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve(stream, router.clone());
                tasks.spawn_contained(
                    async move {
                        serving.await;
                        drop(place);
                    },
                    || tracing::error!("a request for metrics caused a panic"),
                );
            }
            Err(_) => time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that sends no request, or goes away, is not worth a line.
    let _ended = time::timeout(CONNECTION_MAX, connection).await;
}

/// Waits for an answer for at most [`ANSWER_MAX`].
async fn in_time<T, E: std::fmt::Display>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Unavailable> {
    match time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer.map_err(|error| Unavailable(error.to_string())),
        Err(_) => Err(Unavailable(format!(
            "no answer within {} s",
            ANSWER_MAX.as_secs()
        ))),
    }
}

/// A reason for the status 503.
struct Unavailable(String);

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", self.0)).into_response()
    }
}

async fn metrics(State(shown): State<Shown>) -> Result<Response, Unavailable> {
    let mut page = MetricsPage::new();
    let status = in_time(status(&shown)).await?;
    node::write(&mut page, &status);
    if let Some(registry) = &shown.registry {
        in_time(registry::write(&mut page, registry)).await?;
    }
    let text = page
        .text()
        .map_err(|error| Unavailable(error.to_string()))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

async fn healthz(State(shown): State<Shown>) -> Result<&'static str, Unavailable> {
    in_time(health(&shown)).await?;
    Ok("ok\n")
}

async fn readyz(State(shown): State<Shown>) -> Result<&'static str, Unavailable> {
    let health = in_time(health(&shown)).await?;
    if !node::is_ready(&health) {
        return Err(Unavailable(health.message));
    }
    if let Some(registry) = &shown.registry
        && let Some(why) = in_time(registry::unready(registry)).await?
    {
        return Err(Unavailable(why));
    }
    Ok("ok\n")
}

async fn status(shown: &Shown) -> Result<NodeStatus, ApiFailure> {
    shown.api.status().await.map_err(ApiFailure)
}

async fn health(shown: &Shown) -> Result<Health, ApiFailure> {
    shown.api.health().await.map_err(ApiFailure)
}

/// A failure of the node, shown by its message.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message())]
struct ApiFailure(Status);
