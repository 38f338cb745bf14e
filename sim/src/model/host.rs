//! A simulated machine, and its processes with their queues of inputs.

use super::clock::NodeClock;
use crate::disk::Files;
use crate::record::Cause;
use crate::scenario::Certificate;
use crate::world::{Process as Runs, ProcessEvent, Traffic};
use core::ops::Range;
use phalanx_core::identity::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// A time that is never reached.
pub(crate) const NEVER: u64 = u64::MAX;

/// A running process.
pub(crate) struct Process {
    pub(crate) machine: Box<dyn Runs>,
    pub(crate) clock: NodeClock,
    /// Whether the process left and ended. Its last state remains readable.
    pub(crate) exited: bool,
    /// Whether the process accesses its host directly within a step.
    pub(crate) acts_on_host: bool,
}

/// A queued input.
pub(crate) struct Waiting {
    pub(crate) input: ProcessEvent,
    /// The encoded bytes of the input's message; 0 without a message.
    pub(crate) bytes: usize,
    /// The cause of the input.
    pub(crate) cause: Cause,
}

/// A host.
pub(crate) struct Host {
    pub(crate) powered: bool,
    pub(crate) disk: Files,
    /// The state of its certificate.
    pub(crate) certificate: Certificate,
    pub(crate) traffic: Traffic,
    /// The slots of the host's processes.
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

/// The slot of one process on a host; it persists over restarts of the process.
pub(crate) struct Slot {
    pub(crate) host: usize,
    /// The index of the program in the run's list.
    pub(crate) program: usize,
    pub(crate) process: Option<Process>,
    /// Number of starts.
    pub(crate) life: u32,
    /// The identity that the process proves to peers since its latest start.
    pub(crate) identity: Option<NodeId>,
    /// The ports that the process listens on.
    pub(crate) ports: Vec<u16>,
    /// The connections with an end in this process.
    pub(crate) connections: BTreeSet<u32>,
    /// The time of the earliest scheduled wake.
    pub(crate) wake_at: u64,
    pub(crate) wake_waits: bool,
    /// The time until which queued inputs may delay a due wake.
    pub(crate) wakes_by: u64,
    pub(crate) paused_until: u64,
    /// The delay of each input, in nanoseconds.
    pub(crate) slow: u64,
    pub(crate) busy_until: u64,
    /// The step that delays the inputs.
    pub(crate) delayed_by: Option<usize>,
    /// Queued inputs.
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

    /// Returns whether the process runs and has not ended by itself.
    pub(crate) fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.exited)
    }

    /// Discards the process with all of its memory.
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
