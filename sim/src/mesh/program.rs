//! The mesh daemon as a program of simulated hosts.

use super::applications::HostApplications;
use super::daemon::{Daemon, EPOCH, REVOCATIONS, kept_addresses};
use super::event::Event;
use super::memory::{self, Mesh, RecordReceipt};
use super::node_start::NodeStart;
use super::projection::Projection;
use super::revocation_file;
use super::words::{PROGRAM, vocabulary};
use super::{
    condition, delivery_log, dial_remarks, findings, host_words, invariant, recoverability,
};
use crate::coverage::Notes;
use crate::disk::Files;
use crate::finding::FailureFinding;
use crate::invariant::{Invariant, Report, Seen};
use crate::scenario::{OwnCondition, Scenario};
use crate::world::{
    Cast, Definition, MeasuredMetric, Process, ProcessEvent, ProcessStartError, ProcessView,
    Program, ReportedEvent, Scene, Start,
};
use phalanx_core::gossip;
use phalanx_core::node::{Message, Node};
use phalanx_core::sabotage::Switch;
use phalanx_core::time::Instant;
use serde_json::Value;
use std::sync::Arc;

/// The name of the random stream for the applications of one lifetime.
pub const APPLICATIONS: &str = "applications";

/// The system in which every host runs a mesh daemon.
pub static MESH: Definition = Definition {
    name: PROGRAM,
    command: "phalanx sim",
    vocabulary,
    build: |scenario, words| Ok(Cast::everywhere(memory::new(scenario, words)?, scenario)),
    recoverable: recoverability::recoverable,
};

impl Program for Mesh {
    fn name(&self) -> &'static str {
        PROGRAM
    }

    /// Raises the stored epoch, as the daemon does before it runs.
    fn prepare(&mut self, host: usize, disk: &mut Files) -> Result<(), ProcessStartError> {
        let epoch = stored_epoch(disk) + 1;
        if epoch == 1 {
            // The disk is empty.
            self.acknowledged_revocations.remove(&host);
        }
        let stored = disk.store(EPOCH, epoch.to_le_bytes().to_vec());
        stored.map_err(|error| ProcessStartError {
            file: EPOCH.into(),
            error,
        })
    }

    fn start(&mut self, mut start: Start<'_>) -> Box<dyn Process> {
        let (epoch, kept) = (stored_epoch(start.disk), kept_addresses(start.disk));
        let life = NodeStart {
            scenario: start.scenario,
            host: start.host,
            epoch,
            kept: &kept,
            address: start.address,
            wall: start.wall,
            sabotage: self.sabotage,
        };
        let config = life.config(&mut start.random);
        self.lives.start(&config.id, epoch, config.instance);
        self.begins(start.scenario, start.host);
        let node = Node::new(config, start.random.next_u64(), Instant::ZERO);
        let random = start.random.child(APPLICATIONS);
        let applications =
            HostApplications::new(Arc::clone(&self.ids), start.host, start.life, random);
        let opens = host_words::channels(start.spec());
        let revocations = start.disk.read(REVOCATIONS).map(revocation_file::decode);
        let revocations = revocations.unwrap_or_default();
        let daemon = Daemon::starting(node, applications, &opens, Instant::ZERO);
        Box::new(daemon.with_revocations(revocations, Instant::ZERO))
    }

    fn sends_in_lanes(&self) -> bool {
        !self.sabotage.has(Switch::NoLanes)
    }

    fn before_event(&mut self, host: usize, view: &dyn ProcessView, what: &ProcessEvent) {
        self.received.clear();
        let ProcessEvent::Received { message, .. } = what else {
            return;
        };
        let (Some(node), Some(message)) = (view.of::<Node>(), message.of::<Message>()) else {
            return;
        };
        if let Message::Channel(data) = message {
            self.delivery_log
                .on_received(host, delivery_log::updates(data));
        }
        let stated = invariant::is_stated(message);
        let received = &mut self.received;
        invariant::records(message, &mut |record| {
            received.push(RecordReceipt {
                id: record.id().clone(),
                stated: stated.then(|| record.digest()),
                before: node.mesh().topology().record(record.id()).cloned(),
                held: None,
            });
        });
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        let Some(node) = seen.view.of::<Node>() else {
            return;
        };
        self.shared.note(seen, node);
        for received in &mut self.received {
            if let Some(digest) = received.stated {
                self.shared.stated.insert(digest, seen.now);
            }
            received.held = node.mesh().topology().record(&received.id).cloned();
        }
    }

    /// The daemon itself notes the inputs of its node.
    fn note_event(&mut self, host: usize, event: &ProcessEvent, notes: &mut Notes) {
        self.coverage.on_event(host, event, notes);
    }

    fn note_step(&mut self, seen: &Seen<'_>, notes: &mut Notes) {
        if let Some(node) = seen.view.of::<Node>() {
            self.coverage.after_step(seen, node, notes);
        }
    }

    fn on_report(&mut self, report: &Report<'_>) {
        if let Some(event) = report.event.of() {
            self.delivery_log.event(report.host, report.now, event);
            if let Event::Mesh(gossip::Event::DialFailed { reason, .. }) = event {
                self.failed_dials.count(reason);
            }
            if let Event::RevocationAnswered(id, Ok(())) = event {
                let known = self
                    .acknowledged_revocations
                    .entry(report.host)
                    .or_default();
                known.insert(id.clone());
            }
        }
    }

    fn invariants(&self, scenario: &Scenario) -> Vec<Box<dyn Invariant>> {
        invariant::all(scenario)
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        condition::converged(scene)
    }

    fn correct_views(&self, scene: &Scene<'_>) -> Vec<(usize, bool)> {
        condition::right_views(scene)
    }

    fn holds(&self, scene: &Scene<'_>, condition: &OwnCondition) -> Result<(), String> {
        condition::holds(self, scene, condition)
    }

    fn metric(
        &self,
        scene: &Scene<'_>,
        word: &str,
        who: &[usize],
        window: (u64, u64),
    ) -> Result<u64, String> {
        self.delivery_log.figure(scene, word, who, window)
    }

    /// Counts false deaths: reports that a running member is down. The mesh has no other metric that counts events.
    fn counts(&self, scene: &Scene<'_>, _: &str, event: &dyn ReportedEvent) -> bool {
        let Some(Event::Mesh(gossip::Event::PeerDown { id, .. })) = event.of() else {
            return false;
        };
        scene.of::<Node>().any(|(_, node)| node.mesh().id() == id)
    }

    fn unsettled(&self, scene: &Scene<'_>) -> Option<FailureFinding> {
        findings::unsettled(scene)
    }

    fn found(
        &self,
        scene: &Scene<'_>,
        condition: &OwnCondition,
        wanted: bool,
    ) -> Option<FailureFinding> {
        findings::of_condition(self, scene, condition, wanted)
    }

    fn measured(&self, scene: &Scene<'_>, metric: &MeasuredMetric<'_>) -> Option<FailureFinding> {
        findings::of_metric(self, scene, metric)
    }

    fn remarks(&self, scenario: &Scenario, scene: &Scene<'_>, pair: &[usize]) -> Vec<String> {
        dial_remarks::of(self, scenario, scene, pair)
    }

    fn projection(&self, scene: &Scene<'_>) -> Option<Value> {
        serde_json::to_value(Projection::of(scene, &self.lives)).ok()
    }
}

/// The epoch on a disk; 0 if there is none.
fn stored_epoch(disk: &Files) -> u64 {
    let stored = disk.read(EPOCH).and_then(|bytes| bytes.try_into().ok());
    stored.map_or(0, u64::from_le_bytes)
}
