//! The deployment of a configuration, from the candidate on the disk to the live file.
//!
//! ```text
//! write the candidate (synced) -> nginx -t -> keep what is served -> rename it over the live file -> sync the folder
//!                                    └─ fails: remove it; the live file stays
//! ```
//!
//! The live file is complete at every instant, even after a loss of power: the candidate is durable before it is
//! renamed, and a rename is atomic.

use super::turn::{RETRY, Turn};
use crate::messages::Reported;
use crate::release::{CANDIDATE, LIVE, NginxConfiguration, PREFIX, PREVIOUS, REFUSED, TEST};
use phalanx_core::time::Instant;
use phalanx_sim::disk::DiskChange;
use phalanx_sim::fakes::nginx::NGINX;
use phalanx_sim::world::{Ran, Ticket};

/// The step under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Testing,
    Keeping,
    Renaming,
    Syncing,
}

/// A result that the agent acts on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DeploymentProgress {
    /// The live file is about to change: nginx may load it from now on.
    Switching,
    /// The configuration is live and durable.
    Live(NginxConfiguration),
    /// nginx refused the configuration of this version.
    Rejected(u64),
}

/// The planted bugs of a deployment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeploymentBugs {
    /// The candidate is renamed before its bytes are durable.
    pub(super) unsynced_rename: bool,
    /// `nginx -t` is left out.
    pub(super) untested: bool,
}

/// The deployment of one configuration at a time.
#[derive(Debug)]
pub(super) struct Deployment {
    bugs: DeploymentBugs,
    under_way: Option<(Stage, NginxConfiguration)>,
    /// The configuration to keep beside the live file.
    kept: Option<NginxConfiguration>,
    awaited: Option<Ticket>,
    retry_at: Option<Instant>,
}

impl Deployment {
    pub(super) const fn new(bugs: DeploymentBugs) -> Self {
        Self {
            bugs,
            under_way: None,
            kept: None,
            awaited: None,
            retry_at: None,
        }
    }

    /// Returns the version that is being deployed.
    pub(super) fn version(&self) -> Option<u64> {
        self.under_way.as_ref().map(|(_, it)| it.version)
    }

    /// Deploys a configuration; `kept` is the configuration that nginx serves.
    pub(super) fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        configuration: NginxConfiguration,
        kept: Option<NginxConfiguration>,
    ) {
        self.kept = kept;
        self.under_way = Some((Stage::Writing, configuration));
        self.order(turn);
    }

    /// Continues with a candidate that is already on the disk.
    pub(super) fn resume(
        &mut self,
        turn: &mut Turn<'_>,
        configuration: NginxConfiguration,
        kept: Option<NginxConfiguration>,
    ) {
        self.kept = kept;
        self.under_way = Some((Stage::Testing, configuration));
        self.order(turn);
    }

    // guide: order
    /// Orders the step under way.
    fn order(&mut self, turn: &mut Turn<'_>) {
        self.retry_at = None;
        let Some((stage, configuration)) = &self.under_way else {
            return;
        };
        let ticket = turn.ticket();
        self.awaited = Some(ticket);
        match stage {
            Stage::Writing => {
                let bytes = configuration.text.clone().into_bytes();
                let synced = !self.bugs.unsynced_rename;
                let write = DiskChange::Replace(CANDIDATE.into(), bytes);
                turn.out.write(ticket, write, synced);
            }
            Stage::Testing => turn.out.run(ticket, NGINX, TEST),
            Stage::Keeping => {
                let bytes = self.kept.iter().flat_map(|kept| kept.text.bytes());
                let write = DiskChange::Replace(PREVIOUS.into(), bytes.collect());
                turn.out.write(ticket, write, true);
            }
            Stage::Renaming => {
                let (old, new) = (CANDIDATE.into(), LIVE.into());
                turn.out
                    .write(ticket, DiskChange::Rename { old, new }, false);
            }
            Stage::Syncing => {
                let sync = DiskChange::SyncFolder(PREFIX.into());
                turn.out.write(ticket, sync, false);
            }
        }
    }
    // guide: end

    fn enter(&mut self, turn: &mut Turn<'_>, next: Stage) {
        if let Some((stage, _)) = &mut self.under_way {
            *stage = next;
            self.order(turn);
        }
    }

    /// The candidate passed the test.
    fn on_passed(&mut self, turn: &mut Turn<'_>) -> Option<DeploymentProgress> {
        if self.kept.is_some() {
            self.enter(turn, Stage::Keeping);
            return None;
        }
        Some(self.switch(turn))
    }

    fn switch(&mut self, turn: &mut Turn<'_>) -> DeploymentProgress {
        turn.out.report(Reported("switching"));
        self.enter(turn, Stage::Renaming);
        DeploymentProgress::Switching
    }

    /// Returns whether an answer belongs to the step under way; if so, the step has ended.
    fn ends(&mut self, ticket: Ticket) -> bool {
        self.awaited.take_if(|awaited| *awaited == ticket).is_some()
    }

    pub(super) fn on_written(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
    ) -> Option<DeploymentProgress> {
        if !self.ends(ticket) {
            return None;
        }
        match self.under_way.as_ref()?.0 {
            Stage::Writing if self.bugs.untested => self.on_passed(turn),
            Stage::Writing => {
                turn.out.report(Reported("written"));
                self.enter(turn, Stage::Testing);
                None
            }
            // A test ends with the end of its command.
            Stage::Testing => None,
            Stage::Keeping => Some(self.switch(turn)),
            Stage::Renaming => {
                self.enter(turn, Stage::Syncing);
                None
            }
            Stage::Syncing => {
                let (_, configuration) = self.under_way.take()?;
                turn.out.report(Reported("live"));
                Some(DeploymentProgress::Live(configuration))
            }
        }
    }

    pub(super) fn on_write_failed(&mut self, now: Instant, ticket: Ticket) {
        if self.ends(ticket) {
            self.retry_at = Some(now + RETRY);
        }
    }

    pub(super) fn on_ran(&mut self, turn: &mut Turn<'_>, ran: &Ran) -> Option<DeploymentProgress> {
        if !self.ends(ran.ticket) {
            return None;
        }
        match ran.code {
            0 => self.on_passed(turn),
            REFUSED => {
                let (_, configuration) = self.under_way.take()?;
                let ticket = turn.ticket();
                let remove = DiskChange::Remove(CANDIDATE.into());
                turn.out.write(ticket, remove, false);
                Some(DeploymentProgress::Rejected(configuration.version))
            }
            // The test was killed, so its result says nothing about the configuration.
            _ => {
                self.retry_at = Some(turn.now + RETRY);
                None
            }
        }
    }

    pub(super) fn on_wake(&mut self, turn: &mut Turn<'_>) {
        if self.retry_at.is_some_and(|at| at <= turn.now) {
            self.order(turn);
        }
    }

    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }
}
