//! Selectors of nodes, such as `all`, `n3`, `n1..n5`, a group's prefix, `2 of n2..n9`, `down` or a name that a step
//! defines; `not n3` selects all other nodes. `n3/agent` selects a process of one program on these nodes.

use super::suggestion::suggestion;
use phalanx_core::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// An item that a file names.
pub trait Named {
    /// Returns the name.
    fn name(&self) -> &str;
}

/// A set of nodes, given by a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
    /// The program whose processes are selected; `None`: whole hosts.
    program: Option<&'static str>,
    /// The selector's text in the file; empty if the selector was not read from a file.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// The given hosts.
    Hosts(Vec<usize>),
    /// A number of hosts, drawn from a set of hosts.
    Draw { count: usize, of: Vec<Self> },
    /// The nodes to which a step assigned this name.
    Named(String),
    /// The nodes that were stopped and not restarted.
    Down,
    /// The running nodes.
    Running,
    /// The nodes of the first terms that are not among those of the second; if there are no first terms, all nodes that
    /// are not among the second.
    Except { of: Vec<Self>, not: Vec<Self> },
    /// The nodes that are on no other side of a partition.
    Rest,
}

/// All names that selectors may contain.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The programs of the system.
    programs: Vec<&'static str>,
    hosts: BTreeMap<String, usize>,
    groups: BTreeMap<String, Vec<usize>>,
    /// Hosts by location and role: `role:web`, `region:eu`, `zone:a`.
    places: BTreeMap<String, Vec<usize>>,
    given: BTreeSet<String>,
}

/// Reserved words.
const RESERVED: [&str; 3] = ["all", "down", "running"];

impl Names {
    /// Creates the names of a system with these programs, without hosts.
    pub(crate) fn new(programs: impl Iterator<Item = &'static str>) -> Self {
        Self {
            programs: programs.collect(),
            ..Self::default()
        }
    }

    /// Adds a host and the name of its group.
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

    /// Adds the latest host to the hosts of a role, a region or a zone.
    pub(crate) fn place(&mut self, kind: &str, word: &str) {
        let hosts = self.places.entry(format!("{kind}:{word}")).or_default();
        hosts.push(self.hosts.len().saturating_sub(1));
    }

    /// Adds a name that a step gives to the nodes it draws.
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

    /// Parses a selector.
    pub(crate) fn selector(&self, text: &str) -> Result<Selector, String> {
        let terms = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Ok(Selector {
            terms: self.without(
                terms
                    .map(|word| self.term(word))
                    .collect::<Result<_, _>>()?,
            ),
            program: None,
            text: text.to_owned(),
        })
    }

    /// Parses a selector of hosts (`m1..m4`), or of one program's processes on hosts (`m1..m4/agent`).
    pub(crate) fn processes(&self, text: &str) -> Result<Selector, String> {
        let mut program = None;
        let mut terms = Vec::new();
        let words = text.split(',').map(str::trim);
        for word in words.filter(|word| !word.is_empty()) {
            let (term, named) = match word.rsplit_once('/') {
                Some((hosts, named)) if self.term(word).is_err() => {
                    (self.term(hosts.trim_end())?, Some(self.program(named)?))
                }
                _ => (self.term(word)?, None),
            };
            if *program.get_or_insert(named) != named {
                return Err(format!(
                    "`{text}` names several programs; write one of them behind each node"
                ));
            }
            terms.push(term);
        }
        Ok(Selector {
            terms: self.without(terms),
            program: program.flatten(),
            text: text.to_owned(),
        })
    }

    /// Removes the nodes of negated terms (`not n3`) from the nodes of the other terms, or from all nodes if there are
    /// no other terms.
    fn without(&self, terms: Vec<Term>) -> Vec<Term> {
        let (mut of, mut not) = (Vec::new(), Vec::new());
        for term in terms {
            if let Term::Except { of: all, not: them } = &term
                && all.is_empty()
            {
                not.extend(them.iter().cloned());
            } else {
                of.push(term);
            }
        }
        if not.is_empty() {
            return of;
        }
        let all = || (0..self.hosts.len()).collect();
        let base = if of.is_empty() {
            Some(all())
        } else {
            fixed(&of)
        };
        match base.zip(fixed(&not)) {
            Some((mut chosen, not)) => {
                chosen.retain(|host| !not.contains(host));
                vec![Term::Hosts(chosen.into_iter().collect())]
            }
            None => vec![Term::Except { of, not }],
        }
    }

