//! Components: structs that own one part of a machine's state.
//!
//! A machine is a coordinator of components: the fields of its struct. A component's fields are private, and few; it
//! stands in a file of its own; it holds no other component, and lends none of its fields to be changed. Components
//! share a `Context`, of which each part has its writers.

use phalanx_tests::repository;
use std::collections::{BTreeMap, BTreeSet};

/// One machine that is a coordinator of components.
struct MachineRules {
    /// The folder of its files.
    folder: &'static str,
    /// The name of its struct, which stands in `mod.rs`.
    name: &'static str,
    /// The least number of its components; fewer mean that this test does not find them.
    components_min: usize,
    /// The least number of timers that its components own.
    timers_min: usize,
    /// The files that may hold `impl` blocks of it.
    coordinators: &'static [&'static str],
    /// The struct that its components share.
    context: &'static str,
    /// Methods that change a shared index, and the files that may call them.
    written_by: &'static [(&'static [&'static str], &'static [&'static str])],
}

const MACHINES: &[MachineRules] = &[
    MachineRules {
        folder: "core/src/gossip",
        name: "Gossip",
        components_min: 6,
        timers_min: 6,
        coordinators: &["mod.rs", "input.rs", "output.rs"],
        context: "Context",
        written_by: &[(
            &[
                "apply_record",
                "apply_record_at",
                "apply_report",
                "apply_report_at",
                "batch",
                "intern",
                "release",
                "retire",
                "set_listed",
                "set_alive",
            ],
            &[
                // Where the node itself is entered.
                "context.rs",
                "dissemination.rs",
                "failure_detector/verdict.rs",
                "self_record.rs",
            ],
        )],
    },
    MachineRules {
        folder: "core/src/node",
        name: "Node",
        components_min: 3,
        timers_min: 0,
        coordinators: &["mod.rs"],
        context: "Context",
        written_by: &[],
    },
    MachineRules {
        folder: "core/src/credentials",
        name: "Credentials",
        components_min: 3,
        timers_min: 2,
        coordinators: &["mod.rs"],
        context: "Context",
        written_by: &[],
    },
];

/// The most fields of one component.
const FIELDS_MAX: usize = 10;

/// The source of one file without comments and tests.
struct Source {
    name: String,
    code: String,
}

/// A struct with named fields, as written.
struct Struct {
    file: String,
    /// Each field: its visibility, its name, and its type.
    fields: Vec<(String, String, String)>,
}

fn sources(folder: &str) -> Vec<Source> {
    let top = repository().join(folder);
    let (mut found, mut folders) = (Vec::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a source folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "tests") {
                    folders.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file can be read");
            let text = text.split("#[cfg(test)]\nmod tests {").next();
            let lines = text.unwrap_or_default().lines();
            let code = lines.map(|line| line.split("//").next().unwrap_or_default());
            let name = path.strip_prefix(&top).expect("it is below the folder");
            found.push(Source {
                name: name.display().to_string(),
                code: code.collect::<Vec<_>>().join("\n"),
            });
        }
    }
    found
}

/// The text up to the bracket that closes the one before it.
fn inner(code: &str) -> &str {
    let mut depth = 1;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    code
}

fn structs(sources: &[Source]) -> BTreeMap<String, Struct> {
    let mut found = BTreeMap::new();
    for source in sources {
        for (at, _) in source.code.match_indices("struct ") {
            let rest = &source.code[at + "struct ".len()..];
            let head = rest.split(['{', ';', '(']).next().unwrap_or_default();
            if !rest[head.len()..].starts_with('{') {
                continue;
            }
            let name = head.split(['<', ' ']).next().unwrap_or_default();
            let lines = inner(&rest[head.len() + 1..]).lines().map(str::trim);
            let fields = lines
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| {
                    let (before, kind) = line.trim_end_matches(',').split_once(": ")?;
                    let (visibility, name) = before.rsplit_once(' ').unwrap_or(("", before));
                    Some((visibility.to_owned(), name.to_owned(), kind.to_owned()))
                });
            let fields = fields.collect();
            let file = source.name.clone();
            found.insert(name.to_owned(), Struct { file, fields });
        }
    }
    found
}

/// Every signature of a function: whether it is a method, its parameters, and what it returns.
fn signatures(code: &str) -> Vec<(bool, String, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = &code[at..];
        let Some(open) = rest.find('(') else { continue };
        let parameters = inner(&rest[open + 1..]);
        let after = &rest[open + 1 + parameters.len()..];
        let returns = after.split(['{', ';']).next().unwrap_or_default();
        let first = parameters.trim_start().trim_start_matches("mut ");
        let is_method = ["self", "&self", "&mut self", "&'"]
            .iter()
            .any(|receiver| first.starts_with(receiver));
        found.push((is_method, parameters.to_owned(), returns.to_owned()));
    }
    found
}

