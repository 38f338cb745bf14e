//! nginx from Debian, unprivileged, in a temporary folder.

use super::{Address, Answer, NginxUnderTest, Ran, Signal};
use core::sync::atomic::{AtomicU16, Ordering};
use core::time::Duration;
use phalanx_tests::FolderGuardian;
use rustix::process::{Pid, Signal as Number, geteuid, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const NGINX: &str = "/usr/sbin/nginx";
/// The user id of an unprivileged user, for a suite that runs as root.
const NOBODY: u32 = 65_534;
/// Ports below the range that the kernel assigns to clients.
const PORTS: core::ops::Range<u16> = 20_000..32_000;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// An installation of the real nginx.
pub(crate) struct Real {
    folder: TempDir,
    /// Kills all processes of nginx if this process is killed.
    _guardian: FolderGuardian,
    began: Instant,
    numbers: u64,
    commands: BTreeMap<u64, Child>,
    clients: BTreeMap<u64, Stream>,
    listeners: BTreeMap<u16, Listening>,
    /// Every process id that was seen; these processes are ended together with the case.
    seen: std::cell::RefCell<BTreeSet<u32>>,
}

enum Listening {
    Silent(TcpListener),
    Serving(
        std::sync::Arc<std::sync::atomic::AtomicBool>,
        std::thread::JoinHandle<()>,
    ),
}

trait Socket: Read + Write {
    fn set_time_limit(&self, limit: Duration);
}

impl Socket for TcpStream {
    fn set_time_limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit))
            .expect("a time limit can be set");
    }
}

impl Socket for UnixStream {
    fn set_time_limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit))
            .expect("a time limit can be set");
    }
}

type Stream = Box<dyn Socket>;

impl Default for Real {
    fn default() -> Self {
        assert!(
            Path::new(NGINX).is_file(),
            "{NGINX} is missing: run `make tools`, which installs Debian's nginx"
        );
        // A short prefix is used because the path of a Unix socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("ng").tempdir_in("/tmp");
        let folder = folder.expect("a temporary folder can be made");
        let guardian = FolderGuardian::start(folder.path()).expect("a shell can be started");
        let real = Self {
            folder,
            _guardian: guardian,
            began: Instant::now(),
            numbers: 0,
            commands: BTreeMap::new(),
            clients: BTreeMap::new(),
            listeners: BTreeMap::new(),
            seen: std::cell::RefCell::default(),
        };
        give(real.folder.path());
        real
    }
}

/// Gives the ownership of a path to the user that nginx runs as.
fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("a file can be given away");
    }
}

fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

impl Real {
    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn note(&self, pid: u32) {
        self.seen.borrow_mut().insert(pid);
    }
}

