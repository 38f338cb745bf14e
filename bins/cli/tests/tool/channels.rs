//! Channels on the command line: the tool against real daemons.

use super::fleet::RunningFleet;
use super::{Answer, run, tool};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// A running `phalanx … --json` that prints the events it receives; the process is killed when this value is dropped.
struct Listener {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// Starts a listener and waits for its subscription.
    fn start(words: &[&str], flags: &[&str]) -> Self {
        let mut child = tool(&[words, flags, &["--json"]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut listener = Self { child, lines };
        assert_eq!(listener.hears("subscribed")["event"], "subscribed");
        listener
    }

    /// Returns the next event of this kind.
    fn hears(&mut self, word: &str) -> Value {
        loop {
            let line = self.lines.next().expect("there is another line").unwrap();
            let event: Value = serde_json::from_str(&line).expect("it is JSON");
            if event["event"] == word {
                return event;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ask(words: &[&str], flags: &[&str]) -> Answer {
    run(&[words, flags].concat())
}

/// Repeats a command until it succeeds.
fn until_fine(words: &[&str], flags: &[&str]) -> Answer {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = ask(words, flags);
        if answer.code == 0 {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "phalanx {}: {}{}",
            words.join(" "),
            answer.out,
            answer.err
        );
    }
}

#[test]
fn two_nodes_chat_and_a_later_subscriber_reads_the_history() {
    let mut dev = RunningFleet::start("3");
    dev.formed();
    let (ada, bob) = (dev.flags(), dev.flags_of(1));
    let mut listener = Listener::start(&["subscribe", "chat"], &bob);
    ask(&["publish", "chat", "hello, Bob"], &ada).fine();
    let heard = listener.hears("broadcast");
    assert_eq!(
        (&heard["from"], &heard["text"], &heard["retained"]),
        (&"n1".into(), &"hello, Bob".into(), &false.into())
    );
    ask(&["send", "n2", "chat", "only you"], &ada).fine();
    let heard = listener.hears("message");
    assert_eq!(
        (&heard["from"], &heard["text"]),
        (&"n1".into(), &"only you".into())
    );
    // Standard input is published line by line.
    let mut typing = tool(&[&["publish", "chat", "-"], &ada[..]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = typing.stdin.take().unwrap();
    keys.write_all(b"one\n").unwrap();
    assert_eq!(listener.hears("broadcast")["text"], "one");
    keys.write_all(b"two\n").unwrap();
    drop(keys);
    assert_eq!(listener.hears("broadcast")["text"], "two");
    assert!(typing.wait().unwrap().success());
    let later = ["subscribe", "chat", "--history", "--count", "3", "--json"];
    let later = ask(&later, &dev.flags_of(2)).fine().json();
    let texts: Vec<&str> = later.iter().filter_map(|it| it["text"].as_str()).collect();
    assert_eq!(texts, ["hello, Bob", "one", "two"]);
    let known = &ask(&["channels", "--json"], &bob).fine().json()[0];
    assert_eq!(
        known["channels"],
        serde_json::json!([{ "name": "chat", "kind": "messages", "open": true, "held": 3 }])
    );
    let status = &ask(&["status", "--json"], &bob).fine().json()[0];
    assert_eq!(
        (&status["channels"], &status["open_channels"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn two_programs_at_one_node_hear_each_other() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let (ada, bob) = (dev.flags(), dev.flags_of(1));
    // Two programs at n1, and one at n2.
    let mut listeners = [
        Listener::start(&["subscribe", "chat"], &ada),
        Listener::start(&["subscribe", "chat"], &ada),
        Listener::start(&["subscribe", "chat"], &bob),
    ];
    for (flags, from, text) in [(&ada, "n1", "at home"), (&bob, "n2", "from afar")] {
        ask(&["publish", "chat", text], flags).fine();
        for listener in &mut listeners {
            let heard = listener.hears("broadcast");
            assert_eq!(
                (&heard["from"], &heard["text"], &heard["retained"]),
                (&from.into(), &text.into(), &false.into())
            );
        }
    }
    // Each message once: the next event is of the last message.
    ask(&["publish", "chat", "last"], &ada).fine();
    for listener in &mut listeners {
        assert_eq!(listener.hears("broadcast")["text"], "last");
    }
}

#[test]
fn an_undelivered_message_is_a_failure_with_its_reason() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let flags = dev.flags();
    ask(&["send", "unknown", "chat", "hello"], &flags)
        .fails(1, &["send to unknown", "no member of this name is known"]);
    ask(&["send", "n2", "chat", "hello"], &flags).fails(1, &["has not opened this channel"]);
    ask(&["send", "No-Body", "chat", "hello"], &flags).fails(2, &["No-Body"]);
    ask(&["publish", "No Channel", "hello"], &flags).fails(2, &["No Channel"]);
    let mut big = tool(&[&["publish", "chat", "--whole"], &flags[..]].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = big.stdin.take().unwrap();
    let too_much = vec![b'x'; 10 * 1024 * 1024 + 1];
    // The tool may stop reading before all bytes are written.
    drop(input.write_all(&too_much));
    drop(input);
    let refused = big.wait_with_output().unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("the limit of 10485760 bytes"), "{why}");
    // The channel is in use for messages, so it cannot be opened as a map.
    ask(&["publish", "chat", "hello"], &flags).fine();
    ask(&["kv", "put", "k", "v", "--map", "chat"], &flags)
        .fails(1, &["the mesh uses this channel for messages"]);
    let nothing = ["subscribe", "quiet", "--for", "200ms", "--count", "1"];
    assert_eq!(ask(&nothing, &flags).code, 1);
}

#[test]
fn a_map_is_written_conditionally_and_conflicts_are_shown() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let (ada, bob) = (dev.flags(), dev.flags_of(1));
    let mut watch = Listener::start(&["kv", "watch"], &bob);
    assert_eq!(ask(&["kv", "get", "colour"], &ada).code, 1);
    ask(&["kv", "put", "colour", "red", "--if-absent"], &ada).fine();
    let changed = watch.hears("changed");
    assert_eq!(
        (&changed["key"], &changed["text"]),
        (&"colour".into(), &"red".into())
    );
    // The other node holds the key too, so the condition fails there.
    let late = ask(&["kv", "put", "colour", "blue", "--if-absent"], &bob);
    assert_eq!(late.code, 1, "{}{}", late.out, late.err);
    assert!(
        late.err.contains("the condition on colour does not hold"),
        "{}",
        late.out
    );
    let version = changed["version"].as_str().unwrap();
    let swap = ["kv", "put", "colour", "green", "--if-version", version];
    ask(&swap, &bob).fine();
    assert_eq!(ask(&swap, &bob).code, 1, "the version has changed");
    let txn = [
        "kv",
        "txn",
        "--if",
        "colour=green",
        "--put",
        "size=xl",
        "--put",
        "shape=round",
    ];
    ask(&txn, &bob).fine();
    let listed = until_fine(&["kv", "get", "size"], &ada);
    assert_eq!(listed.out, "xl", "byte for byte");
    let list = ask(&["kv", "list", "s", "--json"], &ada).fine().json();
    let keys: Vec<&str> = list.iter().filter_map(|it| it["key"].as_str()).collect();
    assert_eq!(keys, ["shape", "size"]);
    ask(&["kv", "delete", "size", "--if-value", "xl"], &ada).fine();
    assert_eq!(watch.hears("deleted")["key"], "size");
    ask(&["kv", "txn", "--put", "novalue"], &ada).fails(2, &["KEY=VALUE"]);
    ask(&["kv", "put", "", "v"], &ada).fails(2, &["1 to 128 bytes"]);
}

#[test]
fn routes_show_the_next_hops_and_the_tree_of_a_source() {
    let mut dev = RunningFleet::start("3");
    dev.formed();
    let flags = dev.flags();
    let routes = &ask(&["routes", "--json"], &flags).fine().json()[0];
    let to: Vec<&str> = routes["routes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["to"].as_str())
        .collect();
    assert_eq!((&routes["source"], to), (&"n1".into(), vec!["n2", "n3"]));
    let tree = ask(&["routes", "--from", "n2"], &flags).fine().out;
    assert!(
        tree.starts_with("n2\n") && tree.lines().count() == 3,
        "{tree}"
    );
    ask(&["routes", "--from", "unknown"], &flags)
        .fails(1, &["unknown", "no member of this name is known"]);
}

/// Runs the tool with this standard input; returns what it writes to standard output.
fn bytes(words: &[&str], flags: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = tool(&[words, flags].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "phalanx {words:?}");
    ended.stdout
}

#[test]
fn values_and_messages_pass_through_a_pipe_byte_for_byte() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let flags = dev.flags();
    let binary: Vec<u8> = (0..=255).collect();
    for value in [&b"two\nlines\n"[..], b"", b"\x1b[2Jno escape", &binary] {
        bytes(&["kv", "put", "key", "-"], &flags, value);
        assert_eq!(bytes(&["kv", "get", "key"], &flags, b""), value);
        if !value.is_empty() {
            bytes(&["publish", "bytes", "--whole"], &flags, value);
        }
    }
    let nothing = ask(&["kv", "get", "nope"], &flags);
    assert_eq!((nothing.code, nothing.out.as_str()), (1, ""));
    assert!(
        nothing.err.contains("nope has no value in kv"),
        "{}",
        nothing.err
    );
    let heard = ["subscribe", "bytes", "--history", "--count", "3"];
    let wanted = [&b"two\nlines\n"[..], b"\x1b[2Jno escape", &binary].join(&b"\n"[..]);
    assert_eq!(bytes(&heard, &flags, b""), wanted);
}

#[test]
fn a_list_does_not_grow_with_the_longest_value() {
    let mut dev = RunningFleet::start("2");
    dev.formed();
    let flags = dev.flags();
    let large = vec![b'x'; 1_000_000];
    bytes(&["kv", "put", "large", "-"], &flags, &large);
    for key in 0..9 {
        ask(&["kv", "put", &format!("k{key}"), "v"], &flags).fine();
    }
    let list = ask(&["kv", "list"], &flags).fine().out;
    assert!(list.len() < 4_096, "{} bytes", list.len());
    assert!(list.contains("… (1000000 bytes)"), "{list}");
}
