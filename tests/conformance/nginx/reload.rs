//! Reloads: by SIGHUP, of good and bad configurations, with connections that hold old workers.

use super::{
    Address, Logged, NginxUnderTest, PROBE, Part, START, Signal, generation, get, log_length,
    logged, of, replaced, run, start, swap, test, two_workers, until, version, workers,
};
use core::time::Duration;
use std::collections::BTreeSet;

fn site(port: u16, text: &str) -> String {
    format!("server {{ listen 127.0.0.1:{port}; return 200 {text}; }}")
}

/// Starts version 1, and returns the master and its two workers.
fn first(part: Part<'_>, http: &str) -> (u32, Vec<u32>) {
    generation(part, "v1", "", http);
    let master = start(part);
    let old = two_workers(part, master);
    assert_eq!(version(part), "v1");
    (master, old)
}

/// The messages of a master after the first one, which names the sender of the signal.
fn after_signal(lines: &[Logged], master: u32) -> Vec<String> {
    let mut lines = of(lines, master);
    let first = lines.remove(0);
    assert!(
        first.starts_with("[notice] signal 1 (SIGHUP) received from "),
        "{first}"
    );
    assert!(first.ends_with(", reconfiguring"), "{first}");
    lines
}

/// Reloads a configuration that must fail, and returns the master's messages. Version 1 continues with the same
/// workers.
fn refused(part: Part<'_>, http: &str, message: &str) -> Vec<String> {
    let master = super::master(part);
    let old = two_workers(part, master);
    generation(part, "v2", "", http);
    swap(part, "v2");
    let skip = log_length(part);
    part.signal(master, Signal::HangUp);
    let lines = until(part, message, |part| {
        let lines = logged(part, skip);
        let fails = lines
            .iter()
            .any(|line| line.level == "emerg" && line.text.contains(message));
        fails.then_some(lines)
    });
    part.pause(Duration::from_millis(300));
    assert_eq!(version(part), "v1");
    assert_eq!(workers(part, master), old);
    after_signal(&lines, master)
}

pub(super) fn a_reload_follows_the_link_and_replaces_the_workers(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, old) = first(part, &site(port, "one"));
    generation(part, "v2", "", &site(port, "two"));
    // A generation that the link does not name yet has no effect on a reload.
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert_eq!(version(part), "v1");

    let old = two_workers(part, master);
    let skip = log_length(part);
    swap(part, "v2");
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    let new = two_workers(part, master);
    assert_eq!(new.len(), 2);
    assert_eq!(version(part), "v2");
    let answer = get(part, &Address::Port(port), "a", "/").expect("an answer");
    assert_eq!(answer.body, "two");
    let lines = logged(part, skip);
    let mut of_master = after_signal(&lines, master);
    of_master[4..].sort();
    let exited = |pid| format!("[notice] worker process {pid} exited with code 0");
    let expected = [
        "[notice] reconfiguring".to_owned(),
        "[notice] start worker processes".to_owned(),
        format!("[notice] start worker process {}", new[0]),
        format!("[notice] start worker process {}", new[1]),
        exited(old[0]),
        exited(old[1]),
    ];
    assert_eq!(of_master, expected);
    for worker in old {
        let expected = [
            "[notice] gracefully shutting down",
            "[notice] exiting",
            "[notice] exit",
        ];
        assert_eq!(of(&lines, worker), expected);
    }
}

pub(super) fn both_generations_stand_for_the_mixed_window(part: &mut dyn NginxUnderTest) {
    let (master, _) = first(part, "");
    generation(part, "v2", "", "");
    // On a busy machine, the test may look too late at some of the reloads.
    let windows: Vec<Duration> = ["v2", "v1", "v2", "v1", "v2"]
        .into_iter()
        .map(|to| mixed_window(part, master, to))
        .collect();
    let longest = windows.iter().max().copied().unwrap_or_default();
    assert!(longest >= Duration::from_millis(80), "{windows:?}");
}

