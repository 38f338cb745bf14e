//! Random schedules of a sequencer with writers, watch clients and a store that fails: no acknowledged write is lost,
//! no refused write is applied, and each watch client hears each change once and in order.

use super::{config, create, draft, name, service};
use crate::machine::{Machine, Outbox};
use crate::random::Random;
use crate::registry::log::{LogEntry, Retention};
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::query::{FieldMask, ObjectScope};
use crate::registry::sequencer::{Config, Input, Output, Sequencer, WriteId, WriteRequest};
use crate::registry::store::{CommitGroup, StoreFailure};
use crate::registry::value::ObjectValue;
use crate::registry::volatile_store::VolatileStore;
use crate::registry::watch::{
    ClientConfig, ClientEvent, ClientInput, ClientOutput, WatchChange, WatchClient, WatchDelivery,
    WatchId,
};
use crate::registry::write::{
    Precondition, RegistryCaller, WriteBatch, WriteOperation, WriteOutcome, WriteRefusal,
};
use crate::time::{Duration, Instant, Wall};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of batches in the log: few, so that clients fall behind, but more than the writes that are repeated.
const LOG_ENTRIES: usize = 6;

/// A move of the schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// A writer writes one or two orders.
    Write {
        order: u8,
        both: bool,
        value: u8,
        stale: bool,
    },
    /// A writer repeats an earlier request.
    Repeat { back: u8 },
    /// The store completes the commit.
    Commit,
    /// The store fails; the group may be stored.
    Fail { failure: u8, is_stored: bool },
    /// The sequencer is killed and starts again; the group under way may be stored. Clients may not hear that their
    /// connections have ended.
    Crash { is_stored: bool, is_heard: bool },
    /// The connection of a client is cut.
    Cut { client: u8 },
    /// Time passes.
    Sleep { millis: u16 },
}

fn any_move() -> impl Strategy<Value = Move> {
    let write = (0_u8..4, any::<bool>(), 0_u8..4, prop::bool::weighted(0.2));
    prop_oneof![
        8 => write.prop_map(|(order, both, value, stale)| Move::Write { order, both, value, stale }),
        2 => (0_u8..4).prop_map(|back| Move::Repeat { back }),
        8 => Just(Move::Commit),
        1 => (0_u8..2, any::<bool>()).prop_map(|(failure, is_stored)| Move::Fail { failure, is_stored }),
        1 => any::<(bool, bool)>().prop_map(|(is_stored, is_heard)| Move::Crash { is_stored, is_heard }),
        1 => (0_u8..2).prop_map(|client| Move::Cut { client }),
        2 => (0_u16..400).prop_map(|millis| Move::Sleep { millis }),
    ]
}

/// A client with what it was told.
struct Follower {
    machine: WatchClient,
    scope: ObjectScope,
    /// The position after the last delivery.
    heard: u64,
}

struct World {
    now: Instant,
    config: Config,
    machine: Sequencer,
    store: VolatileStore,
    group: Option<(crate::link::Ticket, CommitGroup)>,
    /// All batches that were ever durable.
    history: Vec<Arc<LogEntry>>,
    followers: Vec<Follower>,
    writes: Vec<WriteRequest>,
    /// The places of the first attempts in `writes`.
    first: Vec<usize>,
    answers: BTreeMap<u64, Result<WriteOutcome, WriteRefusal>>,
    starts: u64,
}