    fn program(&self, word: &str) -> Result<&'static str, String> {
        let known = self.programs.iter().find(|known| **known == word.trim());
        known.copied().ok_or_else(|| {
            let near = suggestion(word, self.programs.iter().copied());
            format!("there is no program `{word}`{near}")
        })
    }

    /// Parses a selector that must not depend on the run.
    pub(crate) fn fixed(&self, text: &str) -> Result<Vec<usize>, String> {
        let selector = self.selector(text)?;
        let mut hosts = BTreeSet::new();
        for term in selector.terms {
            match term {
                Term::Hosts(found) => hosts.extend(found),
                Term::Draw { .. }
                | Term::Named(_)
                | Term::Down
                | Term::Running
                | Term::Except { .. }
                | Term::Rest => {
                    return Err(format!("`{text}` must name fixed nodes here"));
                }
            }
        }
        Ok(hosts.into_iter().collect())
    }

    fn term(&self, word: &str) -> Result<Term, String> {
        if let Some(not) = word.strip_prefix("not ") {
            return Ok(Term::Except {
                of: Vec::new(),
                not: self.without(vec![self.term(not.trim())?]),
            });
        }
        if let Some((count, of)) = word.split_once(" of ") {
            let how = || format!("`{word}` is not a valid choice; write for example `3 of n2..n9`");
            let count = count.trim().parse().map_err(|_| how())?;
            return Ok(Term::Draw {
                count,
                of: self.without(vec![self.term(of.trim())?]),
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
        if let Some(hosts) = self.groups.get(word).or_else(|| self.places.get(word)) {
            return Ok(Term::Hosts(hosts.clone()));
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
            .chain(self.places.keys())
            .chain(&self.given)
            .map(String::as_str);
        let words: Vec<&str> = words.chain(RESERVED).collect();
        format!("there is no node `{word}`{}", suggestion(word, words))
    }

    fn range(&self, word: &str, first: &str, last: &str) -> Result<Term, String> {
        let how =
            || format!("`{word}` is not a valid range; write for example `n1..n5` (both included)");
        let (prefix, from) = numbered(first).ok_or_else(how)?;
        let (other, to) = numbered(last).ok_or_else(how)?;
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

/// Splits a name into a prefix and the number at its end.
pub(super) fn numbered(name: &str) -> Option<(&str, usize)> {
    let digits = |c: char| !c.is_ascii_digit();
    let (prefix, number) = name.split_at(name.rfind(digits).map_or(0, |at| at + 1));
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    number.parse().ok().map(|number| (prefix, number))
}

/// Returns the hosts of terms that do not depend on the run; `None` if a term depends on the run.
fn fixed(terms: &[Term]) -> Option<BTreeSet<usize>> {
    let mut hosts = BTreeSet::new();
    for term in terms {
        let Term::Hosts(found) = term else {
            return None;
        };
        hosts.extend(found);
    }
    Some(hosts)
}

/// Formats hosts as a selector: names, ranges of consecutive hosts, or `all`.
fn show_hosts(chosen: &[usize], hosts: &[impl Named]) -> String {
    let chosen: BTreeSet<usize> = chosen.iter().copied().collect();
    if chosen.len() == hosts.len() && chosen.len() > 1 {
        return "all".to_owned();
    }
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for host in chosen {
        let follows = |last: usize| {
            let (one, two) = (numbered(hosts[last].name()), numbered(hosts[host].name()));
            one.zip(two)
                .is_some_and(|(one, two)| one.0 == two.0 && one.1 + 1 == two.1)
        };
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == host && follows(*last) => *last = host,
            _ => runs.push((host, host)),
        }
    }
    let name = |host: usize| hosts[host].name();
    let words = runs.into_iter().map(|(first, last)| match last - first {
        0 => name(first).to_owned(),
        1 => format!("{}, {}", name(first), name(last)),
        _ => format!("{}..{}", name(first), name(last)),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The state that selectors are resolved against.
pub(crate) struct Situation<'a> {
    /// The number of hosts.
    pub(crate) hosts: usize,
    pub(crate) named: &'a BTreeMap<String, Vec<usize>>,
    pub(crate) running: &'a dyn Fn(usize) -> bool,
    pub(crate) stopped: &'a dyn Fn(usize) -> bool,
}

impl Selector {
    /// Returns the selected nodes in order; draws them where the selector requires it.
    pub(crate) fn resolve(&self, situation: &Situation<'_>, random: &mut Random) -> Vec<usize> {
        let terms = self.terms.iter();
        let mut hosts: Vec<usize> = terms
            .flat_map(|term| term.resolve(situation, random))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Returns whether the selector selects a node. A selector that draws nodes is resolved for it.
    fn selects(&self, host: usize, situation: &Situation<'_>, random: &mut Random) -> bool {
        if self.terms.iter().any(Term::draws) {
            return self.resolve(situation, random).contains(&host);
        }
        self.terms.iter().any(|term| term.selects(host, situation))
    }

    /// Like `resolve`, but in the order in which the file names the nodes; the nodes of one selector word are in their
    /// own order.
    pub(crate) fn resolve_as_written(
        &self,
        situation: &Situation<'_>,
        random: &mut Random,
    ) -> Vec<usize> {
        let mut chosen = BTreeSet::new();
        let terms = self.terms.iter();
        let mut hosts: Vec<usize> = terms
            .flat_map(|term| {
                let mut hosts = term.resolve(situation, random);
                hosts.sort_unstable();
                hosts
            })
            .collect();
        hosts.retain(|host| chosen.insert(*host));
        hosts
    }
}

impl Term {
    fn mapped(
        &self,
        named: &BTreeMap<String, Vec<usize>>,
        host: &dyn Fn(usize) -> Option<usize>,
    ) -> Self {
        let map = |hosts: &[usize]| Self::Hosts(hosts.iter().filter_map(|at| host(*at)).collect());
        match self {
            Self::Hosts(hosts) => map(hosts),
            Self::Named(word) => map(named.get(word).map_or(&[], Vec::as_slice)),
            Self::Draw { count, of } => Self::Draw {
                count: *count,
                of: of.iter().map(|term| term.mapped(named, host)).collect(),
            },
            Self::Except { of, not } => {
                let all = |terms: &[Self]| -> Vec<Self> {
                    let terms = terms.iter();
                    terms.map(|term| term.mapped(named, host)).collect()
                };
                Self::Except {
                    of: all(of),
                    not: all(not),
                }
            }
            Self::Down => Self::Down,
            Self::Running => Self::Running,
            Self::Rest => Self::Rest,
        }
    }

    fn is_stopped(&self) -> bool {
        match self {
            Self::Down => true,
            Self::Draw { of, .. } => of.iter().all(Self::is_stopped),
            Self::Hosts(_) | Self::Named(_) | Self::Running => false,
            Self::Except { .. } | Self::Rest => false,
        }
    }

    /// Returns the reason why a draw gives no node, or fewer nodes than it names.
    fn mischoice(&self) -> Option<String> {
        let Self::Draw { count, of } = self else {
            return None;
        };
        if *count == 0 {
            return Some("draws no node".to_owned());
        }
        let mut hosts: BTreeSet<usize> = BTreeSet::new();
        for term in of {
            let Self::Hosts(found) = term else {
                return term.mischoice();
            };
            hosts.extend(found);
        }
        let all = hosts.len();
        (*count > all).then(|| format!("draws {count} nodes of {all}"))
    }

    fn show(&self, hosts: &[impl Named]) -> String {
        match self {
            Self::Hosts(chosen) => show_hosts(chosen, hosts),
            Self::Named(word) => word.clone(),
            Self::Draw { count, of } => {
                let of: Vec<String> = of.iter().map(|term| term.show(hosts)).collect();
                format!("{count} of {}", of.join(", "))
            }
            Self::Except { of, not } => {
                let of = of.iter().map(|term| term.show(hosts));
                // Each word of a list is negated separately.
                let not = not.iter().map(|term| term.show(hosts));
                let not: Vec<String> = not
                    .flat_map(|text| {
                        let words = text.split(", ").filter(|word| !word.is_empty());
                        words.map(|word| format!("not {word}")).collect::<Vec<_>>()
                    })
                    .collect();
                of.chain(not).collect::<Vec<_>>().join(", ")
            }
            Self::Down => "down".to_owned(),
            Self::Running => "running".to_owned(),
            Self::Rest => "rest".to_owned(),
        }
    }

    /// Whether the term draws nodes, itself or in a part.
    fn draws(&self) -> bool {
        match self {
            Self::Draw { .. } => true,
            Self::Except { of, not } => of.iter().chain(not).any(Self::draws),
            Self::Hosts(_) | Self::Named(_) | Self::Down | Self::Running | Self::Rest => false,
        }
    }

    /// Returns whether a term without draws selects a node.
    fn selects(&self, host: usize, situation: &Situation<'_>) -> bool {
        match self {
            Self::Hosts(hosts) => hosts.contains(&host),
            Self::Named(word) => {
                let named = situation.named.get(word);
                named.is_some_and(|hosts| hosts.contains(&host))
            }
            Self::Down => (situation.stopped)(host),
            Self::Running => (situation.running)(host),
            Self::Draw { .. } | Self::Rest => false,
            Self::Except { of, not } => {
                let any = |terms: &[Self]| terms.iter().any(|term| term.selects(host, situation));
                (of.is_empty() || any(of)) && !any(not)
            }
        }
    }

    fn resolve(&self, situation: &Situation<'_>, random: &mut Random) -> Vec<usize> {
        let all = 0..situation.hosts;
        match self {
            Self::Hosts(hosts) => hosts.clone(),
            Self::Named(word) => situation.named.get(word).cloned().unwrap_or_default(),
            Self::Down => all.filter(|host| (situation.stopped)(*host)).collect(),
            Self::Running => all.filter(|host| (situation.running)(*host)).collect(),
            // The sides of a partition are resolved together.
            Self::Rest => Vec::new(),
            Self::Except { of, not } => {
                let mut resolve = |terms: &[Self]| -> Vec<usize> {
                    let hosts = terms.iter();
                    hosts
                        .flat_map(|term| term.resolve(situation, random))
                        .collect()
                };
                let mut hosts = if of.is_empty() {
                    all.collect()
                } else {
                    resolve(of)
                };
                let not = resolve(not);
                hosts.retain(|host| !not.contains(host));
                hosts
            }
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
    /// Creates a selector of the given hosts.
    #[must_use]
    pub fn of(hosts: &[usize]) -> Self {
        Self {
            terms: vec![Term::Hosts(hosts.to_vec())],
            program: None,
            text: String::new(),
        }
    }

    /// Creates the selector of the partition side that contains the nodes of no other side.
    #[must_use]
    pub(crate) fn rest() -> Self {
        Self {
            terms: vec![Term::Rest],
            program: None,
            text: "rest".to_owned(),
        }
    }

    /// Returns whether the selector is [`Self::rest`].
    #[must_use]
    pub(crate) fn is_rest(&self) -> bool {
        self.terms == [Term::Rest]
    }

    /// Returns the selector restricted to the processes of a program on the same hosts; `None`: whole hosts.
    #[must_use]
    pub fn running(mut self, program: Option<&'static str>) -> Self {
        self.program = program;
        self.text.clear();
        self
    }

    /// Returns the program whose processes are selected; `None`: whole hosts.
    #[must_use]
    pub const fn program(&self) -> Option<&'static str> {
        self.program
    }

    /// Returns whether the selector selects stopped nodes alone.
    pub(super) fn selects_only_stopped(&self) -> bool {
        !self.terms.is_empty() && self.terms.iter().all(Term::is_stopped)
    }

    /// Returns the selected hosts if they do not depend on the run.
    #[must_use]
    pub fn fixed(&self) -> Option<Vec<usize>> {
        fixed(&self.terms).map(|hosts| hosts.into_iter().collect())
    }

    /// Returns the reason why the words choose no node, or fewer nodes than they name.
    pub(super) fn mischoice(&self) -> Option<String> {
        if self.fixed().is_some_and(|hosts| hosts.is_empty()) {
            return Some("selects no node".to_owned());
        }
        self.terms.iter().find_map(Term::mischoice)
    }

    /// Returns the selector with the names that steps define replaced by their nodes, and with every host mapped to
    /// another or removed.
    #[must_use]
    pub fn mapped(
        &self,
        named: &BTreeMap<String, Vec<usize>>,
        host: &dyn Fn(usize) -> Option<usize>,
    ) -> Self {
        Self {
            terms: self
                .terms
                .iter()
                .map(|term| term.mapped(named, host))
                .collect(),
            program: self.program,
            text: String::new(),
        }
    }

    /// Returns the words of the selector as the file states them, without the name of a program: `n1`, `web`, `2 of
    /// n3..n5`.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let words = self.text.split(',').map(str::trim);
        words.map(|word| word.split('/').next().unwrap_or(word))
    }

    /// Formats the selector: its text in the file, or its nodes by name.
    #[must_use]
    pub fn show(&self, hosts: &[impl Named]) -> String {
        if !self.text.is_empty() {
            return self.text.clone();
        }
        let words = self.terms.iter().map(|term| term.show(hosts));
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        let words = words.join(", ");
        let Some(program) = self.program else {
            return words;
        };
        let each = words.split(", ").map(|word| format!("{word}/{program}"));
        each.collect::<Vec<String>>().join(", ")
    }

    /// Returns the nodes selected at one instant of a run. Expectations normally do not draw nodes; one that does draws
    /// the same nodes at each instant.
    pub(crate) fn resolve_now(&self, situation: &Situation<'_>) -> Vec<usize> {
        self.resolve(situation, &mut Random::from_seed(0))
    }

    /// Returns whether a node is among those that `resolve_now` returns.
    pub(crate) fn selects_now(&self, host: usize, situation: &Situation<'_>) -> bool {
        self.selects(host, situation, &mut Random::from_seed(0))
    }
}
