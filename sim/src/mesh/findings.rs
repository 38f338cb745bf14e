//! The nodes and items that a failed condition or metric of the mesh concerns.

use super::condition_words::{Question, SeenAs};
use super::memory::Mesh;
use super::workload::ChannelCondition;
use crate::finding::FailureFinding;
use crate::scenario::{Bound, OwnCondition, Selector};
use crate::world::{MeasuredMetric, ProcessView as _, Scene};
use phalanx_core::gossip::Status;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Node;
use phalanx_core::time::Instant;
use std::collections::BTreeSet;

/// Returns the nodes and the item of a condition that does not hold or, if `wanted` is false, of a condition that
/// holds.
pub(super) fn of_condition(
    mesh: &Mesh,
    scene: &Scene<'_>,
    condition: &OwnCondition,
    wanted: bool,
) -> Option<FailureFinding> {
    let who = &condition.who;
    match Question::of(condition).ok()? {
        Question::Sees(of, status) => sees(scene, who, of, status, wanted),
        Question::Members(status, bound) => members(scene, who, status, bound, wanted),
        Question::Providers(name, version, are) => providers(scene, who, name, version, are),
        Question::Links(bound) => links(scene, who, bound, wanted),
        Question::Phase(phase) => {
            let mut hosts = scene.select(who).into_iter();
            let host = hosts.find(|host| {
                let found = scene.one::<Node>(*host).map(|node| node.mesh().phase());
                (found == Some(phase)) != wanted
            })?;
            let found = scene.one::<Node>(host).map(|node| node.mesh().phase());
            let word = found.map_or("not running", |phase| phase.word());
            let text = format!("{} is {word}", scene.name(host));
            Some(FailureFinding::new(text).by(host).under("phase"))
        }
        Question::Channels(asked) => of_channels(mesh, scene, who, &asked),
    }
}

/// The pair of nodes of which the first does not see the second in the required state.
fn sees(
    scene: &Scene<'_>,
    who: &Selector,
    of: &Selector,
    status: SeenAs,
    wanted: bool,
) -> Option<FailureFinding> {
    let of = scene.select(of);
    for (host, node) in scene.observers_of::<Node>(who).ok()? {
        for &other in of.iter().filter(|other| **other != host) {
            let id = &scene.hosts[other].id;
            let found = node.mesh().member(id).map(|member| member.status);
            if status.fits(found) != wanted {
                return Some(of_pair(scene, host, other));
            }
        }
    }
    None
}

/// Returns the finding that states what one node knows about another node.
fn of_pair(scene: &Scene<'_>, host: usize, other: usize) -> FailureFinding {
    let (name, of) = (scene.name(host), scene.name(other));
    let node = scene.one::<Node>(host);
    let held = node.and_then(|node| node.knows_of(&scene.hosts[other].id));
    let text = match (node, held) {
        (None, _) => format!("{name} does not run"),
        (_, None) => format!("{name} does not know {of}"),
        (_, Some(held)) => format!("{name} holds {of} as {held}"),
    };
    FailureFinding::new(text).by(host).about(other)
}

fn place(scene: &Scene<'_>, id: &NodeId) -> Option<usize> {
    scene.hosts.iter().position(|host| host.id == *id)
}

/// A running node that a node with too few members does not know (the first such node), or a member in excess.
fn members(
    scene: &Scene<'_>,
    who: &Selector,
    status: Option<SeenAs>,
    bound: Bound,
    wanted: bool,
) -> Option<FailureFinding> {
    let fits = |member: Status| status.is_none_or(|status| status.fits(Some(member)));
    for (host, node) in scene.observers_of::<Node>(who).ok()? {
        let known = node.mesh().members();
        let known: Vec<_> = known.filter(|member| fits(member.status)).collect();
        let count = known.len() as u64;
        if bound.holds(count) == wanted {
            continue;
        }
        let other = if count < bound.min {
            let ids: BTreeSet<&NodeId> = known.iter().map(|it| it.record.id()).collect();
            let mut hosts = (0..scene.hosts.len()).filter(|other| *other != host);
            let lacks = |other: &usize| {
                scene.started.contains(other) && !ids.contains(&scene.hosts[*other].id)
            };
            hosts.find(lacks)
        } else {
            let allowed = usize::try_from(bound.max).unwrap_or(usize::MAX);
            let excess = known.get(if wanted { allowed } else { 0 });
            let stopped = known.iter().find(|member| {
                place(scene, member.record.id()).is_some_and(|host| !scene.participates(host))
            });
            stopped
                .or(excess)
                .and_then(|it| place(scene, it.record.id()))
        };
        let name = scene.name(host);
        return Some(match other {
            Some(other) => of_pair(scene, host, other),
            None => FailureFinding::new(format!("{name} counts {count} members")).by(host),
        });
    }
    None
}

fn providers(
    scene: &Scene<'_>,
    who: &Selector,
    name: &str,
    version: Option<&str>,
    are: &Selector,
) -> Option<FailureFinding> {
    let wanted: BTreeSet<usize> = scene.select(are).into_iter().collect();
    for (host, node) in scene.observers_of::<Node>(who).ok()? {
        let found = node.mesh().providers(name, version);
        let found: BTreeSet<usize> = found.iter().filter_map(|id| place(scene, id)).collect();
        let Some(&other) = wanted.symmetric_difference(&found).next() else {
            continue;
        };
        let (observer, of) = (scene.name(host), scene.name(other));
        let verb = if found.contains(&other) {
            "finds"
        } else {
            "does not find"
        };
        let held = node.knows_of(&scene.hosts[other].id);
        let held = held.map_or_else(
            || "does not know it".to_owned(),
            |it| format!("holds it as {it}"),
        );
        let text = format!("{observer} {verb} {of} as a provider of {name}, and {held}");
        return Some(FailureFinding::new(text).by(host).about(other));
    }
    None
}

