//! Delayed events within a host, and the commands and queries that wait for an answer.

use crate::world::{Invocation, ProcessEvent, Query, Reading, ResolveError, Ticket};
use core::net::IpAddr;
use std::collections::BTreeMap;

/// A delayed action within a host.
#[derive(Debug)]
pub(super) enum Local {
    /// Completes a read.
    Read(Reading),
    /// Delivers an event to a process.
    Deliver(ProcessEvent),
    /// Delivers a command to its program; the program is booted if it does not run.
    Invoke(Invocation),
    /// Delivers a query to the resolver.
    Query(Query),
    /// Delivers the answer of a resolver to the process that sent the query.
    Answer(u64, Result<Vec<IpAddr>, ResolveError>),
}

/// A command or query without an answer yet.
#[derive(Debug)]
struct Call {
    /// The slot and life of the process that waits.
    caller: (usize, u32),
    ticket: Ticket,
    /// The slot of the process that answers.
    answers: usize,
}

/// The commands and queries without an answer yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<u64, Call>,
    last: u64,
}

impl Calls {
    /// Records a call from `caller` (a slot and its life) that the process in slot `answers` is to answer. Returns the
    /// number of the call.
    pub(super) fn begin(&mut self, caller: (usize, u32), ticket: Ticket, answers: usize) -> u64 {
        self.last += 1;
        let call = Call {
            caller,
            ticket,
            answers,
        };
        self.open.insert(self.last, call);
        self.last
    }

    /// Whether a call waits for its answer.
    pub(super) fn is_open(&self, number: u64) -> bool {
        self.open.contains_key(&number)
    }

    /// The slot of the process that waits for the answer to a call.
    pub(super) fn caller(&self, number: u64) -> Option<usize> {
        Some(self.open.get(&number)?.caller.0)
    }

    /// Ends a call. Returns the slot and life of the caller, and the ticket.
    pub(super) fn end(&mut self, number: u64) -> Option<((usize, u32), Ticket)> {
        let call = self.open.remove(&number)?;
        Some((call.caller, call.ticket))
    }

    /// The calls that the process in a slot is to answer, by number.
    pub(super) fn answered_by(&self, slot: usize) -> Vec<u64> {
        let open = self.open.iter().filter(|(_, call)| call.answers == slot);
        open.map(|(number, _)| *number).collect()
    }

    /// Drops the calls that the process in a slot made.
    pub(super) fn end_ordered_by(&mut self, slot: usize) {
        self.open.retain(|_, call| call.caller.0 != slot);
    }
}
