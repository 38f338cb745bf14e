//! Speed of bare turmoil on a scenario as small as `partition-heals`: thirty hosts for one minute, cut in halves for
//! half of that time, with as many messages as the mesh sends in that scenario; without any machine, invariant or hash.
//!
//! Prints virtual seconds and messages per CPU second, for comparison with the figures of `make bench-sim`. The
//! variables `HOSTS` and `TICK_MS` change the number of hosts and the tick in milliseconds.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 7_000;
/// Each host dials the hosts whose indices follow its own at these distances.
const NEIGHBOURS: [usize; 3] = [1, 2, 5];
/// This interval gives ten messages per second and host, as the mesh sends in `partition-heals`.
const INTERVAL: Duration = Duration::from_millis(300);
/// The mean size of the mesh's messages in that scenario, in bytes.
const BYTES: usize = 42;
const CUT: (u64, u64) = (10, 40);
const END: u64 = 60;

/// CPU seconds of this thread so far; turmoil uses no other thread.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
    nanos.unwrap_or(0.0) / 1e9
}

fn from_env(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Reads and counts bytes until the connection ends.
async fn listen(mut stream: TcpStream, received: Rc<Cell<u64>>) {
    let mut message = [0; BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        received.set(received.get() + 1);
    }
}

/// Sends a message at each interval; dials again when the connection ends.
async fn talk(to: String) {
    loop {
        if let Ok(mut stream) = TcpStream::connect((to.as_str(), PORT)).await {
            while stream.write_all(&[0; BYTES]).await.is_ok() {
                tokio::time::sleep(INTERVAL).await;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn main() -> turmoil::Result {
    let hosts = usize::try_from(from_env("HOSTS", 30))?;
    let tick = from_env("TICK_MS", 1);
    let received = Rc::new(Cell::new(0));
    let mut sim = turmoil::Builder::new()
        .tick_duration(Duration::from_millis(tick))
        .simulation_duration(Duration::from_secs(END + 1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(1))
        .rng_seed(1)
        .epoch(std::time::UNIX_EPOCH)
        .build();
    let name = |host: usize| format!("n{}", host % hosts);
    for host in 0..hosts {
        let targets: Vec<String> = NEIGHBOURS.iter().map(|next| name(host + next)).collect();
        let received = Rc::clone(&received);
        sim.host(name(host), move || {
            let (targets, received) = (targets.clone(), Rc::clone(&received));
            async move {
                for target in targets {
                    tokio::task::spawn_local(talk(target));
                }
                let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::task::spawn_local(listen(stream, Rc::clone(&received)));
                }
            }
        });
    }
    let half = hosts / 2;
    let pairs = || (0..half).flat_map(|one| (half..hosts).map(move |other| (one, other)));
    let before = cpu();
    let (mut cut, mut mended) = (false, false);
    while sim.elapsed() < Duration::from_secs(END) {
        sim.step()?;
        if !cut && sim.elapsed() >= Duration::from_secs(CUT.0) {
            cut = true;
            pairs().for_each(|(one, other)| sim.partition(name(one), name(other)));
        }
        if !mended && sim.elapsed() >= Duration::from_secs(CUT.1) {
            mended = true;
            pairs().for_each(|(one, other)| sim.repair(name(one), name(other)));
        }
    }
    let took = cpu() - before;
    println!("{hosts} hosts on bare turmoil, {END} virtual seconds, tick {tick} ms");
    println!("  CPU seconds                   {took:>12.3}");
    println!(
        "  virtual seconds a CPU second  {:>12.1}",
        END as f64 / took
    );
    println!("  messages                      {:>12}", received.get());
    println!(
        "  messages a CPU second         {:>12.0}",
        received.get() as f64 / took
    );
    Ok(())
}
