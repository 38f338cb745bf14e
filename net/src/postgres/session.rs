//! A connection whose operations block and end within a bound.
//!
//! The connection's reads and writes happen during an operation alone, on the caller's thread. The caller drops a session
//! after a failure of the kind [`Lost`](PostgresFailureKind::Lost), and connects again.

use super::failure::{PostgresFailure, PostgresFailureKind};
use super::settings::{PostgresHost, PostgresSettings};
use super::tls::PostgresTls;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};

/// The name of the sessions in the server's views.
const APPLICATION: &str = "phalanxd";
/// Additional time for authentication and for the settings of the session.
const SETUP_MAX: Duration = Duration::from_secs(5);
/// Time after which the network gives up bytes that the server has not confirmed.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// Silence after which the network asks whether the server is there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// The oldest supported version of the server.
const VERSION_MIN: i32 = 120_000;

/// The settings of a session. A transaction that a stalled client has left open ends after ten seconds.
const SETTINGS: &str = "
    SET statement_timeout = '15s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET client_min_messages = warning;
";

type Driving = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A connection.
pub(crate) struct PostgresSession {
    /// None while it is being dropped.
    runtime: Option<Runtime>,
    client: Client,
    /// The connection's reads and writes; none after its end.
    driving: Option<Driving>,
    host: String,
}

impl fmt::Debug for PostgresSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        write!(out, "PostgresSession({host})")
    }
}

impl PostgresSession {
    /// Connects to the first host that takes writes.
    ///
    /// # Errors
    /// If there is none, with the reason of each host. The kind is `Refused` if each host has refused the session.
    pub(crate) fn connect(settings: &PostgresSettings) -> Result<Self, PostgresFailure> {
        let lost = |text| PostgresFailure::new(PostgresFailureKind::Lost, text);
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| lost(format!("no runtime: {error}")))?;
        let (mut reasons, mut connected) = (Vec::new(), None);
        let mut kind = PostgresFailureKind::Refused;
        for host in &settings.hosts {
            let limit = settings.connect_timeout + SETUP_MAX;
            let work = async { timeout(limit, connect(settings, host)).await };
            match runtime.block_on(work) {
                Ok(Ok((client, driving))) => {
                    connected = Some((client, driving, host.to_string()));
                    break;
                }
                Ok(Err(failure)) => {
                    if failure.kind != PostgresFailureKind::Refused {
                        kind = PostgresFailureKind::Lost;
                    }
                    reasons.push(format!("{host}: {failure}"));
                }
                Err(_) => {
                    kind = PostgresFailureKind::Lost;
                    reasons.push(format!("{host}: gives no answer within {limit:?}"));
                }
            }
        }
        let Some((client, driving, host)) = connected else {
            runtime.shutdown_background();
            return Err(PostgresFailure::new(kind, reasons.join("; ")));
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
            driving: Some(driving),
            host,
        })
    }

    /// The host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Performs an operation.
    ///
    /// # Errors
    /// If it fails, or takes longer than the limit; it may have had an effect then.
    pub(crate) fn run<T, E: From<PostgresFailure>>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let lost = |text| E::from(PostgresFailure::new(PostgresFailureKind::Lost, text));
        let Some(runtime) = &self.runtime else {
            return Err(lost("the session has ended".to_owned()));
        };
        let (client, driving) = (&mut self.client, &mut self.driving);
        let done = runtime.block_on(async { timeout(limit, with(driving, work(client))).await });
        done.unwrap_or_else(|_| Err(lost(format!("no answer within {limit:?}"))))
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // A runtime that is dropped as a value waits for the resolution of names.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Performs an operation while the connection reads and writes.
async fn with<T>(driving: &mut Option<Driving>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| {
        let done = work.as_mut().poll(context);
        // The connection is polled at the end, too: a transaction that is dropped has queued its rollback.
        let connection = driving.as_mut();
        if connection.is_some_and(|it| it.as_mut().poll(context).is_ready()) {
            // The operation fails when it is polled again.
            *driving = None;
            context.waker().wake_by_ref();
        }
        done
    })
    .await
}

