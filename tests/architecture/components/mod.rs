//! Components: structs that own one part of a machine's state.
//!
//! A machine is a coordinator of components: the fields of its struct. A component has few fields, all of them private;
//! each component is in its own file, holds no other component, and does not lend out mutable references to its fields.
//! The components share a `Context`; each part of the context has a fixed set of writers.
//!
//! The same rules hold for every struct in the machine's folder that changes its own state, except that such a struct
//! may hold structs of its own file and of the modules below it.

mod source;

use source::{Source, Struct, assigned_fields, changed_types, impls, signatures, sources, words};
use std::collections::{BTreeMap, BTreeSet};

/// A machine that is a coordinator of components.
struct Machine {
    /// The folder of the machine's files.
    folder: &'static str,
    /// The name of the machine's struct, which is defined in the first of the coordinators.
    name: &'static str,
    /// The minimum number of the machine's components; fewer mean that this test does not find them.
    components_min: usize,
    /// The minimum number of timers that the machine's components own.
    timers_min: usize,
    /// The files that may hold `impl` blocks of the machine; at most four.
    coordinators: &'static [&'static str],
    /// The struct that the machine's components share.
    context: &'static str,
    /// Methods that change a shared part, and the files that may call them.
    written_by: &'static [Writers],
}

/// The files that change one shared part.
struct Writers {
    /// The name of the shared part where its methods are called.
    part: &'static str,
    methods: &'static [&'static str],
    files: &'static [&'static str],
}

