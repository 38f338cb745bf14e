//! Tests of start, reload and end.

use crate::daemon::{NotifySocket, RunningDaemon, SOON, refused};
use crate::place::Place;
use phalanx_net::wire::proto::{
    GetNodeInfoRequest, ListServicesRequest, PingRequest, WatchRequest,
};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Instant;

#[test]
fn sigterm_ends_the_daemon_gracefully_and_each_start_has_a_higher_epoch() {
    let place = Place::new();
    let first = place.start("a", &[]);
    let epoch = first.epoch;
    assert_eq!(first.ends().code(), Some(0));
    let second = place.start("a", &[]);
    assert!(second.epoch > epoch, "{} after {epoch}", second.epoch);
    second.signal(Signal::INT);
    second.says("phalanxd has ended");
}

#[tokio::test]
async fn a_second_signal_ends_the_daemon_immediately() {
    let place = Place::new();
    let mut a = place.start("a", &[]);
    // A suspended peer and a caller that stays connected delay the graceful end by seconds.
    let b = place.start("b", &[&a]);
    let mut client = place.ask(&a).await;
    let watching = client.calls().watch(WatchRequest {}).await.unwrap();
    b.says("linked to a");
    b.signal(Signal::STOP);
    a.signal(Signal::TERM);
    a.says("leaving the mesh");
    a.signal(Signal::INT);
    let status = a.waits_for_its_end();
    assert_eq!(status.code(), Some(1), "{status}");
    a.says("on a second signal");
    drop(watching);
    b.signal(Signal::CONT);
}

#[test]
fn a_daemon_ends_with_the_process_at_the_other_end_of_its_input() {
    let place = Place::new();
    let mut daemon = place.start("a", &[]);
    daemon.input_ends();
    assert_eq!(daemon.waits_for_its_end().code(), Some(0));
}

#[test]
fn two_daemons_cannot_share_a_state_directory() {
    let place = Place::new();
    let mut first = place.start("a", &[]);
    let (code, said) = refused(place.command("a"));
    assert_eq!(code, Some(2), "{said}");
    let other = format!("another phalanxd (process {})", first.process());
    let directory = place.text("state-a");
    assert!(said.contains(&other) && said.contains(&directory), "{said}");
    assert!(first.runs());
    assert_eq!(first.ends().code(), Some(0));
}

#[test]
fn the_service_manager_is_notified_of_ready_reload_and_stop() {
    let place = Place::new();
    let manager = NotifySocket::new();
    let mut command = place.command("a");
    command.env("NOTIFY_SOCKET", manager.path());
    let daemon = RunningDaemon::start(command);
    assert_eq!(manager.hear().trim(), "READY=1");
    daemon.signal(Signal::HUP);
    assert!(manager.hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.hear().trim(), "READY=1");
    assert_eq!(daemon.ends().code(), Some(0));
    assert_eq!(manager.hear().trim(), "STOPPING=1");
}

#[tokio::test]
async fn a_reload_applies_changeable_settings_and_keeps_the_others() {
    let place = Place::new();
    let file = place.path("phalanxd.toml");
    fs::write(&file, "services = [\"shop/1\"]\n").unwrap();
    let mut command = place.command("a");
    command.arg("--config").arg(&file);
    let mut daemon = RunningDaemon::start(command);
    let mut client = place.ask(&daemon).await;

    fs::write(
        &file,
        "services = [\"shop/2\"]\nnickname = \"till\"\n[tuning]\nlinks_max = 9\n",
    )
    .unwrap();
    daemon.signal(Signal::HUP);
    let fixed = daemon.says("this setting changed; restart the daemon to apply it");
    assert_eq!(fixed["key"], "tuning");
    daemon.says("the configuration was reloaded");
    let services = client
        .calls()
        .list_services(ListServicesRequest::default())
        .await
        .unwrap()
        .into_inner()
        .services;
    let named: Vec<_> = services
        .iter()
        .map(|service| (service.name.as_str(), service.version.as_str()))
        .collect();
    assert_eq!(named, [("shop", "2")]);
    let info = client
        .calls()
        .get_node_info(GetNodeInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    let record = info.record.unwrap();
    assert_eq!(record.nickname, "till");
    assert_eq!(record.address.len(), 6, "the address is kept");

    // An invalid file changes nothing, and the daemon keeps running.
    fs::write(&file, "servces = []\n").unwrap();
    daemon.signal(Signal::HUP);
    let refused = daemon.says("reload failed: keeping the previous configuration");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("did you mean \"services\"?"),
        "{refused}"
    );
    let services = client
        .calls()
        .list_services(ListServicesRequest::default())
        .await
        .unwrap()
        .into_inner()
        .services;
    assert_eq!(services.len(), 1);
    assert!(daemon.runs());
    assert_eq!(daemon.ends().code(), Some(0));
}

#[tokio::test]
async fn unauthenticated_connections_do_not_stop_the_daemon() {
    let place = Place::new();
    let mut daemon = place.start("a", &[]);
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &noise,
        &noise[..3],
        &[],
    ] {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream);
    }
    daemon.says("the handshake with");
    let mut client = place.ask(&daemon).await;
    let started = Instant::now();
    client.calls().ping(PingRequest::default()).await.unwrap();
    assert!(started.elapsed() < SOON);
    assert!(daemon.runs());
}