async fn connect(
    settings: &PostgresSettings,
    host: &PostgresHost,
) -> Result<(Client, Driving), PostgresFailure> {
    let refused = |text: String| PostgresFailure::new(PostgresFailureKind::Refused, text);
    let failed = PostgresFailure::of_connecting;
    let mut config = Config::new();
    config
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(APPLICATION)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(UNCONFIRMED_MAX)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .keepalives_retries(2)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    match host {
        PostgresHost::Network { name, port } => config.host(name).port(*port),
        PostgresHost::Socket { directory, port } => config.host_path(directory).port(*port),
    };
    if let Some(password) = settings.password_for(host).map_err(refused)? {
        config.password(password.reveal());
    }
    let (client, mut driving): (Client, Option<Driving>) = if settings.is_encrypted(host) {
        config.ssl_mode(SslMode::Require);
        let Some(path) = &settings.ca_file else {
            let text = "TLS needs the certificates of authorities; give registry.store_ca_file";
            return Err(refused(text.to_owned()));
        };
        let tls = PostgresTls::trusting(path).map_err(refused)?;
        let (client, connection) = config.connect(tls).await.map_err(failed)?;
        (client, Some(Box::pin(connection)))
    } else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        (client, Some(Box::pin(connection)))
    };
    with(&mut driving, set_up(&client)).await?;
    let ended = || PostgresFailure::new(PostgresFailureKind::Lost, "the server closed the session");
    Ok((client, driving.ok_or_else(ended)?))
}

/// Sets the session, and checks that the server keeps what it acknowledges.
async fn set_up(client: &Client) -> Result<(), PostgresFailure> {
    let refused = |text: String| Err(PostgresFailure::new(PostgresFailureKind::Refused, text));
    client.batch_execute(SETTINGS).await?;
    let query = "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
                 current_setting('fsync'), current_setting('synchronous_commit')";
    let row = client.query_one(query, &[]).await?;
    let (number, version): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
    if number < VERSION_MIN {
        return refused(format!(
            "the server is PostgreSQL {version}; 12 is the oldest supported version"
        ));
    }
    if row.try_get::<_, &str>(2)? != "on" {
        return refused(
            "the server has fsync = off and would lose acknowledged writes; set fsync = on in its postgresql.conf"
                .to_owned(),
        );
    }
    // The other values answer before the write is on disk, except for one that waits for standbys, too.
    if row.try_get::<_, &str>(3)? != "remote_apply" {
        client.batch_execute("SET synchronous_commit = on").await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_tests::PostgresServer;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::fs;
    use std::path::PathBuf;

    /// An authority of this name.
    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_host_is_proved_by_its_authority_and_its_name() {
        let (known, other) = (authority(), authority());
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &known).unwrap();
        let files = [
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ];
        let server = PostgresServer::start_with_files(
            &[
                "ssl=on",
                "ssl_cert_file=../cert.pem",
                "ssl_key_file=../key.pem",
            ],
            &files,
        );
        let _none = server.query("ALTER USER phalanx PASSWORD 'cret'");
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| -> Option<PathBuf> {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let (known, other) = (file("known", known.pem()), file("other", other.pem()));
        let connect = |host: &str, ca: &Option<PathBuf>| {
            let url = format!(
                "postgres://phalanx:cret@{host}:{}/postgres?sslmode=verify-full",
                server.port()
            );
            let settings = PostgresSettings::parse(&url).unwrap();
            PostgresSession::connect(&settings.with_ca_file(ca.clone()))
        };
        let mut session = connect("localhost", &known).unwrap();
        let limit = Duration::from_secs(5);
        let encrypted = session.run(limit, async |client: &mut Client| {
            let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = client.query_one(query, &[]).await?;
            Ok::<_, PostgresFailure>(row.try_get::<_, bool>(0)?)
        });
        assert!(encrypted.unwrap());
        for (host, ca, expected) in [
            ("localhost", &other, "invalid peer certificate"),
            ("127.0.0.1", &known, "not valid for name"),
            ("localhost", &None, "registry.store_ca_file"),
        ] {
            let refused = connect(host, ca).unwrap_err().to_string();
            assert!(refused.contains(expected), "{host}: {refused}");
            assert!(!refused.contains("cret"), "{refused}");
        }
    }

    #[test]
    fn an_operation_ends_within_its_limit_and_the_session_can_be_ended() {
        let settings = PostgresSettings::parse(&PostgresServer::shared().url()).unwrap();
        let mut session = PostgresSession::connect(&settings).unwrap();
        let slow = session.run(Duration::from_millis(50), async |client: &mut Client| {
            client.batch_execute("SELECT pg_sleep(5)").await?;
            Ok::<_, PostgresFailure>(())
        });
        assert_eq!(slow.unwrap_err().kind, PostgresFailureKind::Lost);
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move { drop(session) });
    }
}
