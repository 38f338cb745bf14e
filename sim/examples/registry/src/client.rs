//! A client: a workload of reads and writes, one at a time, and a watch.
//!
//! A client repeats an operation under the same request id until it has an answer. It gives up a write only when the
//! registry says that the write was not applied.

use crate::fact::{OperationKind, OperationOutcome, RegistryFact};
use crate::messages::{ClientMessage, RegistryMessage};
use crate::viewed_set::ViewedSet;
use core::net::SocketAddr;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::random::Random;
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::{Object, ObjectDraft};
use phalanx_core::registry::query::{FieldMask, ObjectScope};
use phalanx_core::registry::watch::{
    ClientConfig, ClientEvent, ClientInput, ClientOutput, WatchClient,
};
use phalanx_core::registry::write::{
    Precondition, WriteBatch, WriteOperation, WriteOutcome, WriteRefusal,
};
use phalanx_core::time::{Duration, Instant};
use phalanx_sim::world::{DialId, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};

/// The service of the clients.
pub const SHOP: &str = "shop";
/// The number of objects that all clients write.
const OBJECTS: u64 = 10;
/// Time after which an operation without an answer is sent again.
const REPEAT: Duration = Duration::from_millis(800);
/// Longest pause between two operations.
const PAUSE: Duration = Duration::from_millis(120);
/// Longest delay of a grant: a client reads slowly.
const SLOWNESS: Duration = Duration::from_millis(250);
/// Time without a message after which a client connects again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that the registry may send ahead: few, so that a slow client falls behind.
const WINDOW: usize = 512;

/// An operation without an answer.
#[derive(Debug)]
struct Pending {
    request: String,
    operations: Vec<(ObjectName, OperationKind)>,
    message: ClientMessage,
    repeat_at: Instant,
    /// How often the operation was sent.
    attempts: u32,
}

/// A client.
#[derive(Debug)]
pub struct RegistryClient {
    /// The registries; a client turns to the next one when a connection ends.
    registries: Vec<SocketAddr>,
    watch: WatchClient,
    set: ViewedSet,
    /// The client's region and all regions, if there are several.
    region: Option<(RegionId, Vec<RegionId>)>,
    link: Option<LinkId>,
    dials: u64,
    /// The dial under way.
    dialing: Option<DialId>,
    /// An additional delay of each grant.
    pause_of_reads: Duration,
    /// Whether the client neither reads nor compares generations: a registry that does not know that another one has
    /// opened its store answers both from an old state.
    is_blind: bool,
    /// Grants that are delayed, with their times.
    grants: Vec<(Instant, usize)>,
    pending: Option<Pending>,
    /// Number of operations still to begin, and the time of the next one.
    left: u64,
    next_at: Option<Instant>,
    /// Begins the ids of requests: the host and the life.
    prefix: String,
    count: u64,
    random: Random,
}

impl RegistryClient {
    /// A client that starts, and watches the objects of this scope.
    #[must_use]
    pub fn new(
        registries: Vec<SocketAddr>,
        scope: ObjectScope,
        region: Option<(RegionId, Vec<RegionId>)>,
        prefix: String,
        random: Random,
    ) -> Self {
        let config = ClientConfig {
            retry_max: Duration::from_secs(1),
            window: WINDOW,
            idle_timeout: IDLE_TIMEOUT,
            ..ClientConfig::new(scope.clone())
        };
        Self {
            registries,
            watch: WatchClient::new(config, random.child("watch")),
            set: ViewedSet::of(SHOP, scope),
            region,
            link: None,
            dials: 0,
            dialing: None,
            pause_of_reads: Duration::ZERO,
            is_blind: false,
            grants: Vec::new(),
            pending: None,
            left: 0,
            next_at: None,
            prefix,
            count: 0,
            random: random.child("workload"),
        }
    }

    /// The watch.
    #[must_use]
    pub const fn watch(&self) -> &WatchClient {
        &self.watch
    }

    /// The watched objects.
    #[must_use]
    pub const fn set(&self) -> &ViewedSet {
        &self.set
    }