impl World {
    fn new() -> Self {
        let config = Config {
            retention: Retention {
                entries: LOG_ENTRIES,
                time: Duration::ZERO,
                entries_max: LOG_ENTRIES,
            },
            ..config()
        };
        let mut world = Self {
            now: Instant::from_millis(1),
            machine: Sequencer::new(config.clone()),
            config,
            store: VolatileStore::default(),
            group: None,
            history: Vec::new(),
            followers: Vec::new(),
            writes: Vec::new(),
            first: Vec::new(),
            answers: BTreeMap::new(),
            starts: 0,
        };
        world.start();
        let patterns = ObjectValue::texts(["//shop/orders/{order}"]);
        world.write(&[
            create("regions/eu", &[]),
            service("shop", &["eu"], &[]),
            create("services/shop/resources/Order", &[("patterns", patterns)]),
        ]);
        world.play(Move::Commit);
        for (index, filter) in ["", "value >= 2"].into_iter().enumerate() {
            let scope = ObjectScope {
                selector: "//shop/orders".parse().unwrap(),
                filter: filter.parse().unwrap(),
            };
            let mut client = ClientConfig::new(scope.clone());
            // A window of one message, so that clients fall behind.
            client.window = 64;
            let random = Random::from_seed(index as u64);
            world.followers.push(Follower {
                machine: WatchClient::new(client, random),
                scope,
                heard: 0,
            });
            world.tell(index, ClientInput::Start);
        }
        world
    }

    fn start(&mut self) {
        self.starts += 1;
        self.group = None;
        self.config.seed = self.starts;
        self.machine = Sequencer::new(self.config.clone());
        self.step(Input::Start);
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.machine.step(self.now, input, &mut out);
        let outputs: Vec<Output> = out.drain().collect();
        for output in outputs {
            match output {
                Output::OpenStore { incarnation } => {
                    let image = Box::new(self.store.open(incarnation));
                    self.step(Input::Opened(image));
                }
                Output::Commit { ticket, group } => self.group = Some((ticket, group)),
                Output::Answer { write, result } => {
                    assert!(
                        self.answers.insert(write.0, result).is_none(),
                        "two answers"
                    );
                }
                Output::WatchOpened { watch, result } => {
                    assert!(result.is_ok(), "{watch:?}: {result:?}");
                }
                Output::Watch { watch, message } => {
                    self.tell(watch.0 as usize, ClientInput::Receive(message));
                }
                Output::Feed { .. }
                | Output::FeedEnded { .. }
                | Output::Link { .. }
                | Output::Route { .. } => panic!("there is one region"),
                Output::Report(_) => {}
            }
        }
    }

    /// Gives a client an input, and performs its orders at once.
    fn tell(&mut self, index: usize, input: ClientInput) {
        let mut out = Outbox::new();
        self.followers[index]
            .machine
            .step(self.now, input, &mut out);
        let outputs: Vec<ClientOutput> = out.drain().collect();
        let watch = WatchId(index as u64);
        for output in outputs {
            match output {
                ClientOutput::Connect => self.tell(index, ClientInput::Connected),
                ClientOutput::Open(request) => {
                    let request = Box::new(request);
                    let caller = RegistryCaller::Administrator;
                    self.step(Input::OpenWatch {
                        watch,
                        caller,
                        request,
                    });
                }
                ClientOutput::Grant { bytes } => self.step(Input::GrantWatch { watch, bytes }),
                ClientOutput::Disconnect => self.step(Input::CloseWatch { watch }),
                ClientOutput::Deliver(delivery) => self.check(index, &delivery),
                ClientOutput::Report(ClientEvent::Violation(what)) => panic!("violation: {what}"),
                ClientOutput::Report(_) => {}
            }
        }
    }

    fn write(&mut self, operations: &[WriteOperation]) {
        let id = self.writes.len() as u64;
        self.first.push(self.writes.len());
        self.send(WriteRequest {
            write: WriteId(id),
            caller: RegistryCaller::Administrator,
            request: Some(format!("r{id}")),
            batch: WriteBatch {
                operations: operations.to_vec(),
            },
            time: Wall(0),
            copies: None,
            is_routed: false,
        });
    }

    fn send(&mut self, write: WriteRequest) {
        self.writes.push(write.clone());
        self.step(Input::Write(Box::new(write)));
    }

    fn store_group(&mut self, group: &CommitGroup) {
        self.store
            .commit(group)
            .expect("the group follows the head");
        self.history.extend(group.entries.iter().cloned());
    }

