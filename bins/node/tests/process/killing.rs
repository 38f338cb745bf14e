//! Killed daemons, and live daemons whose connections are reset and whose hosts refuse dials.

use crate::daemon::{RunningDaemon, SOON};
use crate::mesh::{all_alive, sees};
use crate::place::Place;
use crate::relay::Relay;
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const COUNT: usize = 5;
/// The event of a death by silence comes later than a test waits.
const SILENT_AFTER: Duration = SOON.saturating_mul(2);

/// A command whose daemon declares no member down because of its silence while the test runs.
fn patient(mut command: Command) -> Command {
    let after = SILENT_AFTER.as_millis().to_string();
    command
        .env("PHALANX_TUNING_SILENT_AFTER_MS", &after)
        .env("PHALANX_TUNING_DOWN_AFTER_MS", &after);
    command
}

fn start(place: &Place, listen: &str, id: &str, first: Option<&RunningDaemon>) -> RunningDaemon {
    let mut command = patient(place.command_at(listen, id));
    if let Some(first) = first {
        command.args(["--target", &first.address.to_string()]);
    }
    RunningDaemon::start(command)
}

/// Starts daemons that see each other: the last one, and the others.
async fn mesh(place: &Place) -> (RunningDaemon, Vec<RunningDaemon>) {
    let mut daemons = vec![start(place, "127.0.0.1:0", "n0", None)];
    for index in 1..COUNT {
        let next = start(place, "127.0.0.1:0", &format!("n{index}"), daemons.first());
        daemons.push(next);
    }
    for daemon in &daemons {
        sees(place, daemon, |view| all_alive(view, COUNT)).await;
    }
    let last = daemons.pop().unwrap();
    (last, daemons)
}

/// The last daemon of a mesh.
const LAST: &str = "n4";

/// Waits until all daemons log that a daemon is down because its process is gone; prints the time since its death.
fn all_log_the_death(others: &[RunningDaemon], id: &str, killed: Instant) {
    for daemon in others {
        let line = daemon.says(&format!("{id} is down"));
        let message = line["message"].as_str().unwrap();
        assert!(message.contains("its process is gone"), "{message}");
    }
    #[expect(
        clippy::print_stdout,
        reason = "the time depends on the load of the machine"
    )]
    {
        println!("down everywhere {:?} after the kill", killed.elapsed());
    }
}

fn deaths(daemons: &[RunningDaemon]) -> Vec<serde_json::Value> {
    let lines = daemons.iter().flat_map(RunningDaemon::said);
    lines.filter(|line| line["event"] == "peer-down").collect()
}

#[tokio::test]
async fn a_killed_daemon_is_down_because_its_host_refuses_connections() {
    let place = Place::new();
    let (mut last, others) = mesh(&place).await;
    let address = last.address.to_string();
    let killed = Instant::now();
    last.signal(Signal::KILL);
    all_log_the_death(&others, LAST, killed);
    last.waits_for_its_end();
    let again = start(&place, &address, LAST, others.first());
    for daemon in others.iter().chain([&again]) {
        sees(&place, daemon, |view| all_alive(view, COUNT)).await;
    }
}

#[tokio::test]
async fn a_daemon_that_is_killed_at_its_join_is_down_because_its_host_refuses_connections() {
    let place = Place::new();
    let (_last, others) = mesh(&place).await;
    let newcomer = start(&place, "127.0.0.1:0", "n5", others.first());
    sees(&place, &others[0], |view| all_alive(view, COUNT + 1)).await;
    newcomer.signal(Signal::KILL);
    let killed = Instant::now();
    all_log_the_death(&others, "n5", killed);
}

/// Whether a socket of a process has data that the process has not read.
fn has_unread_data(process: u32) -> bool {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|target| {
            let name = target.to_str()?.strip_prefix("socket:[")?;
            Some(name.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unread = fields[4].split_once(':').is_some_and(|(_, unread)| {
            u64::from_str_radix(unread, 16).is_ok_and(|bytes| bytes > 0)
        });
        // State 1 is an established connection; the queue of a listener counts connections.
        fields[3] == "01" && unread && sockets.iter().any(|socket| *socket == fields[9])
    })
}

#[tokio::test]
async fn a_daemon_that_is_killed_with_unread_data_is_down_because_its_host_refuses_connections() {
    let place = Place::new();
    let (last, others) = mesh(&place).await;
    last.signal(Signal::STOP);
    let deadline = Instant::now() + SOON;
    while !has_unread_data(last.process()) {
        assert!(Instant::now() < deadline, "no daemon sent it data");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let killed = Instant::now();
    last.signal(Signal::KILL);
    all_log_the_death(&others, LAST, killed);
}

/// Kills a daemon, and listens at its address within 0.3 s.
async fn a_successor_listens() -> (Place, Vec<RunningDaemon>, TcpListener) {
    for _ in 0..10 {
        let place = Place::new();
        let (mut last, others) = mesh(&place).await;
        let (address, killed) = (last.address, Instant::now());
        last.signal(Signal::KILL);
        last.waits_for_its_end();
        let successor = TcpListener::bind(address).await.unwrap();
        if killed.elapsed() < Duration::from_millis(250) {
            return (place, others, successor);
        }
    }
    panic!("the machine is too busy for a quick restart");
}

#[tokio::test]
async fn a_killed_daemon_whose_address_accepts_connections_at_once_is_not_down() {
    let (place, others, successor) = a_successor_listens().await;
    let address = successor.local_addr().unwrap();
    // The successor completes no handshake while it starts.
    let accepting = async {
        let mut held = Vec::new();
        while let Ok((stream, _)) = successor.accept().await {
            held.push(stream);
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(3), accepting).await);
    assert_eq!(deaths(&others), Vec::<serde_json::Value>::new());
    drop(successor);
    let again = start(&place, &address.to_string(), LAST, others.first());
    for daemon in others.iter().chain([&again]) {
        sees(&place, daemon, |view| all_alive(view, COUNT)).await;
    }
    assert_eq!(deaths(&others), Vec::<serde_json::Value>::new());
}

/// Starts daemons behind relays.
async fn relayed(place: &Place) -> (Vec<RunningDaemon>, Vec<Relay>) {
    let (mut daemons, mut relays) = (Vec::new(), Vec::<Relay>::new());
    for index in 0..COUNT {
        let relay = Relay::new().await;
        let mut command = patient(place.command(&format!("n{index}")));
        command.args(["--advertise", &relay.address.to_string()]);
        if let Some(first) = relays.first() {
            command.args(["--target", &first.address.to_string()]);
        }
        let daemon = RunningDaemon::start(command);
        relay.relay_to(daemon.address);
        daemons.push(daemon);
        relays.push(relay);
    }
    for daemon in &daemons {
        sees(place, daemon, |view| all_alive(view, COUNT)).await;
    }
    (daemons, relays)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_daemons_are_not_down_because_of_resets_and_refusals() {
    let place = Place::new();
    let (daemons, mut relays) = relayed(&place).await;
    for round in 0..20 {
        for relay in &relays {
            relay.reset();
        }
        if round == 9 {
            // From here on, only the last daemon's own dials succeed.
            relays.last_mut().unwrap().refuse().await;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for daemon in &daemons {
        sees(&place, daemon, |view| all_alive(view, COUNT)).await;
    }
    let lines: Vec<_> = daemons.iter().flat_map(RunningDaemon::said).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert!(count("link-down") >= 20, "{lines:#?}");
    assert_eq!(count("peer-down"), 0, "{lines:#?}");
}
