//! What always holds of the mesh. Each invariant has a planted bug that the ordinary runner catches
//! (tests/scenarios).

mod answers_true;
mod bounds;
mod handed_once;
mod joined_stands;
mod merges_converge;
mod no_resurrection;
mod one_link;
mod owner_writes;
mod provider_index;
mod rank_rises;
mod values_rise;
mod whole_view;

use super::Mesh;
use super::workload::Order;
use crate::invariant::Invariant;
use crate::scenario::{Action, NodeAction, Scenario};
use phalanx_core::gossip;
use phalanx_core::gossip::message::Sync;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Message;
use phalanx_core::topology::record::Record;
use std::collections::HashMap;
use std::sync::Arc;

type Report<'a> = crate::invariant::Report<'a, Mesh>;
type Seen<'a> = crate::invariant::Seen<'a, Mesh>;
type Scene<'a> = crate::world::Scene<'a, Mesh>;

/// What several invariants need.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Every record that an owner published, by digest, and when.
    published: HashMap<u64, (Arc<Record>, u64)>,
    /// The newest that each owner published.
    newest: HashMap<NodeId, Arc<Record>>,
    /// The record that each host's node last said of itself.
    own: Vec<Option<Arc<Record>>>,
    /// When each host started; none: at its next step.
    started: Vec<Option<u64>>,
}

impl Shared {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            own: vec![None; hosts],
            started: vec![None; hosts],
            ..Self::default()
        }
    }

    /// A host's process is about to start.
    pub(super) fn starts(&mut self, host: usize) {
        self.started[host] = None;
    }

    /// When a host's process started.
    fn started(&self, host: usize) -> u64 {
        self.started[host].unwrap_or_default()
    }

    /// Remembers what the node says of itself.
    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        self.started[seen.host].get_or_insert(seen.now);
        let own = seen.view().mesh().record();
        let known = &mut self.own[seen.host];
        // Told by the place alone: records are not looked into at every step.
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, own)) {
            return;
        }
        *known = Some(Arc::clone(own));
        let newest = self.newest.get(own.id());
        self.published
            .entry(own.digest())
            .or_insert_with(|| (Arc::clone(own), seen.now));
        if newest.is_none_or(|newest| **newest < **own) {
            self.newest.insert(own.id().clone(), Arc::clone(own));
        }
    }
}

/// The invariants of a run. Where somebody lies about others, views may hold what no owner said, until it hears of it.
pub(super) fn all(scenario: &Scenario) -> Vec<Box<dyn Invariant<Mesh>>> {
    let hosts = scenario.hosts.len();
    let tuning = &scenario.tuning.tuning();
    let mut all: Vec<Box<dyn Invariant<Mesh>>> = vec![
        Box::new(answers_true::AnswersTrue),
        Box::new(bounds::Bounds::new(tuning)),
        Box::new(handed_once::HandedOnce),
        Box::new(joined_stands::JoinedStands::default()),
        Box::new(merges_converge::MergesConverge),
        Box::new(no_resurrection::NoResurrection::new(hosts)),
        Box::new(one_link::OneLink::new(hosts, tuning)),
        Box::new(provider_index::ProviderIndex::new(hosts)),
        Box::new(rank_rises::RankRises),
        Box::new(values_rise::ValuesRise::new(hosts)),
        Box::new(whole_view::WholeView),
    ];
    if !somebody_forges(scenario) {
        all.push(Box::new(owner_writes::OwnerWrites));
    }
    all
}

fn somebody_forges(scenario: &Scenario) -> bool {
    scenario.steps.iter().any(|step| match &step.action {
        Action::Nodes(_, NodeAction::Command { name, with }) => {
            matches!(Order::read(name, with), Ok(Order::Lie(told)) if told.lie.forges())
        }
        Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => false,
    })
}

/// Every record that a message carries.
pub(super) fn records<'m>(message: &'m Message, each: &mut dyn FnMut(&'m Arc<Record>)) {
    let message = match message {
        Message::Mesh(message) => message,
        Message::Channel(_) => return,
    };
    match message {
        gossip::Message::Hello(hello) => each(&hello.record),
        gossip::Message::Welcome(welcome) => each(&welcome.record),
        gossip::Message::Refuse(refusal) => refusal.yours.iter().for_each(each),
        gossip::Message::Goodbye(_) => {}
        gossip::Message::Frame(frame) => {
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