/// Reloads; returns the time for which workers of both generations were seen together.
fn mixed_window(part: Part<'_>, master: u32, to: &str) -> Duration {
    let old = two_workers(part, master);
    swap(part, to);
    let began = part.elapsed();
    part.signal(master, Signal::HangUp);
    let (mut served, mut first, mut last) = (BTreeSet::new(), None, began);
    until(part, "the end of the old workers", |part| {
        served.insert(version(part));
        let now = workers(part, master);
        let olds = now.iter().filter(|pid| old.contains(pid)).count();
        let news = now.len() - olds;
        if olds == 2 && news > 0 {
            last = part.elapsed();
            first.get_or_insert(last);
        }
        (olds == 0 && news == 2).then_some(())
    });
    // New workers exist for at least this time before the old ones are told to quit.
    assert!(part.elapsed() - began >= Duration::from_millis(100));
    let known = ["v1", "v2"];
    assert!(
        served
            .iter()
            .all(|version| known.contains(&version.as_str())),
        "{served:?}"
    );
    for _ in 0..10 {
        assert_eq!(version(part), to);
    }
    last - first.unwrap_or(last)
}

pub(super) fn a_bad_configuration_leaves_the_old_workers(part: &mut dyn NginxUnderTest) {
    first(part, "");
    let fault = "unknown directive \"bogus\" in P/current/nginx.conf:16";
    let lines = refused(part, "bogus;", fault);
    assert_eq!(
        lines,
        [
            "[notice] reconfiguring".to_owned(),
            format!("[emerg] {fault}")
        ]
    );
}

pub(super) fn a_reload_by_command_reads_the_configuration_first(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, "");
    generation(part, "v2", "", "bogus;");
    swap(part, "v2");
    let reload = [&START[..], &["-s", "reload"]].concat();
    let skip = log_length(part);
    let ran = run(part, &reload);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr[0].contains("unknown directive \"bogus\""),
        "{ran:?}"
    );
    let lines = logged(part, skip);
    assert!(of(&lines, master).is_empty(), "{lines:?}");
    generation(part, "v2", "", "");
    let ran = run(part, &reload);
    assert_eq!((ran.code, ran.stderr), (0, Vec::new()));
    replaced(part, master, &old);
    assert_eq!(version(part), "v2");
}

pub(super) fn rapid_signals_coalesce(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, "");
    let skip = log_length(part);
    for _ in 0..10 {
        part.signal(master, Signal::HangUp);
    }
    replaced(part, master, &old);
    part.pause(Duration::from_millis(500));
    let lines = of(&logged(part, skip), master);
    let reloads = lines
        .iter()
        .filter(|line| *line == "[notice] reconfiguring")
        .count();
    assert!((1..=2).contains(&reloads), "{reloads} reloads: {lines:?}");
}

pub(super) fn a_signal_while_the_master_is_busy_waits(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, "");
    let skip = log_length(part);
    part.signal(master, Signal::HangUp);
    let started = |part: &dyn NginxUnderTest| {
        let lines = of(&logged(part, skip), master);
        lines
            .iter()
            .filter(|line| line.starts_with("[notice] start worker process "))
            .count()
    };
    until(part, "new workers", |part| {
        (started(part) == 2).then_some(())
    });
    // The master sleeps during the mixed window and handles the signal afterwards.
    part.signal(master, Signal::HangUp);
    until(part, "newer workers", |part| {
        (started(part) == 4).then_some(())
    });
    replaced(part, master, &old);
    until(part, "two workers", |part| {
        (part.children(master).len() == 2).then_some(())
    });
}

pub(super) fn a_taken_port_fails_the_reload_after_five_tries(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, old) = first(part, "");
    part.occupy(port);
    generation(part, "v2", "", &site(port, "two"));
    assert_eq!(test(part, "v2").code, 0);
    let began = part.elapsed();
    let lines = refused(part, &site(port, "two"), "still could not bind()");
    let took = part.elapsed() - began;
    assert!(
        took >= Duration::from_millis(2_500) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let mut expected = vec!["[notice] reconfiguring".to_owned()];
    for _ in 0..5 {
        expected.push(format!(
            "[emerg] bind() to 127.0.0.1:{port} failed (98: Address already in use)"
        ));
        expected.push("[notice] try again to bind() after 500ms".to_owned());
    }
    expected.push("[emerg] still could not bind()".to_owned());
    assert_eq!(lines, expected);
    part.release(port);
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert_eq!(version(part), "v2");
}

