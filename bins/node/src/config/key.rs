//! The settings of phalanxd.

use phalanx_core::topology::MEMBERS_LIMIT;
use phalanx_net::configuration::{DaemonProgram, Setting, Unit, help, keys};
use phalanx_net::identity::{CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE};

/// The daemon, with the variables that hold whole documents instead of files.
pub(super) const PROGRAM: DaemonProgram = DaemonProgram::new("phalanxd", "PHALANX_")
    .documents(&[CERT_VARIABLE, KEY_VARIABLE, CA_VARIABLE, SECRET_VARIABLE])
    .read_elsewhere(&["PHALANX_CONFIG"]);

/// Minimum of the bound of links; with fewer the overlay may become disconnected.
const LINKS_MIN: u64 = 8;
/// Maximum of the bounds of links and members: the capacity of a view.
const MEMBERS_MAX: u64 = MEMBERS_LIMIT as u64;

/// A duration of at least a millisecond.
const fn millis(name: &'static str, variable: &'static str) -> Setting {
    Setting::number(name, variable, Unit::Milliseconds, 1..=u64::MAX)
}

/// A bound from `min` to the capacity of a view.
const fn count(name: &'static str, variable: &'static str, min: u64) -> Setting {
    Setting::number(name, variable, Unit::Count, min..=MEMBERS_MAX)
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
        StateDir = Setting::text("state_dir", "PHALANX_STATE_DIR").flag("--state-dir"),
        CertDir = Setting::text("tls.cert_dir", "PHALANX_CERT_DIR").flag("--cert-dir"),
        CertificateFile = Setting::text("tls.cert", "PHALANX_TLS_CERT_FILE").flag("--tls-cert"),
        PrivateKeyFile = Setting::text("tls.key", "PHALANX_TLS_KEY_FILE").flag("--tls-key"),
        CaFile = Setting::text("tls.ca", "PHALANX_TLS_CA_FILE").flag("--tls-ca"),
        SecretFile = Setting::text("tls.secret_file", "PHALANX_SECRET_FILE").flag("--secret-file"),
        LogFormat = Setting::text("log.format", "PHALANX_LOG_FORMAT").flag("--log-format"),
        LogLevel = Setting::text("log.level", "PHALANX_LOG_LEVEL").flag("--log-level"),
        HeartbeatIntervalMax = millis("tuning.heartbeat_interval_max_ms", "PHALANX_TUNING_HEARTBEAT_INTERVAL_MAX_MS"),
        HeartbeatSpacing = millis("tuning.heartbeat_spacing_ms", "PHALANX_TUNING_HEARTBEAT_SPACING_MS"),
        RedialAfter = millis("tuning.redial_after_ms", "PHALANX_TUNING_REDIAL_AFTER_MS"),
        SilentAfter = millis("tuning.silent_after_ms", "PHALANX_TUNING_SILENT_AFTER_MS"),
        DownAfter = millis("tuning.down_after_ms", "PHALANX_TUNING_DOWN_AFTER_MS"),
        DialTimeout = millis("tuning.dial_timeout_ms", "PHALANX_TUNING_DIAL_TIMEOUT_MS"),
        ResolutionTimeout = millis("tuning.resolution_timeout_ms", "PHALANX_TUNING_RESOLUTION_TIMEOUT_MS"),
        RetryMin = millis("tuning.retry_min_ms", "PHALANX_TUNING_RETRY_MIN_MS"),
        RetryMax = millis("tuning.retry_max_ms", "PHALANX_TUNING_RETRY_MAX_MS"),
        ForgetAfter = millis("tuning.forget_after_ms", "PHALANX_TUNING_FORGET_AFTER_MS"),
        LinksMax = count("tuning.links_max", "PHALANX_TUNING_LINKS_MAX", LINKS_MIN),
        MembersMax = count("tuning.members_max", "PHALANX_TUNING_MEMBERS_MAX", 2),
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
         targets, discovery, nickname, kind, services, metadata, certificates and secrets."
    )
}
