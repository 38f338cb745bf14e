//! The checked settings of one daemon.

use super::environment::{Environment, Proof};
use super::key::Key;
use super::layer::{Layer, Origin, Value};
use super::{environment, file, tuning};
use crate::flags::Flags;
use core::fmt::Display;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::str::FromStr;
use phalanx_core::gossip::{Address, Tuning};
use phalanx_core::identity::{NodeId, check_name};
use phalanx_core::topology::record::{Service, said};
use phalanx_net::identity::{
    CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE, RESERVED_METADATA, SECRET_VARIABLE, Source, Subject,
};
use phalanx_net::telemetry::{Filter, Format};
use phalanx_net::transport::{Subnet, TrustedSubnets};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

/// Where others dial this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advertise {
    /// Where it listens.
    Listen,
    /// Elsewhere.
    At(SocketAddr),
    /// Nowhere: it only dials out.
    Nowhere,
}

/// Whether members learnt from others are dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// They are.
    #[default]
    On,
    /// Only the targets are.
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
pub(crate) struct Settings {
    /// Whom the node claims to be; the certificate must say the same.
    pub(crate) subject: Subject,
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// Where others dial it.
    pub(crate) advertise: Advertise,
    /// Addresses of members to join by.
    pub(crate) targets: Vec<Address>,
    /// Whether members learnt from others are dialled.
    pub(crate) discovery: Discovery,
    /// A name for people.
    pub(crate) nickname: String,
    /// Its class; empty: the usual one.
    pub(crate) kind: String,
    /// What it serves.
    pub(crate) services: BTreeSet<Service>,
    /// Free data.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Where links need not be encrypted, if the other end says so too.
    pub(crate) trusted: TrustedSubnets,
    /// Where it keeps its state.
    pub(crate) state_dir: PathBuf,
    /// Where its certificates come from.
    pub(crate) certificates: Source,
    /// How log lines look.
    pub(crate) log_format: Format,
    /// Which are written.
    pub(crate) log_filter: Filter,
    /// Timings and bounds.
    pub(crate) tuning: Tuning,
    /// What should be mended though it works.
    pub(crate) warnings: Vec<String>,
}

/// The layers, the later over the earlier, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Merged {
    /// From the lowest (the file) to the highest (flags).
    layers: [Layer; 3],
    problems: Vec<String>,
}

impl Merged {
    /// What counts for a key, and in which layer it stands.
    fn given(&self, key: Key) -> Option<(usize, &super::Given)> {
        let found = |(rank, layer): (usize, _)| Some((rank, Layer::get(layer, &key)?));
        self.layers.iter().enumerate().rev().find_map(found)
    }

    fn problem(&mut self, origin: &Origin, key: Key, why: &dyn Display) {
        let name = key.name();
        self.problems.push(format!("{origin}: {name}: {why}"));
    }

    /// Says what is wrong with a key, at its place, or at the place of another one it does not fit to.
    pub(super) fn wrong(&mut self, key: Key, other: Option<Key>, why: &str) {
        let place = |key: Key| self.given(key).map(|(_, given)| given.origin.clone());
        match place(key).or_else(|| other.and_then(place)) {
            Some(origin) => self.problem(&origin, key, &why),
            None => self.problems.push(format!("{}: {why}", key.name())),
        }
    }

    fn missing(&mut self, key: Key) {
        let (name, variable) = (key.name(), key.variable());
        self.problems.push(format!(
            "{name}: is missing; give it in the configuration file, as {variable} or by its flag"
        ));
    }

    fn text(&self, key: Key) -> Option<(Origin, String)> {
        let (_, given) = self.given(key)?;
        match &given.value {
            Value::Text(text) => Some((given.origin.clone(), text.clone())),
            // Each source gives a key its own shape: only those with items are lists.
            Value::List(_) => None,
        }
    }

    fn list(&self, key: Key) -> Vec<(Origin, String)> {
        match self.given(key).map(|(_, given)| &given.value) {
            Some(Value::List(items)) => items.clone(),
            Some(Value::Text(_)) | None => Vec::new(),
        }
    }

    /// A value of a type that says what is wrong with its text.
    fn parsed<T: FromStr<Err: Display>>(&mut self, key: Key) -> Option<T> {
        let (origin, text) = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.problem(&origin, key, &format!("{text:?} {why}"));
                None
            }
        }
    }

    /// A number that is not below `least`.
    pub(super) fn number(&mut self, key: Key, range: RangeInclusive<u64>) -> Option<u64> {
        let (origin, text) = self.text(key)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                let why = match (range.start(), range.end()) {
                    (least, &u64::MAX) => format!("{text:?} is no whole number from {least} on"),
                    (least, most) => format!("{text:?} is no whole number from {least} to {most}"),
                };
                self.problem(&origin, key, &why);
                None
            }
        }
    }

    fn address(&mut self, key: Key) -> Option<SocketAddr> {
        let (origin, text) = self.text(key)?;
        let address = text.parse().ok();
        if address.is_none() {
            let why = format!("{text:?} is no address; write IP:PORT, an IPv6 address in brackets");
            self.problem(&origin, key, &why);
        }
        address
    }
}

