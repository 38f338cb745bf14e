//! Scheduled events of the engine.

use super::calls::Local;
use crate::world::{DialId, Message, Ticket, Writing};
use core::time::Duration;
use std::rc::Rc;

/// A scheduled event. Thousands of events are scheduled at a time, so large and rare variants are boxed.
#[derive(Debug)]
pub(super) enum ScheduledEvent {
    /// An action of the plan.
    Action(usize),
    /// An action that a report triggered.
    Triggered { trigger: usize, action: usize },
    /// The deadline of a process.
    Wake { slot: usize, life: u32 },
    /// A paused or slow process handles its waiting inputs.
    Mail { slot: usize, life: u32 },
    /// The bandwidth of an end is free for the next item that waits for it.
    Depart { connection: u32, end: u8 },
    /// The last segment of a parcel arrives at the other machine. `end` is the sender.
    Arrive {
        connection: u32,
        end: u8,
        number: u64,
    },
    /// A lost parcel is retransmitted. `end` is the sender.
    Retransmit {
        connection: u32,
        end: u8,
        number: u64,
    },
    /// A reset arrives at an end.
    Reset { connection: u32, end: u8 },
    /// The handshake of a connection times out.
    DialTimeout { connection: u32 },
    /// A dial to an unreachable address fails.
    Unreachable {
        slot: usize,
        life: u32,
        dial: DialId,
    },
    /// A write or sync of a process completes.
    Disk {
        slot: usize,
        life: u32,
        operation: Box<Operation>,
    },
    /// A failed write is retried.
    RetryWrite {
        slot: usize,
        life: u32,
        write: Box<Writing>,
    },
    /// A service manager starts a process again that exited at its start.
    RestartProcess { slot: usize, life: u32 },
    /// A datagram arrives at a host.
    Datagram(Box<Datagram>),
    /// A delayed action within a host is due.
    Local {
        slot: usize,
        life: u32,
        local: Box<Local>,
    },
    /// A process is notified that it cannot listen on a port.
    ListenFailed {
        slot: usize,
        life: u32,
        port: u16,
        holder: u32,
    },
}

/// The heap holds thousands of events, so their size affects memory use and cache misses.
const _: () = assert!(size_of::<ScheduledEvent>() <= 24, "box large variants");

/// A datagram in flight.
#[derive(Debug)]
pub(super) struct Datagram {
    /// The slot of the sender.
    pub from: usize,
    /// The target host.
    pub host: usize,
    pub port: u16,
    pub message: Rc<dyn Message>,
}

/// A write or sync in progress.
#[derive(Debug)]
pub(super) struct Operation {
    /// The number of the operation on its disk.
    pub number: u64,
    pub ticket: Ticket,
    /// The time until a failed write is retried; `None`: the process is notified of the failure.
    pub retry: Option<Duration>,
}
