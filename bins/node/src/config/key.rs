//! Every key there is.

/// What a key's value looks like in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// An array of strings.
    List,
    /// A table of strings.
    Table,
}

macro_rules! keys {
    ($($variant:ident $name:literal $variable:literal $shape:ident),* $(,)?) => {
        /// A setting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $($variant),* }

        impl Key {
            /// All of them.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in a file, with dots between tables.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Its environment variable.
            pub(super) const fn variable(self) -> &'static str {
                match self { $(Self::$variant => $variable),* }
            }

            /// What its value looks like in a file.
            pub(super) const fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape),* }
            }
        }
    };
}

keys! {
    Id "id" "PHALANX_ID" Text,
    Mesh "mesh" "PHALANX_MESH" Text,
    Listen "listen" "PHALANX_LISTEN" Text,
    Advertise "advertise" "PHALANX_ADVERTISE" Text,
    Targets "targets" "PHALANX_TARGETS" List,
    Discovery "discovery" "PHALANX_DISCOVERY" Text,
    Nickname "nickname" "PHALANX_NICKNAME" Text,
    Kind "kind" "PHALANX_KIND" Text,
    Services "services" "PHALANX_SERVICES" List,
    Metadata "metadata" "PHALANX_METADATA" Table,
    TrustedSubnets "trusted_subnets" "PHALANX_TRUSTED_SUBNETS" List,
    StateDir "state_dir" "PHALANX_STATE_DIR" Text,
    CertDir "tls.cert_dir" "PHALANX_CERT_DIR" Text,
    CertificateFile "tls.cert" "PHALANX_TLS_CERT_FILE" Text,
    PrivateKeyFile "tls.key" "PHALANX_TLS_KEY_FILE" Text,
    CaFile "tls.ca" "PHALANX_TLS_CA_FILE" Text,
    SecretFile "tls.secret_file" "PHALANX_SECRET_FILE" Text,
    LogFormat "log.format" "PHALANX_LOG_FORMAT" Text,
    LogLevel "log.level" "PHALANX_LOG_LEVEL" Text,
    HeartbeatIntervalMax "tuning.heartbeat_interval_max_ms" "PHALANX_TUNING_HEARTBEAT_INTERVAL_MAX_MS" Number,
    HeartbeatSpacing "tuning.heartbeat_spacing_ms" "PHALANX_TUNING_HEARTBEAT_SPACING_MS" Number,
    RedialAfter "tuning.redial_after_ms" "PHALANX_TUNING_REDIAL_AFTER_MS" Number,
    SilentAfter "tuning.silent_after_ms" "PHALANX_TUNING_SILENT_AFTER_MS" Number,
    DownAfter "tuning.down_after_ms" "PHALANX_TUNING_DOWN_AFTER_MS" Number,
    DialTimeout "tuning.dial_timeout_ms" "PHALANX_TUNING_DIAL_TIMEOUT_MS" Number,
    RetryMin "tuning.retry_min_ms" "PHALANX_TUNING_RETRY_MIN_MS" Number,
    RetryMax "tuning.retry_max_ms" "PHALANX_TUNING_RETRY_MAX_MS" Number,
    ForgetAfter "tuning.forget_after_ms" "PHALANX_TUNING_FORGET_AFTER_MS" Number,
    LinksMax "tuning.links_max" "PHALANX_TUNING_LINKS_MAX" Number,
    MembersMax "tuning.members_max" "PHALANX_TUNING_MEMBERS_MAX" Number,
}

impl Key {
    /// The key of this name in a file.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    /// Whether keys with dots begin with this table.
    pub(super) fn is_table(name: &str) -> bool {
        Self::ALL.iter().any(|key| {
            key.name()
                .split_once('.')
                .is_some_and(|(table, _)| table == name)
        })
    }
}

/// Every key with its environment variable, for the command line's help.
pub(crate) fn all_keys() -> String {
    let width = Key::ALL
        .iter()
        .map(|key| key.name().len())
        .max()
        .unwrap_or_default();
    let line = |key: &Key| format!("  {:width$}  {}\n", key.name(), key.variable());
    let lines: String = Key::ALL.iter().map(line).collect();
    format!(
        "Keys of the configuration file and their environment variables:\n{lines}\n\
         Instead of files, PHALANX_TLS_CERT, PHALANX_TLS_KEY and PHALANX_TLS_CA may hold the PEM texts, and \
         PHALANX_SECRET the mesh's secrets. \
         Lists and tables in variables are separated by commas. SIGHUP reads the file again and takes over \
         targets, discovery, nickname, kind, services, metadata, certificates and secrets."
    )
}

/// The nearest of several words to one that is none of them; none if all are far.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = words
        .into_iter()
        .map(|other| (strsim::osa_distance(word, other), other))
        .min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1)
}
