//! nginx: the trait through which cases see it, and the steps that the cases share.

mod fake;
mod lifecycle;
mod real;
mod reload;
mod requests;
mod tls;
mod upstreams;
mod verdicts;

use core::time::Duration;
use fake::Fake;
use real::Real;

super::conformance! {
    Fake, Real,
    verdicts: author_faults_name_file_and_line, words_and_blocks_are_read_alike,
        values_are_checked_alike, names_that_do_not_resolve_are_faults,
        addresses_that_cannot_be_bound_fail_after_the_syntax, warnings_pass,
        zones_are_checked_alike, faults_without_a_place, upstreams_are_checked_alike,
        locations_are_checked_alike, files_that_cannot_be_read_or_made, includes_follow_globs,
        a_port_that_another_process_has_passes, a_test_makes_folders_and_an_empty_pid_file,
        a_test_beside_a_running_nginx_changes_nothing, options_are_checked_alike;
    tls: a_missing_certificate_has_no_place, a_key_of_another_certificate_is_a_mismatch,
        a_pair_that_fits_passes, a_tls_listener_needs_a_certificate;
    lifecycle: a_start_serves_and_logs, a_bad_configuration_does_not_start,
        a_taken_port_fails_the_start_after_five_tries, a_second_start_harms_nothing,
        quit_and_terminate_clean_up, a_killed_worker_is_replaced, a_worker_that_quits_is_replaced,
        a_killed_master_leaves_orphans_and_its_socket, in_the_foreground_the_master_is_the_command,
        signals_by_command_need_a_pid_file;
    reload: a_reload_follows_the_link_and_replaces_the_workers, both_generations_stand_for_the_mixed_window,
        a_bad_configuration_leaves_the_old_workers, a_reload_by_command_reads_the_configuration_first,
        rapid_signals_coalesce, a_taken_port_fails_the_reload_after_five_tries,
        an_address_of_another_host_fails_the_reload_at_once,
        a_zone_with_another_key_fails_only_the_reload, a_cache_with_other_levels_fails_only_the_reload,
        a_zone_of_another_size_is_made_again, a_cache_has_processes_of_its_own,
        half_a_header_pins_an_old_worker, a_silent_connection_ends_with_the_shutdown_timeout,
        an_idle_connection_is_closed, generations_add_up, a_removed_socket_file_is_not_made_again,
        a_pid_file_and_a_socket_move, a_signal_while_the_master_is_busy_waits;
    requests: servers_are_chosen_by_name, locations_are_chosen_by_path, answers_are_returned,
        files_are_served, a_wildcard_address_serves_for_others;
    upstreams: members_take_turns, a_member_that_refuses_is_set_aside, a_member_comes_back,
        without_a_live_member_the_answer_is_502, backups_serve_last, paths_are_passed_on;
}

/// A signal to a process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Kill,
    Terminate,
    Quit,
    HangUp,
}

/// The address that a client connects to.
#[derive(Clone, Debug)]
pub(super) enum Address {
    /// A TCP port on 127.0.0.1.
    Port(u16),
    /// A Unix socket, by its path below the prefix.
    Socket(&'static str),
}

/// The result of a command.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stderr: Vec<String>,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) location: String,
    pub(super) body: String,
}

/// An nginx installation below its own prefix: the fake or the real program.
pub(super) trait NginxUnderTest {
    /// The prefix, without a trailing slash.
    fn prefix(&self) -> String;
    /// Returns a TCP port that is free on 127.0.0.1.
    fn free_port(&mut self) -> u16;
    /// Returns the lowest port on which an unprivileged process may listen.
    fn first_unprivileged_port(&self) -> u16;

    /// Writes a file, and creates its folders.
    fn write(&mut self, path: &str, text: &str);
    /// Creates a folder.
    fn make_folder(&mut self, path: &str);
    /// Creates a symbolic link, which replaces an entry with the same path in one step.
    fn link(&mut self, target: &str, path: &str);
    /// Removes a file.
    fn remove(&mut self, path: &str);
    /// The text of a file; none if it does not exist.
    fn read(&self, path: &str) -> Option<String>;
    /// The names in a folder, sorted.
    fn list(&self, path: &str) -> Vec<String>;

