//! A running world at one instant, in the form that every engine provides.

use super::process::ProcessView;
use super::program::Program;
use crate::finding::FailureFinding;
use crate::scenario::{Host, OwnCondition, Selector, Situation};
use core::ops::Range;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The messages that a host sent to other hosts since the start of the run, over all of its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostTraffic {
    /// Bytes of encoded messages, without framing.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
}

/// A world at one instant.
pub trait World {
    /// Returns the view of a process, if it runs. A process that left or gave up may still have a view.
    fn view(&self, process: usize) -> Option<&dyn ProcessView>;

    /// Returns the processes of a host. Engines that run one program per host number processes as they number hosts.
    fn processes(&self, host: usize) -> Range<usize> {
        host..host + 1
    }

    /// Returns the index, in the run's list, of the program that a process runs.
    fn program_of(&self, _process: usize) -> usize {
        0
    }

    /// Returns the traffic of a host.
    fn traffic(&self, host: usize) -> HostTraffic;

    /// Returns the program at an index of the run's list; `None` beyond its end.
    fn program(&self, index: usize) -> Option<&dyn Program>;
}

/// A world at one instant, with the names of the scenario.
pub struct Scene<'a> {
    /// The world.
    pub world: &'a dyn World,
    /// The hosts.
    pub hosts: &'a [Host],
    /// The nodes that steps drew and named.
    pub named: &'a BTreeMap<String, Vec<usize>>,
    /// The hosts whose processes were started at least once.
    pub started: &'a BTreeSet<usize>,
}

impl core::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scene").finish_non_exhaustive()
    }
}

