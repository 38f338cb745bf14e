//! The slot of one process on a host: the running process, its clock and identity, its mailbox and its wake timer.
//!
//! A slot decides when its process handles an input and when the process wakes. The engine passes the input to the
//! process and performs the effects.

mod mailbox;
mod wake;

pub(super) use mailbox::QueuedInput;

use super::clock::NodeClock;
use super::context::Context;
use super::event::ScheduledEvent;
use crate::world::{Effects, LocalHost, Process as Machine, ProcessEvent, ProcessView};
use core::time::Duration;
use mailbox::ProcessMailbox;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use wake::WakeTimer;

/// A running process.
pub(super) struct RunningProcess {
    machine: Box<dyn Machine>,
    clock: NodeClock,
    /// Whether the process has left and ended. The last state of an ended process remains readable.
    exited: bool,
    /// Whether the process accesses its host directly within a step.
    acts_on_host: bool,
}

impl RunningProcess {
    pub(super) fn new(machine: Box<dyn Machine>, clock: NodeClock) -> Self {
        Self {
            acts_on_host: machine.acts_on_host(),
            machine,
            clock,
            exited: false,
        }
    }
}

/// The slot of one process on a host; the slot outlasts restarts of the process.
pub(super) struct ProcessSlot {
    /// The index of the slot.
    index: usize,
    host: usize,
    /// The index of the program in the run's list.
    program: usize,
    process: Option<RunningProcess>,
    /// The deadline of the process after its latest step, by its own time.
    deadline: Option<Instant>,
    /// Number of starts.
    life: u32,
    /// The identity that the process proves to peers since its latest start.
    identity: Option<NodeId>,
    mailbox: ProcessMailbox,
    wake: WakeTimer,
}

impl ProcessSlot {
    pub(super) fn new(index: usize, host: usize, program: usize) -> Self {
        Self {
            index,
            host,
            program,
            process: None,
            deadline: None,
            life: 0,
            identity: None,
            mailbox: ProcessMailbox::default(),
            wake: WakeTimer::new(),
        }
    }

    pub(super) const fn host(&self) -> usize {
        self.host
    }

    /// Returns the index of the program in the run's list.
    pub(super) const fn program(&self) -> usize {
        self.program
    }

    /// Returns the number of starts.
    pub(super) const fn life(&self) -> u32 {
        self.life
    }

    /// Returns the identity that the process proves to peers since its latest start.
    pub(super) const fn identity(&self) -> Option<&NodeId> {
        self.identity.as_ref()
    }

    /// Returns the state machine of the process, if there is a process, even if the process exited by itself.
    pub(super) fn machine(&self) -> Option<&dyn Machine> {
        Some(&*self.process.as_ref()?.machine)
    }

    /// Returns the view of the process.
    pub(super) fn view(&self) -> Option<&dyn ProcessView> {
        Some(self.process.as_ref()?.machine.view())
    }

    /// Returns whether there is a process; the process may have ended by itself.
    pub(super) const fn is_occupied(&self) -> bool {
        self.process.is_some()
    }