/// The machine's sources, its structs, and the names of its components.
fn read(machine: &MachineRules) -> (Vec<Source>, BTreeMap<String, Struct>, BTreeSet<String>) {
    let sources = sources(machine.folder);
    let structs = structs(&sources);
    let fields = structs[machine.name].fields.iter();
    // A component by itself, or as the values of a map.
    let words = fields.flat_map(|(_, _, kind)| kind.split(|it: char| !it.is_alphanumeric()));
    let components = words.filter(|word| structs.contains_key(*word) && *word != machine.context);
    let components: BTreeSet<String> = components.map(str::to_owned).collect();
    assert!(
        components.len() >= machine.components_min,
        "{} has nearly no components, or this test does not find them",
        machine.name
    );
    (sources, structs, components)
}

#[test]
fn a_component_has_few_fields_which_are_private_and_holds_no_other() {
    for machine in MACHINES {
        let (_, structs, components) = read(machine);
        for name in &components {
            let Struct { file, fields } = &structs[name];
            assert!(
                fields.len() <= FIELDS_MAX,
                "{file}: {name} has {} fields, at most {FIELDS_MAX} are one concern",
                fields.len()
            );
            for (visibility, field, kind) in fields {
                assert!(
                    visibility.is_empty(),
                    "{file}: {name}::{field} is not private; give {name} a method"
                );
                let parts = kind.split(|character: char| !character.is_alphanumeric());
                for part in parts {
                    assert!(
                        !components.contains(part),
                        "{file}: {name} holds {part}; let the coordinator pass what it found"
                    );
                }
            }
        }
    }
}

#[test]
fn a_component_and_the_machine_are_implemented_in_their_own_files() {
    for machine in MACHINES {
        let (sources, structs, components) = read(machine);
        for source in &sources {
            let of = |name: &str| {
                let heads = source.code.split("impl").skip(1);
                heads.filter_map(|rest| rest.split('{').next()).any(|head| {
                    let implemented = head.rsplit(" for ").next().unwrap_or_default();
                    let mut words = implemented.split(|it: char| !it.is_alphanumeric());
                    words.find(|word| !word.is_empty()) == Some(name)
                })
            };
            for name in components.iter().filter(|name| of(name)) {
                assert_eq!(
                    structs[name].file, source.name,
                    "{name} is implemented outside its file"
                );
            }
            assert!(
                !of(machine.name) || machine.coordinators.contains(&source.name.as_str()),
                "{}: {} may be implemented in {:?} alone",
                source.name,
                machine.name,
                machine.coordinators
            );
        }
    }
}

#[test]
fn no_component_lends_its_state_to_be_changed() {
    for machine in MACHINES {
        let (sources, structs, components) = read(machine);
        for source in &sources {
            let owns = components
                .iter()
                .any(|name| structs[name].file == source.name);
            for (is_method, parameters, returns) in signatures(&source.code) {
                assert!(
                    !owns || !returns.contains("&mut"),
                    "{}: a function returns {}; let it take the change",
                    source.name,
                    returns.trim()
                );
                for name in &components {
                    let lent = parameters.contains(&format!("&mut {name}"));
                    assert!(
                        is_method || !lent || structs[name].file == source.name,
                        "{}: a function changes {name}; make it a method of {name}",
                        source.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_timer_belongs_to_one_component() {
    for machine in MACHINES {
        let (sources, ..) = read(machine);
        let mut owners: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for source in sources
            .iter()
            .filter(|it| !["timer.rs", "mod.rs"].contains(&it.name.as_str()))
        {
            for (at, found) in source.code.match_indices("Timer::") {
                let rest = &source.code[at + found.len()..];
                let name = rest.split(|it: char| !it.is_alphanumeric()).next();
                let name = name.unwrap_or_default().to_owned();
                owners.entry(name).or_default().insert(&source.name);
            }
        }
        assert!(
            owners.len() >= machine.timers_min,
            "no timers are found in {}",
            machine.folder
        );
        for (name, files) in owners {
            assert_eq!(files.len(), 1, "Timer::{name} is named in {files:?}");
        }
    }
}

#[test]
fn a_shared_index_is_written_by_its_writers_alone() {
    for machine in MACHINES {
        let (sources, ..) = read(machine);
        for (methods, writers) in machine.written_by {
            for source in &sources {
                for method in *methods {
                    let call = format!("topology.{method}(");
                    let spread: String = source.code.split_whitespace().collect();
                    assert!(
                        !spread.contains(&call) || writers.contains(&source.name.as_str()),
                        "{}: calls {call}); only {writers:?} may",
                        source.name
                    );
                }
            }
        }
    }
}