impl Scene<'_> {
    /// Iterates over the programs of the run.
    pub fn programs(&self) -> impl Iterator<Item = &dyn Program> {
        (0..).map_while(|index| self.world.program(index))
    }

    /// Returns a host's name.
    #[must_use]
    pub fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    /// Returns the name of the program that a process runs.
    fn program_name(&self, process: usize) -> Option<&'static str> {
        let program = self.world.program_of(process);
        Some(self.world.program(program)?.name())
    }

    /// Iterates over the views of a host's running processes: of the processes of one program, or of all.
    pub fn views_of(
        &self,
        host: usize,
        program: Option<&'static str>,
    ) -> impl Iterator<Item = &dyn ProcessView> {
        self.world.processes(host).filter_map(move |process| {
            let wanted = program.is_none() || self.program_name(process) == program;
            self.world.view(process).filter(|_| wanted)
        })
    }

    /// Iterates over the views of a host's running processes.
    pub fn views(&self, host: usize) -> impl Iterator<Item = &dyn ProcessView> {
        self.views_of(host, None)
    }

    /// Returns the view of this type among those of a host's running processes.
    #[must_use]
    pub fn one<V: ProcessView>(&self, host: usize) -> Option<&V> {
        self.views(host).find_map(|view| view.of())
    }

    fn participating(
        &self,
        program: Option<&'static str>,
    ) -> impl Iterator<Item = (usize, &dyn ProcessView)> {
        (0..self.hosts.len())
            .flat_map(move |host| self.views_of(host, program).map(move |view| (host, view)))
            .filter(|(_, view)| view.participates())
    }

    /// Iterates over the participating processes, with their hosts.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &dyn ProcessView)> {
        self.participating(None)
    }

    /// Iterates over the participating processes of one program, with their hosts.
    pub fn nodes_of(
        &self,
        program: &'static str,
    ) -> impl Iterator<Item = (usize, &dyn ProcessView)> {
        self.participating(Some(program))
    }

    /// Iterates over the participating processes whose view is of this type.
    pub fn of<V: ProcessView>(&self) -> impl Iterator<Item = (usize, &V)> {
        self.nodes()
            .filter_map(|(host, view)| Some((host, view.of()?)))
    }

    /// Checks whether every host that does not wait for a step has started at least once, and all programs have
    /// settled.
    ///
    /// # Errors
    /// The error names the first host that has not started, or the first process or property that has not settled.
    pub fn settled(&self) -> Result<(), String> {
        let mut hosts = self.hosts.iter().enumerate();
        let waited_for =
            |(index, host): &(usize, &Host)| host.start.is_some() && !self.started.contains(index);
        if let Some((_, host)) = hosts.find(waited_for) {
            return Err(format!("{} has not started yet", host.name));
        }
        self.programs()
            .try_for_each(|program| program.settled(self))
    }

    /// Returns the program of this name, if the run has it.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&dyn Program> {
        self.programs().find(|program| program.name() == name)
    }

    /// Checks a condition in a program's own vocabulary.
    ///
    /// # Errors
    /// The error is the reason that the condition does not hold.
    pub fn holds(&self, condition: &OwnCondition) -> Result<(), String> {
        match self.program(condition.program) {
            Some(program) => program.holds(self, condition),
            None => Err(format!("no host runs {}", condition.program)),
        }
    }

    /// Returns whether a process of a host participates.
    #[must_use]
    pub fn participates(&self, host: usize) -> bool {
        self.views(host).any(ProcessView::participates)
    }

    /// Returns the hosts that a selector selects at this instant.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Vec<usize> {
        self.in_situation(selector, |situation| selector.resolve_now(situation))
    }

    /// Returns whether a selector selects a host at this instant.
    #[must_use]
    pub fn selects(&self, selector: &Selector, host: usize) -> bool {
        self.in_situation(selector, |situation| selector.selects_now(host, situation))
    }

    /// Calls a function with the state that a selector is resolved against.
    fn in_situation<T>(&self, selector: &Selector, resolve: impl FnOnce(&Situation<'_>) -> T) -> T {
        let views = |host| self.views_of(host, selector.program());
        resolve(&Situation {
            hosts: self.hosts.len(),
            named: self.named,
            running: &|host| views(host).any(ProcessView::participates),
            stopped: &|host| self.started.contains(&host) && views(host).next().is_none(),
        })
    }

    /// Returns the participating processes that a selector selects, with their hosts.
    ///
    /// # Errors
    /// The error is that no such process participates.
    pub fn observers(&self, who: &Selector) -> Result<Vec<(usize, &dyn ProcessView)>, String> {
        let chosen = self.select(who).into_iter();
        let observers: Vec<_> = chosen
            .flat_map(|host| {
                let views = self.views_of(host, who.program());
                views.map(move |view| (host, view))
            })
            .filter(|(_, view)| view.participates())
            .collect();
        if observers.is_empty() {
            Err("none of the observers runs".to_owned())
        } else {
            Ok(observers)
        }
    }

    /// Returns the selected processes whose view is of this type.
    ///
    /// # Errors
    /// The error is that no such process participates.
    pub fn observers_of<V: ProcessView>(&self, who: &Selector) -> Result<Vec<(usize, &V)>, String> {
        let observers = self.observers(who)?.into_iter();
        let observers: Vec<_> = observers
            .filter_map(|(host, view)| Some((host, view.of()?)))
            .collect();
        if observers.is_empty() {
            Err("none of the observers runs".to_owned())
        } else {
            Ok(observers)
        }
    }

    /// Checks that a selector that does not name a program is unambiguous: among the selected processes, only those of
    /// one program have this key, or, without a key, all belong to one program.
    ///
    /// # Errors
    /// The error names the programs.
    pub fn is_unambiguous(&self, who: &Selector, key: Option<&str>) -> Result<(), String> {
        if who.program().is_some() || self.world.program(1).is_none() {
            return Ok(());
        }
        let mut programs = BTreeSet::new();
        for host in self.select(who) {
            for process in self.world.processes(host) {
                let view = self.world.view(process);
                let view = view.filter(|view| view.participates());
                let holds = |view: &dyn ProcessView| {
                    key.is_none_or(|key| !value(&view.state(), key).is_null())
                };
                if view.is_some_and(holds) {
                    programs.extend(self.program_name(process));
                }
            }
        }
        let (Some(first), true) = (programs.first(), programs.len() > 1) else {
            return Ok(());
        };
        let what = key.map_or_else(|| "processes".to_owned(), |key| format!("the key `{key}`"));
        let all: Vec<&str> = programs.iter().copied().collect();
        Err(format!(
            "several programs have {what}: {}; name one in `who`, such as `all/{first}`",
            all.join(", ")
        ))
    }

    /// Returns a process whose state, or whose value under a key, differs from that of most other processes, and a host
    /// of the majority. `None` if the processes agree.
    #[must_use]
    pub fn disagreement<'v>(
        &self,
        nodes: impl IntoIterator<Item = (usize, &'v dyn ProcessView)>,
        key: Option<&str>,
    ) -> Option<FailureFinding> {
        let of = |view: &dyn ProcessView| {
            key.map_or_else(
                || view.digest().to_string(),
                |key| value(&view.state(), key).to_string(),
            )
        };
        let held: Vec<(usize, String)> = nodes
            .into_iter()
            .map(|(host, view)| (host, of(view)))
            .collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, held) in &held {
            *counts.entry(held).or_default() += 1;
        }
        // Of several equally frequent states, the state of the first host counts as the majority.
        let (majority, common) = held
            .iter()
            .rev()
            .max_by_key(|(_, held)| counts[held.as_str()])?;
        let (host, other) = held.iter().find(|(_, held)| held != common)?;
        let (name, first) = (self.name(*host), self.name(*majority));
        let share = format!("{} of {} processes", counts[common.as_str()], held.len());
        let text = match key {
            Some(key) => {
                format!("`{key}` is {other} at {name}, and {common} at {first} ({share})")
            }
            None => format!("the state of {name} differs from that of {first} ({share})"),
        };
        let found = FailureFinding::new(text).by(*host).about(*majority);
        Some(match key {
            Some(key) => found.under(key),
            None => found,
        })
    }

    /// Checks that these processes have equal states, or equal values under a key.
    ///
    /// # Errors
    /// The error names the first two processes that differ.
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

/// Returns the value of a state under a key. Dots separate the keys of nested objects and the indices of arrays.
/// Returns null if there is no value.
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
