//! Tests of the dependencies between packages, from `cargo metadata` and `cargo tree`.

use phalanx_tests::repository;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The packages of the workspace, each with the packages that it may depend on outside of tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("phalanx-core", &[]),
    ("phalanx-net", &["phalanx-core"]),
    ("phalanx-sim", &["phalanx-core"]),
    (
        "phalanx-sim-wire",
        &["phalanx-core", "phalanx-net", "phalanx-sim"],
    ),
    ("phalanx-sim-cli", &["phalanx-core", "phalanx-sim"]),
    (
        "phalanx",
        &[
            "phalanx-core",
            "phalanx-net",
            "phalanx-sim",
            "phalanx-sim-cli",
        ],
    ),
    ("phalanxd", &["phalanx-core", "phalanx-net"]),
    (
        "phalanx-tests",
        &["phalanx-core", "phalanx-net", "phalanx-sim"],
    ),
];

/// Crates that only the binary of the wire engine may link.
const SIMULATED_NETWORKS: &[&str] = &[
    "turmoil",
    "mad-turmoil",
    "madsim",
    "madsim-tokio",
    "madsim-tonic",
];

/// Libraries that the mesh is compared with in `sim/peers`.
const COMPARED_WITH: &[&str] = &["foca", "chitchat", "memberlist", "libp2p"];

/// A resolved dependency.
struct Edge {
    name: String,
    /// Whether the dependency is linked into shipped programs; otherwise it is used for tests or
    /// builds only.
    normal: bool,
    build: bool,
}

/// The resolved packages, by name. Versions do not matter to these rules.
struct Graph {
    edges: BTreeMap<String, Vec<Edge>>,
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn strings<'a>(list: &'a Value, key: &str) -> Vec<&'a Value> {
    list[key]
        .as_array()
        .map(|items| items.iter().collect())
        .unwrap_or_default()
}

impl Graph {
    fn read() -> Self {
        let text = cargo(&["metadata", "--format-version", "1", "--locked"]);
        let metadata: Value = serde_json::from_str(&text).expect("cargo metadata prints JSON");
        let names: BTreeMap<&str, &str> = strings(&metadata, "packages")
            .into_iter()
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let mut edges: BTreeMap<String, Vec<Edge>> = BTreeMap::new();
        for node in strings(&metadata["resolve"], "nodes") {
            let from = names[node["id"].as_str().expect("a node has an id")];
            let into = edges.entry(from.to_owned()).or_default();
            for dep in strings(node, "deps") {
                let kinds = strings(dep, "dep_kinds");
                into.push(Edge {
                    name: names[dep["pkg"].as_str().expect("a dependency has a package")]
                        .to_owned(),
                    normal: kinds.iter().any(|kind| kind["kind"].is_null()),
                    build: kinds.iter().any(|kind| kind["kind"] == "build"),
                });
            }
        }
        assert!(
            edges.contains_key("phalanx-core"),
            "cargo metadata does not list phalanx-core"
        );
        Self { edges }
    }

    /// Returns all packages linked into `package`, including itself.
    fn linked(&self, package: &str) -> BTreeSet<&str> {
        let (name, _) = self
            .edges
            .get_key_value(package)
            .expect("the package is in the workspace");
        let (mut seen, mut open) = (BTreeSet::from([name.as_str()]), vec![name.as_str()]);
        while let Some(name) = open.pop() {
            for edge in self.edges[name].iter().filter(|edge| edge.normal) {
                if seen.insert(&edge.name) {
                    open.push(&edge.name);
                }
            }
        }
        seen
    }
}

#[test]
fn packages_of_the_workspace_depend_only_downwards() {
    let graph = Graph::read();
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    for name in graph
        .edges
        .keys()
        .filter(|name| name.starts_with("phalanx"))
    {
        assert!(
            ours.contains(name.as_str()),
            "{name} is a new package; list its allowed dependencies in ALLOWED"
        );
    }
    for (name, allowed) in ALLOWED {
        for edge in &graph.edges[*name] {
            if ours.contains(edge.name.as_str()) && (edge.normal || edge.build) {
                assert!(
                    allowed.contains(&edge.name.as_str()),
                    "{name} may not depend on {}",
                    edge.name
                );
            }
        }
    }
}

#[test]
fn core_has_no_dependencies_outside_of_tests() {
    let graph = Graph::read();
    for edge in &graph.edges["phalanx-core"] {
        assert!(
            !edge.normal && !edge.build,
            "core may not depend on {}: it contains decisions only",
            edge.name
        );
    }
}

#[test]
fn no_daemon_links_a_simulator() {
    let graph = Graph::read();
    let linked = graph.linked("phalanxd");
    assert!(
        linked.contains("phalanx-net"),
        "phalanxd does not link phalanx-net, so this test checks nothing"
    );
    for name in
        SIMULATED_NETWORKS
            .iter()
            .chain(&["phalanx-sim", "phalanx-sim-cli", "phalanx-sim-wire"])
    {
        assert!(
            !linked.contains(name),
            "phalanxd links {name}; no daemon may link a simulator"
        );
    }
}

#[test]
fn only_the_wire_engine_links_a_simulated_network() {
    let graph = Graph::read();
    for (name, _) in ALLOWED
        .iter()
        .filter(|(name, _)| *name != "phalanx-sim-wire")
    {
        for edge in &graph.edges[*name] {
            assert!(
                !SIMULATED_NETWORKS.contains(&edge.name.as_str()),
                "{name} depends on {}; only phalanx-sim-wire may",
                edge.name
            );
        }
    }
}

#[test]
fn no_package_depends_on_an_example_of_the_simulator() {
    let graph = Graph::read();
    let examples = std::fs::read_dir(repository().join("sim/examples")).expect("it is a folder");
    let names = examples.map(|entry| {
        let name = entry.expect("the folder can be read").file_name();
        name.into_string().expect("the name is UTF-8")
    });
    let names: BTreeSet<String> = names.collect();
    assert!(names.contains("fleet"), "{names:?}");
    for name in names {
        assert!(
            !graph.edges.contains_key(&name),
            "{name} is a dependency of the workspace; examples are packages of their own"
        );
    }
}

#[test]
fn no_package_depends_on_the_compared_libraries() {
    let graph = Graph::read();
    for name in COMPARED_WITH {
        assert!(
            !graph.edges.contains_key(*name),
            "{name} is a dependency of the workspace; comparisons belong in sim/peers, outside the workspace"
        );
    }
}

#[test]
fn ring_is_the_only_provider_of_cryptography() {
    let graph = Graph::read();
    for banned in [
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
        "rustls-pemfile",
    ] {
        let users: Vec<&str> = graph
            .edges
            .iter()
            .filter(|(_, edges)| edges.iter().any(|edge| edge.name == banned))
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(
            !graph.edges.contains_key(banned),
            "{banned} is a dependency of {users:?}; see deny.toml"
        );
    }
}

#[test]
fn the_daemon_is_built_without_features_of_the_simulator() {
    let tree = cargo(&[
        "tree", "--locked", "-p", "phalanxd", "-e", "normal", "--prefix", "none", "-f", "{p}|{f}",
    ]);
    let features: BTreeSet<&str> = tree
        .lines()
        .filter(|line| line.starts_with("phalanx-core "))
        .filter_map(|line| Some(line.rsplit_once('|')?.1.trim_end_matches(" (*)")))
        .collect();
    assert_eq!(
        features,
        BTreeSet::from([""]),
        "features of phalanx-core in phalanxd"
    );
}
