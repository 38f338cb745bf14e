//! Tests of supervision: exit codes, the watchdog, and signals while a file blocks.

use crate::daemon::{NotifySocket, RunningDaemon, SOON, phalanxd, refused};
use crate::mesh::{all_alive, sees};
use crate::place::{Place, days, flags, node};
use phalanx_net::store::{FileStore, epoch};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn make_pipe(path: &Path) {
    // A file at the path may exist.
    drop(fs::remove_file(path));
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[tokio::test]
async fn a_daemon_whose_id_stays_taken_ends_with_its_own_exit_code() {
    let place = Place::new();
    let b = place.start("b", &[]);
    let mut command = place.command("a");
    command.args(["--target", &b.address.to_string()]);
    command.env("PHALANX_TAKEN_ID_EXIT_AFTER_MS", "3000");
    let mut older = RunningDaemon::start(command);
    let state = place.path("elsewhere");
    fs::create_dir(&state).unwrap();
    let store = FileStore::hold(&state).unwrap();
    epoch::save(&store, older.epoch + 1_000).await.unwrap();
    drop(store);
    sees(&place, &b, |view| all_alive(view, 2)).await;
    // In the first two seconds of a start, a record with the node's own id would count as a record of an earlier start.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let mut command = phalanxd(["--id", "a", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command.arg("--state-dir").arg(&state);
    command.args(["--cert-dir", &place.text("certs")]);
    for seed in [&b, &older] {
        command.args(["--target", &seed.address.to_string()]);
    }
    let newer = RunningDaemon::start(command);
    assert_eq!(older.waits_for_its_end().code(), Some(3));
    older.says("another node uses this node's id");
    sees(&place, &newer, |view| all_alive(view, 2)).await;
}

#[test]
fn the_watchdog_is_fed_while_the_machine_answers() {
    let place = Place::new();
    let manager = NotifySocket::new();
    let mut command = place.command("a");
    command.env("NOTIFY_SOCKET", manager.path());
    command.env("WATCHDOG_USEC", "300000");
    let daemon = RunningDaemon::start(command);
    assert_eq!(manager.hear().trim(), "READY=1");
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(manager.hear().trim(), "WATCHDOG=1");
    }
    assert!(begun.elapsed() >= Duration::from_millis(800));
    // A suspended process feeds no watchdog.
    daemon.signal(Signal::STOP);
    manager.socket.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    while manager.socket.recv(&mut [0; 256]).is_ok() {}
    std::thread::sleep(Duration::from_millis(600));
    assert!(manager.socket.recv(&mut [0; 256]).is_err());
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.ends().code(), Some(0));
}

#[test]
fn sigterm_ends_a_daemon_while_a_reload_waits_for_a_file() {
    let place = Place::new();
    let files = place.issued("ca", &node("a"), days(9), days(9));
    let ca = place.path("ca").join("ca-cert.pem");
    let mut command = phalanxd(["--id", "a", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command.args(["--state-dir", &place.text("s")]);
    command.args(flags(&files.certificate, &files.key, &ca));
    let daemon = RunningDaemon::start(command);
    make_pipe(&files.certificate);
    daemon.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(daemon.ends().code(), Some(0));
    assert!(begun.elapsed() < SOON / 3, "{:?}", begun.elapsed());
}

#[test]
fn sigterm_ends_a_daemon_whose_start_waits_for_a_file() {
    let place = Place::new();
    let files = place.issued("ca", &node("a"), days(9), days(9));
    let ca = place.path("ca").join("ca-cert.pem");
    make_pipe(&files.certificate);
    let mut command = phalanxd(["--id", "a", "--mesh", "test", "--listen", "127.0.0.1:0"]);
    command.args(["--state-dir", &place.text("s")]);
    command.args(flags(&files.certificate, &files.key, &ca));
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "the daemon waits");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let deadline = Instant::now() + SOON;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("SIGTERM did not end the daemon");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn state_files_that_are_links_or_pipes_are_refused() {
    let place = Place::new();
    let daemon = place.start("a", &[]);
    assert_eq!(daemon.ends().code(), Some(0));
    let state = place.path("state-a");
    let precious = place.path("precious");
    fs::write(&precious, b"precious").unwrap();
    make_pipe(&state.join("epoch"));
    let (code, said) = refused(place.command("a"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not a regular file"), "{said}");
    fs::remove_file(state.join("epoch")).unwrap();
    for file in ["epoch", "lock"] {
        drop(fs::remove_file(state.join(file)));
        std::os::unix::fs::symlink(&precious, state.join(file)).unwrap();
        let (code, said) = refused(place.command("a"));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("symbolic link"), "{said}");
        fs::remove_file(state.join(file)).unwrap();
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let daemon = place.start("a", &[]);
    assert_eq!(daemon.ends().code(), Some(0));
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_and_the_connections_fit_into_it() {
    let place = Place::new();
    // The arguments follow the program in the shell's own command line.
    let daemon = place.command("a");
    let mut command = std::process::Command::new("/bin/sh");
    command
        .env_clear()
        .args(["-c", "ulimit -Sn 64; ulimit -Hn 240; exec \"$0\" \"$@\""]);
    command.arg(daemon.get_program()).args(daemon.get_args());
    let mut daemon = RunningDaemon::start(command);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.process())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3..5], ["240", "240"], "{files:?}");
    // From several sources, because each source has a rate of its own, which the administrator's connection shares.
    let mut strangers = Vec::new();
    for number in 0..400_u16 {
        let source = std::net::Ipv4Addr::new(127, 0, 0, 2 + (number % 4) as u8);
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        strangers.push(socket.connect(daemon.address).await);
    }
    let mut client = place.ask(&daemon).await;
    let ping = phalanx_net::wire::proto::PingRequest::default();
    client.calls().ping(ping).await.unwrap();
    drop(strangers);
    let failed = |line: &serde_json::Value| line["event"] == "accept-failed";
    assert!(!daemon.said().iter().any(failed));
    assert!(daemon.runs());
}
