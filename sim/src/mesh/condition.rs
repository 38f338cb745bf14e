//! Evaluates the mesh's conditions at one instant.

use super::condition_words::{Question, SeenAs};
use super::memory::Mesh;
use super::projection::text_of;
use super::workload::ChannelCondition;
use crate::scenario::{OwnCondition, Selector};
use crate::world::Scene;
use phalanx_core::gossip::{Gossip, MemberView, Phase, Status};
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use phalanx_core::time::Instant;
use phalanx_core::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a condition holds.
///
/// # Errors
/// The error names the first node at which the condition does not hold.
pub(super) fn holds(
    mesh: &Mesh,
    scene: &Scene<'_>,
    condition: &OwnCondition,
) -> Result<(), String> {
    let who = &condition.who;
    match Question::of(condition)? {
        Question::Sees(of, status) => sees(scene, who, of, status),
        Question::Members(status, bound) => {
            for (host, node) in scene.observers_of::<Node>(who)? {
                let mesh = node.mesh();
                let fits = |member: Option<Status>| status.is_none_or(|status| status.fits(member));
                let count = mesh
                    .members()
                    .filter(|member| fits(Some(member.status)))
                    .count() as u64;
                if !bound.holds(count) {
                    return Err(format!("{} knows {count}", scene.name(host)));
                }
            }
            Ok(())
        }
        Question::Providers(name, version, are) => providers(scene, who, name, version, are),
        Question::Links(bound) => {
            for (host, node) in scene.observers_of::<Node>(who)? {
                let mesh = node.mesh();
                let count = mesh.links(Instant::ZERO).count() as u64;
                if !bound.holds(count) {
                    return Err(format!("{} has {count} links", scene.name(host)));
                }
            }
            Ok(())
        }
        Question::Phase(phase) => {
            let chosen = scene.select(who);
            if chosen.is_empty() {
                return Err("no node is chosen".to_owned());
            }
            for host in chosen {
                let found = scene.one::<Node>(host).map(|node| node.mesh().phase());
                if found != Some(phase) {
                    let found = found.map_or("stopped", Phase::word);
                    return Err(format!("{} is {found}", scene.name(host)));
                }
            }
            Ok(())
        }
        Question::Channels(asked) => of_channels(mesh, scene, who, &asked),
    }
}

fn sees(scene: &Scene<'_>, who: &Selector, of: &Selector, wanted: SeenAs) -> Result<(), String> {
    let of = scene.select(of);
    if of.is_empty() {
        return Err("the set of observed nodes is empty".to_owned());
    }
    let mut seen = false;
    for (host, node) in scene.observers_of::<Node>(who)? {
        let mesh = node.mesh();
        for &other in of.iter().filter(|other| **other != host) {
            seen = true;
            let status = mesh
                .member(&scene.hosts[other].id)
                .map(|member| member.status);
            if !wanted.fits(status) {
                let status = status.map_or("unknown".to_owned(), |status| format!("{status:?}"));
                return Err(format!(
                    "{} sees {} as {status}",
                    scene.name(host),
                    scene.name(other)
                ));
            }
        }
    }
    // A node does not count as its own observer. The condition fails if there is no other observer.
    if seen {
        Ok(())
    } else {
        Err("no other node runs".to_owned())
    }
}

fn providers(
    scene: &Scene<'_>,
    who: &Selector,
    name: &str,
    version: Option<&str>,
    are: &Selector,
) -> Result<(), String> {
    let wanted: BTreeSet<&NodeId> = scene
        .select(are)
        .into_iter()
        .map(|host| &scene.hosts[host].id)
        .collect();
    for (host, node) in scene.observers_of::<Node>(who)? {
        let mesh = node.mesh();
        let found = mesh.providers(name, version);
        if !found.iter().eq(wanted.iter().copied()) {
            return Err(format!("{} finds {}", scene.name(host), list(&found)));
        }
    }
    Ok(())
}

/// Whether the mesh has converged: every view holds exactly the participating nodes as alive, all views have the same
/// hash, and every node that gave up its name did so in favour of a running node.
///
/// # Errors
/// The error names the first view that differs.
pub(super) fn converged(scene: &Scene<'_>) -> Result<(), String> {
    // Hashes are compared first, because this check over all views runs dozens of times per second of virtual time.
    let alive = Topology::alive_if(scene.of::<Node>().map(|(_, node)| node.mesh().id()));
    let mut views = scene.of::<Node>().map(|(_, node)| node.mesh());
    let hash = views.next().map_or(0, Gossip::hash);
    let equal = |mesh: &Gossip| mesh.hash() == hash && mesh.topology().alive() == alive;
    if !scene.of::<Node>().all(|(_, node)| equal(node.mesh())) {
        find_wrong(scene)?;
    }
    every_name_was_yielded_to_a_running_node(scene)
}

