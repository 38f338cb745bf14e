//! Words for nodes: `all`, `n3`, `n1..n5`, a group's prefix, `2 of n2..n9`, `down`, a word a step gave.

use super::Host;
use super::error::suggestion;
use phalanx_core::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// A choice of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// These.
    Hosts(Vec<usize>),
    /// So many of these, drawn.
    Draw { count: usize, of: Vec<Self> },
    /// The nodes a step gave this name.
    Named(String),
    /// Those that were stopped and not started again.
    Down,
    /// Those that run.
    Running,
}

/// Everything a selector may name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    hosts: BTreeMap<String, usize>,
    groups: BTreeMap<String, Vec<usize>>,
    given: BTreeSet<String>,
}

/// The words that mean something by themselves.
const RESERVED: [&str; 3] = ["all", "down", "running"];

impl Names {
    /// Adds a host and the word for its group.
    pub(crate) fn add(&mut self, name: &str, group: Option<&str>) -> Result<(), String> {
        if RESERVED.contains(&name) || self.groups.contains_key(name) {
            return Err(format!(
                "`{name}` already has a meaning; give the node another name"
            ));
        }
        let index = self.hosts.len();
        if self.hosts.insert(name.to_owned(), index).is_some() {
            return Err(format!("two nodes are named `{name}`"));
        }
        if let Some(group) = group {
            if self.hosts.contains_key(group) || RESERVED.contains(&group) {
                return Err(format!(
                    "`{group}` already has a meaning; choose another prefix"
                ));
            }
            self.groups.entry(group.to_owned()).or_default().push(index);
        }
        Ok(())
    }

    /// Adds a word that a step gives to the nodes it draws.
    pub(crate) fn give(&mut self, word: &str) -> Result<(), String> {
        let taken = self.hosts.contains_key(word)
            || self.groups.contains_key(word)
            || RESERVED.contains(&word);
        if taken || !self.given.insert(word.to_owned()) {
            return Err(format!(
                "`{word}` already has a meaning; choose another word"
            ));
        }
        Ok(())
    }

    /// Reads a selector.
    pub(crate) fn selector(&self, text: &str) -> Result<Selector, String> {
        let terms = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Ok(Selector {
            terms: terms
                .map(|word| self.term(word))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Reads a selector that must name fixed nodes.
    pub(crate) fn fixed(&self, text: &str) -> Result<Vec<usize>, String> {
        let selector = self.selector(text)?;
        let mut hosts = BTreeSet::new();
        for term in selector.terms {
            match term {
                Term::Hosts(found) => hosts.extend(found),
                Term::Draw { .. } | Term::Named(_) | Term::Down | Term::Running => {
                    return Err(format!("`{text}` must name fixed nodes here"));
                }
            }
        }
        Ok(hosts.into_iter().collect())
    }

    fn term(&self, word: &str) -> Result<Term, String> {
        if let Some((count, of)) = word.split_once(" of ") {
            let how = || format!("`{word}` is no choice; write for example `3 of n2..n9`");
            let count = count.trim().parse().map_err(|_| how())?;
            return Ok(Term::Draw {
                count,
                of: vec![self.term(of.trim())?],
            });
        }
        if let Some((first, last)) = word.split_once("..") {
            return self.range(word, first, last);
        }
        match word {
            "all" => return Ok(Term::Hosts(self.hosts.values().copied().collect())),
            "down" => return Ok(Term::Down),
            "running" => return Ok(Term::Running),
            _ => {}
        }
        if let Some(host) = self.hosts.get(word) {
            return Ok(Term::Hosts(vec![*host]));
        }
        if let Some(group) = self.groups.get(word) {
            return Ok(Term::Hosts(group.clone()));
        }
        if self.given.contains(word) {
            return Ok(Term::Named(word.to_owned()));
        }
        Err(self.unknown(word))
    }

    fn unknown(&self, word: &str) -> String {
        let words = self
            .hosts
            .keys()
            .chain(self.groups.keys())
            .chain(&self.given)
            .map(String::as_str);
        let words: Vec<&str> = words.chain(RESERVED).collect();
        format!("there is no node `{word}`{}", suggestion(word, words))
    }

    fn range(&self, word: &str, first: &str, last: &str) -> Result<Term, String> {
        let split = |name: &str| {
            let at = name
                .rfind(|c: char| !c.is_ascii_digit())
                .map_or(0, |at| at + 1);
            name[at..]
                .parse::<usize>()
                .ok()
                .map(|number| (name[..at].to_owned(), number))
        };
        let how = || format!("`{word}` is no range; write for example `n1..n5` (both included)");
        let (prefix, from) = split(first).ok_or_else(how)?;
        let (other, to) = split(last).ok_or_else(how)?;
        if prefix != other || from > to {
            return Err(how());
        }
        for end in [first, last] {
            if !self.hosts.contains_key(end) {
                return Err(self.unknown(end));
            }
        }
        let names = (from..=to).map(|number| format!("{prefix}{number}"));
        let find = |name: String| {
            self.hosts
                .get(&name)
                .copied()
                .ok_or_else(|| self.unknown(&name))
        };
        Ok(Term::Hosts(names.map(find).collect::<Result<_, _>>()?))
    }
}

/// What a selector is resolved against.
pub(crate) struct Situation<'a> {
    pub(crate) hosts: &'a [Host],
    pub(crate) named: &'a BTreeMap<String, Vec<usize>>,
    pub(crate) running: &'a dyn Fn(usize) -> bool,
    pub(crate) stopped: &'a dyn Fn(usize) -> bool,
}

impl Selector {
    /// Every node that this may choose among or chooses for sure, in order.
    pub(crate) fn resolve(&self, situation: &Situation<'_>, random: &mut Random) -> Vec<usize> {
        let chosen: BTreeSet<usize> = self
            .terms
            .iter()
            .flat_map(|term| term.resolve(situation, random))
            .collect();
        chosen.into_iter().collect()
    }
}

impl Term {
    fn resolve(&self, situation: &Situation<'_>, random: &mut Random) -> Vec<usize> {
        let all = 0..situation.hosts.len();
        match self {
            Self::Hosts(hosts) => hosts.clone(),
            Self::Named(word) => situation.named.get(word).cloned().unwrap_or_default(),
            Self::Down => all.filter(|host| (situation.stopped)(*host)).collect(),
            Self::Running => all.filter(|host| (situation.running)(*host)).collect(),
            Self::Draw { count, of } => {
                let mut hosts: Vec<usize> = of
                    .iter()
                    .flat_map(|term| term.resolve(situation, random))
                    .collect();
                random.shuffle(&mut hosts);
                hosts.truncate(*count);
                hosts
            }
        }
    }
}

impl Selector {
    /// The nodes it chooses in a running world.
    pub(crate) fn resolve_now(
        &self,
        hosts: &[Host],
        named: &BTreeMap<String, Vec<usize>>,
        running: &dyn Fn(usize) -> bool,
        stopped: &dyn Fn(usize) -> bool,
        random: &mut Random,
    ) -> Vec<usize> {
        self.resolve(
            &Situation {
                hosts,
                named,
                running,
                stopped,
            },
            random,
        )
    }
}
