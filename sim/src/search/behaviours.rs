//! The behaviours of a run, as a set of small numbers.
//!
//! The set contains: pairs of consecutive events at a node, on a link, and among faults; reported
//! events with the input, the previous report and the fault before them; sizes in powers of two.
//! Names of nodes are not included, so the same behaviour on another node is not new.

use crate::record::fault::Fault;
use crate::record::{ExecutedAction, Held, RecordedStep, Recorder};
use phalanx_core::random::{hash_bytes, mix};
use std::collections::BTreeMap;

/// Size of the set.
const SPACE: usize = 1 << 16;

/// A set of small numbers, collected during a run.
#[derive(Clone, Debug)]
pub struct Behaviours {
    bits: Vec<u64>,
    /// The latest input and the latest reported event of each node.
    nodes: Vec<(u64, u64)>,
    /// The latest kind of message on each link.
    links: BTreeMap<(usize, usize), u64>,
    /// The latest action.
    action: u64,
}

impl Default for Behaviours {
    fn default() -> Self {
        Self {
            bits: vec![0; SPACE / 64],
            nodes: Vec::new(),
            links: BTreeMap::new(),
            action: 0,
        }
    }
}

impl Behaviours {
    fn note(&mut self, what: u64, one: u64, two: u64) {
        let at = mix(what ^ mix(one ^ mix(two))) as usize % SPACE;
        self.bits[at / 64] |= 1 << (at % 64);
    }

    /// Returns the number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bits
            .iter()
            .map(|bits| bits.count_ones() as usize)
            .sum()
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the behaviours of another run; returns the number of new elements.
    pub fn merge(&mut self, other: &Self) -> usize {
        let mut news = 0;
        for (bits, more) in self.bits.iter_mut().zip(&other.bits) {
            news += (more & !*bits).count_ones() as usize;
            *bits |= more;
        }
        news
    }
}

impl Recorder for Behaviours {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let kind = hash_bytes(step.kind.as_bytes());
        if self.nodes.len() <= step.host {
            self.nodes.resize(step.host + 1, (0, 0));
        }
        let (before, mut said_before) = self.nodes[step.host];
        self.note(1, before, kind);
        self.note(
            2,
            kind,
            u64::from((step.size as u64).checked_ilog2().unwrap_or(0)),
        );
        if let Some(from) = step.sender() {
            let latest = self.links.insert((from, step.host), kind).unwrap_or(0);
            self.note(3, latest, kind);
        }
        for said in step.said {
            let word = hash_bytes(said.word.as_bytes());
            self.note(4, kind, word);
            self.note(5, said_before, word);
            self.note(6, self.action, word);
            said_before = word;
        }
        self.nodes[step.host] = (kind, said_before);
    }

    fn action(&mut self, executed: &ExecutedAction<'_>) {
        let word = Fault::word_of(&executed.planned.action);
        let action = hash_bytes(word.as_bytes());
        self.note(7, self.action, action);
        self.action = action;
    }

    fn held(&mut self, held: Held) {
        self.note(8, self.action, u64::from(held.cut));
    }
}