fn links(scene: &Scene<'_>, who: &Selector, bound: Bound, wanted: bool) -> Option<FailureFinding> {
    for (host, node) in scene.observers_of::<Node>(who).ok()? {
        let peers: Vec<NodeId> = node.mesh().links(Instant::ZERO).map(|it| it.peer).collect();
        let count = peers.len() as u64;
        if bound.holds(count) == wanted {
            continue;
        }
        let other = if count < bound.min {
            let mut hosts = (0..scene.hosts.len()).filter(|other| *other != host);
            hosts.find(|other| {
                scene.started.contains(other) && !peers.contains(&scene.hosts[*other].id)
            })
        } else {
            let allowed = usize::try_from(bound.max).unwrap_or(usize::MAX);
            let excess = peers.get(if wanted { allowed } else { 0 });
            excess.and_then(|id| place(scene, id))
        };
        let name = scene.name(host);
        let verb = if count < bound.min {
            "has no link"
        } else {
            "has a link"
        };
        let text = other.map_or_else(
            || format!("{name} has {count} links"),
            |other| format!("{name} {verb} to {} ({count} in all)", scene.name(other)),
        );
        let found = FailureFinding::new(text).by(host);
        return Some(match other {
            Some(other) => found.about(other),
            None => found,
        });
    }
    None
}

fn of_channels(
    mesh: &Mesh,
    scene: &Scene<'_>,
    who: &Selector,
    asked: &ChannelCondition,
) -> Option<FailureFinding> {
    let observers = scene.observers_of::<Node>(who).ok()?;
    match asked {
        ChannelCondition::Agrees(channel) => {
            let held: Vec<(usize, u64)> = observers
                .iter()
                .filter_map(|(host, node)| Some((*host, node.channels().hash(channel)?)))
                .collect();
            let share = |hash: u64| held.iter().filter(|(_, other)| *other == hash).count();
            let (first, common) = *held.iter().rev().max_by_key(|(_, hash)| share(*hash))?;
            let (other, _) = *held.iter().find(|(_, hash)| *hash != common)?;
            let (name, of) = (scene.name(other), scene.name(first));
            let text = format!(
                "{name} differs on {channel} from {of} and {} more",
                share(common) - 1
            );
            Some(FailureFinding::new(text).by(other).about(first))
        }
        ChannelCondition::AllReceived(channel) => {
            mesh.delivery_log.first_missing_on(scene, channel)
        }
        ChannelCondition::Value(channel, key, wanted) => {
            let value = |node: &Node| {
                let held = node.channels().value(channel, key);
                let found = held.and_then(|held| held.value.as_ref());
                found.map(|value| super::projection::text_of(value))
            };
            let lacks = |(_, node): &&(usize, &Node)| value(node) != *wanted;
            let (host, _) = observers.iter().find(lacks)?;
            let right = observers.iter().find(|(_, node)| value(node) == *wanted);
            let text = format!("{} holds another value of `{key}`", scene.name(*host));
            let found = FailureFinding::new(text).by(*host);
            Some(match right {
                Some((other, _)) => found.about(*other),
                None => found,
            })
        }
    }
}

/// A pair of nodes of which the first does not have the right view of the second.
pub(super) fn unsettled(scene: &Scene<'_>) -> Option<FailureFinding> {
    let alive: BTreeSet<&NodeId> = scene
        .of::<Node>()
        .map(|(_, node)| node.mesh().id())
        .collect();
    for (host, node) in scene.of::<Node>() {
        for other in (0..scene.hosts.len()).filter(|other| *other != host) {
            let id = &scene.hosts[other].id;
            let status = node.mesh().member(id).map(|member| member.status);
            if (status == Some(Status::Alive)) != alive.contains(id) && node.mesh().id() != id {
                return Some(of_pair(scene, host, other));
            }
        }
    }
    let mut views = scene.of::<Node>();
    let (first, reference) = views.next()?;
    let (host, node) = views.find(|(_, node)| node.mesh().hash() != reference.mesh().hash())?;
    let held = |node: &Node, other: usize| {
        let member = node.mesh().member(&scene.hosts[other].id);
        member.map(|member| {
            (
                member.record.digest(),
                member.report.map(|aged| aged.report),
            )
        })
    };
    let mut hosts = 0..scene.hosts.len();
    let differs = hosts.find(|other| held(node, *other) != held(reference, *other));
    let (name, of) = (scene.name(host), scene.name(first));
    Some(match differs {
        Some(other) => {
            let id = &scene.hosts[other].id;
            let known = |node: &Node| node.knows_of(id).unwrap_or_else(|| "unknown".to_owned());
            let (one, two) = (known(node), known(reference));
            let subject = scene.name(other);
            let text = if one == two {
                format!(
                    "{name} and {of} hold {subject} as {one}, with different reports of its links"
                )
            } else {
                format!("{name} holds {subject} as {one}, and {of} as {two}")
            };
            let found = FailureFinding::new(text).by(host);
            // The two nodes may differ about the node `host` itself.
            found.about(if other == host { first } else { other })
        }
        None => {
            let text = format!("the records or reports that {name} and {of} hold differ");
            FailureFinding::new(text).by(host).about(first)
        }
    })
}

/// The item because of which a metric misses its bound.
pub(super) fn of_metric(
    mesh: &Mesh,
    scene: &Scene<'_>,
    metric: &MeasuredMetric<'_>,
) -> Option<FailureFinding> {
    mesh.delivery_log.finding(scene, metric)
}
