//! Tests of the log: a reader that stops, floods, forged lines, priorities, and changes of the level.

use crate::daemon::{RunningDaemon, SOON};
use crate::place::{Place, node};
use phalanx_net::clock;
use phalanx_net::identity::Validity;
use phalanx_net::wire::proto::PingRequest;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

/// Starts a daemon whose standard error is a pipe.
fn piped(mut command: Command) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let child = command.stderr(writer).spawn();
    (child.unwrap(), reader)
}

fn ends(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + SOON;
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("SIGTERM did not end the daemon");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_log_reader_that_stops_does_not_stop_the_daemon() {
    let place = Place::new();
    let mut command = place.command("a");
    command.args(["--log-level", "trace", "--log-format", "json"]);
    let (mut child, reader) = piped(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("phalanxd has started"));
    let started: serde_json::Value = serde_json::from_str(&started.unwrap()).unwrap();
    let address = started["address"].as_str().unwrap().parse().unwrap();
    // From here on, nothing reads the log. Each call writes several lines.
    let mut client = place.ask_at(address).await;
    for _ in 0..2_000 {
        client.calls().ping(PingRequest::default()).await.unwrap();
    }
    assert_eq!(ends(&mut child), Some(0));
    let rest = lines.map(|line| line.len()).sum::<usize>();
    assert!(rest >= 32 * 1024, "the pipe was full: {rest} bytes");
}

async fn send_from(source: [u8; 4], to: SocketAddr, bytes: &[u8]) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    // The daemon answers with an alert, or resets the connection.
    let _ended = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
}

#[tokio::test]
async fn a_flood_of_one_stranger_writes_a_few_lines_and_hides_no_other_stranger() {
    let place = Place::new();
    let daemon = RunningDaemon::start_as_configured(place.command("a"));
    for _ in 0..400 {
        send_from([127, 0, 0, 1], daemon.address, b"GET / HTTP/1.1\r\n\r\n").await;
    }
    send_from([127, 0, 0, 9], daemon.address, b"GET / HTTP/1.1\r\n\r\n").await;
    let mut bytes = 0;
    let mut lines = Vec::new();
    let deadline = Instant::now() + SOON;
    let is_other = |line: &serde_json::Value| line.to_string().contains("with 127.0.0.9:");
    let counts = |line: &serde_json::Value| {
        let text = line["message"].as_str().unwrap_or_default();
        text.contains("more handshake-failed events of") && text.contains("127.0.0.1 (")
    };
    while !(lines.iter().any(is_other) && lines.iter().any(counts)) {
        assert!(Instant::now() < deadline, "{lines:#?}");
        for line in daemon.said() {
            bytes += line.to_string().len();
            lines.push(line);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = |line: &&serde_json::Value| line["event"] == "handshake-failed";
    let failures = lines.iter().filter(failed).count();
    assert!(failures <= 7, "{failures} lines of one stranger");
    assert!(bytes < 8 * 1024, "{bytes} bytes for 400 connections");
    assert_eq!(daemon.ends().code(), Some(0));
}

#[tokio::test]
async fn health_checks_that_connect_and_close_are_silent() {
    let place = Place::new();
    let daemon = RunningDaemon::start_as_configured(place.command("a"));
    for _ in 0..30 {
        drop(TcpStream::connect(daemon.address).unwrap());
    }
    let mut late = TcpStream::connect(daemon.address).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let _reset = late.read_to_end(&mut heard);
    let said = daemon.says("the handshake with");
    let port = late.local_addr().unwrap().port().to_string();
    assert!(said.to_string().contains(&port), "{said}");
    let rest = daemon.said();
    assert!(
        !rest.iter().any(|line| line["event"] == "handshake-failed"),
        "{rest:?}"
    );
}

/// Returns the command of a daemon whose certificate ends in `seconds`.
fn ending_in(place: &Place, seconds: u64) -> Command {
    let now = clock::wall().0;
    let life = Validity {
        not_before: phalanx_core::time::Wall(now - 1_000),
        not_after: phalanx_core::time::Wall(now + seconds),
    };
    let files = place.issued("ca", &node("a"), crate::place::days(9), life);
    let ca = place.path("ca").join("ca-cert.pem");
    let mut command = crate::daemon::phalanxd(["--id", "a", "--mesh", "test"]);
    command.args(["--listen", "127.0.0.1:0", "--state-dir", &place.text("s")]);
    command.args(crate::place::flags(&files.certificate, &files.key, &ca));
    command
}

#[test]
fn a_certificate_that_ends_soon_is_warned_of_once() {
    let place = Place::new();
    let (mut child, reader) = {
        let mut command = ending_in(&place, 400);
        command.args(["--log-level", "debug"]);
        piped(command)
    };
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    // The node reads the certificate again at once, because it ends soon.
    let until = lines
        .by_ref()
        .take_while(|line| !line.contains("there is no newer certificate"));
    let warnings = until.filter(|line| line.contains("the certificate expires at"));
    assert_eq!(warnings.count(), 1);
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(ends(&mut child), Some(0));
}

#[tokio::test]
async fn an_expired_certificate_of_the_node_is_an_error() {
    let place = Place::new();
    let daemon = RunningDaemon::start_as_configured(ending_in(&place, 5));
    let said = daemon.says("the certificate of this node expired at");
    assert_eq!(said["level"], "ERROR", "{said}");
    assert_eq!(said["event"], "certificate-expired", "{said}");
}

#[test]
fn lines_in_the_journal_have_priorities() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let file = fs::File::from(std::os::fd::OwnedFd::from(writer.try_clone().unwrap()));
    let file = file.metadata().unwrap();
    let mut command = place.command("a");
    command.env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    command.args(["--trusted-subnet", "127.0.0.0/8"]);
    let mut child = command.stderr(writer).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("phalanxd has started"));
    assert!(
        started
            .unwrap()
            .starts_with("<6> INFO phalanxd has started")
    );
    let warned = lines.find(|line| line.contains("not encrypted")).unwrap();
    assert!(warned.starts_with("<4> WARN "), "{warned}");
    assert_eq!(ends(&mut child), Some(0));
}

