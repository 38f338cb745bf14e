//! The dispatch of a plan's actions, once for all engines.
//!
//! An engine implements [`PlanExecutor`], which has one method for each kind of action and no default methods. A new
//! kind of action therefore does not compile until each engine handles it.

use super::{OwnAction, Planned, ScheduledAction};
use crate::disk::DiskFault;
use crate::scenario::{CertificateChange, Disk, Latency, Trouble};
use core::time::Duration;
use serde_json::Value;

/// A change of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The duration of the jump.
    pub jump: Duration,
    /// Whether the calendar jumps back; otherwise the monotonic clock jumps forward.
    pub back: bool,
    /// The drift from the change on, in parts per million; `None`: the drift does not change.
    pub drift_ppm: Option<i32>,
}

/// Executes the actions of a plan. Each method gets the planned action, which names its cause and its program, and the
/// arguments of its kind.
pub trait PlanExecutor<'p> {
    /// The result of an action.
    type Done;

    /// Starts a host that does not run.
    fn start(&mut self, planned: &'p Planned, host: usize, disk: Disk) -> Self::Done;

    /// Stops a running host, by a kill or (`power_loss`) by the loss of its power.
    fn stop(&mut self, planned: &'p Planned, host: usize, power_loss: bool) -> Self::Done;

    /// Starts nothing, because the host has no power. An engine that counts effects counts no effect.
    fn no_power(&mut self, planned: &'p Planned, host: usize) -> Self::Done;

    /// Begins a cut.
    fn cut(&mut self, planned: &'p Planned, cut: usize) -> Self::Done;

    /// Ends a cut.
    fn heal(&mut self, planned: &'p Planned, cut: usize) -> Self::Done;

    /// Delays traffic between the pairs of a cut.
    fn hold(&mut self, planned: &'p Planned, cut: usize, length: Duration) -> Self::Done;

    /// Pauses processes of a host.
    fn pause(&mut self, planned: &'p Planned, host: usize, length: Duration) -> Self::Done;

    /// Delays each input of a host's processes; zero ends the delay.
    fn slow(&mut self, planned: &'p Planned, host: usize, by: Duration) -> Self::Done;

    /// Changes the clock of a host: the clock jumps, and drifts from then on if `drift_ppm` is given.
    fn change_clock(
        &mut self,
        planned: &'p Planned,
        host: usize,
        change: ClockChange,
    ) -> Self::Done;

    /// Begins (`on`) or ends a lasting condition of a host.
    fn set_trouble(
        &mut self,
        planned: &'p Planned,
        host: usize,
        trouble: Trouble,
        on: bool,
    ) -> Self::Done;

    /// Gives a host another address at its next start.
    fn move_host(&mut self, planned: &'p Planned, host: usize) -> Self::Done;

    /// Begins (`on`) or ends a change of links.
    fn change_links(&mut self, planned: &'p Planned, change: usize, on: bool) -> Self::Done;

    /// Resets all connections between the pairs of a cut.
    fn reset(&mut self, planned: &'p Planned, cut: usize) -> Self::Done;

    /// Makes the disk of a host fail; `None` ends the failure.
    fn set_disk_fault(
        &mut self,
        planned: &'p Planned,
        host: usize,
        fault: Option<DiskFault>,
    ) -> Self::Done;

    /// Changes the certificate of a host.
    fn change_certificate(
        &mut self,
        planned: &'p Planned,
        host: usize,
        is: CertificateChange,
    ) -> Self::Done;

    /// Makes a node leave gracefully.
    fn leave(&mut self, planned: &'p Planned, host: usize) -> Self::Done;

    /// Executes a step of a program's own vocabulary.
    fn own_step(&mut self, planned: &'p Planned, host: usize, action: &'p OwnAction) -> Self::Done;

    /// Executes a command of the system's vocabulary.
    fn command(
        &mut self,
        planned: &'p Planned,
        host: usize,
        name: &'p str,
        with: &'p Value,
    ) -> Self::Done;

    /// Sets the share of lost segments on all links, in parts per million; `None` restores the scenario's values.
    fn set_loss(&mut self, planned: &'p Planned, ppm: Option<u32>) -> Self::Done;

    /// Sets the latency of all links; `None` restores the scenario's values.
    fn set_latency(&mut self, planned: &'p Planned, latency: Option<Latency>) -> Self::Done;
}

impl Planned {
    /// Executes the action in an engine.
    pub fn execute<'p, E: PlanExecutor<'p>>(&'p self, engine: &mut E) -> E::Done {
        match &self.action {
            ScheduledAction::Start { host, disk } => engine.start(self, *host, *disk),
            ScheduledAction::Stop { host, power_loss } => engine.stop(self, *host, *power_loss),
            ScheduledAction::NoPower { host, .. } => engine.no_power(self, *host),
            ScheduledAction::Cut(cut) => engine.cut(self, *cut),
            ScheduledAction::Heal(cut) => engine.heal(self, *cut),
            ScheduledAction::Hold { cut, length } => engine.hold(self, *cut, *length),
            ScheduledAction::Pause { host, length } => engine.pause(self, *host, *length),
            ScheduledAction::Slow { host, by } => engine.slow(self, *host, *by),
            ScheduledAction::Clock {
                host,
                jump,
                back,
                drift_ppm,
            } => {
                let change = ClockChange {
                    jump: *jump,
                    back: *back,
                    drift_ppm: *drift_ppm,
                };
                engine.change_clock(self, *host, change)
            }
            ScheduledAction::Trouble { host, trouble, on } => {
                engine.set_trouble(self, *host, *trouble, *on)
            }
            ScheduledAction::Move(host) => engine.move_host(self, *host),
            ScheduledAction::Links { change, on } => engine.change_links(self, *change, *on),
            ScheduledAction::Reset(cut) => engine.reset(self, *cut),
            ScheduledAction::Disk { host, fault } => engine.set_disk_fault(self, *host, *fault),
            ScheduledAction::Certificate { host, is } => {
                engine.change_certificate(self, *host, *is)
            }
            ScheduledAction::Leave(host) => engine.leave(self, *host),
            ScheduledAction::Own { host, action } => engine.own_step(self, *host, action),
            ScheduledAction::Command {
                host, name, with, ..
            } => engine.command(self, *host, name, with),
            ScheduledAction::Loss(ppm) => engine.set_loss(self, *ppm),
            ScheduledAction::Latency(latency) => engine.set_latency(self, *latency),
        }
    }

    /// The result in an engine that can lift this fault but not cause it; every scenario lifts all faults at its end,
    /// even faults that it never causes.
    ///
    /// # Errors
    /// Returns an error if the action does not lift a fault.
    pub fn only_lifts(&self, lifts: bool, engine: &str) -> Result<(), String> {
        if lifts {
            Ok(())
        } else {
            Err(self.unsupported(engine))
        }
    }

    /// The error of an engine that cannot execute the action.
    #[must_use]
    pub fn unsupported(&self, engine: &str) -> String {
        format!(
            "engine {engine} cannot do {:?}; use --engine model",
            self.action
        )
    }
}
