//! The address of a database, from a URL: `postgres://USER[:PASSWORD]@HOST[:PORT],…/DATABASE[?NAME=VALUE&…]`.

use super::password::{PostgresPassword, of_file, of_pass_file};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The port of a server if the URL has none.
const PORT: u16 = 5432;
/// Maximum number of hosts.
const HOSTS_MAX: usize = 16;
/// Time in which a connection to a host must stand, by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason why a URL is not the address of a database. It never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PostgresUrlError(String);

fn problem(text: impl Into<String>) -> PostgresUrlError {
    PostgresUrlError(text.into())
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PostgresHost {
    /// A name or an IP address.
    Network { name: String, port: u16 },
    /// The directory of a Unix socket.
    Socket { directory: PathBuf, port: u16 },
}

impl PostgresHost {
    /// The host's name in a password file.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Network { name, .. } => name,
            Self::Socket { .. } => "localhost",
        }
    }

    pub(super) const fn port(&self) -> u16 {
        match self {
            Self::Network { port, .. } | Self::Socket { port, .. } => *port,
        }
    }

    /// Whether packets to the host stay on this machine.
    fn is_local(&self) -> bool {
        match self {
            Self::Network { name, .. } => {
                let address = name.parse::<IpAddr>();
                name == "localhost" || address.is_ok_and(|it| it.is_loopback())
            }
            Self::Socket { .. } => true,
        }
    }
}

impl fmt::Display for PostgresHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { name, port } if name.contains(':') => write!(out, "[{name}]:{port}"),
            Self::Network { name, port } => write!(out, "{name}:{port}"),
            Self::Socket { directory, port } => write!(out, "{}:{port}", directory.display()),
        }
    }
}

/// The address of a database. Its `Display` leaves the password out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    pub(super) hosts: Vec<PostgresHost>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) password: Option<PostgresPassword>,
    pub(super) password_file: Option<PathBuf>,
    /// A password file of libpq.
    pub(super) pass_file: Option<PathBuf>,
    /// The certificates of the authorities that hosts are proved by.
    pub(super) ca_file: Option<PathBuf>,
    /// Whether TLS is used with every host that has no Unix socket, or with none; by default with hosts that are not
    /// this machine.
    encrypted: Option<bool>,
    pub(super) connect_timeout: Duration,
}

