//! One counter on all members, over HTTP: increment and read it on any member, through partitions
//! and restarts.
//!
//! ```text
//! export PHALANX_SECRET=$(phalanx ca secret)
//! cargo run -p phalanx-net --example counter -- ada 127.0.0.1:7501 127.0.0.1:8001
//! cargo run -p phalanx-net --example counter -- bob 127.0.0.1:7502 127.0.0.1:8002 127.0.0.1:7501
//! curl -X POST http://127.0.0.1:8001/counter      # 1
//! curl http://127.0.0.1:8002/counter              # 1
//! ```

#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "the test starts its own tasks")
)]

#[path = "../member/mod.rs"]
mod member;
mod state;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use phalanx_core::channel::{Custom, Kind, Options};
use phalanx_core::identity::NodeId;
use phalanx_net::channel::{Channel, Error, Retained};
use phalanx_net::entropy;
use phalanx_net::transport::MeshNode;
use state::Counter;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str =
    "counter NAME LISTEN HTTP-LISTEN [TARGET...], and the mesh's secret in PHALANX_SECRET";

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(listen), Some(http)) = (words.next(), words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    let name: NodeId = name.parse()?;
    let targets = words.map(|word| word.parse()).collect::<Result<_, _>>()?;
    let secret = std::env::var("PHALANX_SECRET").map_err(|_| USAGE)?;
    let node = member::join(&name, &secret, listen.parse()?, targets, None).await?;
    let counting = Counting::open(&node, &name).await?;
    let listener = TcpListener::bind(http).await?;
    Ok(axum::serve(listener, routes(counting)).await?)
}

/// The counter as held by one member.
struct Counting {
    channel: Channel,
    /// The name of this start of the member. The name changes with each start, because the member may not have received
    /// its earlier count back yet.
    who: String,
    /// Serialises reads and increments of the own count.
    turn: Mutex<()>,
}

impl Counting {
    async fn open(node: &MeshNode, name: &NodeId) -> Fallible<Arc<Self>> {
        let options = Options {
            custom: Some(Custom::new(Counter::default())),
            ..Options::of(Kind::Custom)
        };
        Ok(Arc::new(Self {
            channel: node.open("counter".parse()?, options).await?,
            who: format!("{name}.{:08x}", entropy::instance()?),
            turn: Mutex::new(()),
        }))
    }

    async fn counter(&self) -> Result<Counter, Error> {
        match self.channel.retained().await? {
            Retained::State(Some(state)) => Ok(Counter::decode(&state).unwrap_or_default()),
            Retained::State(None) | Retained::Messages(_) | Retained::Values(_) => {
                Ok(Counter::default())
            }
        }
    }

    /// Increments the counter; returns its new value.
    async fn count(&self) -> Result<u64, Error> {
        let _turn = self.turn.lock().await;
        let mine = self.counter().await?.count_of(&self.who) + 1;
        let update = Counter::of(&self.who, mine);
        self.channel
            .publish(phalanx_core::channel::Mergeable::encode(&update))
            .await?;
        Ok(self.counter().await?.value())
    }
}

type Answer = Result<String, (StatusCode, String)>;

fn answer(value: Result<u64, Error>) -> Answer {
    let failed = |error: Error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
    value.map(|value| format!("{value}\n")).map_err(failed)
}

fn routes(counting: Arc<Counting>) -> Router {
    async fn read(State(counting): State<Arc<Counting>>) -> Answer {
        answer(counting.counter().await.map(|counter| counter.value()))
    }
    async fn count(State(counting): State<Arc<Counting>>) -> Answer {
        answer(counting.count().await)
    }
    Router::new()
        .route("/counter", get(read).post(count))
        .with_state(counting)
}
