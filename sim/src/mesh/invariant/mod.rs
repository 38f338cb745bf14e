//! The invariants of the mesh. For each invariant, a test plants a bug that the ordinary runner detects by this
//! invariant (tests/scenarios).

mod answers_true;
mod bounds;
mod handed_once;
mod joined_stands;
mod linked_alive;
mod merges_converge;
mod misses_true;
mod no_resurrection;
mod one_link;
mod owner_writes;
mod provider_index;
mod rank_rises;
mod revoked_stays_out;
mod values_rise;
mod whole_view;

use super::host_words;
use super::memory::Mesh;
use super::workload::AppCommand;
use crate::invariant::Invariant;
use crate::scenario::{Action, NodeAction, Scenario};
use phalanx_core::gossip;
use phalanx_core::gossip::message::Sync;
use phalanx_core::node::Message;
use phalanx_core::topology::record::Record;
use std::sync::Arc;

use crate::invariant::{Report, Seen};
use crate::world::{Program, Scene};
use phalanx_core::node::Node;

/// The mesh of a run with mesh daemons.
fn mesh_of(system: &dyn Program) -> &Mesh {
    system
        .of()
        .expect("an invariant of the mesh watches a mesh")
}

/// The node that took a step.
fn node_of<'a>(seen: &Seen<'a>) -> &'a Node {
    seen.view
        .of()
        .expect("an invariant of the mesh watches nodes")
}

/// The invariants of a run. If a scenario makes a member forge records of others, views may hold records that no owner
/// published until the owner refutes them, so `owner-writes` is left out.
pub(super) fn all(scenario: &Scenario) -> Vec<Box<dyn Invariant>> {
    let hosts = scenario.hosts.len();
    let tuning = &host_words::tuning(&scenario.settings);
    let mut all: Vec<Box<dyn Invariant>> = vec![
        Box::new(answers_true::AnswersTrue::default()),
        Box::new(bounds::Bounds::new(tuning)),
        Box::new(handed_once::HandedOnce::default()),
        Box::new(joined_stands::JoinedStands::default()),
        Box::new(linked_alive::LinkedAlive::new(tuning)),
        Box::new(merges_converge::MergesConverge::default()),
        Box::new(misses_true::MissesTrue::default()),
        Box::new(no_resurrection::NoResurrection::new(hosts, tuning)),
        Box::new(one_link::OneLink::new(hosts, tuning)),
        Box::new(provider_index::ProviderIndex::new(hosts)),
        Box::new(rank_rises::RankRises::default()),
        Box::new(revoked_stays_out::RevokedStaysOut::default()),
        Box::new(values_rise::ValuesRise::new(hosts)),
        Box::new(whole_view::WholeView::default()),
    ];
    if !some_node_forges(scenario) {
        all.push(Box::new(owner_writes::OwnerWrites::default()));
    }
    all
}

fn some_node_forges(scenario: &Scenario) -> bool {
    scenario.steps.iter().any(|step| match &step.action {
        Action::Nodes(_, NodeAction::Command { name, with, .. }) => {
            matches!(AppCommand::read(name, with), Ok(AppCommand::Forge(forgery)) if forgery.kind.forges())
        }
        Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => false,
    })
}

/// Whether the sender of a message states its own record: in the messages of a handshake that opens a link.
pub(super) const fn is_stated(message: &Message) -> bool {
    matches!(
        message,
        Message::Mesh(gossip::Message::Hello(_) | gossip::Message::Welcome(_))
    )
}

/// Calls `each` for every record that a message carries.
pub(super) fn records<'m>(message: &'m Message, each: &mut dyn FnMut(&'m Arc<Record>)) {
    let message = match message {
        Message::Mesh(message) => message,
        Message::Channel(_) | Message::Revocation(_) => return,
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