    /// Starts `nginx` with these arguments; returns a number for [`Self::ended`].
    fn spawn(&mut self, arguments: &[String]) -> u64;
    /// Returns the result of a command, if the command has ended.
    fn ended(&mut self, command: u64) -> Option<Ran>;
    /// Sends a signal.
    fn signal(&mut self, pid: u32, signal: Signal);
    /// Returns the process ids and titles of a process's children.
    fn children(&self, pid: u32) -> Vec<(u32, String)>;
    /// Whether a process runs.
    fn runs(&self, pid: u32) -> bool;

    /// Listens on a port, as a process other than nginx.
    fn occupy(&mut self, port: u16);
    /// Ends a listener or a back end on a port.
    fn release(&mut self, port: u16);
    /// Starts a back end that answers with `name` and the requested path.
    fn back_end(&mut self, port: u16, name: &str);

    /// Connects to an address; returns a number for the connection.
    fn connect(&mut self, address: &Address) -> Result<u64, String>;
    /// Sends half a request header.
    fn send_half(&mut self, client: u64);
    /// Sends a request and waits for its answer; none if the server closed the connection.
    fn ask(&mut self, client: u64, host: &str, path: &str, close: bool) -> Option<Answer>;
    /// Returns whether the server has left a connection open.
    fn is_open(&mut self, client: u64) -> bool;
    /// Closes a connection.
    fn close(&mut self, client: u64);

    /// Lets time pass.
    fn pause(&mut self, time: Duration);
    /// The time since the case began.
    fn elapsed(&self) -> Duration;
}

type Part<'a> = &'a mut dyn NginxUnderTest;

/// The maximum time that a case waits for an expected change.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
fn until<T>(part: Part<'_>, what: &str, mut holds: impl FnMut(Part<'_>) -> Option<T>) -> T {
    let end = part.elapsed() + PATIENCE;
    loop {
        if let Some(found) = holds(part) {
            return found;
        }
        assert!(
            part.elapsed() < end,
            "{what} did not happen in {PATIENCE:?}"
        );
        part.pause(Duration::from_millis(3));
    }
}

