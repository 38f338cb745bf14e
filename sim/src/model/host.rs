//! One simulated machine: its power, its disk, its process and the process's mail.

use super::clock::NodeClock;
use crate::disk::Files;
use crate::record::Cause;
use crate::scenario::Certificate;
use crate::system::{InputOf, System};
use crate::world::Traffic;
use std::collections::{BTreeSet, VecDeque};

/// No instant.
pub(crate) const NEVER: u64 = u64::MAX;

/// A running daemon.
pub(crate) struct Process<S: System> {
    pub(crate) machine: S::Machine,
    pub(crate) clock: NodeClock,
    /// It left and ended; kept to be looked at.
    pub(crate) exited: bool,
}

/// An input that waits.
pub(crate) struct Waiting<S: System> {
    pub(crate) input: InputOf<S>,
    /// The encoded bytes of the message that it brings, if it brings one.
    pub(crate) bytes: usize,
    /// What led to it.
    pub(crate) cause: Cause,
}

/// One machine.
pub(crate) struct Host<S: System> {
    pub(crate) process: Option<Process<S>>,
    pub(crate) powered: bool,
    /// How often its process was started.
    pub(crate) life: u32,
    pub(crate) disk: Files,
    /// What became of its certificate.
    pub(crate) certificate: Certificate,
    /// Every connection with an end here.
    pub(crate) connections: BTreeSet<u32>,
    pub(crate) traffic: Traffic,
    /// When its earliest planned wake comes.
    pub(crate) wake_at: u64,
    pub(crate) wake_waits: bool,
    /// When a wake that waits for the mail waits no longer.
    pub(crate) wakes_by: u64,
    pub(crate) paused_until: u64,
    /// What each input costs.
    pub(crate) slow: u64,
    pub(crate) busy_until: u64,
    /// Inputs that wait.
    pub(crate) mailbox: VecDeque<Waiting<S>>,
    pub(crate) mail_at: u64,
    /// The step that delays its inputs.
    pub(crate) delayed_by: Option<usize>,
}

impl<S: System> Host<S> {
    pub(crate) fn new() -> Self {
        Self {
            process: None,
            powered: true,
            life: 0,
            disk: Files::default(),
            certificate: Certificate::Rotated,
            connections: BTreeSet::new(),
            traffic: Traffic {
                bytes: 0,
                messages: 0,
            },
            wake_at: NEVER,
            wake_waits: false,
            wakes_by: 0,
            paused_until: 0,
            slow: 0,
            busy_until: 0,
            mailbox: VecDeque::new(),
            mail_at: NEVER,
            delayed_by: None,
        }
    }

    /// Whether a process listens.
    pub(crate) fn listens(&self) -> bool {
        self.powered && self.process.as_ref().is_some_and(|process| !process.exited)
    }

    /// The process is gone, with everything it had in memory.
    pub(crate) fn stop(&mut self) {
        self.process = None;
        self.mailbox.clear();
        self.wake_at = NEVER;
        self.wake_waits = false;
        self.mail_at = NEVER;
        self.paused_until = 0;
        self.busy_until = 0;
    }
}
