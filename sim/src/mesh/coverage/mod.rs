//! The coverage of the mesh daemon: what its node and applications can take, do and refuse, and what of it occurs.
//!
//! Each table is written as a complete match over a type of core, so that a new variant is listed as never seen until
//! it occurs. `words` has the tables of reasons, `facts` those of inputs and reported events, `messages` those of
//! messages, and `handshakes` follows each handshake to its end, which no event reports.

mod facts;
mod handshakes;
mod messages;
mod table;
mod words;

use crate::coverage::{Notes, Occurrence};
use crate::invariant::Seen;
use crate::mesh::event::Event;
use crate::world::{Effect, ProcessEvent};
use handshakes::ObservedHandshakes;
use phalanx_core::gossip::Phase;
use phalanx_core::node::{Input, Message, Node};
use table::Detail as _;

/// All occurrences that a run of the mesh can have.
pub(super) fn declared() -> Vec<Occurrence> {
    let facts = facts::declared();
    facts
        .into_iter()
        .chain(messages::declared())
        .chain(handshakes::declared())
        .chain(phases())
        .collect()
}

fn phases() -> impl Iterator<Item = Occurrence> {
    let phases = Phase::ALL.iter().copied();
    phases.map(|phase| Occurrence::transition("phase").with(phase))
}

/// Notes an input of a node.
pub(super) fn note_input(input: &Input, notes: &mut Notes) {
    if let Input::Receive { message, .. } = input {
        messages::note(message, notes);
    }
    if let Some(occurrence) = facts::input(input) {
        notes.note(occurrence);
    }
}

/// The occurrence that a reported event stands for.
pub(super) fn of_event(event: &Event) -> Option<Occurrence> {
    facts::event(event)
}

/// The state of the processes of all hosts that the notes of later steps depend on.
#[derive(Debug, Default)]
pub(super) struct MeshCoverage {
    hosts: Vec<HostCoverage>,
}

#[derive(Debug, Default)]
struct HostCoverage {
    phase: Option<Phase>,
    handshakes: ObservedHandshakes,
}

impl MeshCoverage {
    fn host(&mut self, host: usize) -> &mut HostCoverage {
        if self.hosts.len() <= host {
            self.hosts.resize_with(host + 1, HostCoverage::default);
        }
        &mut self.hosts[host]
    }

    /// Notes an event that a daemon is about to handle.
    pub(super) fn on_event(&mut self, host: usize, event: &ProcessEvent, notes: &mut Notes) {
        let of = self.host(host);
        if matches!(event, ProcessEvent::Start) {
            *of = HostCoverage::default();
        }
        of.handshakes.on_event(event, notes);
    }

    /// Notes what a step of a daemon changed, sent and ended.
    pub(super) fn after_step(&mut self, seen: &Seen<'_>, node: &Node, notes: &mut Notes) {
        let of = self.host(seen.host);
        let phase = node.mesh().phase();
        if of.phase.replace(phase) != Some(phase) {
            notes.note(Occurrence::transition("phase").with(phase.word()));
        }
        for effect in seen.effects {
            of.handshakes.on_effect(effect, notes);
            if let Effect::Send { message, .. } = effect
                && let Some(Message::Mesh(message)) = message.of()
                && let Some(occurrence) = messages::sent(message)
            {
                notes.note(occurrence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_occurrence_is_declared_once() {
        let declared = declared();
        let different: BTreeSet<&Occurrence> = declared.iter().collect();
        assert_eq!(different.len(), declared.len());
    }

    #[test]
    fn the_phases_are_listed_by_the_words_that_users_see() {
        let all = [
            Phase::Joining,
            Phase::Running,
            Phase::Isolated,
            Phase::Leaving,
            Phase::Left,
            Phase::NameTaken,
        ];
        assert_eq!(Phase::ALL, all.map(Phase::word));
    }
}