/// A configuration to which a case adds lines: from line 3 on (main) and from line 16 on (in `http`).
fn configuration(part: &dyn NginxUnderTest, version: &str, main: &str, http: &str) -> String {
    let p = part.prefix();
    format!(
        "worker_processes 2;
pid {p}/run/nginx.pid;
{main}
error_log {p}/logs/error.log notice;
worker_shutdown_timeout 1s;
events {{ worker_connections 512; }}
http {{
  access_log off; server_tokens off;
  client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi;
  uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
  client_header_timeout 3s;
  server {{
    listen unix:{p}/run/p.sock;
    location = /v {{ default_type text/plain; return 200 {version}; }} }}
  include {p}/gen/{version}/conf.d/*.conf;
{http}
}}
"
    )
}

/// Writes a generation, and creates the link to it if there is no link yet.
fn generation(part: Part<'_>, version: &str, main: &str, http: &str) {
    for folder in ["logs", "run", "tmp"] {
        part.make_folder(folder);
    }
    part.make_folder(&format!("gen/{version}/conf.d"));
    let text = configuration(part, version, main, http);
    part.write(&format!("gen/{version}/nginx.conf"), &text);
    if part.read("current/nginx.conf").is_none() {
        part.link(&format!("gen/{version}"), "current");
    }
}

fn run(part: Part<'_>, arguments: &[&str]) -> Ran {
    let mut all = vec!["-p".to_owned(), part.prefix() + "/"];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let command = part.spawn(&all);
    until(part, "the end of the command", |part| part.ended(command))
}

/// `nginx -t` of a generation, with standard error as the log.
fn test(part: Part<'_>, version: &str) -> Ran {
    let file = format!("gen/{version}/nginx.conf");
    run(part, &["-c", &file, "-e", "stderr", "-t"])
}

const START: [&str; 4] = ["-c", "current/nginx.conf", "-e", "logs/error.log"];

/// Starts nginx, and returns the process id of its master.
fn start(part: Part<'_>) -> u32 {
    let ran = run(part, &START);
    assert_eq!(ran.code, 0, "{:?}", ran.stderr);
    master(part)
}

/// The process id in the PID file. nginx writes the file right after the command ended, so this function waits for the
/// file.
fn master(part: Part<'_>) -> u32 {
    until(part, "a number in the pid file", |part| {
        part.read("run/nginx.pid")?.trim().parse().ok()
    })
}

/// Replaces a process id, the time and the folder by `PID`, `TIME` and `P`.
fn plain(part: &dyn NginxUnderTest, line: &str) -> String {
    let mut line = line.replace(&part.prefix(), "P");
    let stamped = line.len() > 20
        && line.is_char_boundary(19)
        && line[..19]
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"/: ".contains(&byte));
    if stamped {
        let rest = &line[20..];
        let (level, rest) = rest.split_once("] ").unwrap_or((rest, ""));
        let message = rest.split_once(": ").map_or(rest, |(_, message)| message);
        line = format!("TIME {level}] PID: {message}");
    }
    line
}

fn plain_all(part: &dyn NginxUnderTest, lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| plain(part, line)).collect()
}

/// A line of the error log.
#[derive(Clone, Debug)]
struct Logged {
    pid: u32,
    level: String,
    text: String,
}

/// The lines of the error log after the first `skip` lines. Lines about the machine, about signals from the kernel and
/// about the event method are left out.
fn logged(part: &dyn NginxUnderTest, skip: usize) -> Vec<Logged> {
    let text = part.read("logs/error.log").unwrap_or_default();
    let line = |line: &str| {
        let (head, rest) = line.split_once(": ")?;
        let (level, pid) = head.get(20..)?.split_once("] ")?;
        let left_out = [
            "signal 17 ",
            "signal 29 ",
            "OS: ",
            "getrlimit",
            "using the ",
            "nginx/",
        ];
        if left_out.iter().any(|start| rest.starts_with(start)) {
            return None;
        }
        Some(Logged {
            pid: pid.split('#').next()?.parse().ok()?,
            level: level.trim_start_matches('[').to_owned(),
            text: rest.replace(&part.prefix(), "P"),
        })
    };
    text.lines().skip(skip).filter_map(line).collect()
}

/// The number of lines in the error log.
fn log_length(part: &dyn NginxUnderTest) -> usize {
    part.read("logs/error.log")
        .unwrap_or_default()
        .lines()
        .count()
}

/// The messages of one process, with their levels.
fn of(lines: &[Logged], pid: u32) -> Vec<String> {
    let lines = lines.iter().filter(|line| line.pid == pid);
    lines
        .map(|line| format!("[{}] {}", line.level, line.text))
        .collect()
}

/// The workers of a master that are not shutting down.
fn workers(part: &dyn NginxUnderTest, master: u32) -> Vec<u32> {
    let children = part.children(master).into_iter();
    let children = children.filter(|(_, title)| title == "nginx: worker process");
    children.map(|(pid, _)| pid).collect()
}

/// Waits for two workers that are not shutting down; a child gets its title a moment after its start.
fn two_workers(part: Part<'_>, master: u32) -> Vec<u32> {
    until(part, "two workers", |part| {
        Some(workers(part, master)).filter(|workers| workers.len() == 2)
    })
}

fn get(part: Part<'_>, address: &Address, host: &str, path: &str) -> Option<Answer> {
    let client = part
        .connect(address)
        .unwrap_or_else(|why| panic!("{address:?}: {why}"));
    part.ask(client, host, path, true)
}

const PROBE: Address = Address::Socket("run/p.sock");

/// The version that nginx answers on the probe socket.
fn version(part: Part<'_>) -> String {
    get(part, &PROBE, "probe", "/v").map_or_else(String::new, |answer| answer.body)
}

/// Waits until only new workers are left, and the master's log has settled.
fn replaced(part: Part<'_>, master: u32, old: &[u32]) {
    until(part, "the end of the old workers", |part| {
        let children = part.children(master);
        let left = children.iter().any(|(pid, _)| old.contains(pid));
        (!left && children.len() >= old.len()).then_some(())
    });
    for worker in old {
        let text = format!("worker process {worker} exited with code 0");
        until(part, "the reaping of a worker", |part| {
            logged(part, 0)
                .iter()
                .any(|line| line.text == text)
                .then_some(())
        });
    }
}

/// Points the link to another generation.
fn swap(part: Part<'_>, version: &str) {
    part.link(&format!("gen/{version}"), "current");
}
