//! What always holds, whatever the scenario. One invariant a file: its property, its reason, its source.
//!
//! After each step of a node, what the step touched is checked (O(change)); at checkpoints, what is global; at the
//! end, when all faults are lifted and all views are right, what must be true of a mesh at rest. Each invariant has
//! a planted bug that the ordinary runner catches (tests/scenarios).

mod bounds;
mod joined_stands;
mod merges_converge;
mod no_resurrection;
mod one_link;
mod owner_writes;
mod promises;
mod provider_index;
mod rank_rises;
mod whole_view;

use crate::outcome::Failure;
use crate::scenario::Scenario;
use crate::world::World;
use core::time::Duration;
use phalanx_core::gossip::message::Sync;
use phalanx_core::gossip::{Event, Gossip, Message, Output as Order, Tuning};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{Node, Output};
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Record;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

/// One step of one node, just done.
pub(crate) struct Seen<'a> {
    pub(crate) now: u64,
    pub(crate) host: usize,
    pub(crate) node: &'a Node,
    /// The node's own time.
    pub(crate) local: Instant,
    /// The step was a wake.
    pub(crate) woke: bool,
    /// The records in the message it received.
    pub(crate) received: &'a [Arc<Record>],
    /// What it ordered.
    pub(crate) outputs: &'a [Output],
}

impl Seen<'_> {
    fn mesh(&self) -> &Gossip {
        self.node.mesh()
    }
}

/// Everything at one instant.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a dyn World,
    pub(crate) scenario: &'a Scenario,
}

impl Scene<'_> {
    fn nodes(&self) -> impl Iterator<Item = (usize, &Gossip)> {
        crate::world::participants(self.world, self.scenario.hosts.len())
    }

    fn name(&self, host: usize) -> &str {
        &self.scenario.hosts[host].name
    }
}

/// What several invariants need.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Every record that an owner published, by digest, and when.
    published: HashMap<u64, (Arc<Record>, u64)>,
    /// The newest that each owner published.
    newest: HashMap<NodeId, Arc<Record>>,
    /// What each view held at latest of each id, by host; forgotten when the host starts anew.
    held: Vec<HashMap<NodeId, Arc<Record>>>,
    /// When each host started.
    started: Vec<u64>,
}

type Verdict = Result<(), String>;

/// One thing that always holds.
pub(crate) trait Invariant {
    /// Its name, as failures show it.
    fn name(&self) -> &'static str;

    /// Checks what one step touched.
    fn after_step(&mut self, _seen: &Seen<'_>, _shared: &Shared) -> Verdict {
        Ok(())
    }

    /// Checks everything.
    fn checkpoint(&mut self, _scene: &Scene<'_>) -> Verdict {
        Ok(())
    }

    /// Checks a mesh at rest.
    fn at_rest(&mut self, _scene: &Scene<'_>) -> Verdict {
        Ok(())
    }

    /// A host's process starts.
    fn on_start(&mut self, _host: usize) {}
}

fn all(hosts: usize, tuning: &Tuning) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(bounds::Bounds::new(tuning)),
        Box::new(joined_stands::JoinedStands::default()),
        Box::new(merges_converge::MergesConverge),
        Box::new(no_resurrection::NoResurrection::new(hosts)),
        Box::new(one_link::OneLink::default()),
        Box::new(owner_writes::OwnerWrites),
        Box::new(promises::Promises),
        Box::new(provider_index::ProviderIndex),
        Box::new(rank_rises::RankRises),
        Box::new(whole_view::WholeView),
    ]
}

/// The names of all invariants, as failures show them.
#[must_use]
pub fn names() -> Vec<&'static str> {
    all(0, &Tuning::default())
        .iter()
        .map(|invariant| invariant.name())
        .collect()
}

/// All of them, watching one run.
pub(crate) struct Invariants {
    all: Vec<Box<dyn Invariant>>,
    shared: Shared,
    broken: BTreeMap<&'static str, (Duration, String)>,
    starting: Option<(usize, NodeId)>,
}

