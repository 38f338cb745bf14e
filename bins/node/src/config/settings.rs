//! The checked settings of one daemon.

use super::key::{DaemonKey, PROGRAM};
use super::registry::{self, RegistrySettings};
use super::{certificates, tuning};
use crate::flags::Flags;
use core::net::SocketAddr;
use core::str::FromStr;
use phalanx_core::advertised::{self, Undialable};
use phalanx_core::gossip::Tuning;
use phalanx_core::identity::{NodeId, check_name};
use phalanx_core::link::Address;
use phalanx_core::topology::record::{Service, encoded_class};
use phalanx_net::configuration::Layers;
use phalanx_net::identity::{RESERVED_METADATA, Source, Subject};
use phalanx_net::telemetry::{Filter, Format};
use phalanx_net::transport::{Subnet, TrustedSubnets};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The default time after which a node whose id is taken ends.
const TAKEN_ID_EXIT_AFTER: Duration = Duration::from_secs(300);

/// The address at which other nodes dial this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advertise {
    /// The listening address.
    Listen,
    /// Another address, or a name that is resolved at the start and at each reload.
    At(Address),
    /// No address, because the node only dials out.
    Nowhere,
}

/// Whether the node dials members that it learnt from other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// The node dials all members.
    #[default]
    On,
    /// The node dials only the targets.
    Off,
}

impl FromStr for Discovery {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("is neither \"on\" nor \"off\""),
        }
    }
}

/// The checked settings of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonSettings {
    /// The id and mesh of the node; both must equal those of the certificate.
    pub(crate) subject: Subject,
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The address at which other nodes dial this node.
    pub(crate) advertise: Advertise,
    /// Seed addresses.
    pub(crate) targets: Vec<Address>,
    /// Whether the node dials members that it learnt from other nodes.
    pub(crate) discovery: Discovery,
    /// A human-readable name.
    pub(crate) nickname: String,
    /// The class of the node; empty for the default class.
    pub(crate) kind: String,
    /// The services that the node publishes.
    pub(crate) services: BTreeSet<Service>,
    /// Free-form metadata.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Subnets in which links are unencrypted if the other end lists the subnet too.
    pub(crate) trusted: TrustedSubnets,
    /// The directory of the node's durable state.
    pub(crate) state_dir: PathBuf,
    /// The source of the node's certificates.
    pub(crate) certificates: Source,
    /// The time after which a node whose id is taken ends.
    pub(crate) taken_id_exit_after: Duration,
    /// The format of log lines.
    pub(crate) log_format: Format,
    /// The filter of log lines.
    pub(crate) log_filter: Filter,
    /// The address at which metrics and health are served, if any.
    pub(crate) metrics: Option<SocketAddr>,
    /// The registry that the node runs, if any.
    pub(crate) registry: Option<RegistrySettings>,
    /// Timings and bounds.
    pub(crate) tuning: Tuning,
    /// Problems that do not prevent the start.
    pub(crate) warnings: Vec<String>,
}

