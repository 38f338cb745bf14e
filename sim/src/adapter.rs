//! Runs a machine that implements `phalanx_core::machine::Machine` as a [`Process`].
//!
//! The adapter translates with two functions: one turns an event into an input of the machine or into none, the other
//! turns an output of the machine into effects. A wake needs no translation.

use crate::world::{Effect, Effects, Process, ProcessEvent, ProcessView};
use phalanx_core::identity::NodeId;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::time::Instant;

/// A machine as a process.
pub struct Adapter<M: Machine, I, O> {
    machine: M,
    input: I,
    effect: O,
    ports: Vec<u16>,
    identity: Option<NodeId>,
    outputs: Outbox<M::Output>,
}

impl<M, I, O> Adapter<M, I, O>
where
    M: Machine + ProcessView,
    I: Fn(&M, &ProcessEvent) -> Option<M::Input> + 'static,
    O: Fn(M::Output, &mut Effects) + 'static,
    M::Output: 'static,
{
    /// Wraps a machine. `input` translates an event, and returns none for an event that does not concern the machine.
    /// `effect` translates an output.
    pub const fn new(machine: M, input: I, effect: O) -> Self {
        Self {
            machine,
            input,
            effect,
            ports: Vec::new(),
            identity: None,
            outputs: Outbox::new(),
        }
    }

    /// Makes the process listen on a port from its start.
    #[must_use]
    pub fn listening_on(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Sets the identity that the process proves on all of its links.
    #[must_use]
    pub fn identified_as(mut self, id: NodeId) -> Self {
        self.identity = Some(id);
        self
    }

    fn translate(&self, event: &ProcessEvent) -> Option<M::Input> {
        if matches!(event, ProcessEvent::Wake) {
            return Some(Wake.into());
        }
        (self.input)(&self.machine, event)
    }
}

impl<M: Machine, I, O> core::fmt::Debug for Adapter<M, I, O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Adapter")
            .field("ports", &self.ports)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl<M, I, O> Process for Adapter<M, I, O>
where
    M: Machine + ProcessView,
    I: Fn(&M, &ProcessEvent) -> Option<M::Input> + 'static,
    O: Fn(M::Output, &mut Effects) + 'static,
    M::Output: 'static,
{
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Start) || self.translate(event).is_some()
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        if matches!(event, ProcessEvent::Start) {
            for port in &self.ports {
                out.push(Effect::Listen { port: *port });
            }
        }
        if let Some(input) = self.translate(&event) {
            self.machine.step(now, input, &mut self.outputs);
            for output in self.outputs.drain() {
                (self.effect)(output, out);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    fn view(&self) -> &dyn ProcessView {
        &self.machine
    }

    fn identity(&self) -> Option<&NodeId> {
        self.identity.as_ref()
    }
}