impl Invariants {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let hosts = scenario.hosts.len();
        Self {
            all: all(hosts, &scenario.tuning.tuning()),
            shared: Shared {
                published: HashMap::new(),
                newest: HashMap::new(),
                held: vec![HashMap::new(); hosts],
                started: vec![0; hosts],
            },
            broken: BTreeMap::new(),
            starting: None,
        }
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        Self {
            all: Vec::new(),
            shared: Shared::default(),
            broken: BTreeMap::new(),
            starting: None,
        }
    }

    /// A host's process is about to start.
    pub(crate) fn on_start(&mut self, host: usize, id: &NodeId) {
        self.shared.held[host].clear();
        for invariant in &mut self.all {
            invariant.on_start(host);
        }
        self.starting = Some((host, id.clone()));
    }

    pub(crate) fn after_step(&mut self, seen: &Seen<'_>) {
        if self
            .starting
            .take_if(|(host, _)| *host == seen.host)
            .is_some()
        {
            self.shared.started[seen.host] = seen.now;
        }
        self.note_own(seen);
        for invariant in &mut self.all {
            if let Err(why) = invariant.after_step(seen, &self.shared) {
                let why = format!("{}: {why}", seen.mesh().id());
                self.broken
                    .entry(invariant.name())
                    .or_insert((Duration::from_nanos(seen.now), why));
            }
        }
        let held = &mut self.shared.held[seen.host];
        for output in seen.outputs {
            if let Output::Mesh(Order::Report(Event::PeerForgotten { id })) = output {
                held.remove(id);
            }
        }
        for record in seen.received {
            if let Some(now) = seen.mesh().topology().record(record.id()) {
                match held.get_mut(record.id()) {
                    Some(before) => {
                        if !Arc::ptr_eq(before, now) {
                            before.clone_from(now);
                        }
                    }
                    None => {
                        held.insert(record.id().clone(), Arc::clone(now));
                    }
                }
            }
        }
    }

    /// Remembers what the node says of itself.
    fn note_own(&mut self, seen: &Seen<'_>) {
        let own = seen.mesh().record();
        let newest = self.shared.newest.get(own.id());
        if newest.is_some_and(|newest| newest.digest() == own.digest()) {
            return;
        }
        self.shared
            .published
            .entry(own.digest())
            .or_insert_with(|| (Arc::clone(own), seen.now));
        if newest.is_none_or(|newest| **newest < **own) {
            self.shared.newest.insert(own.id().clone(), Arc::clone(own));
        }
    }

    pub(crate) fn checkpoint(&mut self, now: u64, scene: &Scene<'_>) {
        for invariant in &mut self.all {
            if let Err(why) = invariant.checkpoint(scene) {
                self.broken
                    .entry(invariant.name())
                    .or_insert((Duration::from_nanos(now), why));
            }
        }
    }

    pub(crate) fn at_rest(&mut self, now: u64, scene: &Scene<'_>) {
        for invariant in &mut self.all {
            if let Err(why) = invariant.at_rest(scene) {
                self.broken
                    .entry(invariant.name())
                    .or_insert((Duration::from_nanos(now), why));
            }
        }
    }

    pub(crate) fn failures(&self, file: &str) -> impl Iterator<Item = Failure> {
        self.broken.iter().map(move |(name, (at, why))| {
            Failure::new(file, 0, &format!("invariant {name}"), *at, why)
        })
    }
}

/// Every record that a message carries.
pub(crate) fn records<'m>(message: &'m Message, each: &mut dyn FnMut(&'m Arc<Record>)) {
    match message {
        Message::Hello(hello) => each(&hello.record),
        Message::Welcome(welcome) => each(&welcome.record),
        Message::Refuse(refusal) => refusal.yours.iter().for_each(each),
        Message::Goodbye(_) => {}
        Message::Frame(frame) => {
            frame.records.iter().for_each(&mut *each);
            for sync in &frame.sync {
                match sync {
                    Sync::Push { records, .. } | Sync::Snapshot { records, .. } => {
                        records.iter().for_each(&mut *each);
                    }
                    Sync::Sketch(_) | Sync::Larger(_) | Sync::Want(_) => {}
                }
            }
        }
    }
}

/// A word for a message.
pub(crate) const fn word(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Welcome(_) => "welcome",
        Message::Refuse(_) => "refuse",
        Message::Goodbye(_) => "goodbye",
        Message::Frame(_) => "frame",
    }
}
