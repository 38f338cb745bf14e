//! A server of PostgreSQL from Debian's packages, in a folder of its own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The folder of the versions that are installed.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Time in which a server must start or end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The user of the system that the server runs as, if the test runs as root.
const USER: &str = "postgres";
/// Ends the server of a folder when the input ends, and removes the folder.
const CLEANER: &str = r#"cat > /dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -CONT "$pid" && kill -QUIT "$pid"
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "$0/data/postmaster.pid" ] || break; sleep 0.2; done
rm -rf "$0""#;

/// A running server. Its user is `phalanx`, without a password, on a Unix socket.
///
/// The server ends with the process of the test, however that ends, or when the value is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Child,
    cleaner: Child,
}

/// The newest installed version.
fn programs() -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").is_file() && path.join("postgres").is_file())
        .max();
    newest.unwrap_or_else(|| {
        panic!(
            "PostgreSQL is missing in {VERSIONS}: run `make tools`, which installs Debian's package"
        )
    })
}

fn run(command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    output
}

/// The number of the user or the group of the server.
fn id(flag: &str) -> u32 {
    let output = run(Command::new("id").args([flag, USER]));
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("id prints a number")
}

fn is_root() -> bool {
    let output = run(Command::new("id").arg("-u"));
    output.stdout.trim_ascii() == b"0"
}

/// A command in a folder, as a user that is not root.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
        command.arg(program);
    }
    command.current_dir(folder).env_remove("PGPASSFILE");
    command
}

/// A new folder of the server's user.
fn folder() -> PathBuf {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    // The path of the socket is short enough for the system.
    let path = std::env::temp_dir().join(format!("phalanx-pg-{}-{number}", std::process::id()));
    // A folder of an earlier process with this number.
    drop(fs::remove_dir_all(&path));
    fs::create_dir(&path).expect("a temporary folder can be made");
    own(&path, 0o700);
    path
}

/// Gives a file or a folder to the server's user, with a mode.
fn own(path: &Path, mode: u32) {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, mode).expect("the mode can be set");
    if is_root() {
        chown(path, Some(id("-u")), Some(id("-g"))).expect("root may give a file away");
    }
}

impl PostgresServer {
    /// Starts a server with these settings, such as `max_connections=5`.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with_files(settings, &[])
    }

    /// Starts a server with these settings, which name these files as `../NAME`.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn start_with_files(settings: &[&str], files: &[(&str, String)]) -> Self {
        let (programs, folder) = (programs(), folder());
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).expect("a file can be made");
            own(&path, 0o600);
        }
        let mut initdb = command(&programs.join("initdb"), &folder);
        initdb.args(["--pgdata=data", "--username=phalanx", "--auth-local=trust"]);
        initdb.args([
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
        ]);
        // The files need not survive a loss of power here; the server syncs its log all the same.
        run(initdb.arg("--no-sync"));
        let mut cleaner = Command::new("/bin/sh");
        cleaner.args(["-c", CLEANER]).arg(&folder);
        cleaner.process_group(0).current_dir("/");
        cleaner.stdout(Stdio::null()).stderr(Stdio::null());
        let cleaner = cleaner.stdin(Stdio::piped()).spawn();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("a port is free").port();
        let settings: Vec<_> = settings.iter().map(|text| (*text).to_owned()).collect();
        let server = spawn(&programs, &folder, port, &settings);
        let mut started = Self {
            folder,
            programs,
            port,
            settings,
            server,
            cleaner: cleaner.expect("a shell can be started"),
        };
        started.wait_until_ready();
        started
    }

    /// The server that all tests of this process share.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// The URL of the database, over the socket.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://phalanx@{folder}:{}/postgres", self.port)
    }

    /// The port, of the socket and on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, as a loss of power does, and its sessions.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.server.kill().expect("the server can be killed");
        self.server.wait().expect("the server can be waited for");
    }

    /// Starts the server again after its end.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        // Sessions of a killed server end a moment after it, and keep the next one from starting until then.
        drop(fs::remove_file(self.folder.join("data/postmaster.pid")));
        self.server = spawn(&self.programs, &self.folder, self.port, &self.settings);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let (begun, pid) = (Instant::now(), self.folder.join("data/postmaster.pid"));
        loop {
            let text = fs::read_to_string(&pid).unwrap_or_default();
            let is_own = text.lines().next() == Some(&self.server.id().to_string());
            if is_own && text.lines().nth(7).map(str::trim) == Some("ready") {
                return;
            }
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < PATIENCE,
                "PostgreSQL does not start: {log}"
            );
            if self.server.try_wait().is_ok_and(|ended| ended.is_some()) {
                let settings = &self.settings;
                self.server = spawn(&self.programs, &self.folder, self.port, settings);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Performs a statement with psql, as the user of the database. Returns what it prints, without a heading.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn query(&self, statement: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "phalanx",
        ]);
        psql.arg("-h").arg(&self.folder).arg("-p");
        psql.args([&self.port.to_string(), "-d", "postgres", "-c", statement]);
        let output = run(&mut psql);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn spawn(programs: &Path, folder: &Path, port: u16, settings: &[String]) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    let mut postgres = command(&programs.join("postgres"), folder);
    postgres.arg("-D").arg(folder.join("data"));
    let port = format!("port={port}");
    let socket = format!("unix_socket_directories={}", folder.display());
    let given = [
        port.as_str(),
        socket.as_str(),
        "listen_addresses=127.0.0.1",
        "shared_buffers=16MB",
        "dynamic_shared_memory_type=mmap",
    ];
    for setting in given.into_iter().chain(settings.iter().map(String::as_str)) {
        postgres.args(["-c", setting]);
    }
    postgres.stdin(Stdio::null()).stdout(Stdio::null());
    postgres.stderr(log.expect("a log can be made"));
    postgres.spawn().expect("postgres can be started")
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The end of its input lets the cleaner end the server.
        drop(self.cleaner.stdin.take());
        drop(self.cleaner.wait());
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