/// Checks that each node that gave up its name did so in favour of another running node with the same id. A node that
/// gave up its name does not participate, so the views do not show that both nodes are lost.
fn every_name_was_yielded_to_a_running_node(scene: &Scene<'_>) -> Result<(), String> {
    let phase = |host: usize| scene.one::<Node>(host).map(|node| node.mesh().phase());
    let yielded = |host: &usize| phase(*host) == Some(Phase::NameTaken);
    for host in (0..scene.hosts.len()).filter(yielded) {
        let id = &scene.hosts[host].id;
        let mut others = (0..scene.hosts.len()).filter(|other| *other != host);
        if !others.any(|other| scene.hosts[other].id == *id && !yielded(&other)) {
            return Err(format!(
                "{} gave up its name, and no other node runs as {id}",
                scene.name(host)
            ));
        }
    }
    Ok(())
}

/// Finds the first view that is wrong.
fn find_wrong(scene: &Scene<'_>) -> Result<(), String> {
    let mut alive = BTreeMap::new();
    let mut first: Option<(usize, u64)> = None;
    for (host, node) in scene.of::<Node>() {
        let mesh = node.mesh();
        if let Some(other) = alive.insert(mesh.id(), host) {
            return Err(format!(
                "{} and {} both run as {}",
                scene.name(other),
                scene.name(host),
                mesh.id()
            ));
        }
        let hash = mesh.hash();
        match first {
            None => first = Some((host, hash)),
            Some((_, known)) if known == hash => {}
            Some((other, _)) => {
                return Err(difference(scene, other, host));
            }
        }
    }
    for (host, node) in scene.of::<Node>() {
        let mesh = node.mesh();
        let mut seen = 0;
        for member in mesh.members() {
            let wanted = alive.contains_key(member.record.id());
            if wanted != (member.status == Status::Alive) {
                let id = member.record.id();
                return Err(format!(
                    "{} sees {id} as {:?}",
                    scene.name(host),
                    member.status
                ));
            }
            seen += usize::from(wanted);
        }
        if seen != alive.len() {
            return Err(format!(
                "{} knows {seen} of {} running nodes",
                scene.name(host),
                alive.len()
            ));
        }
    }
    Ok(())
}

/// For each participating node, whether its view holds exactly the participating nodes as alive.
pub(super) fn right_views(scene: &Scene<'_>) -> Vec<(usize, bool)> {
    let ids: BTreeSet<&NodeId> = scene
        .of::<Node>()
        .map(|(_, node)| node.mesh().id())
        .collect();
    let alive = Topology::alive_if(ids.into_iter());
    let views = scene.of::<Node>();
    views
        .map(|(host, node)| (host, node.mesh().topology().alive() == alive))
        .collect()
}

fn difference(scene: &Scene<'_>, one: usize, two: usize) -> String {
    let records = |host: usize| -> BTreeMap<_, _> {
        let node = scene.one::<Node>(host).into_iter();
        let members = node.flat_map(|node| node.mesh().members());
        members
            .map(|member| (member.record.id().clone(), member))
            .collect()
    };
    let (left, right) = (records(one), records(two));
    let ids: BTreeSet<&NodeId> = left.keys().chain(right.keys()).collect();
    let differs = ids.into_iter().find(|id| {
        let of = |view: &BTreeMap<NodeId, MemberView>| {
            view.get(*id).map(|member| {
                let report = member.report.as_ref().map(|aged| aged.report.clone());
                (member.record.digest(), report)
            })
        };
        of(&left) != of(&right)
    });
    let (one, two) = (scene.name(one), scene.name(two));
    match differs {
        Some(id) => format!("the views of {one} and {two} differ about {id}"),
        None => format!("the views of {one} and {two} have different hashes"),
    }
}

fn list(ids: &[NodeId]) -> String {
    if ids.is_empty() {
        return "nobody".to_owned();
    }
    ids.iter()
        .map(NodeId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether a condition on channels holds.
fn of_channels(
    mesh: &Mesh,
    scene: &Scene<'_>,
    who: &Selector,
    asked: &ChannelCondition,
) -> Result<(), String> {
    let observers = scene.observers_of::<Node>(who)?;
    match asked {
        ChannelCondition::Agrees(channel) => {
            let holds = |(host, node): &(usize, &Node)| {
                node.channels().hash(channel).map(|hash| (*host, hash))
            };
            let mut held = observers.iter().filter_map(holds);
            let Some((first, wanted)) = held.next() else {
                return Err(format!("no node holds data of {channel}"));
            };
            match held.find(|(_, hash)| *hash != wanted) {
                None => Ok(()),
                Some((other, _)) => Err(format!(
                    "{} and {} hold different things of {channel}",
                    scene.name(first),
                    scene.name(other)
                )),
            }
        }
        ChannelCondition::AllReceived(channel) => mesh.delivery_log.all_received(scene, channel),
        ChannelCondition::Value(channel, key, wanted) => {
            for (host, node) in observers {
                let held = node.channels().value(channel, key);
                let found = held.and_then(|held| held.value.as_ref());
                let found = found.map(|value| text_of(value));
                if found != *wanted {
                    let found = found.unwrap_or_else(|| "nothing".to_owned());
                    return Err(format!("`{key}` is {found} at {}", scene.name(host)));
                }
            }
            Ok(())
        }
    }
}
