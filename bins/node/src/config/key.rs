//! The settings of phalanxd.

use phalanx_core::gossip::{TuningField, TuningKey};
use phalanx_net::configuration::{DaemonProgram, Setting, Unit, help, keys};
use phalanx_net::identity::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE};

/// The daemon, with the variables that hold whole documents instead of files.
pub(super) const PROGRAM: DaemonProgram = DaemonProgram::new("phalanxd", "PHALANX_")
    .documents(&[CERT_VARIABLE, KEY_VARIABLE, CA_VARIABLE, SECRET_VARIABLE])
    .read_elsewhere(&["PHALANX_CONFIG"]);

/// A setting of the protocol, as described by core's table.
const fn tuning(key: &TuningKey, variable: &'static str) -> Setting {
    let unit = match key.field {
        TuningField::Time(_) => Unit::Milliseconds,
        TuningField::Count(_) => Unit::Count,
    };
    Setting::number(key.path, variable, unit, key.min..=key.max)
}

keys! {
    /// A setting.
    pub(crate) enum DaemonKey {
        Id = Setting::text("id", "PHALANX_ID").flag("--id"),
        Mesh = Setting::text("mesh", "PHALANX_MESH").flag("--mesh"),
        Listen = Setting::text("listen", "PHALANX_LISTEN").flag("--listen"),
        Advertise = Setting::text("advertise", "PHALANX_ADVERTISE").flag("--advertise"),
        Targets = Setting::list("targets", "PHALANX_TARGETS").flag("--target"),
        Discovery = Setting::text("discovery", "PHALANX_DISCOVERY").flag("--discovery"),
        Nickname = Setting::text("nickname", "PHALANX_NICKNAME").flag("--nickname"),
        Kind = Setting::text("kind", "PHALANX_KIND").flag("--kind"),
        Services = Setting::list("services", "PHALANX_SERVICES").flag("--service"),
        Metadata = Setting::table("metadata", "PHALANX_METADATA").flag("--metadata"),
        TrustedSubnets = Setting::list("trusted_subnets", "PHALANX_TRUSTED_SUBNETS").flag("--trusted-subnet"),
        TakenIdExitAfter = Setting::number(
            "taken_id_exit_after_ms", "PHALANX_TAKEN_ID_EXIT_AFTER_MS", Unit::Milliseconds, 1_000..=86_400_000
        ),
        StateDir = Setting::text("state_dir", "PHALANX_STATE_DIR").flag("--state-dir"),
        CertDir = Setting::text("tls.cert_dir", "PHALANX_CERT_DIR").flag("--cert-dir"),
        CertificateFile = Setting::text("tls.cert", "PHALANX_TLS_CERT_FILE").flag("--tls-cert"),
        PrivateKeyFile = Setting::text("tls.key", "PHALANX_TLS_KEY_FILE").flag("--tls-key"),
        CaFile = Setting::text("tls.ca", "PHALANX_TLS_CA_FILE").flag("--tls-ca"),
        SecretFile = Setting::text("tls.secret_file", "PHALANX_SECRET_FILE").flag("--secret-file"),
        LogFormat = Setting::text("log.format", "PHALANX_LOG_FORMAT").flag("--log-format"),
        LogLevel = Setting::text("log.level", "PHALANX_LOG_LEVEL").flag("--log-level"),
        MetricsListen = Setting::text("metrics.listen", "PHALANX_METRICS_LISTEN").flag("--metrics-listen"),
        RegistryRegion = Setting::text("registry.region", "PHALANX_REGISTRY_REGION"),
        RegistryStore = Setting::text("registry.store", "PHALANX_REGISTRY_STORE").secret(),
        RegistryStorePasswordFile = Setting::text(
            "registry.store_password_file", "PHALANX_REGISTRY_STORE_PASSWORD_FILE"
        ),
        RegistryStoreCaFile = Setting::text("registry.store_ca_file", "PHALANX_REGISTRY_STORE_CA_FILE"),
        RegistryPrimary = Setting::text("registry.primary", "PHALANX_REGISTRY_PRIMARY"),
        RegistryRetainEvents = Setting::number(
            "registry.retain_events", "PHALANX_REGISTRY_RETAIN_EVENTS", Unit::Count, 1..=1_000_000
        ),
        RegistryRetainTime = Setting::number(
            "registry.retain_time_seconds", "PHALANX_REGISTRY_RETAIN_TIME_SECONDS", Unit::Seconds, 0..=604_800
        ),
        RegistryQuotaObjects = Setting::number(
            "registry.quota_objects", "PHALANX_REGISTRY_QUOTA_OBJECTS", Unit::Count, 1..=10_000_000
        ),
        RegistryQuotaObjectBytes = Setting::number(
            "registry.quota_object_bytes", "PHALANX_REGISTRY_QUOTA_OBJECT_BYTES", Unit::Bytes, 1_024..=4_194_304
        ),
        RegistryQuotaWrites = Setting::number(
            "registry.quota_writes", "PHALANX_REGISTRY_QUOTA_WRITES", Unit::Count, 1..=1_000_000
        ),
        RegistryQuotas = Setting::table("registry.quotas", "PHALANX_REGISTRY_QUOTAS"),
        RegistrySocket = Setting::text("registry.socket", "PHALANX_REGISTRY_SOCKET"),
        RegistryClients = Setting::table("registry.clients", "PHALANX_REGISTRY_CLIENTS"),
        HeartbeatIntervalMax = tuning(&TuningKey::HEARTBEAT_INTERVAL_MAX, "PHALANX_TUNING_HEARTBEAT_INTERVAL_MAX_MS"),
        HeartbeatSpacing = tuning(&TuningKey::HEARTBEAT_SPACING, "PHALANX_TUNING_HEARTBEAT_SPACING_MS"),
        RedialAfter = tuning(&TuningKey::REDIAL_AFTER, "PHALANX_TUNING_REDIAL_AFTER_MS"),
        SilentAfter = tuning(&TuningKey::SILENT_AFTER, "PHALANX_TUNING_SILENT_AFTER_MS"),
        DownAfter = tuning(&TuningKey::DOWN_AFTER, "PHALANX_TUNING_DOWN_AFTER_MS"),
        DialTimeout = tuning(&TuningKey::DIAL_TIMEOUT, "PHALANX_TUNING_DIAL_TIMEOUT_MS"),
        ResolutionTimeout = tuning(&TuningKey::RESOLUTION_TIMEOUT, "PHALANX_TUNING_RESOLUTION_TIMEOUT_MS"),
        RetryMin = tuning(&TuningKey::RETRY_MIN, "PHALANX_TUNING_RETRY_MIN_MS"),
        RetryMax = tuning(&TuningKey::RETRY_MAX, "PHALANX_TUNING_RETRY_MAX_MS"),
        ForgetAfter = tuning(&TuningKey::FORGET_AFTER, "PHALANX_TUNING_FORGET_AFTER_MS"),
        LinksMax = tuning(&TuningKey::LINKS_MAX, "PHALANX_TUNING_LINKS_MAX"),
        MembersMax = tuning(&TuningKey::MEMBERS_MAX, "PHALANX_TUNING_MEMBERS_MAX"),
        ChannelKibMax = tuning(&TuningKey::CHANNEL_KIB_MAX, "PHALANX_TUNING_CHANNEL_KIB_MAX"),
    }
}

/// Every key with its environment variable, for the command line's help.
pub(crate) fn all_keys() -> String {
    let lines = help::<DaemonKey>();
    format!(
        "Keys of the configuration file and their environment variables:\n{lines}\n\
         Instead of files, PHALANX_TLS_CERT, PHALANX_TLS_KEY and PHALANX_TLS_CA may hold the PEM texts, and \
         PHALANX_SECRET the mesh's secrets. \
         Lists and tables in variables are separated by commas. SIGHUP reads the file again and takes over \
         targets, discovery, nickname, kind, services, metadata, certificates, secrets and log.level; SIGUSR1 logs in more \
         detail, and SIGUSR2 as configured."
    )
}