pub(super) fn an_address_of_another_host_fails_the_reload_at_once(part: &mut dyn NginxUnderTest) {
    first(part, "");
    let fault = "bind() to 192.0.2.7:18081 failed (99: Cannot assign requested address)";
    let lines = refused(part, "server { listen 192.0.2.7:18081; }", fault);
    assert_eq!(
        lines,
        [
            "[notice] reconfiguring".to_owned(),
            format!("[emerg] {fault}")
        ]
    );
}

fn zone(key: &str, size: &str) -> String {
    format!("limit_req_zone {key} zone=z:{size} rate=1r/s;")
}

pub(super) fn a_zone_with_another_key_fails_only_the_reload(part: &mut dyn NginxUnderTest) {
    first(part, &zone("$binary_remote_addr", "64k"));
    let changed = zone("$server_name", "64k");
    generation(part, "v2", "", &changed);
    assert_eq!(test(part, "v2").code, 0);
    let fault = "limit_req \"z\" uses the \"$server_name\" key while previously it used the \
                 \"$binary_remote_addr\" key";
    let lines = refused(part, &changed, fault);
    assert_eq!(
        lines,
        [
            "[notice] reconfiguring".to_owned(),
            format!("[emerg] {fault}")
        ]
    );
}

pub(super) fn a_cache_with_other_levels_fails_only_the_reload(part: &mut dyn NginxUnderTest) {
    let cache = |path: &str, levels: &str| {
        format!("proxy_cache_path {path} levels={levels} keys_zone=c:64k;")
    };
    first(part, &cache("cache", "1:2"));
    for (changed, fault) in [
        (
            cache("cache", "1"),
            "cache \"c\" had previously different levels",
        ),
        (
            cache("other", "1:2"),
            "cache \"c\" uses the \"P/other\" cache path while previously it used the \"P/cache\" cache path",
        ),
    ] {
        generation(part, "v2", "", &changed);
        assert_eq!(test(part, "v2").code, 0);
        let lines = refused(part, &changed, fault);
        assert_eq!(
            lines,
            [
                "[notice] reconfiguring".to_owned(),
                format!("[emerg] {fault}")
            ]
        );
    }
}

pub(super) fn a_zone_of_another_size_is_made_again(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, &zone("$binary_remote_addr", "64k"));
    generation(part, "v2", "", &zone("$server_name", "128k"));
    swap(part, "v2");
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert_eq!(version(part), "v2");
}

pub(super) fn a_cache_has_processes_of_its_own(part: &mut dyn NginxUnderTest) {
    let cache = "proxy_cache_path cache keys_zone=c:64k;";
    let (master, old) = first(part, cache);
    let titles = |part: &dyn NginxUnderTest| {
        let children = part.children(master).into_iter();
        let mut titles: Vec<String> = children.map(|(_, title)| title).collect();
        titles.sort();
        titles
    };
    let expected = [
        "nginx: cache loader process",
        "nginx: cache manager process",
        "nginx: worker process",
        "nginx: worker process",
    ];
    until(part, "all children", |part| {
        (titles(part) == expected).then_some(())
    });
    let all: Vec<u32> = part
        .children(master)
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    generation(part, "v2", "", cache);
    swap(part, "v2");
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    until(part, "the end of all old children", |part| {
        let now = part.children(master);
        let left = now.iter().any(|(pid, _)| all.contains(pid));
        (!left && titles(part) == expected).then_some(())
    });
    assert_eq!(version(part), "v2");
}

/// Connects until one of these workers accepts the connection, as its answer shows.
fn connected_to(part: Part<'_>, port: u16) -> u64 {
    part.connect(&Address::Port(port)).expect("nginx listens")
}

/// The titles of those children that existed before.
fn left(part: &dyn NginxUnderTest, master: u32, old: &[u32]) -> Vec<String> {
    let children = part.children(master).into_iter();
    let children = children.filter(|(pid, _)| old.contains(pid));
    children.map(|(_, title)| title).collect()
}