impl PostgresSettings {
    /// Whether a text is meant as the URL of a database.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// If it is not the address of a database.
    pub fn parse(url: &str) -> Result<Self, PostgresUrlError> {
        let rest = url.strip_prefix("postgres://");
        let rest = rest.or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| problem("does not begin with postgres://"))?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = place.rsplit_once('@').unwrap_or(("", place));
        let (hosts, database) = hosts.split_once('/').unwrap_or((hosts, ""));
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(PostgresPassword::new(decode(password)?))),
            None => (user, None),
        };
        let shape = "write postgres://USER@HOST/DATABASE";
        let (user, database) = (decode(user)?, decode(database)?);
        if user.is_empty() {
            return Err(problem(format!("names no user; {shape}")));
        }
        if database.is_empty() {
            return Err(problem(format!("names no database; {shape}")));
        }
        let mut settings = Self {
            hosts: Vec::new(),
            user,
            database,
            password,
            password_file: None,
            pass_file: None,
            ca_file: None,
            encrypted: None,
            connect_timeout: CONNECT_TIMEOUT,
        };
        if !hosts.is_empty() {
            settings.add_hosts(hosts)?;
        }
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            settings.set(name, &decode(value)?)?;
        }
        if settings.hosts.is_empty() {
            return Err(problem(format!("names no host; {shape}")));
        }
        if settings.hosts.len() > HOSTS_MAX {
            return Err(problem(format!("names more than {HOSTS_MAX} hosts")));
        }
        Ok(settings)
    }

    fn add_hosts(&mut self, hosts: &str) -> Result<(), PostgresUrlError> {
        for text in hosts.split(',') {
            self.hosts.push(host(text)?);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), PostgresUrlError> {
        match name {
            "host" => self.add_hosts(value)?,
            "sslmode" => {
                self.encrypted = match value {
                    "disable" => Some(false),
                    "verify-full" => Some(true),
                    _ => {
                        return Err(problem(
                            "has another sslmode than verify-full and disable; other modes do not prove the server",
                        ));
                    }
                }
            }
            "sslrootcert" => self.ca_file = Some(PathBuf::from(value)),
            "passfile" => self.pass_file = Some(PathBuf::from(value)),
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|it| (1..=60).contains(it));
                let wrong = || problem("has a connect_timeout that is not within 1 and 60 seconds");
                self.connect_timeout = Duration::from_secs(seconds.ok_or_else(wrong)?);
            }
            "target_session_attrs" if value == "read-write" => {}
            _ => {
                return Err(problem(format!(
                    "has the parameter {name:?}, which is not supported; known are host, sslmode, sslrootcert, \
                     passfile, connect_timeout"
                )));
            }
        }
        Ok(())
    }

    /// Sets the file that has the password, if the URL has none.
    #[must_use]
    pub fn with_password_file(mut self, path: Option<PathBuf>) -> Self {
        self.password_file = path.or(self.password_file);
        self
    }

    /// Sets the password file of libpq, if the URL names none.
    #[must_use]
    pub fn with_pass_file(mut self, path: Option<PathBuf>) -> Self {
        self.pass_file = self.pass_file.or(path);
        self
    }

    /// Sets the certificates of the authorities that hosts are proved by.
    #[must_use]
    pub fn with_ca_file(mut self, path: Option<PathBuf>) -> Self {
        self.ca_file = path.or(self.ca_file);
        self
    }

    /// The file of the authorities' certificates.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// A host that needs the certificates of authorities, if one does.
    #[must_use]
    pub fn encrypted_host(&self) -> Option<String> {
        let host = self.hosts.iter().find(|host| self.is_encrypted(host));
        host.map(ToString::to_string)
    }

    /// The password for a host; none if no source has one.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn password_for(
        &self,
        host: &PostgresHost,
    ) -> Result<Option<PostgresPassword>, String> {
        if let Some(password) = &self.password {
            return Ok(Some(password.clone()));
        }
        if let Some(path) = &self.password_file {
            return of_file(path).map(Some);
        }
        let Some(path) = &self.pass_file else {
            return Ok(None);
        };
        let fields = [
            host.name().to_owned(),
            host.port().to_string(),
            self.database.clone(),
            self.user.clone(),
        ];
        of_pass_file(path, &fields)
    }

    /// Whether TLS is used with a host.
    pub(super) fn is_encrypted(&self, host: &PostgresHost) -> bool {
        match host {
            PostgresHost::Socket { .. } => false,
            PostgresHost::Network { .. } => self.encrypted.unwrap_or(!host.is_local()),
        }
    }
}

impl fmt::Display for PostgresSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(",");
        write!(out, "postgres://{}@{hosts}/{}", self.user, self.database)
    }
}

fn decode(text: &str) -> Result<String, PostgresUrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| problem("has percent signs that are not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(problem("has a zero byte"));
    }
    Ok(decoded.into_owned())
}