const MACHINES: &[Machine] = &[
    Machine {
        folder: "core/src/gossip",
        name: "Gossip",
        components_min: 6,
        timers_min: 6,
        coordinators: &[
            "mod.rs",
            "input.rs",
            "output.rs",
            "own_id.rs",
            "deaths.rs",
            "measurement.rs",
        ],
        context: "Context",
        written_by: &[Writers {
            part: "topology",
            methods: &[
                "apply_record",
                "apply_record_at",
                "apply_report",
                "apply_report_at",
                "batch",
                "hold_off",
                "intern",
                "let_on",
                "release",
                "retire",
                "set_listed",
                "set_alive",
            ],
            files: &[
                // The node adds itself to its view here.
                "context.rs",
                "dissemination.rs",
                "failure_detector/verdict.rs",
                "self_record.rs",
            ],
        }],
    },
    Machine {
        folder: "core/src/channel",
        name: "Channels",
        components_min: 6,
        timers_min: 4,
        coordinators: &["mod.rs", "input.rs", "items.rs", "output.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "core/src/node",
        name: "Node",
        components_min: 3,
        timers_min: 0,
        coordinators: &["mod.rs", "revoking.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "core/src/revocation",
        name: "Revocations",
        components_min: 3,
        timers_min: 0,
        coordinators: &["mod.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "core/src/registry/sequencer",
        name: "Sequencer",
        components_min: 3,
        timers_min: 0,
        coordinators: &["mod.rs", "reconcile.rs", "regions.rs", "requests.rs"],
        context: "DecisionContext",
        written_by: &[],
    },
    Machine {
        folder: "core/src/registry/environment",
        name: "ServiceEnvironment",
        components_min: 1,
        timers_min: 0,
        coordinators: &["mod.rs", "address.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "core/src/credentials",
        name: "Credentials",
        components_min: 3,
        timers_min: 2,
        coordinators: &["mod.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "core/src/data_path",
        name: "DataPaths",
        components_min: 3,
        timers_min: 0,
        coordinators: &["mod.rs"],
        context: "Context",
        written_by: &[],
    },
    Machine {
        folder: "sim/src/model",
        name: "Engine",
        components_min: 6,
        timers_min: 0,
        coordinators: &["engine/mod.rs", "engine/actions.rs", "engine/effects.rs"],
        context: "Context",
        written_by: &[
            Writers {
                part: "context",
                methods: &["advance", "record_step"],
                files: &["engine/mod.rs"],
            },
            Writers {
                part: "context",
                methods: &["record_action"],
                files: &["engine/mod.rs", "engine/actions.rs"],
            },
            Writers {
                part: "context",
                methods: &["set_cause"],
                files: &[
                    "engine/mod.rs",
                    "transport/mod.rs",
                    "transport/transmission/mod.rs",
                ],
            },
            Writers {
                part: "context",
                methods: &["record_held"],
                files: &["transport/transmission/mod.rs"],
            },
            Writers {
                part: "context",
                methods: &["crash"],
                files: &["host.rs"],
            },
        ],
    },
];

/// Maximum number of fields of one component.
const FIELDS_MAX: usize = 10;
/// Maximum number of files with `impl` blocks of a machine: one for each topic that concerns several components.
const COORDINATORS_MAX: usize = 6;

/// A machine as read from its folder.
struct Read {
    machine: &'static Machine,
    sources: Vec<Source>,
    structs: BTreeMap<String, Struct>,
    /// The names of the machine's components: the structs that its fields mention.
    components: BTreeSet<String>,
    /// The names of the components, and of all other structs of the folder that change their own state.
    stateful: BTreeSet<String>,
}

/// Reads every machine.
fn machines() -> impl Iterator<Item = Read> {
    MACHINES.iter().map(|machine| {
        let sources = sources(machine.folder);
        let structs = source::structs(&sources);
        assert_eq!(structs[machine.name].file, machine.coordinators[0]);
        let components = components(machine, &structs, machine.name);
        assert!(
            components.len() >= machine.components_min,
            "{} has nearly no components, or this test does not find them: {components:?}",
            machine.name
        );
        let other = structs
            .iter()
            .filter(|(name, it)| it.stateful && *name != machine.name && *name != machine.context);
        let mut stateful: BTreeSet<String> = other.map(|(name, _)| name.clone()).collect();
        stateful.extend(components.iter().cloned());
        Read {
            machine,
            sources,
            structs,
            components,
            stateful,
        }
    })
}

/// The components that the fields of a struct contain: directly, or as the values of a map. A struct of the machine's
/// own file belongs to the machine, so its fields count instead.
fn components(machine: &Machine, structs: &BTreeMap<String, Struct>, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, _, kind) in &structs[of].fields {
        for word in words(kind).filter(|word| *word != machine.context) {
            match structs.get(word) {
                Some(own) if own.file == machine.coordinators[0] => {
                    found.extend(components(machine, structs, word));
                }
                // A private struct of another file merely has the same name, and a value without methods that change it
                // is data.
                Some(other) if !other.private && (other.stateful || !other.is_value) => {
                    found.insert(word.to_owned());
                }
                Some(_) | None => {}
            }
        }
    }
    found
}

/// Returns whether a field borrows its value for the time of a call.
fn is_shared_borrow(kind: &str) -> bool {
    kind.starts_with('&') && !kind.contains("mut ")
}

/// Returns whether a file is the module of another file, or below that module.
fn is_within(file: &str, of: &str) -> bool {
    let module = of.strip_suffix("mod.rs").map(str::to_owned);
    let module = module.unwrap_or_else(|| format!("{}/", of.trim_end_matches(".rs")));
    file == of || !module.is_empty() && file.starts_with(&module)
}

#[test]
fn a_component_has_few_fields_which_are_private_and_holds_no_other() {
    for read in machines() {
        for name in &read.stateful {
            let Struct { file, fields, .. } = &read.structs[name];
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
                if is_shared_borrow(kind) || *file == read.machine.coordinators[0] {
                    continue;
                }
                for part in words(kind).filter(|part| read.stateful.contains(*part)) {
                    let other = &read.structs[part];
                    if other.private && other.file != *file {
                        // The name means a type of another module.
                        continue;
                    }
                    let own = is_within(&other.file, file);
                    let both = read.components.contains(name) && read.components.contains(part);
                    assert!(
                        own && !both,
                        "{file}: {name} holds {part}; let the coordinator pass what it found"
                    );
                }
            }
        }
    }
}

#[test]
fn the_fields_of_a_machine_are_private() {
    for read in machines() {
        for (visibility, field, _) in &read.structs[read.machine.name].fields {
            assert!(
                visibility.is_empty(),
                "{}::{field} is not private; give {0} a method",
                read.machine.name
            );
        }
    }
}

#[test]
fn plain_data_that_is_no_value_has_public_fields_only() {
    let mut broken = Vec::new();
    for read in machines() {
        let plain = read
            .structs
            .iter()
            .filter(|(name, it)| !it.stateful && !it.is_value && *name != read.machine.context);
        for (name, Struct { file, fields, .. }) in plain {
            for (visibility, field, kind) in fields {
                let is_shared = !visibility.is_empty() && visibility != "pub";
                if is_shared && !is_shared_borrow(kind) {
                    broken.push(format!("{file}: {name}::{field} is {visibility}"));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "make these fields private, or all fields of the struct public:\n{}",
        broken.join("\n")
    );
}

#[test]
fn a_component_and_the_machine_are_implemented_in_their_own_files() {
    for read in machines() {
        let Machine {
            name: machine,
            coordinators,
            ..
        } = read.machine;
        assert!(coordinators.len() <= COORDINATORS_MAX, "{machine}");
        for source in &read.sources {
            for block in impls(&source.code) {
                if read.components.contains(block.of) {
                    let file = &read.structs[block.of].file;
                    assert_eq!(
                        *file, source.name,
                        "impl {} stands outside its file",
                        block.of
                    );
                }
                assert!(
                    block.of != *machine || coordinators.contains(&source.name.as_str()),
                    "{}: {machine} may be implemented in {coordinators:?} alone",
                    source.name,
                );
            }
        }
        for name in &read.stateful {
            let Struct {
                file,
                implemented_in,
                ..
            } = &read.structs[name];
            let other = implemented_in.iter().find(|it| *it != file);
            assert_eq!(other, None, "{name} of {file} is implemented there too");
        }
    }
}

#[test]
fn no_component_lends_its_state_to_be_changed() {
    for read in machines() {
        for source in &read.sources {
            let owns = |names: &BTreeSet<String>| {
                let mut names = names.iter();
                names.any(|name| read.structs[name].file == source.name)
            };
            let (has_component, has_state) = (owns(&read.components), owns(&read.stateful));
            for signature in signatures(&source.code) {
                let lends = has_component || has_state && !signature.private;
                assert!(
                    !lends || !signature.returns.contains("&mut"),
                    "{}: {} returns {}; let it take the change",
                    source.name,
                    signature.name,
                    signature.returns.trim()
                );
            }
        }
    }
}

#[test]
fn a_component_is_changed_by_its_own_methods() {
    for read in machines() {
        for source in &read.sources {
            let coordinates = read.machine.coordinators.contains(&source.name.as_str());
            for signature in signatures(&source.code) {
                if coordinates && signature.is_method {
                    continue;
                }
                for name in changed_types(&signature.parameters) {
                    let is_other = read.stateful.get(name).is_some_and(|name| {
                        let file = &read.structs[name].file;
                        let is_own = signature.is_method && is_within(file, &source.name);
                        *file != source.name && !is_own
                    });
                    assert!(
                        !is_other && name != read.machine.name,
                        "{}: {} changes {name}; make it a method of {name}",
                        source.name,
                        signature.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_field_of_a_component_is_written_by_one_file() {
    let mut checked = 0;
    for read in machines() {
        for source in &read.sources {
            let assigned = assigned_fields(&source.code);
            // Only the modules below a file can name its private fields.
            let owners = read.stateful.iter().filter(|name| {
                let file = &read.structs[*name].file;
                *file != source.name && is_within(&source.name, file)
            });
            let own = read.structs.values().filter(|it| it.file == source.name);
            let own: BTreeSet<&str> = own
                .flat_map(|it| it.fields.iter().map(|(_, name, _)| name.as_str()))
                .collect();
            for owner in owners {
                for (_, field, _) in &read.structs[owner].fields {
                    checked += 1;
                    assert!(
                        own.contains(field.as_str()) || !assigned.contains(field.as_str()),
                        "{}: writes {owner}::{field} of {}",
                        source.name,
                        read.structs[owner].file
                    );
                }
            }
        }
        // Fields of the machine that are not components.
        for (_, field, kind) in &read.structs[read.machine.name].fields {
            let is_part = words(kind)
                .any(|word| read.components.contains(word) || word == read.machine.context);
            let writers = read.machine.coordinators.iter().filter(|file| {
                let source = read.sources.iter().find(|it| it.name == **file);
                let assigned = source.map(|it| assigned_fields(&it.code));
                assigned.is_some_and(|it| it.contains(field.as_str()))
            });
            let writers: Vec<_> = writers.collect();
            assert!(
                is_part || writers.len() <= 1,
                "{}::{field} is written in {writers:?}",
                read.machine.name
            );
        }
    }
    assert!(checked > 10, "{checked} fields are checked");
}

#[test]
fn a_timer_belongs_to_one_component() {
    for read in machines() {
        let mut owners: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let owning = read
            .sources
            .iter()
            .filter(|it| it.name != "timer.rs" && it.name != "mod.rs" && it.name != "context.rs");
        for source in owning {
            for (at, found) in source.code.match_indices("Timer::") {
                let rest = &source.code[at + found.len()..];
                let name = words(rest).next().unwrap_or_default().to_owned();
                owners.entry(name).or_default().insert(&source.name);
            }
        }
        assert!(
            owners.len() >= read.machine.timers_min,
            "no timers are found in {}: {owners:?}",
            read.machine.folder
        );
        for (name, files) in owners {
            assert_eq!(files.len(), 1, "Timer::{name} is named in {files:?}");
        }
    }
}

#[test]
fn a_random_stream_is_drawn_by_one_component() {
    let mut streams = 0;
    for read in machines() {
        let mut drawers: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for source in read.sources.iter().filter(|it| it.name != "context.rs") {
            let spread: String = source.code.split_whitespace().collect();
            for (at, found) in spread.match_indices("context.random") {
                let name = spread[at + found.len()..].strip_prefix('.');
                let name = name.and_then(|rest| words(rest).next()).unwrap_or_default();
                drawers
                    .entry(name.to_owned())
                    .or_default()
                    .insert(&source.name);
            }
        }
        streams += drawers.len();
        for (name, files) in drawers {
            assert_eq!(
                files.len(),
                1,
                "{}: the stream {name} is drawn in {files:?}",
                read.machine.folder
            );
        }
    }
    assert!(streams >= 9, "{streams} streams are found");
}

#[test]
fn a_shared_part_is_written_by_its_writers_alone() {
    for read in machines() {
        for Writers {
            part,
            methods,
            files,
        } in read.machine.written_by
        {
            let mut calls = 0;
            for source in &read.sources {
                let spread: String = source.code.split_whitespace().collect();
                for method in *methods {
                    let call = format!("{part}.{method}(");
                    let found = spread.matches(&call).count();
                    calls += found;
                    assert!(
                        found == 0 || files.contains(&source.name.as_str()),
                        "{}: calls {call}); only {files:?} may",
                        source.name
                    );
                }
            }
            assert!(calls > 0, "{part} is written by no file: {methods:?}");
        }
    }
}
