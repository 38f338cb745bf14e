//! The keys of scenario files for mesh nodes and the protocol's settings.

use super::opening::ChannelOpening;
use crate::scenario::{
    Arguments, Field, FileSettings, Form, Host, Shape, any_arguments, any_text, text,
};
use core::time::Duration;
use phalanx_core::channel::ChannelName;
use phalanx_core::gossip::{Tuning, TuningField, TuningKey};
use phalanx_core::identity::check_name;
use phalanx_core::topology::record::{Service, encoded_class};
use std::collections::{BTreeMap, BTreeSet};

/// The keys of a group of nodes.
pub(super) static HOSTS: [Field; 7] = [
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
        Shape::Settings(&SETTINGS_OF_OPERATORS),
    ),
    Field::optional(
        "dialable",
        "Whether others can dial them (default true).",
        Shape::Flag(true),
    ),
    Field::optional(
        "wrong-address",
        "Whether they advertise a port at which no process listens (default false).",
        Shape::Flag(false),
    ),
];

/// The tables of settings.
pub(super) static SETTINGS: [Field; 1] = [Field::empty(
    "tuning",
    "Settings of the protocol that differ from the defaults.",
    Shape::Settings(&SETTINGS_OF_OPERATORS),
)];

/// The settings of the protocol, as written in scenarios and in the file of a daemon.
static SETTINGS_OF_OPERATORS: FileSettings = FileSettings {
    form: &TUNING,
    table: "tuning",
    file: &DAEMON_TUNING,
    same: |one, other| plain(one) == plain(other),
};

/// Each setting as a duration or number under its scenario name, followed by each as a number under the daemon's name.
static TUNING: Form = Form {
    about: "Settings of the protocol. The names with `_` are those of a daemon's file; those that end with `_ms` are in milliseconds.",
    fields: &FIELDS,
    check: check_tuning,
};

/// The settings that the daemon reads.
static DAEMON_TUNING: Form = Form {
    about: "Settings of the protocol in a daemon's file.",
    fields: FIELDS
        .split_at(TuningKey::ALL.len())
        .1
        .split_at(DAEMON_KEYS)
        .0,
    check: any_arguments,
};

/// The number of settings that the daemon reads; these are the first in the table.
const DAEMON_KEYS: usize = {
    let (mut keys, mut at) = (0, 0);
    while at < TuningKey::ALL.len() {
        keys += TuningKey::ALL[at].is_for_operators as usize;
        at += 1;
    }
    keys
};

static FIELDS: [Field; 2 * TuningKey::ALL.len()] = {
    const COUNT: usize = TuningKey::ALL.len();
    let mut fields = [Field::optional("", "", Shape::Flag(true)); 2 * COUNT];
    let mut at = 0;
    while at < COUNT {
        let key = &TuningKey::ALL[at];
        let (min, max) = (key.min, key.max);
        let shape = match key.field {
            TuningField::Time(_) => Shape::Time(text::positive),
            // A scenario may try numbers that the daemon refuses.
            TuningField::Count(_) => Shape::Number { min: 1, max },
        };
        fields[at] = Field::optional(key.word, key.about, shape);
        fields[COUNT + at] = Field::optional(key.name, key.about, Shape::Number { min, max });
        at += 1;
    }
    fields
};

/// Returns the scenario name of a setting, from its scenario name or the daemon's name.
fn plain(key: &str) -> String {
    key.strip_suffix("_ms").unwrap_or(key).replace('_', "-")
}

fn check_tuning(arguments: &Arguments) -> Result<(), String> {
    for key in TuningKey::ALL {
        if arguments.get(key.word).is_some() && arguments.get(key.name).is_some() {
            let (word, name) = (key.word, key.name);
            return Err(format!("has `{word}` and `{name}`, which are one setting"));
        }
    }
    Ok(())
}

/// Checks that no host has settings that the daemon refuses because they contradict each other.
pub(super) fn check_hosts(
    settings: &Arguments,
    hosts: &[Host],
) -> Result<(), (&'static str, String)> {
    for host in hosts {
        if let Some(conflict) = tuning_of(settings, host).conflicts().first() {
            let (low, high) = conflict.numbers;
            let message = format!(
                "`{}` of {} is {low} ms, more than `{}` ({high} ms); give them in this order",
                conflict.low.word, host.name, conflict.high.word
            );
            return Err(("tuning", message));
        }
    }
    Ok(())
}

/// Checks a service of the form `name/version`.
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

