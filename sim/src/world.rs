//! What every engine lets be seen of a running world.

use crate::scenario::{Condition, Host, Selector};
use crate::system::{ProcessView, Program, ReportedEvent};
use core::ops::Range;
use phalanx_core::random::Random;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a host has sent since the start of the run, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Encoded messages, in bytes; without framing.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

/// A world at one instant.
pub trait World {
    /// What a process shows, if it runs. One that left or gave up may still be shown.
    fn view(&self, process: usize) -> Option<&dyn ProcessView>;

    /// The processes of a host.
    fn processes(&self, host: usize) -> Range<usize> {
        host..host + 1
    }

    /// What a host has sent.
    fn traffic(&self, host: usize) -> Traffic;

    /// The program at a place in the run's list; none beyond its end.
    fn program(&self, index: usize) -> Option<&dyn Program>;
}

/// A world at one instant, with the names of the scenario.
pub struct Scene<'a> {
    /// The world.
    pub world: &'a dyn World,
    /// Its hosts.
    pub hosts: &'a [Host],
    /// The nodes that steps drew and gave a word.
    pub named: &'a BTreeMap<String, Vec<usize>>,
    /// The hosts whose process was started at least once.
    pub started: &'a BTreeSet<usize>,
}

impl core::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scene").finish_non_exhaustive()
    }
}

impl Scene<'_> {
    /// The programs of the run.
    pub fn programs(&self) -> impl Iterator<Item = &dyn Program> {
        (0..).map_while(|index| self.world.program(index))
    }

    /// A host's name.
    #[must_use]
    pub fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    /// What a host's processes show that run.
    pub fn views(&self, host: usize) -> impl Iterator<Item = &dyn ProcessView> {
        self.world
            .processes(host)
            .filter_map(|process| self.world.view(process))
    }

    /// The same, of a process that shows this.
    #[must_use]
    pub fn one<V: ProcessView>(&self, host: usize) -> Option<&V> {
        self.views(host).find_map(|view| view.of())
    }

    /// The processes that run and take part, with their hosts.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &dyn ProcessView)> {
        (0..self.hosts.len())
            .flat_map(|host| self.views(host).map(move |view| (host, view)))
            .filter(|(_, view)| view.participates())
    }

    /// Whether all is well with all programs.
    ///
    /// # Errors
    /// What is not well.
    pub fn settled(&self) -> Result<(), String> {
        self.programs()
            .try_for_each(|program| program.settled(self))
    }

    /// Whether a condition of a program's own holds.
    ///
    /// # Errors
    /// What stands against it.
    pub fn holds(&self, condition: &Condition) -> Result<(), String> {
        let judged = self
            .programs()
            .find_map(|program| program.holds(self, condition));
        judged.unwrap_or_else(|| Err(format!("no program can judge {condition:?}")))
    }

    /// Whether an event wrongly says that a running node is dead.
    #[must_use]
    pub fn is_false_death(&self, notice: &dyn ReportedEvent) -> bool {
        self.programs()
            .any(|program| program.is_false_death(self, notice))
    }

    /// Those of them that show this.
    pub fn of<V: ProcessView>(&self) -> impl Iterator<Item = (usize, &V)> {
        self.nodes()
            .filter_map(|(host, view)| Some((host, view.of()?)))
    }

    /// Whether a host's process runs and takes part.
    #[must_use]
    pub fn participates(&self, host: usize) -> bool {
        self.views(host).any(ProcessView::participates)
    }

    /// The hosts that a selector chooses at this instant.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Vec<usize> {
        // Expectations do not draw; the generator is only asked when a scenario draws in an expectation.
        let mut random = Random::from_seed(0);
        selector.resolve_now(
            self.hosts,
            self.named,
            &|host| self.participates(host),
            &|host| self.started.contains(&host) && self.views(host).next().is_none(),
            &mut random,
        )
    }

    /// The chosen hosts whose processes run and take part.
    ///
    /// # Errors
    /// When there is none.
    pub fn observers(&self, who: &Selector) -> Result<Vec<(usize, &dyn ProcessView)>, String> {
        let chosen = self.select(who).into_iter();
        let observers: Vec<_> = chosen
            .flat_map(|host| self.views(host).map(move |view| (host, view)))
            .filter(|(_, view)| view.participates())
            .collect();
        if observers.is_empty() {
            Err("none of the observers runs".to_owned())
        } else {
            Ok(observers)
        }
    }

    /// Those of them that show this.
    ///
    /// # Errors
    /// When none of the chosen runs.
    pub fn observers_of<V: ProcessView>(&self, who: &Selector) -> Result<Vec<(usize, &V)>, String> {
        let observers = self.observers(who)?.into_iter();
        Ok(observers
            .filter_map(|(host, view)| Some((host, view.of()?)))
            .collect())
    }

    /// Whether these nodes have one state, or one value under a key of it.
    ///
    /// # Errors
    /// The first two that differ.
    pub fn agree<'v>(
        &self,
        nodes: impl IntoIterator<Item = (usize, &'v dyn ProcessView)>,
        key: Option<&str>,
    ) -> Result<(), String> {
        let mut nodes = nodes.into_iter();
        let Some((first, reference)) = nodes.next() else {
            return Ok(());
        };
        let Some(key) = key else {
            let digest = reference.digest();
            return match nodes.find(|(_, view)| view.digest() != digest) {
                None => Ok(()),
                Some((other, _)) => Err(format!(
                    "{} and {} are in different states",
                    self.name(first),
                    self.name(other)
                )),
            };
        };
        let wanted = value(&reference.state(), key);
        for (other, view) in nodes {
            let found = value(&view.state(), key);
            if found != wanted {
                let (first, other) = (self.name(first), self.name(other));
                return Err(format!(
                    "`{key}` is {wanted} at {first} and {found} at {other}"
                ));
            }
        }
        Ok(())
    }
}

/// What a state holds under a key; keys of inner objects follow after dots. Null if it holds nothing there.
#[must_use]
pub fn value(state: &Value, key: &str) -> Value {
    let mut at = state;
    for part in key.split('.') {
        let inner = match at {
            Value::Array(list) => part.parse().ok().and_then(|index: usize| list.get(index)),
            Value::Object(map) => map.get(part),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let Some(inner) = inner else {
            return Value::Null;
        };
        at = inner;
    }
    at.clone()
}
