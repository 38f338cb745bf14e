//! The environment of a service's process: its own records in the registry, and what the registry says about others.
//!
//! [`ServiceEnvironment`] is a machine. It follows the registry with a watch, and writes the records of its service, its
//! deployment and its kinds until they are as they should be. It is ready when it has a copy of the registry and its
//! records stand. Several processes of one service converge on the same records by compare-and-swap:
//!
//! - The first process creates the service. Each later one adds its region and its version.
//! - A process of the newest version alone decides the other fields, so that two versions do not undo each other's
//!   changes. The version of a deployment is its maximum.
//! - A process whose records stand writes nothing.
//!
//! In client mode ([`EnvironmentConfig::registers`] is false), the process discovers others and writes nothing.
//!
//! - [`WatchClient`]: the copy.
//! - `registration`: the write under way, and when to try again.
//! - `records`: the records as they should be.
//! - [`address`]: which address of a service to use.
//! - [`relevance`]: which services concern a service.

pub mod address;
mod records;
mod registration;
pub mod relevance;
#[cfg(test)]
mod tests;

pub use records::{EnvironmentConfig, compare_versions};

use super::name::{ObjectName, RegionId};
use super::object::Object;
use super::query::ObjectScope;
use super::watch::{
    ClientConfig, ClientEvent, ClientInput, ClientOutput, WatchClient, WatchDelivery,
};
use super::write::{WriteBatch, WriteOutcome, WriteRefusal};
use crate::machine::{Machine, Outbox, Wake};
use crate::random::Random;
use crate::time::{Duration, Instant};
use registration::{AttemptEnd, Registration};
use std::sync::Arc;

/// The objects that an environment watches.
const WATCHED: &str = "name LIKE \"services/%\" OR name LIKE \"regions/%\"";

/// An input of the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started.
    Start,
    /// An input of the watch.
    Watch(ClientInput),
    /// The answer to [`Output::Write`].
    Written {
        /// The id of the request.
        request: String,
        /// The outcome.
        result: Result<WriteOutcome, WriteRefusal>,
    },
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An order of the watch. Deliveries and events of the watch have outputs of their own.
    Watch(ClientOutput),
    /// Write a batch under a request id; answer with `Written`. The same order may be repeated.
    Write {
        /// The id of the request.
        request: String,
        /// The operations.
        batch: WriteBatch,
    },
    /// Hand changes to subscribers.
    Deliver(WatchDelivery),
    /// Report an event.
    Report(Event),
}

/// A fact about the environment, for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The records of the process stand, and it has a copy of the registry.
    Ready,
    /// The records cannot be written at present, for this reason; the write is tried again.
    Waiting(WriteRefusal),
    /// The records cannot be written, for this reason; the write is not tried again.
    Rejected(WriteRefusal),
    /// An event of the watch.
    Watch(ClientEvent),
}

/// The environment of a process.
#[derive(Debug)]
pub struct ServiceEnvironment {
    config: EnvironmentConfig,
    watch: WatchClient,
    registration: Registration,
}

/// Readable state.
impl ServiceEnvironment {
    /// An environment that has not started. `random` is fresh for each start: request ids are drawn from it.
    #[must_use]
    pub fn new(config: EnvironmentConfig, random: &Random) -> Self {
        // Another filter than this constant would not be read, and is tested to be.
        let filter = WATCHED.parse().unwrap_or_default();
        let scope = ObjectScope {
            filter,
            ..ObjectScope::default()
        };
        let watch = ClientConfig {
            idle_timeout: config.idle_timeout,
            ..ClientConfig::new(scope)
        };
        Self {
            watch: WatchClient::new(watch, random.child("watch")),
            registration: Registration::new(config.registers, random.child("registration")),
            config,
        }
    }

    /// Whether the records of the process stand, and it has a copy of the registry.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.watch.is_ready() && self.registration.is_done()
    }

    /// Why the process is not ready although it is connected: the last refusal.
    #[must_use]
    pub const fn waits_for(&self) -> Option<&WriteRefusal> {
        self.registration.refusal()
    }

    /// The time for which the copy may be out of date.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.watch.age(now)
    }

    /// The object of a name in the copy.
    #[must_use]
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<Object>> {
        self.watch.objects().get(name)
    }

    /// The objects of the copy, in the order of their names.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.watch.objects().values()
    }

    /// The record of the process's own service.
    #[must_use]
    pub fn own_service(&self) -> Option<&Arc<Object>> {
        self.get(self.config.service())
    }

    /// The record of the process's own deployment.
    #[must_use]
    pub fn own_deployment(&self) -> Option<&Arc<Object>> {
        self.get(self.config.deployment())
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &EnvironmentConfig {
        &self.config
    }
}

/// Steps.
impl ServiceEnvironment {
    fn watch(&mut self, now: Instant, input: ClientInput, out: &mut Outbox<Output>) {
        let mut outputs = Outbox::new();
        self.watch.step(now, input, &mut outputs);
        for output in outputs.drain() {
            out.push(match output {
                ClientOutput::Deliver(delivery) => Output::Deliver(delivery),
                ClientOutput::Report(event) => Output::Report(Event::Watch(event)),
                ClientOutput::Connect
                | ClientOutput::Open(_)
                | ClientOutput::Grant { .. }
                | ClientOutput::Disconnect => Output::Watch(output),
            });
        }
    }

    fn on_written(
        &mut self,
        now: Instant,
        request: &str,
        result: Result<WriteOutcome, WriteRefusal>,
        out: &mut Outbox<Output>,
    ) {
        match self.registration.on_written(now, request, result) {
            Some(AttemptEnd::Repeat(refusal)) => out.push(Output::Report(Event::Waiting(refusal))),
            Some(AttemptEnd::Ended(refusal)) => out.push(Output::Report(Event::Rejected(refusal))),
            Some(AttemptEnd::Accepted) | None => {}
        }
    }

    /// Writes the records if they differ from what they should be, or finds that they stand.
    fn register(&mut self, now: Instant, was_ready: bool, out: &mut Outbox<Output>) {
        if self.watch.is_in_sync() {
            let objects = self.watch.objects();
            let token = self.watch.token();
            let has = |region: &RegionId| token.map_or(0, |token| token.sequence(region));
            if self.registration.is_wanted(now, has) {
                let operations = self.config.operations(objects);
                if let Some((request, batch)) = self.registration.begin(now, operations) {
                    out.push(Output::Write { request, batch });
                }
            }
        }
        if self.is_ready() && !was_ready {
            out.push(Output::Report(Event::Ready));
        }
    }
}

impl Machine for ServiceEnvironment {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        let was_ready = self.is_ready();
        match input {
            Input::Start => self.watch(now, ClientInput::Start, out),
            Input::Watch(input) => self.watch(now, input, out),
            Input::Written { request, result } => self.on_written(now, &request, result, out),
            Input::Wake => {
                self.watch(now, Wake.into(), out);
                if let Some((request, batch)) = self.registration.on_wake(now) {
                    out.push(Output::Write { request, batch });
                }
            }
        }
        self.register(now, was_ready, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.watch.next_deadline(), self.registration.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
