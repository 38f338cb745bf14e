//! A custom data path: UDP between every two linked nodes, encrypted with a key that only these two
//! have.
//!
//! ```text
//! export PHALANX_SECRET=$(phalanx ca secret)
//! cargo run -p phalanx-net --example tunnel -- ada 127.0.0.1:7501
//! cargo run -p phalanx-net --example tunnel -- bob 127.0.0.1:7502 127.0.0.1:7501     # in a second terminal
//! ```
//!
//! Each node pings its neighbours through their tunnels once a second and prints the round-trip
//! time.

#![expect(clippy::print_stdout, reason = "the example prints its measurements")]

#[path = "../member/mod.rs"]
mod member;
mod seal;
#[cfg(test)]
mod tests;
mod udp;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use udp::Udp;

const USAGE: &str = "tunnel NAME LISTEN [TARGET...], and the mesh's secret in PHALANX_SECRET";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(listen)) = (words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    let targets = words.map(|word| word.parse()).collect::<Result<_, _>>()?;
    let secret = std::env::var("PHALANX_SECRET").map_err(|_| USAGE)?;
    let udp = Udp::new()?;
    let overlay = Some(Arc::new(udp.clone()) as _);
    let (name, listen) = (name.parse()?, listen.parse()?);
    let _node = member::join(&name, &secret, listen, targets, overlay).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for peer in udp.peers() {
            match udp.ping(&peer).await {
                Ok(took) => println!("{peer}: {took:?}"),
                Err(why) => println!("! {why}"),
            }
        }
    }
}
