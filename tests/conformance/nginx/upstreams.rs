//! Upstreams: round robin, weights, and members that fail.

use super::{Address, Logged, NginxUnderTest, Part, generation, get, logged, start};
use core::time::Duration;

/// Runs one worker, because each worker has its own round-robin state; requests for `/` go to an upstream with these
/// members.
fn serve(part: Part<'_>, port: u16, members: &str) -> usize {
    let http = format!(
        "upstream u {{ {members} }}
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; }} }}"
    );
    generation(part, "v1", "", &http);
    let text = part.read("gen/v1/nginx.conf").unwrap_or_default();
    part.write(
        "gen/v1/nginx.conf",
        &text.replace("worker_processes 2", "worker_processes 1"),
    );
    start(part);
    super::log_length(part)
}

/// The back ends that answer a number of requests; another answer is shown by its status.
fn asked(part: Part<'_>, port: u16, requests: usize) -> String {
    let mut answers = Vec::new();
    for _ in 0..requests {
        let answer = get(part, &Address::Port(port), "a", "/").expect("an answer");
        answers.push(match answer.status {
            200 => answer.body.split(' ').next().unwrap_or("").to_owned(),
            status => status.to_string(),
        });
    }
    answers.join(" ")
}

/// The log's messages about requests, without the part that names the client.
fn complaints(lines: &[Logged]) -> Vec<String> {
    let text = |line: &Logged| {
        let text = line.text.split_once(' ')?.1.split(", client: ").next()?;
        let member = line.text.split("upstream: \"").nth(1)?.split('"').next()?;
        Some(format!("[{}] {text}: {member}", line.level))
    };
    let lines = lines
        .iter()
        .filter(|line| ["error", "warn"].contains(&line.level.as_str()));
    lines.filter_map(text).collect()
}

fn ports<const N: usize>(part: Part<'_>) -> [u16; N] {
    core::array::from_fn(|_| part.free_port())
}

pub(super) fn members_take_turns(part: &mut dyn NginxUnderTest) {
    let [port, a, b, c] = ports(part);
    for (member, name) in [(a, "a"), (b, "b"), (c, "c")] {
        part.back_end(member, name);
    }
    let members = format!(
        "server 127.0.0.1:{a} weight=3; server 127.0.0.1:{b} weight=2; server 127.0.0.1:{c};"
    );
    let skip = serve(part, port, &members);
    assert_eq!(asked(part, port, 12), "a b a c b a a b a c b a");
    assert!(complaints(&logged(part, skip)).is_empty());
}

pub(super) fn a_member_that_refuses_is_set_aside(part: &mut dyn NginxUnderTest) {
    let [port, dead, a, b] = ports(part);
    part.back_end(a, "a");
    part.back_end(b, "b");
    let members = format!("server 127.0.0.1:{dead}; server 127.0.0.1:{a}; server 127.0.0.1:{b};");
    let skip = serve(part, port, &members);
    assert_eq!(asked(part, port, 6), "a b a b a b");
    let expected = [
        format!(
            "[error] connect() failed (111: Connection refused) while connecting to upstream: http://127.0.0.1:{dead}/"
        ),
        format!(
            "[warn] upstream server temporarily disabled while connecting to upstream: http://127.0.0.1:{dead}/"
        ),
    ];
    assert_eq!(complaints(&logged(part, skip)), expected);
}

pub(super) fn a_member_comes_back(part: &mut dyn NginxUnderTest) {
    let [port, late, a] = ports(part);
    part.back_end(a, "a");
    let members = format!("server 127.0.0.1:{late} fail_timeout=1s; server 127.0.0.1:{a};");
    serve(part, port, &members);
    assert_eq!(asked(part, port, 4), "a a a a");
    part.back_end(late, "late");
    part.pause(Duration::from_millis(2_200));
    let answers = asked(part, port, 8);
    assert!(answers.contains("late"), "{answers}");
    assert!(
        answers.ends_with("late a late") || answers.ends_with("a late a"),
        "{answers}"
    );
}

pub(super) fn without_a_live_member_the_answer_is_502(part: &mut dyn NginxUnderTest) {
    let [port, dead, other] = ports(part);
    let members = format!("server 127.0.0.1:{dead}; server 127.0.0.1:{other};");
    let skip = serve(part, port, &members);
    assert_eq!(asked(part, port, 3), "502 502 502");
    let lines = complaints(&logged(part, skip));
    let none = "[error] no live upstreams while connecting to upstream: http://u/";
    assert_eq!(
        lines.iter().filter(|line| *line == none).count(),
        2,
        "{lines:?}"
    );
    assert_eq!(lines.len(), 6, "{lines:?}");
}

pub(super) fn backups_serve_last(part: &mut dyn NginxUnderTest) {
    let [port, dead, down, a] = ports(part);
    part.back_end(a, "a");
    part.back_end(down, "down");
    let members = format!(
        "server 127.0.0.1:{dead}; server 127.0.0.1:{down} down; server 127.0.0.1:{a} backup;"
    );
    serve(part, port, &members);
    assert_eq!(asked(part, port, 5), "a a a a a");
}

pub(super) fn paths_are_passed_on(part: &mut dyn NginxUnderTest) {
    let [port, a] = ports(part);
    part.back_end(a, "a");
    let http = format!(
        "server {{ listen 127.0.0.1:{port};
           location / {{ proxy_pass http://127.0.0.1:{a}; }}
           location /cut/ {{ proxy_pass http://127.0.0.1:{a}/; }}
           location /to/ {{ proxy_pass http://localhost:{a}/other/; }} }}"
    );
    generation(part, "v1", "", &http);
    start(part);
    for (path, passed) in [
        ("/x/../y?q=1", "/x/../y?q=1"),
        ("/cut/x?q=1", "/x?q=1"),
        ("/to/x/y", "/other/x/y"),
    ] {
        let answer = get(part, &Address::Port(port), "a", path).expect("an answer");
        assert_eq!(
            (answer.status, answer.body),
            (200, format!("a {passed}")),
            "{path}"
        );
    }
}
