//! The keys of scenario files for mesh nodes and the protocol's settings.

use super::opening::ChannelOpening;
use crate::scenario::{Arguments, Field, Form, Host, Shape, any_arguments, any_text, text};
use core::time::Duration;
use phalanx_core::channel::ChannelName;
use phalanx_core::gossip::Tuning;
use phalanx_core::identity::check_name;
use phalanx_core::topology::record::{Service, encoded_class};
use std::collections::{BTreeMap, BTreeSet};

/// The keys of a group of nodes.
pub(super) static HOSTS: [Field; 6] = [
    Field::empty(
        "services",
        "The services that they provide: `name/version`.",
        Shape::Texts(read_service),
    ),
    Field::empty("metadata", "Free data they publish.", Shape::FreePairs),
    Field::empty(
        "channels",
        "The channels that their applications open at the start: `{ chat = \"messages\", settings = \"map every 2s\" }`.",
        Shape::Pairs {
            key: check_channel,
            text: read_opening,
        },
    ),
    Field::optional(
        "kind",
        "The class they publish (default `generic`).",
        Shape::Text(read_kind),
    ),
    Field::empty(
        "tuning",
        "Settings of the protocol in which they differ from all others.",
        Shape::Table(&TUNING),
    ),
    Field::optional(
        "dialable",
        "Whether others can dial them (default true).",
        Shape::Flag(true),
    ),
];

/// The tables of settings.
pub(super) static SETTINGS: [Field; 1] = [Field::empty(
    "tuning",
    "Settings of the protocol that differ from the defaults.",
    Shape::Table(&TUNING),
)];

static TUNING: Form = Form {
    about: "Settings of the protocol.",
    fields: &[
        Field::optional(
            "forget-after",
            "Members down or gone for this long are forgotten.",
            Shape::Time(text::duration),
        ),
        Field::optional(
            "random-link-interval",
            "The extra random link is replaced this often.",
            Shape::Time(text::duration),
        ),
        Field::optional(
            "hash-interval",
            "View hashes are announced at least this often.",
            Shape::Time(text::duration),
        ),
        Field::optional("links-max", "The most links of one node.", Shape::U16),
    ],
    check: any_arguments,
};

/// Checks a service, `name/version`.
pub(super) fn read_service(word: &str) -> Result<String, String> {
    let (name, _) = word.split_once('/').ok_or_else(|| {
        format!("`{word}` is not a valid service; write name/version, such as `users/1`")
    })?;
    check_name(name).map_err(|why| format!("the service name `{name}` {why}"))?;
    any_text(word)
}

fn read_kind(word: &str) -> Result<String, String> {
    any_text(encoded_class(word))
}

fn check_channel(name: &str) -> Result<(), String> {
    let channel = ChannelName::new(name);
    channel
        .map(|_| ())
        .map_err(|why| format!("the channel name `{name}` {why}"))
}

fn read_opening(words: &str) -> Result<String, String> {
    ChannelOpening::read(words)?;
    any_text(words)
}

/// Parses services from texts of the form `name/version`.
pub(super) fn parsed_services<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<Service> {
    let service = |text: &str| {
        let (name, version) = text.split_once('/')?;
        Some(Service {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    };
    texts.filter_map(service).collect()
}

/// The class that a host's node publishes; empty for the default class.
pub(super) fn kind(host: &Host) -> String {
    host.own.text("kind").unwrap_or_default().to_owned()
}

/// The services at a host's start.
pub(super) fn services(host: &Host) -> BTreeSet<Service> {
    let texts = host.own.texts("services").unwrap_or_default();
    parsed_services(texts.iter().map(String::as_str))
}

/// The metadata at a host's start.
pub(super) fn metadata(host: &Host) -> BTreeMap<String, String> {
    host.own.pairs("metadata").cloned().unwrap_or_default()
}

/// Whether a host's node publishes an address, so that other nodes can dial it.
pub(super) fn is_dialable(host: &Host) -> bool {
    host.own.flag("dialable").unwrap_or(true)
}

/// The channels that a host's applications open at its start.
#[must_use]
pub fn channels(host: &Host) -> BTreeMap<ChannelName, ChannelOpening> {
    let pairs = host.own.pairs("channels").into_iter().flatten();
    let read = |(name, words): (&String, &String)| {
        Some((
            ChannelName::new(name).ok()?,
            ChannelOpening::read(words).ok()?,
        ))
    };
    pairs.filter_map(read).collect()
}

/// The protocol's settings, without the changes of single hosts.
pub(super) fn tuning(settings: &Arguments) -> Tuning {
    changed(Tuning::default(), settings.table("tuning"))
}

/// The protocol's settings on a host.
pub(super) fn tuning_of(settings: &Arguments, host: &Host) -> Tuning {
    changed(tuning(settings), host.own.table("tuning"))
}

/// The longest fault that the search may add: a quarter of the shortest `forget_after`. A node that is away for
/// longer may return with outdated records of forgotten members, which is not a fault of the mesh.
pub(super) fn longest_fault(settings: &Arguments, hosts: &[Host]) -> Duration {
    let remembered = hosts
        .iter()
        .map(|host| tuning_of(settings, host).forget_after);
    remembered.min().unwrap_or(Duration::MAX) / 4
}

fn changed(mut tuning: Tuning, changes: Option<&Arguments>) -> Tuning {
    let Some(changes) = changes else {
        return tuning;
    };
    let time = |key, usual| changes.time(key).unwrap_or(usual);
    tuning.forget_after = time("forget-after", tuning.forget_after);
    tuning.random_link_interval = time("random-link-interval", tuning.random_link_interval);
    tuning.hash_interval = time("hash-interval", tuning.hash_interval);
    let most = changes.number("links-max");
    let most = most.and_then(|most| usize::try_from(most).ok());
    tuning.links_max = most.unwrap_or(tuning.links_max);
    tuning
}
