//! A run again, up to an instant, to look at one node.

use super::clock::ns;
use super::engine::Engine;
use super::trace::Trace;
use crate::mesh::Mesh;
use crate::scenario::{Scenario, ScenarioError, suggestion};
use core::fmt;
use core::time::Duration;
use phalanx_core::gossip::{Gossip, LinkView, MemberView, Phase};

/// One node at one instant.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// The host's name.
    pub name: String,
    /// When, since the start of the run.
    pub at: Duration,
    /// Its view; none if it does not run.
    pub view: Option<NodeView>,
}

/// What a running node holds.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Where it is in its life.
    pub phase: Phase,
    /// The hash of its view.
    pub hash: u64,
    /// Everyone it knows.
    pub members: Vec<MemberView>,
    /// Its links.
    pub links: Vec<LinkView>,
}

/// Runs a scenario up to `at` and gives the state of the node `name`.
///
/// # Errors
/// When the scenario cannot be planned, or has no such node.
pub fn replay(
    scenario: &Scenario,
    seed: u64,
    at: Duration,
    name: &str,
) -> Result<NodeState, ScenarioError> {
    let Some(host) = scenario.host_named(name) else {
        let names: Vec<&str> = scenario
            .hosts
            .iter()
            .map(|host| host.name.as_str())
            .collect();
        return Err(ScenarioError {
            file: scenario.file.clone(),
            line: 0,
            key: "node".to_owned(),
            message: format!("there is no node `{name}`{}", suggestion(name, names)),
        });
    };
    Ok(replay_all(scenario, seed, at)?.swap_remove(host))
}

/// Runs a scenario up to `at` and gives the state of every node, in the order of the file.
///
/// # Errors
/// When the scenario cannot be planned.
pub fn replay_all(
    scenario: &Scenario,
    seed: u64,
    at: Duration,
) -> Result<Vec<NodeState>, ScenarioError> {
    let plan = scenario.plan(seed)?;
    let mut engine = Engine::<Mesh>::new(scenario, &plan, &[], Trace::new(None))?;
    while engine.advance(ns(at)) {
        engine.reports.clear();
    }
    let states = scenario
        .hosts
        .iter()
        .zip(&engine.hosts)
        .map(|(named, host)| NodeState {
            name: named.name.clone(),
            at,
            view: host
                .process
                .as_ref()
                .map(|process| view(process.machine.mesh(), process.clock.read(engine.now))),
        });
    Ok(states.collect())
}

fn view(mesh: &Gossip, now: phalanx_core::time::Instant) -> NodeView {
    NodeView {
        phase: mesh.phase(),
        hash: mesh.hash(),
        members: mesh.members().collect(),
        links: mesh.links(now).collect(),
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = crate::scenario::text::show(self.at);
        let Some(view) = &self.view else {
            return writeln!(f, "{} at {at}: does not run", self.name);
        };
        writeln!(
            f,
            "{} at {at}: {:?}, view {:016x}",
            self.name, view.phase, view.hash
        )?;
        for member in &view.members {
            let rank = member.record.rank();
            write!(
                f,
                "  {:<16} {:<8?} epoch {} incarnation {} version {}",
                member.record.id(),
                member.status,
                rank.epoch,
                rank.incarnation,
                rank.version
            )?;
            if let Some(report) = &member.report {
                let edges = report.edges.iter().map(|edge| {
                    let verb = if edge.down { "does not hear" } else { "hears" };
                    format!("{verb} {}", edge.peer)
                });
                write!(f, "  ({})", edges.collect::<Vec<_>>().join(", "))?;
            }
            writeln!(f)?;
        }
        for link in &view.links {
            let kind = if link.eager { "eager" } else { "lazy" };
            let ring = if link.ring { ", ring" } else { "" };
            let quiet = link.quiet.as_millis();
            writeln!(
                f,
                "  link to {:<16} {kind}{ring}, session {}, quiet {quiet} ms",
                link.peer, link.session
            )?;
        }
        Ok(())
    }
}