    /// Whether the client has nothing to do.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.pending.is_none() && self.left == 0
    }

    fn tell(&mut self, now: Instant, input: ClientInput, out: &mut Effects) {
        let mut outputs = Outbox::new();
        self.watch.step(now, input, &mut outputs);
        for output in outputs.drain() {
            match output {
                ClientOutput::Connect => {
                    let turn = self.dials as usize % self.registries.len();
                    self.dials += 1;
                    let (dial, to) = (DialId(self.dials), Some(self.registries[turn]));
                    self.dialing = Some(dial);
                    out.push(Effect::Dial { dial, to });
                }
                ClientOutput::Open(request) => self.send(ClientMessage::Open(SHOP, request), out),
                ClientOutput::Grant { bytes } => {
                    let slowness = self.random.duration_below(SLOWNESS) + self.pause_of_reads;
                    let at = now + slowness + Duration::from_nanos(1);
                    self.grants.push((at, bytes));
                }
                ClientOutput::Disconnect => {
                    if let Some(link) = self.link.take() {
                        out.push(Effect::Close { link });
                    }
                    self.dialing = None;
                    self.grants.clear();
                }
                ClientOutput::Deliver(delivery) => {
                    let set = Box::new(self.set.clone());
                    out.report(RegistryFact::Delivered { set, delivery });
                }
                ClientOutput::Report(event) => out.report(match event {
                    ClientEvent::InSync => RegistryFact::InSync,
                    ClientEvent::LostSync => RegistryFact::LostSync,
                    ClientEvent::TimedOut => RegistryFact::TimedOut,
                    ClientEvent::Reset(_) => continue,
                    ClientEvent::Violation(what) => RegistryFact::Violation(what),
                    ClientEvent::Ended(_) => RegistryFact::Violation("a watch that may go on"),
                }),
            }
        }
    }

    fn send(&self, message: ClientMessage, out: &mut Effects) {
        if let Some(link) = self.link {
            out.send(link, message);
        }
    }

    /// Begins the next operation.
    fn begin(&mut self, now: Instant, out: &mut Effects) {
        self.left -= 1;
        self.count += 1;
        let request = format!("{}-{}", self.prefix, self.count);
        let roll = self.random.below(100);
        let roll = if self.is_blind {
            60 + roll * 2 / 5
        } else {
            roll
        };
        // Reads are linearizable in the region that owns the object alone.
        let owner = self.owner(roll < 25);
        let name = self.object(owner.as_ref());
        let known = self.watch.objects().get(&name).cloned();
        let (operations, message) = if roll < 25 {
            let message = ClientMessage::Read {
                request: request.clone(),
                name: name.clone(),
            };
            (vec![(name, OperationKind::Read)], message)
        } else {
            let writes = if roll < 60 && known.is_some() {
                let generation = known.as_ref().map_or(0, |it| it.metadata.generation);
                vec![self.put(name, Some(generation))]
            } else if roll < 75 {
                let other = self.object(owner.as_ref());
                let is_same = other == name;
                let mut puts = vec![self.put(name, None)];
                if !is_same {
                    puts.push(self.put(other, None));
                }
                puts
            } else if roll < 90 {
                vec![self.put(name, None)]
            } else {
                vec![remove(name)]
            };
            let (kinds, operations) = writes.into_iter().unzip();
            let message = ClientMessage::Write {
                request: request.clone(),
                batch: WriteBatch { operations },
                copies: self.copies(),
            };
            (kinds, message)
        };
        out.report(RegistryFact::Called {
            request: request.clone(),
            operations: operations.clone(),
        });
        self.send(message.clone(), out);
        self.pending = Some(Pending {
            request,
            operations,
            message,
            repeat_at: now + REPEAT,
            attempts: 1,
        });
        self.next_at = None;
    }

    /// The region in the names of the operation's objects; none for objects of the primary region.
    fn owner(&mut self, is_read: bool) -> Option<RegionId> {
        let (own, regions) = self.region.as_ref()?;
        let roll = self.random.below(2 * regions.len() as u64) as usize;
        let owner = regions.get(roll).filter(|_| !is_read).unwrap_or(own);
        Some(owner.clone()).filter(|owner| *owner != regions[0])
    }

    fn object(&mut self, owner: Option<&RegionId>) -> ObjectName {
        let id = self.random.below(OBJECTS);
        let name = match owner {
            Some(region) => format!("//shop/regions/{region}/orders/{id}"),
            None => format!("//shop/orders/{id}"),
        };
        name.parse().expect("a valid name")
    }

    /// The number of copies that the client waits for: one or two, now and then.
    fn copies(&mut self) -> usize {
        if self.region.is_none() || self.random.below(4) > 0 {
            return 0;
        }
        1 + self.random.below(2) as usize
    }

    /// A change to a value that no other write has.
    fn put(
        &mut self,
        name: ObjectName,
        generation: Option<u64>,
    ) -> ((ObjectName, OperationKind), WriteOperation) {
        let value = format!("{}-{}", self.prefix, self.count);
        let size = self.random.below(4);
        let body = [
            ("value".to_owned(), value.as_str().into()),
            ("size".to_owned(), size.into()),
        ];
        let kind = generation.map_or(OperationKind::Put, OperationKind::Swap);
        let operation = WriteOperation::Update {
            draft: ObjectDraft::new(name.clone(), body.into()),
            mask: FieldMask::All,
            condition: generation.map_or_else(Precondition::default, Precondition::generation),
            allow_missing: generation.is_none(),
        };
        ((name, kind), operation)
    }

    fn on_message(&mut self, now: Instant, message: RegistryMessage, out: &mut Effects) {
        match message {
            RegistryMessage::Watch(message) => self.tell(now, ClientInput::Receive(message), out),
            RegistryMessage::Refused(refusal) => {
                self.tell(now, ClientInput::Refused(refusal), out);
            }
            RegistryMessage::Read { request, found } => {
                if let Some(found) = found {
                    let is = found.map(|it| (it.metadata.uid, it.metadata.generation));
                    self.end(now, &request, |_| vec![OperationOutcome::Is(is)], out);
                }
            }
            RegistryMessage::Written { request, result } => {
                self.on_written(now, &request, result, out);
            }
        }
    }

    fn on_written(
        &mut self,
        now: Instant,
        request: &str,
        result: Result<WriteOutcome, WriteRefusal>,
        out: &mut Effects,
    ) {
        match result {
            Ok(outcome) => {
                out.report(RegistryFact::Acknowledged {
                    request: request.to_owned(),
                    outcome: outcome.clone(),
                });
                self.end(now, request, |names| outcomes(names, &outcome), out);
            }
            Err(WriteRefusal::Conflict { generation, .. }) => {
                let conflict = OperationOutcome::Conflict(generation);
                self.end(now, request, |_| vec![conflict], out);
            }
            Err(WriteRefusal::StoreFull | WriteRefusal::StoreFailed) => {
                let is_pending = self.pending.take_if(|it| it.request == request).is_some();
                if is_pending {
                    let request = request.to_owned();
                    out.report(RegistryFact::Refused { request });
                    self.pause(now);
                }
            }
            Err(WriteRefusal::Unreachable { owner, .. }) => {
                out.report(RegistryFact::Unreachable { owner });
                // An earlier attempt may have been applied.
                let refused = |it: &mut Pending| it.request == request && it.attempts == 1;
                if self.pending.take_if(refused).is_some() {
                    let request = request.to_owned();
                    out.report(RegistryFact::Refused { request });
                    self.pause(now);
                }
            }
            // An earlier attempt was refused, and its answer was lost.
            Err(WriteRefusal::RefusedBefore) => {
                if self.pending.take_if(|it| it.request == request).is_some() {
                    let request = request.to_owned();
                    out.report(RegistryFact::Refused { request });
                    self.pause(now);
                }
            }
            // The operation is repeated after a while.
            Err(
                WriteRefusal::Opening
                | WriteRefusal::Busy
                | WriteRefusal::Rate { .. }
                | WriteRefusal::Deposed
                | WriteRefusal::Standby { .. }
                | WriteRefusal::Unknown,
            ) => {}
            Err(_) => out.report(RegistryFact::Violation("valid writes are accepted")),
        }
    }

    fn end(
        &mut self,
        now: Instant,
        request: &str,
        outcomes: impl FnOnce(&[(ObjectName, OperationKind)]) -> Vec<OperationOutcome>,
        out: &mut Effects,
    ) {
        if let Some(pending) = self.pending.take_if(|it| it.request == request) {
            out.report(RegistryFact::Returned {
                outcomes: outcomes(&pending.operations),
                request: pending.request,
            });
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Instant) {
        if self.left > 0 {
            self.next_at = Some(now + self.random.duration_below(PAUSE) + Duration::from_nanos(1));
        }
    }

    fn on_closed(&mut self, now: Instant, out: &mut Effects) {
        self.link = None;
        self.grants.clear();
        self.tell(now, ClientInput::Disconnected, out);
    }

    fn on_wake(&mut self, now: Instant, out: &mut Effects) {
        if self.watch.next_deadline().is_some_and(|at| at <= now) {
            self.tell(now, Wake.into(), out);
        }
        let (due, later) = self.grants.iter().partition(|(at, _)| *at <= now);
        self.grants = later;
        let due: Vec<(Instant, usize)> = due;
        for (_, bytes) in due {
            self.send(ClientMessage::Grant(bytes), out);
        }
        if let Some(pending) = self.pending.as_mut().filter(|it| it.repeat_at <= now) {
            pending.repeat_at = now + REPEAT;
            pending.attempts += 1;
            let message = pending.message.clone();
            self.send(message, out);
        }
        if self.next_at.is_some_and(|at| at <= now) {
            self.begin(now, out);
        }
    }
}