    /// Returns whether the process runs and has not ended by itself.
    pub(super) fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.exited)
    }

    /// Returns the deadline of the process after its latest step, by its own time.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the process accesses its host directly within a step.
    pub(super) fn acts_on_host(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.acts_on_host)
    }

    /// Returns the process's own time.
    pub(super) fn local_time(&self, now: u64) -> Option<Instant> {
        Some(self.process.as_ref()?.clock.read(now))
    }

    /// Begins the next life; returns its number.
    pub(super) const fn begin_life(&mut self) -> u32 {
        self.life += 1;
        self.life
    }

    /// Installs a new process.
    pub(super) fn install(&mut self, process: RunningProcess) {
        self.stop();
        self.identity = process.machine.identity().cloned();
        self.deadline = process.machine.next_deadline();
        self.process = Some(process);
    }

    /// Discards the process with all of its memory.
    pub(super) fn stop(&mut self) {
        self.process = None;
        self.deadline = None;
        self.mailbox.reset();
        self.wake.reset();
    }

    /// Marks the process as one that exited by itself.
    pub(super) const fn exit(&mut self) {
        if let Some(process) = &mut self.process {
            process.exited = true;
        }
    }

    /// Passes an event to the process.
    pub(super) fn on_event(&mut self, local: Instant, event: ProcessEvent, effects: &mut Effects) {
        if let Some(process) = &mut self.process {
            process.machine.on_event(local, event, effects);
            self.deadline = process.machine.next_deadline();
        }
    }

    /// Passes an event to a process that accesses its host directly within the step.
    pub(super) fn on_event_at(
        &mut self,
        local: Instant,
        event: ProcessEvent,
        here: LocalHost<'_>,
        effects: &mut Effects,
    ) {
        if let Some(process) = &mut self.process {
            process.machine.on_event_at(local, event, here, effects);
            self.deadline = process.machine.next_deadline();
        }
    }

    /// Returns whether an input that occurs now is handled immediately.
    pub(super) fn takes_input(&self, now: u64) -> bool {
        self.mailbox.passes(now)
    }

    /// Queues an input until the process is neither paused nor busy.
    pub(super) fn queue(&mut self, context: &mut Context<'_, '_>, waiting: QueuedInput) {
        self.mailbox.push(context.now(), waiting);
        context.affect(self.mailbox.delayed_by(), 1);
        self.schedule_mail(context);
    }

    fn schedule_mail(&mut self, context: &mut Context<'_, '_>) {
        if let Some(at) = self.mailbox.schedule(context.now()) {
            let (slot, life) = (self.index, self.life);
            context.schedule(at, ScheduledEvent::Mail { slot, life });
        }
    }

    /// Opens the mailbox, if that is due; returns the number of inputs that the process handles now.
    pub(super) fn open_mailbox(
        &mut self,
        context: &mut Context<'_, '_>,
        life: u32,
    ) -> Option<usize> {
        let now = context.now();
        if self.life != life || self.process.is_none() || !self.mailbox.open(now) {
            return None;
        }
        if self.mailbox.is_busy(now) {
            self.schedule_mail(context);
            return None;
        }
        Some(self.mailbox.batch())
    }

    /// Removes and returns the first queued input.
    pub(super) fn next_input(&mut self) -> Option<QueuedInput> {
        self.mailbox.pop()
    }

    /// Performs a wake that waited for queued inputs, if the wake is due; returns whether there was such a wake.
    pub(super) fn resume_wake(&mut self, now: u64) -> bool {
        let (empty, paused_until) = (self.mailbox.is_empty(), self.mailbox.paused_until());
        self.wake.resume(now, empty, paused_until)
    }

    /// Schedules the handling of the inputs that remain after a batch.
    pub(super) fn close_mailbox(&mut self, context: &mut Context<'_, '_>) {
        if self.mailbox.end_batch(context.now()) {
            self.schedule_mail(context);
        }
    }

    /// Handles a scheduled wake; returns whether the process wakes now. Queued inputs are handled first.
    pub(super) fn fire_wake(&mut self, context: &mut Context<'_, '_>, life: u32) -> bool {
        let now = context.now();
        if self.life != life || self.process.is_none() || !self.wake.fire(now) {
            return false;
        }
        let postponed = self.mailbox.is_busy(now) || !self.mailbox.is_empty();
        if postponed {
            self.wake.postpone(now);
            context.affect(self.mailbox.delayed_by(), 1);
            self.schedule_mail(context);
        }
        !postponed
    }

    /// Returns whether the deadline of the process is due at its own time.
    pub(super) fn is_due(&self, now: u64) -> bool {
        let process = self.process.as_ref().zip(self.deadline);
        process.is_some_and(|(process, deadline)| deadline <= process.clock.read(now))
    }

    /// Schedules the next wake; `woke` tells whether the latest step was a wake.
    pub(super) fn schedule_wake(&mut self, context: &mut Context<'_, '_>, woke: bool) {
        let Some((process, deadline)) = self.process.as_ref().zip(self.deadline) else {
            return;
        };
        let deadline = process.clock.when(deadline);
        if let Some(at) = self.wake.schedule(context.now(), deadline, woke) {
            let (slot, life) = (self.index, self.life);
            context.schedule(at, ScheduledEvent::Wake { slot, life });
        }
    }

    /// Returns the time until which the process is paused.
    pub(super) const fn paused_until(&self) -> u64 {
        self.mailbox.paused_until()
    }

    /// Returns the step that delays the inputs.
    pub(super) const fn delayed_by(&self) -> Option<usize> {
        self.mailbox.delayed_by()
    }

    /// Pauses the process.
    pub(super) fn pause(&mut self, until: u64, step: Option<usize>) {
        self.mailbox.pause(until, step);
    }

    /// Delays each input, in nanoseconds. When a delay ends, `step` is `None`.
    pub(super) const fn slow_down(&mut self, delay: u64, step: Option<usize>) {
        self.mailbox.slow_down(delay, step);
    }

    /// Changes the clock of the process, and reschedules the next wake by the new clock.
    pub(super) fn change_clock(
        &mut self,
        context: &mut Context<'_, '_>,
        (jump, drift_ppm): (Duration, Option<i32>),
        step: Option<usize>,
    ) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.clock.change(context.now(), jump, drift_ppm);
        context.affect(step, 1);
        // The wake scheduled by the old clock would be too late or too early.
        self.wake.cancel();
        self.schedule_wake(context, false);
    }
}