/// A host: `NAME`, `NAME:PORT`, `[IPV6]:PORT`, or the directory of a Unix socket with or without a port.
fn host(text: &str) -> Result<PostgresHost, PostgresUrlError> {
    let (name, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((name, port)) => (name.to_owned(), port.strip_prefix(':').unwrap_or(port)),
        None => match text.rsplit_once(':') {
            Some((name, port)) => (decode(name)?, port),
            None => (decode(text)?, ""),
        },
    };
    let port = match port {
        "" => PORT,
        port => {
            let wrong = || problem(format!("has the port {port:?}, which is not a port"));
            port.parse().ok().filter(|it| *it != 0).ok_or_else(wrong)?
        }
    };
    if name.is_empty() {
        return Err(problem("has an empty host"));
    }
    if name.starts_with('/') {
        let directory = PathBuf::from(name);
        return Ok(PostgresHost::Socket { directory, port });
    }
    Ok(PostgresHost::Network { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        PostgresSettings::parse(url).unwrap().to_string()
    }

    #[test]
    fn urls_are_read_and_shown_without_the_password() {
        for (url, expected) in [
            (
                "postgres://reg:s%40cret@db/registry",
                "postgres://reg@db:5432/registry",
            ),
            (
                "postgresql://reg@db1,db2:5433,[::1]:5434/registry",
                "postgres://reg@db1:5432,db2:5433,[::1]:5434/registry",
            ),
            (
                "postgres://reg@/registry?host=/run/postgresql",
                "postgres://reg@/run/postgresql:5432/registry",
            ),
            (
                "postgres://reg@%2Frun%2Fpg:6000/registry",
                "postgres://reg@/run/pg:6000/registry",
            ),
        ] {
            assert_eq!(shown(url), expected);
            let settings = PostgresSettings::parse(url).unwrap();
            assert!(!format!("{settings:?}").contains("cret"));
        }
        let settings = PostgresSettings::parse("postgres://reg:a:b@db/r").unwrap();
        assert_eq!(settings.password.unwrap().reveal(), "a:b");
    }

    #[test]
    fn a_password_comes_from_the_url_then_the_file_then_the_password_file_of_libpq() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
            Some(path)
        };
        let (one, many) = (file("one", "of-file\n"), file("many", "*:*:*:*:of-libpq\n"));
        let found = |url: &str, password: Option<PathBuf>, pass: Option<PathBuf>| {
            let settings = PostgresSettings::parse(url).unwrap();
            let settings = settings.with_password_file(password).with_pass_file(pass);
            let found = settings.password_for(&settings.hosts[0]).unwrap();
            found.map(|it| it.reveal().to_owned())
        };
        let of_url = found("postgres://u:of-url@localhost/r", one.clone(), many.clone());
        assert_eq!(of_url.unwrap(), "of-url");
        let url = "postgres://u@localhost/r";
        assert_eq!(found(url, one, many.clone()).unwrap(), "of-file");
        assert_eq!(found(url, None, many).unwrap(), "of-libpq");
        assert_eq!(found(url, None, None), None);
    }

    #[test]
    fn urls_that_are_not_addresses_are_refused_and_do_not_show_the_password() {
        for (url, expected) in [
            ("postgres:reg:cret@db/r", "does not begin with postgres://"),
            ("postgres://db/r", "names no user"),
            ("postgres://:cret@db/r", "names no user"),
            ("postgres://reg:cret@db", "names no database"),
            ("postgres://reg:cret@/r", "names no host"),
            ("postgres://reg:cret@db:0/r", "is not a port"),
            ("postgres://reg:cret@db:x/r", "is not a port"),
            ("postgres://reg:cret@a,,b/r", "empty host"),
            (
                "postgres://reg:cret@db/r?sslmode=prefer",
                "verify-full and disable",
            ),
            ("postgres://reg@db/r?password=cret", "\"password\""),
            ("postgres://reg@db/r?connect_timeout=0", "within 1 and 60"),
            ("postgres://reg:%FFcret@db/r", "not UTF-8"),
            ("postgres://reg:cret%00@db/r", "zero byte"),
        ] {
            let error = PostgresSettings::parse(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn hosts_that_are_not_this_machine_are_encrypted_by_default() {
        let encrypted = |url: &str| PostgresSettings::parse(url).unwrap().encrypted_host();
        assert_eq!(
            encrypted("postgres://u@localhost,db/r"),
            Some("db:5432".to_owned())
        );
        for url in [
            "postgres://u@127.0.0.1/r",
            "postgres://u@[::1]/r",
            "postgres://u@db/r?sslmode=disable",
            "postgres://u@%2Frun/r?sslmode=verify-full",
        ] {
            assert_eq!(encrypted(url), None, "{url}");
        }
        let url = "postgres://u@localhost/r?sslmode=verify-full";
        assert!(encrypted(url).is_some());
    }
}
