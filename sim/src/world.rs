//! What every engine lets be seen of a running world.

use crate::scenario::{Host, Selector};
use crate::system::System;
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
pub trait World<S: System> {
    /// What a host's process shows, if it runs. One that left or gave up may still be shown.
    fn view(&self, host: usize) -> Option<&S::View>;

    /// What a host has sent.
    fn traffic(&self, host: usize) -> Traffic;

    /// The system of the run, which remembers what happened in it; none: the engine keeps no such memory.
    fn system(&self) -> Option<&S> {
        None
    }
}

/// A world at one instant, with the names of the scenario.
pub struct Scene<'a, S: System> {
    /// The world.
    pub world: &'a dyn World<S>,
    /// Its hosts.
    pub hosts: &'a [Host],
    /// The nodes that steps drew and gave a word.
    pub named: &'a BTreeMap<String, Vec<usize>>,
    /// The hosts whose process was started at least once.
    pub started: &'a BTreeSet<usize>,
}

impl<S: System> core::fmt::Debug for Scene<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scene").finish_non_exhaustive()
    }
}

impl<S: System> Scene<'_, S> {
    /// A host's name.
    #[must_use]
    pub fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    /// What a host's process shows, if it runs.
    #[must_use]
    pub fn view(&self, host: usize) -> Option<&S::View> {
        self.world.view(host)
    }

    /// The hosts whose processes run and take part.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &S::View)> {
        (0..self.hosts.len())
            .filter_map(|host| self.world.view(host).map(|view| (host, view)))
            .filter(|(_, view)| S::takes_part(view))
    }

    /// The hosts that a selector chooses at this instant.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Vec<usize> {
        // Expectations do not draw; the generator is only asked when a scenario draws in an expectation.
        let mut random = Random::from_seed(0);
        selector.resolve_now(
            self.hosts,
            self.named,
            &|host| self.world.view(host).is_some_and(S::takes_part),
            &|host| self.started.contains(&host) && self.world.view(host).is_none(),
            &mut random,
        )
    }

    /// The chosen hosts whose processes run and take part.
    ///
    /// # Errors
    /// When there is none.
    pub fn observers(&self, who: &Selector) -> Result<Vec<(usize, &S::View)>, String> {
        let chosen = self.select(who).into_iter();
        let observers: Vec<_> = chosen
            .filter_map(|host| self.world.view(host).map(|view| (host, view)))
            .filter(|(_, view)| S::takes_part(view))
            .collect();
        if observers.is_empty() {
            Err("none of the observers runs".to_owned())
        } else {
            Ok(observers)
        }
    }

    /// Whether these nodes have one state, or one value under a key of it.
    ///
    /// # Errors
    /// The first two that differ.
    pub fn agree<'v>(
        &self,
        nodes: impl IntoIterator<Item = (usize, &'v S::View)>,
        key: Option<&str>,
    ) -> Result<(), String>
    where
        S::View: 'v,
    {
        let mut nodes = nodes.into_iter();
        let Some((first, reference)) = nodes.next() else {
            return Ok(());
        };
        let Some(key) = key else {
            let digest = S::digest(reference);
            return match nodes.find(|(_, view)| S::digest(view) != digest) {
                None => Ok(()),
                Some((other, _)) => Err(format!(
                    "{} and {} are in different states",
                    self.name(first),
                    self.name(other)
                )),
            };
        };
        let wanted = value(&S::state(reference), key);
        for (other, view) in nodes {
            let found = value(&S::state(view), key);
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