impl Settings {
    /// Reads all sources and checks them.
    ///
    /// # Errors
    /// Every problem there is, one a line, each with its place.
    pub(crate) fn load(
        flags: &Flags,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<String>> {
        let file = flags
            .config
            .as_deref()
            .map(file::read)
            .transpose()?
            .unwrap_or_default();
        let Environment {
            layer,
            proof,
            unknown,
        } = environment::read(variables)?;
        let mut merged = Merged {
            layers: [file, layer, flags.layer()],
            problems: Vec::new(),
        };
        let settings = read(&mut merged, proof, unknown);
        match settings {
            Some(settings) if merged.problems.is_empty() => Ok(settings),
            Some(_) | None => Err(merged.problems),
        }
    }
}

fn read(merged: &mut Merged, proof: Proof, warnings: Vec<String>) -> Option<Settings> {
    // Everything is looked at before anything is given up, so that all problems are told at once.
    let subject = subject(merged);
    let listen = merged.address(Key::Listen);
    let advertise = listen.and_then(|listen| advertise(merged, listen));
    let state_dir = merged
        .text(Key::StateDir)
        .map(|(_, text)| PathBuf::from(text));
    let certificates = certificates(merged, proof);
    let targets = items(merged, Key::Targets, |text| {
        text.parse::<Address>().map_err(|why| why.to_string())
    });
    let services = items(merged, Key::Services, |text| {
        text.parse::<Service>().map_err(|why| why.to_string())
    });
    let metadata = items(merged, Key::Metadata, entry);
    let trusted = trusted(merged);
    let text = |key| merged.text(key).map(|(_, text)| text);
    let (nickname, kind) = (text(Key::Nickname).unwrap_or_default(), text(Key::Kind));
    let discovery = merged.parsed(Key::Discovery).unwrap_or_default();
    let log_format = merged.parsed(Key::LogFormat).unwrap_or_default();
    let log_filter = merged.parsed(Key::LogLevel).unwrap_or_default();
    let tuning = tuning::read(merged);
    for key in [Key::Id, Key::Mesh, Key::Listen, Key::StateDir] {
        if merged.given(key).is_none() {
            merged.missing(key);
        }
    }
    let settings = Settings {
        subject: subject?,
        listen: listen?,
        advertise: advertise?,
        targets,
        discovery,
        nickname,
        kind: said(&kind.unwrap_or_default()).to_owned(),
        services: services.into_iter().collect(),
        metadata: metadata.into_iter().collect(),
        trusted,
        state_dir: state_dir?,
        certificates: certificates?,
        log_format,
        log_filter,
        tuning,
        warnings,
    };
    in_bounds(merged, &settings);
    Some(settings)
}

fn in_bounds(merged: &mut Merged, settings: &Settings) {
    if let Err(why) = settings.content(Some(settings.listen)).check() {
        merged.wrong(
            Key::Metadata,
            Some(Key::Services),
            &format!("{why}; others would refuse it"),
        );
    }
}

fn subject(merged: &mut Merged) -> Option<Subject> {
    let id = merged.parsed::<NodeId>(Key::Id);
    let (origin, mesh) = merged.text(Key::Mesh)?;
    if let Err(why) = check_name(&mesh) {
        merged.problem(&origin, Key::Mesh, &format!("{mesh:?} {why}"));
    }
    Subject::node(&mesh, id?).ok()
}

fn advertise(merged: &mut Merged, listen: SocketAddr) -> Option<Advertise> {
    match merged.text(Key::Advertise) {
        Some((_, text)) if text == "none" => Some(Advertise::Nowhere),
        Some((origin, text)) => {
            let address = merged.address(Key::Advertise)?;
            if address.ip().is_unspecified() || address.port() == 0 {
                let why = format!(
                    "{text:?} cannot be dialled; give an address and port of this machine, or \"none\""
                );
                merged.problem(&origin, Key::Advertise, &why);
                return None;
            }
            Some(Advertise::At(address))
        }
        None if listen.ip().is_unspecified() => {
            let why = format!(
                "is missing, and others cannot dial {listen}; give an address of this machine, or \"none\" if it \
                 cannot be dialled"
            );
            merged.wrong(Key::Advertise, Some(Key::Listen), &why);
            None
        }
        None => Some(Advertise::Listen),
    }
}

/// The source of certificates: that of the highest layer that names one.
fn certificates(merged: &mut Merged, proof: Proof) -> Option<Source> {
    const ENVIRONMENT: usize = 1;
    let files = [Key::CertificateFile, Key::PrivateKeyFile, Key::CaFile];
    let Proof { pem, secret } = proof;
    let place = |keys: &[Key]| {
        let given = keys
            .iter()
            .filter_map(|key| Some((merged.given(*key)?, key)));
        let ((rank, given), key) = given.max_by_key(|((rank, _), _)| *rank)?;
        Some((rank, format!("{}: {}", given.origin, key.name())))
    };
    let variable = |given: bool, name: &str| {
        given.then(|| (ENVIRONMENT, format!("environment variable {name}")))
    };
    let named = [
        place(&[Key::CertDir]),
        place(&files),
        variable(pem.iter().any(Option::is_some), CERT_VARIABLE),
        place(&[Key::SecretFile]),
        variable(secret.is_some(), SECRET_VARIABLE),
    ];
    let highest = named.iter().flatten().map(|(rank, _)| *rank).max();
    let Some(highest) = highest else {
        merged.problems.push(format!(
            "tls: nothing proves who this node is; give {}, or {}, {} and {}, or the PEM texts as {CERT_VARIABLE}, \
             {KEY_VARIABLE} and {CA_VARIABLE}, or the mesh's secret by {} or as {SECRET_VARIABLE}",
            Key::CertDir.name(), files[0].name(), files[1].name(), files[2].name(), Key::SecretFile.name()
        ));
        return None;
    };
    let at_highest = named.into_iter().enumerate().filter_map(|(at, named)| {
        let (_, place) = named.filter(|(rank, _)| *rank == highest)?;
        Some((at, place))
    });
    let (at, places): (Vec<usize>, Vec<String>) = at_highest.unzip();
    if at.len() > 1 {
        let why = "a node has either certificates or the mesh's secret; give one source";
        let places = places.join(" and ");
        merged
            .problems
            .push(format!("{places} stand beside each other: {why}"));
        return None;
    }
    let path = |key: Key| merged.text(key).map(|(_, text)| PathBuf::from(text));
    match at[0] {
        0 => path(Key::CertDir).map(Source::Directory),
        1 => from_files(merged, files),
        2 => from_variables(merged, pem),
        3 => path(Key::SecretFile).map(Source::SecretFile),
        _ => secret.map(|secret| Source::SecretVariable(secret.into())),
    }
}

fn from_files(merged: &mut Merged, files: [Key; 3]) -> Option<Source> {
    let [certificate, key, ca] = files.map(|key| {
        let text = merged.text(key);
        if text.is_none() {
            merged.missing(key);
        }
        text.map(|(_, text)| PathBuf::from(text))
    });
    Some(Source::Files {
        certificate: certificate?,
        key: key?,
        ca: ca?,
    })
}

fn from_variables(merged: &mut Merged, pem: [Option<String>; 3]) -> Option<Source> {
    for (name, value) in [CERT_VARIABLE, KEY_VARIABLE, CA_VARIABLE].iter().zip(&pem) {
        if value.is_none() {
            merged.problems.push(format!("environment variable {name}: is missing; the certificate, its key and the CA go together"));
        }
    }
    let [certificate, key, ca] = pem;
    Some(Source::Variables {
        certificate: certificate?,
        key: key?,
        ca: ca?,
    })
}

fn items<T>(merged: &mut Merged, key: Key, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let mut parsed = Vec::new();
    for (origin, text) in merged.list(key) {
        match parse(&text) {
            Ok(item) => parsed.push(item),
            Err(why) => merged.problem(&origin, key, &format!("{text:?} {why}")),
        }
    }
    parsed
}

fn trusted(merged: &mut Merged) -> TrustedSubnets {
    let subnets = items(merged, Key::TrustedSubnets, |text| {
        text.parse::<Subnet>().map_err(|why| why.to_string())
    });
    TrustedSubnets::new(&subnets).unwrap_or_else(|why| {
        merged.wrong(Key::TrustedSubnets, None, &why.to_string());
        TrustedSubnets::default()
    })
}

fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, _)) if key.starts_with(RESERVED_METADATA) => Err(format!(
            "is not for users: names that begin with {RESERVED_METADATA} are the node's own; choose another"
        )),
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("is no entry; write KEY=VALUE".to_owned()),
    }
}
