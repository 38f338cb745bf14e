//! A chat without a server: each program is a member of the mesh.
//!
//! ```text
//! export PHALANX_SECRET=$(phalanx ca secret)
//! cargo run -p phalanx-net --example chat -- ada 127.0.0.1:7501
//! cargo run -p phalanx-net --example chat -- bob 127.0.0.1:7502 127.0.0.1:7501     # in a second terminal
//! ```
//!
//! A line is sent to all members; `@bob hello` is sent to Bob only, and a failed delivery is
//! reported.

#![expect(clippy::print_stdout, reason = "a chat prints its messages")]
#![expect(
    clippy::disallowed_methods,
    reason = "a standalone program starts its own tasks"
)]

mod member;

use phalanx_core::channel::{Delivery, Kind, Options};
use phalanx_core::identity::NodeId;
use phalanx_net::channel::{Channel, Received, Retained};
use std::error::Error;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader};

type Fallible<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "chat NAME LISTEN [TARGET...], and the mesh's secret in PHALANX_SECRET";

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(listen)) = (words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    let targets = words.map(|word| word.parse()).collect::<Result<_, _>>()?;
    let secret = std::env::var("PHALANX_SECRET").map_err(|_| USAGE)?;
    let node = member::join(&name.parse()?, &secret, listen.parse()?, targets, None).await?;
    let channel = node
        .open("chat".parse()?, Options::of(Kind::Messages))
        .await?;
    let channel = Arc::new(channel);
    tokio::spawn(show(Arc::clone(&channel)));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if let Err(error) = say(&channel, &line).await {
            println!("! {error}");
        }
    }
    node.shutdown().await;
    Ok(())
}

/// Sends a line to all members, or to the member that it names.
async fn say(channel: &Channel, line: &str) -> Fallible<()> {
    match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
        Some((to, text)) => channel.send(to.parse::<NodeId>()?, text).await?,
        None => drop(channel.publish(line).await?),
    }
    Ok(())
}

async fn show(channel: Arc<Channel>) {
    if let Ok(Retained::Messages(said)) = channel.catch_up().await {
        for update in said {
            println!(
                "{}: {}",
                update.id.origin,
                String::from_utf8_lossy(&update.payload)
            );
        }
    }
    while let Some(heard) = channel.recv().await {
        match heard {
            Received::Delivery(Delivery::Broadcast { id, payload }) => {
                println!("{}: {}", id.origin, String::from_utf8_lossy(&payload));
            }
            Received::Delivery(Delivery::Message { from, payload, .. }) => {
                println!("{from} (to you): {}", String::from_utf8_lossy(&payload));
            }
            Received::Delivery(Delivery::Missed {
                origin,
                first,
                last,
                ..
            }) => {
                println!("! {} messages of {origin} were missed", last - first + 1);
            }
            Received::Delivery(Delivery::Changed { .. } | Delivery::Conflict { .. }) => {}
            Received::Lagged { missed } => println!("! {missed} messages were missed"),
        }
    }
}
