//! One simulated machine, and the processes on it with their mail.

use super::clock::NodeClock;
use crate::disk::Files;
use crate::record::Cause;
use crate::scenario::Certificate;
use crate::world::{Process as Runs, ProcessEvent, Traffic};
use core::ops::Range;
use phalanx_core::identity::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// No instant.
pub(crate) const NEVER: u64 = u64::MAX;

/// A running process.
pub(crate) struct Process {
    pub(crate) machine: Box<dyn Runs>,
    pub(crate) clock: NodeClock,
    /// It left and ended; kept to be looked at.
    pub(crate) exited: bool,
    /// Whether it takes events with its host at hand.
    pub(crate) acts_on_host: bool,
}

/// An input that waits.
pub(crate) struct Waiting {
    pub(crate) input: ProcessEvent,
    /// The encoded bytes of the message that it brings, if it brings one.
    pub(crate) bytes: usize,
    /// What led to it.
    pub(crate) cause: Cause,
}

/// One host.
pub(crate) struct Host {
    pub(crate) powered: bool,
    pub(crate) disk: Files,
    /// The state of its certificate.
    pub(crate) certificate: Certificate,
    pub(crate) traffic: Traffic,
    /// The slots of its processes.
    pub(crate) processes: Range<usize>,
}

impl Host {
    pub(crate) fn new(processes: Range<usize>) -> Self {
        Self {
            powered: true,
            disk: Files::default(),
            certificate: Certificate::Rotated,
            traffic: Traffic {
                bytes: 0,
                messages: 0,
            },
            processes,
        }
    }
}

/// The place of one process on a host; it outlives the lives of the process.
pub(crate) struct Slot {
    pub(crate) host: usize,
    /// The place of the program in the list of programs.
    pub(crate) program: usize,
    pub(crate) process: Option<Process>,
    /// The number of starts.
    pub(crate) life: u32,
    /// The identity that the latest life proves.
    pub(crate) identity: Option<NodeId>,
    /// The ports it listens on.
    pub(crate) ports: Vec<u16>,
    /// The connections with an end in this process.
    pub(crate) connections: BTreeSet<u32>,
    /// When its earliest planned wake comes.
    pub(crate) wake_at: u64,
    pub(crate) wake_waits: bool,
    /// When a wake that waits for the mail waits no longer.
    pub(crate) wakes_by: u64,
    pub(crate) paused_until: u64,
    /// What each input costs.
    pub(crate) slow: u64,
    pub(crate) busy_until: u64,
    /// The step that delays its inputs.
    pub(crate) delayed_by: Option<usize>,
    /// Inputs that wait.
    pub(crate) mailbox: VecDeque<Waiting>,
    pub(crate) mail_at: u64,
}

impl Slot {
    pub(crate) const fn new(host: usize, program: usize) -> Self {
        Self {
            host,
            program,
            process: None,
            life: 0,
            identity: None,
            ports: Vec::new(),
            connections: BTreeSet::new(),
            wake_at: NEVER,
            wake_waits: false,
            wakes_by: 0,
            paused_until: 0,
            slow: 0,
            busy_until: 0,
            delayed_by: None,
            mailbox: VecDeque::new(),
            mail_at: NEVER,
        }
    }

    /// Whether a process runs that has not ended by itself.
    pub(crate) fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.exited)
    }

    /// The process is gone, with everything it had in memory.
    pub(crate) fn stop(&mut self) {
        self.process = None;
        self.ports.clear();
        self.mailbox.clear();
        self.wake_at = NEVER;
        self.wake_waits = false;
        self.mail_at = NEVER;
        self.paused_until = 0;
        self.busy_until = 0;
    }
}