impl DaemonSettings {
    /// Reads all sources and checks them.
    ///
    /// # Errors
    /// Returns all problems, each with its source.
    pub(crate) fn load(
        flags: &Flags,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<String>> {
        let file = flags.config.as_deref();
        let mut layers = Layers::read(&PROGRAM, file, variables, flags.pairs())?;
        let settings = read(&mut layers);
        layers.finish(settings)
    }
}

fn read(layers: &mut Layers<DaemonKey>) -> Option<DaemonSettings> {
    // Every value is read before a missing value ends the function, so that all problems are reported at once.
    let subject = subject(layers);
    let listen = layers.address(DaemonKey::Listen);
    let advertise = listen.and_then(|listen| advertise(layers, listen));
    let undialable = local_only(advertise.as_ref(), listen);
    let state_dir = layers
        .text(DaemonKey::StateDir)
        .map(|(_, text)| PathBuf::from(text));
    let certificates = certificates::read(layers);
    let targets = layers.items(DaemonKey::Targets, advertised::parse_target);
    let services = layers.items(DaemonKey::Services, str::parse::<Service>);
    let metadata = layers.items(DaemonKey::Metadata, entry);
    let metadata: BTreeMap<_, _> = metadata.into_iter().collect();
    let registry = registry::read(layers, &metadata, certificates.as_ref());
    let metrics = metrics(layers, listen);
    let trusted = trusted(layers);
    let text = |key| layers.text(key).map(|(_, text)| text);
    let (nickname, kind) = (
        text(DaemonKey::Nickname).unwrap_or_default(),
        text(DaemonKey::Kind),
    );
    let discovery = layers.parsed(DaemonKey::Discovery).unwrap_or_default();
    let log_format = layers.parsed(DaemonKey::LogFormat).unwrap_or_default();
    let log_filter = layers.parsed(DaemonKey::LogLevel).unwrap_or_default();
    let tuning = tuning::read(layers);
    let taken_id_exit_after = layers
        .number(DaemonKey::TakenIdExitAfter)
        .map_or(TAKEN_ID_EXIT_AFTER, Duration::from_millis);
    for key in [
        DaemonKey::Id,
        DaemonKey::Mesh,
        DaemonKey::Listen,
        DaemonKey::StateDir,
    ] {
        if layers.given(key).is_none() {
            layers.missing(key);
        }
    }
    let settings = DaemonSettings {
        subject: subject?,
        listen: listen?,
        advertise: advertise?,
        targets,
        discovery,
        nickname,
        kind: encoded_class(&kind.unwrap_or_default()).to_owned(),
        services: services.into_iter().collect(),
        metadata,
        trusted,
        state_dir: state_dir?,
        certificates: certificates?,
        taken_id_exit_after,
        log_format,
        log_filter,
        metrics,
        registry,
        tuning,
        warnings: layers.warnings().into_iter().chain(undialable).collect(),
    };
    in_bounds(layers, &settings);
    Some(settings)
}

fn in_bounds(layers: &mut Layers<DaemonKey>, settings: &DaemonSettings) {
    if let Err(why) = settings.content(Some(settings.listen)).check() {
        let why = format_args!("{why}; others would refuse it");
        layers.conflict(DaemonKey::Metadata, Some(DaemonKey::Services), why);
    }
}

fn subject(layers: &mut Layers<DaemonKey>) -> Option<Subject> {
    let id = layers.parsed::<NodeId>(DaemonKey::Id);
    let (origin, mesh) = layers.text(DaemonKey::Mesh)?;
    if let Err(why) = check_name(&mesh) {
        layers.problem_at(&origin, DaemonKey::Mesh, format_args!("{mesh:?} {why}"));
    }
    Subject::node(&mesh, id?).ok()
}

fn advertise(layers: &mut Layers<DaemonKey>, listen: SocketAddr) -> Option<Advertise> {
    match layers.text(DaemonKey::Advertise) {
        Some((_, text)) if text == "none" => Some(Advertise::Nowhere),
        Some((origin, text)) => {
            let address = layers.parsed::<Address>(DaemonKey::Advertise)?;
            if let Address::Socket(socket) = address
                && let Err(why) = advertised::check(socket)
            {
                let why = format!("{text:?} {why}, so other nodes cannot dial it; {MEND}");
                layers.problem_at(&origin, DaemonKey::Advertise, why);
                return None;
            }
            Some(Advertise::At(address))
        }
        // Port 0 selects a free port.
        None => match advertised::check(listen) {
            Ok(()) | Err(Undialable::NoPort) => Some(Advertise::Listen),
            Err(why) => {
                let why = format!(
                    "is missing, and other nodes cannot dial {listen}, which {why}; {MEND} if this node cannot be dialled"
                );
                layers.conflict(DaemonKey::Advertise, Some(DaemonKey::Listen), why);
                None
            }
        },
    }
}

/// The correction of an address that cannot be advertised.
const MEND: &str = "give an address of this machine that others can dial, or \"none\"";

/// The warning about an advertised address that only this machine can dial.
fn local_only(advertise: Option<&Advertise>, listen: Option<SocketAddr>) -> Option<String> {
    match (advertise?, listen?) {
        (Advertise::At(Address::Socket(address)), listen) => warn_local_only(*address, listen),
        (Advertise::At(Address::Name(_)) | Advertise::Listen | Advertise::Nowhere, _) => None,
    }
}

/// The warning about this advertised address of a node that listens at `listen`, if only this machine can dial it.
pub(crate) fn warn_local_only(advertised: SocketAddr, listen: SocketAddr) -> Option<String> {
    advertised::is_local_only(advertised, listen).then(|| {
        format!(
            "advertise: {advertised} is a loopback address, but the node listens on {listen}: nodes on other machines \
             cannot dial it; {MEND}"
        )
    })
}

fn metrics(layers: &mut Layers<DaemonKey>, listen: Option<SocketAddr>) -> Option<SocketAddr> {
    let key = DaemonKey::MetricsListen;
    let address = layers.address(key)?;
    // Port 0 selects a free port.
    if listen == Some(address) && address.port() != 0 {
        let why = "is the address of the node itself; choose another port";
        layers.conflict(key, Some(DaemonKey::Listen), why);
    }
    Some(address)
}

fn trusted(layers: &mut Layers<DaemonKey>) -> TrustedSubnets {
    let subnets = layers.items(DaemonKey::TrustedSubnets, str::parse::<Subnet>);
    TrustedSubnets::new(&subnets).unwrap_or_else(|why| {
        layers.conflict(DaemonKey::TrustedSubnets, None, why);
        TrustedSubnets::default()
    })
}

fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, _)) if key.starts_with(RESERVED_METADATA) => Err(format!(
            "is not for users: names that begin with {RESERVED_METADATA} are the node's own; choose another"
        )),
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("is not a valid entry; write KEY=VALUE".to_owned()),
    }
}