impl NginxUnderTest for Real {
    fn prefix(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn free_port(&mut self) -> u16 {
        // Tests run at the same time, also in other processes, so each process begins at a different port.
        let begin = u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 12;
        loop {
            let next = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
            let port = PORTS.start + (begin + next) % (PORTS.end - PORTS.start);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }

    fn first_unprivileged_port(&self) -> u16 {
        super::fake::first_unprivileged_port()
    }

    fn write(&mut self, path: &str, text: &str) {
        let folder = path.rfind('/').map_or("", |at| &path[..at]);
        self.make_folder(folder);
        let path = self.path(path);
        std::fs::write(&path, text).expect("the file can be written");
        give(&path);
    }

    fn make_folder(&mut self, path: &str) {
        let mut at = self.folder.path().to_owned();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at.push(part);
            if !at.is_dir() {
                std::fs::create_dir(&at).expect("the folder can be made");
                give(&at);
            }
        }
    }

    fn link(&mut self, target: &str, path: &str) {
        let new = self.path(".new");
        symlink(target, &new).expect("the link can be made");
        std::fs::rename(&new, self.path(path)).expect("the link can be moved");
    }

    fn remove(&mut self, path: &str) {
        std::fs::remove_file(self.path(path)).expect("the file can be removed");
    }

    fn read(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).expect("the folder can be listed");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry
                .expect("an entry can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    fn spawn(&mut self, arguments: &[String]) -> u64 {
        let mut command = Command::new(NGINX);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().expect("nginx can be started");
        self.note(child.id());
        let number = self.number();
        self.commands.insert(number, child);
        number
    }

    fn ended(&mut self, command: u64) -> Option<Ran> {
        let child = self.commands.get_mut(&command)?;
        let status = child.try_wait().expect("the command can be waited for")?;
        let mut text = String::new();
        if let Some(stderr) = &mut child.stderr {
            stderr
                .read_to_string(&mut text)
                .expect("the errors can be read");
        }
        if let Some(pid) = self
            .read("run/nginx.pid")
            .and_then(|text| text.trim().parse().ok())
        {
            self.note(pid);
        }
        Some(Ran {
            code: status.code().unwrap_or(-1),
            stderr: text.lines().map(str::to_owned).collect(),
        })
    }

    fn signal(&mut self, pid: u32, signal: Signal) {
        let number = match signal {
            Signal::Kill => Number::KILL,
            Signal::Terminate => Number::TERM,
            Signal::Quit => Number::QUIT,
            Signal::HangUp => Number::HUP,
        };
        // Children are recorded before they may lose their parent.
        let _children = self.children(pid);
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process number");
        kill_process(pid, number).expect("the signal can be sent");
    }

    fn children(&self, pid: u32) -> Vec<(u32, String)> {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let child = |pid: &str| {
            let pid: u32 = pid.parse().ok()?;
            self.note(pid);
            if state(pid)? == 'Z' {
                return None;
            }
            let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let title = title.replace('\0', " ").trim().to_owned();
            // A child that was just forked still has its parent's title.
            title.starts_with("nginx: ").then_some((pid, title))
        };
        let list = list.unwrap_or_default();
        let mut children: Vec<_> = list.split_whitespace().filter_map(child).collect();
        children.retain(|(_, title)| !title.starts_with("nginx: master"));
        children.sort();
        children
    }

    fn runs(&self, pid: u32) -> bool {
        state(pid).is_some_and(|state| state != 'Z')
    }

    fn occupy(&mut self, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        self.listeners.insert(port, Listening::Silent(listener));
    }

    fn release(&mut self, port: u16) {
        match self.listeners.remove(&port) {
            Some(Listening::Serving(ends, thread)) => {
                ends.store(true, Ordering::SeqCst);
                // The connection wakes the thread, which waits for a connection.
                drop(TcpStream::connect(("127.0.0.1", port)));
                thread.join().expect("the back end ends well");
            }
            Some(Listening::Silent(listener)) => drop(listener),
            None => {}
        }
    }

    fn back_end(&mut self, port: u16, name: &str) {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let ends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (ended, name) = (ends.clone(), name.to_owned());
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut head = [0; 4_096];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("");
                let body = format!("{name} {path}");
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                );
                // A client that has closed its connection gets no answer.
                let _gone = stream.write_all(answer.as_bytes());
            }
        });
        self.listeners
            .insert(port, Listening::Serving(ends, thread));
    }

    fn connect(&mut self, address: &Address) -> Result<u64, String> {
        let stream: std::io::Result<Stream> = match address {
            Address::Port(port) => {
                TcpStream::connect(("127.0.0.1", *port)).map(|it| Box::new(it) as _)
            }
            Address::Socket(path) => {
                UnixStream::connect(self.path(path)).map(|it| Box::new(it) as _)
            }
        };
        let stream = stream.map_err(|error| error.kind().to_string())?;
        let number = self.number();
        self.clients.insert(number, stream);
        Ok(number)
    }

    fn send_half(&mut self, client: u64) {
        let stream = self.clients.get_mut(&client).expect("a client");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHos")
            .expect("the half can be sent");
    }

    fn ask(&mut self, client: u64, host: &str, path: &str, close: bool) -> Option<Answer> {
        let stream = self.clients.get_mut(&client).expect("a client");
        stream.set_time_limit(super::PATIENCE);
        let close = if close { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        read_answer(stream.as_mut())
    }

    fn is_open(&mut self, client: u64) -> bool {
        let stream = self.clients.get_mut(&client).expect("a client");
        stream.set_time_limit(Duration::from_millis(1));
        match stream.read(&mut [0; 64]) {
            Ok(length) => length > 0,
            Err(error) => [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut]
                .contains(&error.kind()),
        }
    }

    fn close(&mut self, client: u64) {
        self.clients.remove(&client);
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Reads one answer with a length, or up to the end of the stream.
fn read_answer(stream: &mut dyn Socket) -> Option<Answer> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
    let (head, mut body) = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break (bytes[..at].to_vec(), bytes[at + 4..].to_vec());
        }
        let length = stream.read(&mut chunk).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&chunk[..length]);
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut lines = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        lines
            .next()
            .map_or_else(String::new, |(_, value)| value.to_owned())
    };
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = header("Content-Length").parse().ok();
    while length.is_none_or(|length: usize| body.len() < length) && status != 204 {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(length) => body.extend_from_slice(&chunk[..length]),
        }
    }
    Some(Answer {
        status,
        content_type: header("Content-Type"),
        location: header("Location"),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

impl Drop for Real {
    fn drop(&mut self) {
        self.clients.clear();
        for port in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.release(port);
        }
        let known: Vec<u32> = self.seen.borrow().iter().copied().collect();
        for pid in known {
            let _children = self.children(pid);
        }
        for pid in self.seen.borrow().iter().copied() {
            // The kernel may have reassigned the process id to another program, so only processes of this folder are
            // ended.
            let folder = std::fs::read_link(format!("/proc/{pid}/cwd"));
            let ours = folder.is_ok_and(|folder| folder == self.folder.path());
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid.filter(|_| ours) {
                let _gone = kill_process(pid, Number::KILL);
            }
        }
        for child in self.commands.values_mut() {
            let _ended = child.wait();
        }
    }
}