/// Whether a host's node advertises a port at which no process listens.
pub(super) fn has_wrong_address(host: &Host) -> bool {
    host.own.flag("wrong-address").unwrap_or(false)
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
    for key in TuningKey::ALL {
        match key.field {
            TuningField::Time(of) => {
                let named = changes.number(key.name).map(Duration::from_millis);
                if let Some(time) = changes.time(key.word).or(named) {
                    *of(&mut tuning) = time;
                }
            }
            TuningField::Count(of) => {
                let number = changes.number(key.word).or(changes.number(key.name));
                if let Some(number) = number.and_then(|number| usize::try_from(number).ok()) {
                    *of(&mut tuning) = number;
                }
            }
        }
    }
    tuning
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, ScenarioError};
    use std::path::Path;

    fn parse(file: &Path, tuning: &str, group: &str) -> Result<Scenario, ScenarioError> {
        let text = format!(
            "scenario = 1\nname = \"t\"\nabout = \"Tuning.\"\nengines = [\"model\"]\nduration = \"9s\"\n\
             [tuning]\n{tuning}\n[[nodes]]\ncount = 2\n{group}\n[[expect]]\neventually = {{ converged = true }}\n"
        );
        Scenario::parse(&file.display().to_string(), &text)
    }

    fn tuned(tuning: &str, group: &str) -> Tuning {
        let scenario = parse(Path::new("t.toml"), tuning, group).unwrap();
        tuning_of(&scenario.settings, &scenario.hosts[1])
    }

    #[test]
    fn each_setting_is_read_by_its_word_and_by_the_name_of_the_daemon() {
        for key in TuningKey::ALL {
            let (number, unit) = match key.field {
                TuningField::Time(_) => ("400", "\"400ms\""),
                TuningField::Count(_) => ("1000", "1000"),
            };
            // These settings must not be shorter than others.
            if ["redial-after", "silent-after", "down-after"].contains(&key.word) {
                continue;
            }
            let by_name = tuned(&format!("{} = {number}", key.name), "");
            let by_word = tuned(&format!("{} = {unit}", key.word), "");
            assert_eq!(by_name, by_word, "{}", key.name);
            assert_eq!(key.get(&by_name).to_string(), number, "{}", key.name);
        }
    }

    #[test]
    fn a_group_differs_from_the_other_nodes() {
        let tuned = tuned("dial_timeout_ms = 700", "tuning = { retry-min = \"5ms\" }");
        let times = (tuned.dial_timeout, tuned.retry_min);
        assert_eq!(
            times,
            (Duration::from_millis(700), Duration::from_millis(5))
        );
    }

    #[test]
    fn the_file_of_an_operator_is_read_as_it_is_and_overridden() {
        let folder = std::env::temp_dir().join(format!("phalanx-tuning-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("phalanxd.toml");
        let read = |text: &str, more: &str| {
            std::fs::write(&file, text).unwrap();
            parse(
                &folder.join("t.toml"),
                &format!("file = \"phalanxd.toml\"\n{more}"),
                "",
            )
        };
        let good =
            "id = \"web-1\"\n[tuning]\ndown_after_ms = 9_000\nlinks_max = 20\n[tls]\nca = \"x\"\n";
        let scenario = read(good, "links-max = 6").unwrap();
        let found = tuning(&scenario.settings);
        assert_eq!(
            (found.down_after, found.links_max),
            (Duration::from_secs(9), 6)
        );
        let again = Scenario::parse("u.toml", &scenario.to_toml()).unwrap();
        assert_eq!(again.settings, scenario.settings);
        assert_ne!(
            scenario.hash,
            read("[tuning]\n", "links-max = 6").unwrap().hash
        );
        let wrong = read("[tuning]\ndown_after = 9\n", "")
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("phalanxd.toml:2: down_after: is not a key here"),
            "{wrong}"
        );
        let wrong = read("[tuning]\nlinks_max = 6\n", "")
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("phalanxd.toml:2: links_max: `6` is out of bounds"),
            "{wrong}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
        let wrong = parse(&folder.join("t.toml"), "file = \"phalanxd.toml\"", "");
        assert!(wrong.unwrap_err().message.contains("cannot be read"));
    }

    #[test]
    fn one_setting_written_twice_and_contradictions_are_errors() {
        let wrong = |text: &str| {
            parse(Path::new("t.toml"), text, "")
                .unwrap_err()
                .to_string()
        };
        let twice = wrong("dial-timeout = \"1s\"\ndial_timeout_ms = 1000");
        assert!(twice.contains("are one setting"), "{twice}");
        let order = wrong("down_after_ms = 100");
        assert!(
            order.starts_with("t.toml:6: tuning: `silent-after` of n1 is 3500 ms"),
            "{order}"
        );
    }
}