    fn play(&mut self, it: Move) {
        match it {
            Move::Write {
                order,
                both,
                value,
                stale,
            } => {
                let orders = [order, (order + 1) % 4];
                let orders = &orders[..1 + usize::from(both)];
                let operations = orders.iter().map(|id| self.operation(*id, value, stale));
                let operations: Vec<_> = operations.collect();
                self.write(&operations);
            }
            Move::Repeat { back } => {
                let at = self.first.len().checked_sub(1 + usize::from(back));
                let at = at.map(|at| self.first[at]);
                if let Some(mut write) = at.map(|at| self.writes[at].clone()) {
                    write.write = WriteId(self.writes.len() as u64);
                    self.send(write);
                }
            }
            Move::Commit => {
                if let Some((ticket, group)) = self.group.take() {
                    self.store_group(&group);
                    self.step(Input::Committed { ticket });
                }
            }
            Move::Fail { failure, is_stored } => {
                if let Some((ticket, group)) = self.group.take() {
                    let failure = [StoreFailure::Full, StoreFailure::Failed][usize::from(failure)];
                    if is_stored && failure == StoreFailure::Failed {
                        self.store_group(&group);
                    }
                    self.step(Input::CommitFailed { ticket, failure });
                }
            }
            Move::Crash {
                is_stored,
                is_heard,
            } => {
                if let Some((_, group)) = self.group.take().filter(|_| is_stored) {
                    self.store_group(&group);
                }
                self.start();
                let told = if is_heard { self.followers.len() } else { 0 };
                for client in 0..told {
                    self.tell(client, ClientInput::Disconnected);
                }
            }
            Move::Cut { client } => {
                let watch = WatchId(u64::from(client));
                self.step(Input::CloseWatch { watch });
                self.tell(usize::from(client), ClientInput::Disconnected);
            }
            Move::Sleep { millis } => self.sleep(Duration::from_millis(millis.into())),
        }
    }