#[test]
fn the_level_changes_on_signals_and_on_reload() {
    let place = Place::new();
    let file = place.path("phalanxd.toml");
    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let mut command = place.command("a");
    command.arg("--config").arg(&file);
    command.args(["--trusted-subnet", "127.0.0.0/8", "--log-format", "json"]);
    let (mut child, reader) = piped(command);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let first = lines.next().unwrap();
    assert!(
        first.contains("not encrypted"),
        "no line below WARN: {first}"
    );
    let signal = |signal| kill_process(Pid::from_child(&child), signal).unwrap();
    let mut says = |text: &str| lines.find(|line| line.contains(text)).unwrap();
    signal(Signal::USR1);
    assert!(says("more detail is logged").contains("phalanxd=debug"));
    signal(Signal::USR1);
    assert!(says("more detail is logged").contains("phalanxd=trace"));
    fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    signal(Signal::HUP);
    says("the configuration was reloaded");
    signal(Signal::USR2);
    assert!(says("the log is as configured").contains("\"info\""));
    assert_eq!(ends(&mut child), Some(0));
}

#[test]
fn repeated_requests_are_logged_a_few_times_and_then_counted() {
    let place = Place::new();
    let file = place.path("phalanxd.toml");
    fs::write(&file, "nickname = \"one\"\n").unwrap();
    let mut command = place.command("a");
    command.arg("--config").arg(&file);
    let daemon = RunningDaemon::start_as_configured(command);
    let nothing = "the configuration was reloaded; nothing changed";
    for _ in 0..10 {
        daemon.signal(Signal::HUP);
        daemon.says(nothing);
    }
    for _ in 0..40 {
        for signal in [Signal::HUP, Signal::USR2] {
            daemon.signal(signal);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // The limit of one result is no limit of another.
    fs::write(&file, "nickname = \"two\"\n").unwrap();
    daemon.signal(Signal::HUP);
    let mut lines = Vec::new();
    let deadline = Instant::now() + SOON;
    let counted = |kind: &'static str| {
        move |line: &serde_json::Value| line["kind"] == kind && line["count"].as_u64() > Some(9)
    };
    while !(lines.iter().any(counted("reload without changes"))
        && lines.iter().any(counted("SIGUSR2")))
    {
        assert!(Instant::now() < deadline, "{lines:#?}");
        lines.extend(daemon.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let count = |text: &str| lines.iter().filter(|line| line["message"] == text).count();
    // One further line in 30 s, on a busy machine.
    assert!(count(nothing) <= 3, "{lines:#?}");
    assert!(
        (10..=13).contains(&count("the log is as configured")),
        "{lines:#?}"
    );
    assert_eq!(count("the configuration was reloaded"), 1, "{lines:#?}");
}