const LEAVING: &str = "nginx: worker process is shutting down";

pub(super) fn half_a_header_pins_an_old_worker(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, old) = first(part, &site(port, "one"));
    let client = connected_to(part, port);
    part.send_half(client);
    part.pause(Duration::from_millis(50));
    let began = part.elapsed();
    part.signal(master, Signal::HangUp);
    until(part, "one old worker", |part| {
        (left(part, master, &old) == [LEAVING]).then_some(())
    });
    // The shutdown timeout of one second does not end the connection; the header timeout of three seconds does.
    until(part, "the end of the shutdown timeout", |part| {
        (part.elapsed() - began > Duration::from_millis(2_000)).then_some(())
    });
    assert_eq!(left(part, master, &old), [LEAVING]);
    assert!(part.is_open(client));
    replaced(part, master, &old);
    let took = part.elapsed() - began;
    assert!(
        took > Duration::from_millis(2_500) && took < Duration::from_secs(8),
        "{took:?}"
    );
    assert!(!part.is_open(client));
}

pub(super) fn a_silent_connection_ends_with_the_shutdown_timeout(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, old) = first(part, &site(port, "one"));
    let client = connected_to(part, port);
    part.pause(Duration::from_millis(50));
    let began = part.elapsed();
    part.signal(master, Signal::HangUp);
    until(part, "one old worker", |part| {
        (left(part, master, &old) == [LEAVING]).then_some(())
    });
    assert!(part.is_open(client));
    replaced(part, master, &old);
    let took = part.elapsed() - began;
    assert!(
        took > Duration::from_millis(1_000) && took < Duration::from_millis(2_800),
        "{took:?}"
    );
    assert!(!part.is_open(client));
}

pub(super) fn an_idle_connection_is_closed(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, old) = first(part, &site(port, "one"));
    let client = connected_to(part, port);
    for _ in 0..2 {
        let answer = part.ask(client, "a", "/", false).expect("an answer");
        assert_eq!(answer.body, "one");
    }
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert!(!part.is_open(client));
    assert!(part.ask(client, "a", "/", false).is_none());
}

pub(super) fn generations_add_up(part: &mut dyn NginxUnderTest) {
    let port = part.free_port();
    let (master, mut all) = first(part, &site(port, "one"));
    let mut clients = Vec::new();
    for generations in 1..=2 {
        let client = connected_to(part, port);
        part.send_half(client);
        part.pause(Duration::from_millis(50));
        clients.push(client);
        part.signal(master, Signal::HangUp);
        until(part, "a pinned worker of each generation", |part| {
            let leaving = left(part, master, &all);
            let new = workers(part, master)
                .iter()
                .filter(|pid| !all.contains(pid))
                .count();
            (leaving == vec![LEAVING; generations] && new == 2).then_some(())
        });
        all.extend(workers(part, master));
    }
    for client in clients {
        part.close(client);
    }
    until(part, "the end of the pinned workers", |part| {
        (part.children(master).len() == 2).then_some(())
    });
}

pub(super) fn a_removed_socket_file_is_not_made_again(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, "");
    part.remove("run/p.sock");
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert_eq!(part.connect(&PROBE), Err("entity not found".to_owned()));
    assert_eq!(part.list("run"), ["nginx.pid"]);
}

pub(super) fn a_pid_file_and_a_socket_move(part: &mut dyn NginxUnderTest) {
    let (master, old) = first(part, "");
    generation(part, "v2", "", "");
    let text = part.read("gen/v2/nginx.conf").unwrap_or_default();
    let text = text
        .replace("nginx.pid", "other.pid")
        .replace("p.sock", "q.sock");
    part.write("gen/v2/nginx.conf", &text);
    swap(part, "v2");
    part.signal(master, Signal::HangUp);
    replaced(part, master, &old);
    assert_eq!(part.list("run"), ["other.pid", "q.sock"]);
    assert_eq!(
        part.read("run/other.pid").unwrap_or_default().trim(),
        master.to_string()
    );
    let answer = get(part, &Address::Socket("run/q.sock"), "a", "/v").expect("an answer");
    assert_eq!(answer.body, "v2");
}