    fn sleep(&mut self, duration: Duration) {
        self.now += duration;
        if self
            .machine
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            self.step(Input::Wake);
        }
        for client in 0..self.followers.len() {
            let at = self.followers[client].machine.next_deadline();
            if at.is_some_and(|at| at <= self.now) {
                self.tell(client, ClientInput::Wake);
            }
        }
    }

    /// An unconditional creation or change, a deletion, or a change that must fail if the object has changed.
    fn operation(&self, id: u8, value: u8, stale: bool) -> WriteOperation {
        let at = format!("//shop/orders/{id}");
        // A deletion of an object that does not exist changes nothing.
        if value == 0 {
            return WriteOperation::Delete {
                name: name(&at),
                condition: Precondition::default(),
                allow_missing: true,
            };
        }
        let generation = self
            .machine
            .get(&name(&at))
            .map(|it| it.metadata.generation);
        let condition = generation.filter(|_| stale).map(Precondition::generation);
        WriteOperation::Update {
            draft: draft(&at, &[("value", u64::from(value).into())]),
            mask: FieldMask::All,
            condition: condition.unwrap_or_default(),
            allow_missing: true,
        }
    }

    /// The set of a scope after a batch.
    fn set(&self, scope: &ObjectScope, sequence: u64) -> BTreeMap<ObjectName, Arc<Object>> {
        let mut objects = BTreeMap::new();
        for entry in self.history.iter().take(sequence as usize) {
            for change in &entry.changes {
                match change.after.as_ref().filter(|after| scope.holds(after)) {
                    Some(after) => drop(objects.insert(change.name.clone(), Arc::clone(after))),
                    None => drop(objects.remove(&change.name)),
                }
            }
        }
        objects
    }

    /// The changes of the set from one batch to another, in order.
    fn expected(&self, scope: &ObjectScope, from: u64, to: u64) -> Vec<WatchChange> {
        let mut all = Vec::new();
        for sequence in from + 1..=to {
            let (before, after) = (self.set(scope, sequence - 1), self.set(scope, sequence));
            for change in &self.history[sequence as usize - 1].changes {
                match (before.get(&change.name), after.get(&change.name)) {
                    (_, Some(object)) => all.push(WatchChange::Current(Arc::clone(object))),
                    (Some(_), None) => all.push(WatchChange::Removed(change.name.clone())),
                    (None, None) => {}
                }
            }
        }
        all
    }

    fn check(&mut self, index: usize, delivery: &WatchDelivery) {
        let follower = &self.followers[index];
        let to = delivery.token.batches();
        assert!(
            to <= self.history.len() as u64,
            "a change that is not durable"
        );
        if !delivery.is_snapshot {
            let expected = self.expected(&follower.scope, follower.heard, to);
            assert_eq!(
                delivery.changes, expected,
                "from {} to {to}",
                follower.heard
            );
        }
        assert!(to >= follower.heard, "a position before the last one");
        assert_eq!(*follower.machine.objects(), self.set(&follower.scope, to));
        self.followers[index].heard = to;
    }

    /// Ends all faults, and checks what must hold then.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.play(Move::Commit);
            self.sleep(Duration::from_millis(500));
        }
        let committed: Vec<_> = self
            .history
            .iter()
            .filter_map(|it| it.request.as_ref())
            .map(|it| it.key.id.clone())
            .collect();
        let distinct: BTreeSet<_> = committed.iter().collect();
        assert_eq!(
            distinct.len(),
            committed.len(),
            "a request was executed twice"
        );
        let changing = self.history.iter().filter(|it| !it.changes.is_empty());
        let changing = changing.filter_map(|it| it.request.as_ref());
        let changed: BTreeSet<_> = changing.map(|it| it.key.id.clone()).collect();
        for (write, answer) in &self.answers {
            let request = self.writes[*write as usize].request.clone().unwrap();
            match answer {
                Ok(outcome) => {
                    let entry = &self.history[outcome.revision.sequence as usize - 1];
                    assert_eq!(entry.request.as_ref().map(|it| &it.key.id), Some(&request));
                    assert_eq!(WriteOutcome::of(entry, &self.config.region), *outcome);
                }
                Err(WriteRefusal::Unknown) => {}
                Err(refusal) => {
                    // Another attempt of the same request may have been accepted, unless the registry decided.
                    let attempts = self
                        .writes
                        .iter()
                        .filter(|it| it.request.as_ref() == Some(&request));
                    let is_decided = refusal.depends_on_state();
                    assert!(
                        !changed.contains(&request) || !is_decided && attempts.count() > 1,
                        "{refusal}"
                    );
                }
            }
        }
        for follower in &self.followers {
            assert!(follower.machine.is_in_sync());
            let head = self.history.len() as u64;
            assert_eq!(*follower.machine.objects(), self.set(&follower.scope, head));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn promises_hold_in_every_schedule(moves in prop::collection::vec(any_move(), 1..60)) {
        let mut world = World::new();
        for it in moves {
            world.play(it);
        }
        world.settle();
    }
}

/// A crash after each of the steps of a workload, with and without the group under way.
#[test]
fn promises_hold_after_a_crash_at_every_step() {
    let workload = |index: usize| match index % 4 {
        0 => Move::Write {
            order: (index % 3) as u8,
            both: index.is_multiple_of(8),
            value: (index % 5) as u8,
            stale: false,
        },
        1 => Move::Write {
            order: (index % 4) as u8,
            both: true,
            value: 2,
            stale: index.is_multiple_of(3),
        },
        2 => Move::Sleep { millis: 100 },
        _ => Move::Commit,
    };
    for crash_at in 0..40 {
        for (is_stored, is_heard) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut world = World::new();
            for index in 0..40 {
                world.play(workload(index));
                if index == crash_at {
                    world.play(Move::Crash {
                        is_stored,
                        is_heard,
                    });
                }
            }
            world.settle();
        }
    }
}
