//! Whether a condition holds at one instant, and if not, what stands against it.

use crate::scenario::{Condition, Host, SeenAs, Selector};
use crate::world::{World, participants, takes_part};
use core::time::Duration;
use phalanx_core::gossip::{Gossip, Status};
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// A world with the names of its hosts.
pub(super) struct Scene<'a, W: ?Sized> {
    pub(super) world: &'a W,
    pub(super) hosts: &'a [Host],
    pub(super) named: &'a BTreeMap<String, Vec<usize>>,
    pub(super) started: &'a BTreeSet<usize>,
}

impl<W: World + ?Sized> Scene<'_, W> {
    /// The nodes that a selector chooses at this instant.
    pub(super) fn select(&self, selector: &Selector) -> Vec<usize> {
        // Expectations do not draw; the generator is only asked when a scenario draws in an expectation.
        let mut random = Random::from_seed(0);
        selector.resolve_now(
            self.hosts,
            self.named,
            &|host| self.world.mesh(host).is_some_and(takes_part),
            &|host| self.started.contains(&host) && self.world.mesh(host).is_none(),
            &mut random,
        )
    }

    fn running(&self, selector: &Selector) -> Vec<(usize, &Gossip)> {
        let chosen = self.select(selector);
        chosen
            .into_iter()
            .filter_map(|host| self.world.mesh(host).map(|mesh| (host, mesh)))
            .collect()
    }

    fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    /// # Errors
    /// What stands against the condition.
    pub(super) fn holds(&self, condition: &Condition, events: u32) -> Result<(), String> {
        match condition {
            Condition::Converged => self.converged(),
            Condition::Sees(who, of, status) => self.sees(who, of, *status),
            Condition::Members(who, status, bound) => {
                for (host, mesh) in self.observers(who)? {
                    let fits =
                        |member: Option<Status>| status.is_none_or(|status| status.fits(member));
                    let count = mesh
                        .members()
                        .filter(|member| fits(Some(member.status)))
                        .count() as u64;
                    if !bound.holds(count) {
                        return Err(format!("{} knows {count}", self.name(host)));
                    }
                }
                Ok(())
            }
            Condition::Providers(who, (name, version), are) => {
                self.providers(who, name, version.as_deref(), are)
            }
            Condition::Links(who, bound) => {
                let now = phalanx_core::time::Instant::ZERO;
                for (host, mesh) in self.observers(who)? {
                    let count = mesh.links(now).count() as u64;
                    if !bound.holds(count) {
                        return Err(format!("{} has {count} links", self.name(host)));
                    }
                }
                Ok(())
            }
            Condition::Phase(who, phase) => {
                for host in self.select(who) {
                    let found = self.world.mesh(host).map(Gossip::phase);
                    if found != Some(*phase) {
                        let found =
                            found.map_or("stopped".to_owned(), |found| format!("{found:?}"));
                        return Err(format!("{} is {found}", self.name(host)));
                    }
                }
                Ok(())
            }
            Condition::Event(kind, _, _, min) => {
                if events >= *min {
                    return Ok(());
                }
                Err(format!("{kind:?} was reported {events} times"))
            }
        }
    }

    fn observers(&self, who: &Selector) -> Result<Vec<(usize, &Gossip)>, String> {
        let mut observers = self.running(who);
        observers.retain(|(_, mesh)| takes_part(mesh));
        if observers.is_empty() {
            Err("none of the observers runs".to_owned())
        } else {
            Ok(observers)
        }
    }

    fn sees(&self, who: &Selector, of: &Selector, wanted: SeenAs) -> Result<(), String> {
        let of = self.select(of);
        if of.is_empty() {
            return Err("nobody is there to be seen".to_owned());
        }
        for (host, mesh) in self.observers(who)? {
            for &other in of.iter().filter(|other| **other != host) {
                let status = mesh
                    .member(&self.hosts[other].id)
                    .map(|member| member.status);
                if !wanted.fits(status) {
                    let status =
                        status.map_or("unknown".to_owned(), |status| format!("{status:?}"));
                    return Err(format!(
                        "{} sees {} as {status}",
                        self.name(host),
                        self.name(other)
                    ));
                }
            }
        }
        Ok(())
    }

    fn providers(
        &self,
        who: &Selector,
        name: &str,
        version: Option<&str>,
        are: &Selector,
    ) -> Result<(), String> {
        let wanted: BTreeSet<&NodeId> = self
            .select(are)
            .into_iter()
            .map(|host| &self.hosts[host].id)
            .collect();
        for (host, mesh) in self.observers(who)? {
            let found = mesh.providers(name, version);
            if !found.iter().eq(wanted.iter().copied()) {
                return Err(format!("{} finds {}", self.name(host), list(&found)));
            }
        }
        Ok(())
    }

    /// Exactly the participants are alive in all of their views, and all views have one hash.
    fn converged(&self) -> Result<(), String> {
        let mut alive = BTreeMap::new();
        let mut first: Option<(usize, u64)> = None;
        for (host, mesh) in participants(self.world, self.hosts.len()) {
            if let Some(other) = alive.insert(mesh.id(), host) {
                return Err(format!(
                    "{} and {} both run as {}",
                    self.name(other),
                    self.name(host),
                    mesh.id()
                ));
            }
            let hash = mesh.hash();
            match first {
                None => first = Some((host, hash)),
                Some((_, known)) if known == hash => {}
                Some((other, _)) => {
                    return Err(self.difference(other, host));
                }
            }
        }
        for (host, mesh) in participants(self.world, self.hosts.len()) {
            let mut seen = 0;
            for member in mesh.members() {
                let wanted = alive.contains_key(member.record.id());
                if wanted != (member.status == Status::Alive) {
                    let id = member.record.id();
                    return Err(format!(
                        "{} sees {id} as {:?}",
                        self.name(host),
                        member.status
                    ));
                }
                seen += usize::from(wanted);
            }
            if seen != alive.len() {
                return Err(format!(
                    "{} knows {seen} of {} running nodes",
                    self.name(host),
                    alive.len()
                ));
            }
        }
        Ok(())
    }

    /// Notes since when each participant has known exactly the participants as alive.
    pub(super) fn note_right_views(
        &self,
        now: Duration,
        since: &mut BTreeMap<usize, Option<Duration>>,
    ) {
        let alive: BTreeSet<&NodeId> = participants(self.world, self.hosts.len())
            .map(|(_, mesh)| mesh.id())
            .collect();
        let before = std::mem::take(since);
        for (host, mesh) in participants(self.world, self.hosts.len()) {
            let mut seen = 0;
            let right = mesh.members().all(|member| {
                let wanted = alive.contains(member.record.id());
                seen += usize::from(wanted);
                wanted == (member.status == Status::Alive)
            });
            let at = before.get(&host).copied().flatten().unwrap_or(now);
            since.insert(host, (right && seen == alive.len()).then_some(at));
        }
    }

    fn difference(&self, one: usize, two: usize) -> String {
        let records = |host: usize| -> BTreeMap<_, _> {
            let members = self.world.mesh(host).into_iter().flat_map(Gossip::members);
            members
                .map(|member| (member.record.id().clone(), member))
                .collect()
        };
        let (left, right) = (records(one), records(two));
        let ids: BTreeSet<&NodeId> = left.keys().chain(right.keys()).collect();
        let differs = ids.into_iter().find(|id| {
            let of = |view: &BTreeMap<NodeId, phalanx_core::gossip::MemberView>| {
                view.get(*id)
                    .map(|member| (member.record.digest(), member.report.clone()))
            };
            of(&left) != of(&right)
        });
        let (one, two) = (self.name(one), self.name(two));
        match differs {
            Some(id) => format!("the views of {one} and {two} differ about {id}"),
            None => format!("the views of {one} and {two} have different hashes"),
        }
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
