//! One meaning for each type name: a name that several modules give to a type stands for the same concept.

use crate::sources::sources;
use std::collections::{BTreeMap, BTreeSet};

/// The packages whose type names are compared.
const COMPARED: &[&str] = &["core", "net", "sim", "bins"];

/// Names of parts that each machine or program has because of its role. These names are written with the name of their
/// module: `gossip::Input`, `channel::Input`.
const ROLES: &[&str] = &[
    "Config", "Context", "Event", "Input", "Message", "Output", "Streams", "Timer", "Tuning",
];

/// The folders of the machines and programs.
const WITH_ROLES: &[&str] = &[
    "core/src/channel",
    "core/src/credentials",
    "core/src/data_path",
    "core/src/gossip",
    "core/src/node",
    "core/src/registry/environment",
    "core/src/registry/sequencer",
    "core/src/revocation",
    "sim/examples/election/src",
    "sim/src/fakes/nginx",
    "sim/src/mesh",
    "sim/src/model",
];

/// A name that several modules share.
struct Shared {
    name: &'static str,
    files: &'static [&'static str],
    reason: &'static str,
}

/// The replies of a node, as the command-line tool prints them. Each type has the name of the type that it shows.
const REPLIES: &str = "bins/cli/src/mesh/reply.rs";

const SHARED: &[Shared] = &[
    Shared {
        name: "AntiEntropy",
        files: &[
            "core/src/channel/anti_entropy.rs",
            "core/src/gossip/anti_entropy.rs",
        ],
        reason: "the same component of two machines",
    },
    Shared {
        name: "Answer",
        files: &[
            "core/src/channel/anti_entropy.rs",
            "core/src/gossip/anti_entropy.rs",
        ],
        reason: "the answer of the same component of two machines",
    },
    Shared {
        name: "Boot",
        files: &["sim/madsim/src/host.rs", "sim/wire/src/host.rs"],
        reason: "the same part of two engines",
    },
    Shared {
        name: "Certificate",
        files: &[REPLIES, "core/src/credentials/certificate.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "DataPath",
        files: &[REPLIES, "net/src/overlay/mod.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Dissemination",
        files: &[
            "core/src/channel/dissemination/mod.rs",
            "core/src/gossip/dissemination.rs",
        ],
        reason: "the same component of two machines",
    },
    Shared {
        name: "Edge",
        files: &[REPLIES, "core/src/topology/record.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "EndedLink",
        files: &[REPLIES, "net/src/service/journal.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Engine",
        files: &[
            "sim/madsim/src/engine.rs",
            "sim/src/model/engine/mod.rs",
            "sim/src/scenario/engine.rs",
            "sim/wire/src/engine.rs",
        ],
        reason: "the engines, and their names in scenario files",
    },
    Shared {
        name: "Event",
        files: &[REPLIES],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Fabric",
        files: &["sim/madsim/src/fabric.rs", "sim/wire/src/fabric.rs"],
        reason: "the same part of two engines",
    },
    Shared {
        name: "FailedDial",
        files: &[REPLIES, "net/src/service/journal.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Link",
        files: &[REPLIES, "core/src/gossip/links.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Message",
        files: &["sim/src/world/process.rs"],
        reason: "the trait of what is a `Message` of any program",
    },
    Shared {
        name: "OverlayStatus",
        files: &[REPLIES, "net/src/overlay/mod.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Refusal",
        files: &[
            "core/src/channel/interface.rs",
            "core/src/gossip/message.rs",
        ],
        reason: "the reasons of two machines to refuse",
    },
    Shared {
        name: "Rejection",
        files: &["core/src/channel/interface.rs", "core/src/gossip/event.rs"],
        reason: "the reasons of two machines to reject what a neighbour sent",
    },
    Shared {
        name: "Secret",
        files: &[REPLIES, "net/src/identity/secret.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Service",
        files: &[REPLIES, "core/src/topology/record.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Shared",
        files: &["sim/madsim/src/host.rs", "sim/wire/src/host.rs"],
        reason: "the same part of two engines",
    },
    Shared {
        name: "Slot",
        files: &["sim/madsim/src/host.rs", "sim/wire/src/host.rs"],
        reason: "the same part of two engines",
    },
    Shared {
        name: "Streams",
        files: &["core/src/channel/streams.rs", "core/src/gossip/streams.rs"],
        reason: "the random streams of two machines, named for their components",
    },
    Shared {
        name: "Topology",
        files: &[REPLIES, "core/src/topology/mod.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Traffic",
        files: &[REPLIES, "net/src/transport/traffic.rs"],
        reason: "a reply and its subject",
    },
    Shared {
        name: "Vacuous",
        files: &["sim/cli/src/record.rs", "sim/src/outcome.rs"],
        reason: "an object of JSON, as written and as read",
    },
];

/// Returns the name of the type that a line defines for other modules.
fn defined(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    let (kind, rest) = rest.trim_start().split_once(' ')?;
    if !["struct", "enum", "trait", "type", "union"].contains(&kind) {
        return None;
    }
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// Returns the files that define each name.
fn definitions() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources(COMPARED) {
        for name in text.lines().filter_map(defined) {
            found
                .entry(name.to_owned())
                .or_default()
                .insert(file.clone());
        }
    }
    found
}

/// Returns whether a file belongs to a machine or program whose parts are named by their roles.
fn has_roles(file: &str) -> bool {
    let below = |folder: &&str| file[folder.len()..].starts_with('/');
    WITH_ROLES
        .iter()
        .filter(|folder| file.starts_with(**folder))
        .any(below)
}

#[test]
fn a_type_name_has_one_meaning() {
    let found = definitions();
    assert!(found.len() > 500, "only {} types found", found.len());
    let mut unclear = Vec::new();
    for (name, files) in &found {
        let by_role = ROLES.contains(&name.as_str());
        let shared = SHARED.iter().find(|shared| shared.name == name);
        let accepted = |file: &&String| {
            (by_role && has_roles(file))
                || shared.is_some_and(|shared| shared.files.contains(&file.as_str()))
        };
        if files.len() > 1 && !files.iter().all(|file| accepted(&file)) {
            let files: Vec<_> = files.iter().map(String::as_str).collect();
            unclear.push(format!("{name}: {}", files.join(", ")));
        }
    }
    assert!(
        unclear.is_empty(),
        "these names stand for types in several modules; rename all but one, \
         or add the name to `SHARED` if the types are one concept:\n{}",
        unclear.join("\n")
    );
}

#[test]
fn each_shared_name_is_still_shared() {
    let found = definitions();
    for shared in SHARED {
        assert!(!shared.reason.is_empty(), "{}: give a reason", shared.name);
        let files = found.get(shared.name);
        for file in shared.files {
            assert!(
                files.is_some_and(|files| files.contains(*file)),
                "{}: {file} defines no such type; remove the file from `SHARED`",
                shared.name
            );
        }
    }
}

#[test]
fn defined_finds_the_types_that_other_modules_see() {
    assert_eq!(defined("pub struct Plan {"), Some("Plan"));
    assert_eq!(defined("    pub(super) enum Kind<'a> {"), Some("Kind"));
    assert_eq!(defined("pub(in crate::a) type Said = u8;"), Some("Said"));
    assert_eq!(defined("struct Inner;"), None);
    assert_eq!(defined("pub fn structure() {"), None);
}