fn remove(name: ObjectName) -> ((ObjectName, OperationKind), WriteOperation) {
    let operation = WriteOperation::Delete {
        name: name.clone(),
        condition: Precondition::default(),
        allow_missing: true,
    };
    ((name, OperationKind::Delete), operation)
}

/// The outcome for each object of an acknowledged write.
fn outcomes(
    operations: &[(ObjectName, OperationKind)],
    outcome: &WriteOutcome,
) -> Vec<OperationOutcome> {
    let of = |name: &ObjectName| {
        let written = outcome.objects.iter().find(|object| object.name == *name);
        match written.map(|it| (it.uid, it.generation)) {
            Some((uid, Some(generation))) => OperationOutcome::Is(Some((uid, generation))),
            Some((_, None)) => OperationOutcome::Removed,
            None => OperationOutcome::Is(None),
        }
    };
    operations.iter().map(|(name, _)| of(name)).collect()
}

impl Process for RegistryClient {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start
                | ProcessEvent::Dialed { .. }
                | ProcessEvent::DialFailed { .. }
                | ProcessEvent::Received { .. }
                | ProcessEvent::Closed { .. }
                | ProcessEvent::Command(_)
                | ProcessEvent::Wake
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.report(RegistryFact::Forgot);
                self.tell(now, ClientInput::Start, out);
            }
            ProcessEvent::Dialed { dial, link, .. } if self.dialing != Some(dial) => {
                // The client has given up this dial.
                out.push(Effect::Close { link });
            }
            ProcessEvent::Dialed { link, .. } => {
                self.dialing = None;
                self.link = Some(link);
                self.tell(now, ClientInput::Connected, out);
                if let Some(pending) = &mut self.pending {
                    pending.attempts += 1;
                    let message = pending.message.clone();
                    self.send(message, out);
                }
            }
            ProcessEvent::DialFailed { dial, .. } if self.dialing == Some(dial) => {
                self.dialing = None;
                self.on_closed(now, out);
            }
            ProcessEvent::Closed { link, .. } if self.link == Some(link) => {
                self.on_closed(now, out);
            }
            ProcessEvent::Received { link, message } if self.link == Some(link) => {
                if let Some(message) = message.take::<RegistryMessage>() {
                    self.on_message(now, message, out);
                }
            }
            ProcessEvent::Command(command) if command.name == "read-slowly" => {
                let millis = command.with["ms"].as_u64().unwrap_or(1_000);
                self.pause_of_reads = Duration::from_millis(millis);
            }
            ProcessEvent::Command(command) => {
                self.is_blind = command.with["blind"].as_bool().unwrap_or(false);
                self.left += command.with["count"].as_u64().unwrap_or(1);
                if self.pending.is_none() {
                    self.pause(now);
                }
            }
            ProcessEvent::Wake => self.on_wake(now, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let grants = self.grants.iter().map(|(at, _)| *at);
        let repeat = self.pending.as_ref().map(|it| it.repeat_at);
        let others = [self.watch.next_deadline(), repeat, self.next_at];
        grants.chain(others.into_iter().flatten()).min()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl ProcessView for RegistryClient {
    fn state(&self) -> Value {
        json!({
            "in_sync": self.watch.is_in_sync(),
            "objects": self.watch.objects().len(),
            "position": self.watch.token().map(|token| token.batches()),
            "left": self.left,
            "pending": self.pending.is_some(),
        })
    }
}

/// The current content of a copy, by name.
pub fn copy(client: &RegistryClient) -> impl Iterator<Item = &Object> {
    client.watch.objects().values().map(|object| &**object)
}
