//! Random schedules of three regions whose links are cut, whose stores fail and whose registries are killed: each copy
//! equals the owner's objects at its position, no copied write is lost, and all copies converge.

use super::message::{FeedRefusal, FollowerId, ReplicaInput, ReplicaOutput};
use crate::link::Ticket;
use crate::machine::{Machine, Outbox};
use crate::registry::log::{LogEntry, Retention};
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::{Object, ObjectDraft};
use crate::registry::query::{FieldMask, ObjectScope};
use crate::registry::sabotage::RegistryBugs;
use crate::registry::sequencer::{Config, Input, Output, Sequencer, WriteId, WriteRequest};
use crate::registry::store::{CommitGroup, StoreFailure};
use crate::registry::value::{ObjectTable, ObjectValue};
use crate::registry::volatile_store::VolatileStore;
use crate::registry::watch::{WatchId, WatchMessage, WatchRefusal, WatchRequest};
use crate::registry::write::{
    CopiesWanted, Precondition, RegistryCaller, WriteBatch, WriteOperation, WriteOutcome,
    WriteRefusal,
};
use crate::time::{Duration, Instant, Wall};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const REGIONS: [&str; 3] = ["eu", "us", "asia"];

fn region(index: usize) -> RegionId {
    REGIONS[index].parse().unwrap()
}

fn index(region: &RegionId) -> usize {
    let found = REGIONS.iter().position(|it| *it == region.as_str());
    found.unwrap()
}

/// A message on its way.
enum Parcel {
    /// To an owner.
    ToOwner {
        from: usize,
        to: usize,
        input: Input,
    },
    /// To a copy: on the connection of this number.
    ToCopy {
        from: usize,
        to: usize,
        connection: u64,
        input: ReplicaInput,
    },
    /// A routed write.
    Routed {
        from: usize,
        to: usize,
        write: Box<WriteRequest>,
    },
}

struct Place {
    machine: Sequencer,
    store: VolatileStore,
    group: Option<(Ticket, CommitGroup)>,
    /// All batches that were ever durable.
    history: Vec<Arc<LogEntry>>,
    /// The numbers of the connections to the other regions; none if there is no connection.
    connections: [Option<u64>; 3],
    /// The numbers of the latest attempts to connect to the other regions.
    attempts: [u64; 3],
    answers: BTreeMap<u64, Result<WriteOutcome, WriteRefusal>>,
}

pub(crate) struct RegionsWorld {
    now: Instant,
    bugs: RegistryBugs,
    places: Vec<Place>,
    parcels: VecDeque<Parcel>,
    pub(crate) is_cut: [[bool; 3]; 3],
    count: u64,
    /// Where the answers of routed writes go: the region and the number of the write there.
    routed: BTreeMap<u64, (usize, WriteId)>,
    /// The messages of watches.
    watched: Vec<WatchMessage>,
    /// The refusal of the last watch.
    refused: Option<WatchRefusal>,
}

fn config(at: usize, seed: u64, bugs: RegistryBugs) -> Config {
    let mut config = Config::new(region(at), seed);
    config.bugs = bugs;
    config.primary = region(0);
    config.retention = Retention {
        entries: 3,
        time: Duration::ZERO,
        entries_max: 8,
    };
    config.replica.window = 2_000;
    config.replica.idle_timeout = Duration::from_secs(3);
    config.replica.retry_max = Duration::from_millis(400);
    config
}

impl RegionsWorld {
    pub(crate) fn new() -> Self {
        Self::with_bugs(RegistryBugs::NONE)
    }

    pub(crate) fn with_bugs(bugs: RegistryBugs) -> Self {
        let place = |at| Place {
            machine: Sequencer::new(config(at, at as u64 + 1, bugs)),
            store: VolatileStore::default(),
            group: None,
            history: Vec::new(),
            connections: [None; 3],
            attempts: [0; 3],
            answers: BTreeMap::new(),
        };
        let mut world = Self {
            now: Instant::from_millis(1),
            bugs,
            places: (0..3).map(place).collect(),
            parcels: VecDeque::new(),
            is_cut: [[false; 3]; 3],
            count: 0,
            routed: BTreeMap::new(),
            watched: Vec::new(),
            refused: None,
        };
        (0..3).for_each(|at| world.step(at, Input::Start));
        let fields = |fields: &[(&str, ObjectValue)]| -> ObjectTable {
            let fields = fields.iter();
            fields.map(|it| (it.0.to_owned(), it.1.clone())).collect()
        };
        let create = |name: &str, body| {
            WriteOperation::Create(ObjectDraft::new(name.parse().unwrap(), body))
        };
        let patterns = [
            "//shop/orders/{order}",
            "//shop/regions/{region}/orders/{order}",
        ];
        world.write(
            0,
            vec![
                create("regions/eu", ObjectTable::new()),
                create("services/shop", ObjectTable::new()),
                create(
                    "services/shop/resources/Order",
                    fields(&[("patterns", ObjectValue::texts(patterns))]),
                ),
            ],
            0,
        );
        world.settle();
        world
    }

    /// The registry of a region.
    pub(crate) fn machine(&self, at: usize) -> &Sequencer {
        &self.places[at].machine
    }

    fn step(&mut self, at: usize, input: Input) {
        let mut out = Outbox::new();
        self.places[at].machine.step(self.now, input, &mut out);
        let outputs: Vec<Output> = out.drain().collect();
        for output in outputs {
            self.perform(at, output);
        }
    }

    fn perform(&mut self, at: usize, output: Output) {
        match output {
            Output::OpenStore { incarnation } => {
                let image = Box::new(self.places[at].store.open(incarnation));
                self.step(at, Input::Opened(image));
            }
            Output::Commit { ticket, group } => self.places[at].group = Some((ticket, group)),
            Output::Answer { write, result } => match self.routed.remove(&write.0) {
                Some((to, write)) => {
                    if !self.is_cut[to][at] {
                        self.step(to, Input::Routed { write, result });
                    }
                }
                None => drop(self.places[at].answers.insert(write.0, result)),
            },
            Output::Feed { follower, message } => {
                self.send_to_copy(at, follower, ReplicaInput::Receive(message));
            }
            Output::FeedEnded { follower, refusal } => {
                self.send_to_copy(at, follower, ReplicaInput::Refused(refusal));
            }
            Output::Link { region, order } => self.link(at, index(&region), order),
            Output::Route { owner, write } => self.parcels.push_back(Parcel::Routed {
                from: at,
                to: index(&owner),
                write,
            }),
            Output::WatchOpened { result, .. } => self.refused = result.err(),
            Output::Watch { message, .. } => self.watched.push(message),
            Output::Report(_) => {}
        }
    }

    /// The number of a follower names its region and its connection.
    fn send_to_copy(&mut self, from: usize, follower: FollowerId, input: ReplicaInput) {
        let (to, connection) = ((follower.0 % 3) as usize, follower.0 / 3);
        self.parcels.push_back(Parcel::ToCopy {
            from,
            to,
            connection,
            input,
        });
    }

    fn link(&mut self, from: usize, to: usize, order: ReplicaOutput) {
        let own = |connection: u64| FollowerId(connection * 3 + from as u64);
        let input = match order {
            ReplicaOutput::Connect { attempt, .. } => {
                self.count += 1;
                self.places[from].attempts[to] = attempt;
                let connection = (!self.is_cut[from][to]).then_some(self.count);
                self.places[from].connections[to] = connection;
                let input = match connection {
                    Some(_) => ReplicaInput::Connected,
                    None => ReplicaInput::Disconnected,
                };
                return self.tell(from, to, input);
            }
            ReplicaOutput::Disconnect => {
                if let Some(connection) = self.places[from].connections[to].take() {
                    let follower = own(connection);
                    self.step(to, Input::CloseFeed { follower });
                }
                return;
            }
            ReplicaOutput::Follow(request) => {
                let Some(connection) = self.places[from].connections[to] else {
                    return;
                };
                Input::OpenFeed {
                    follower: own(connection),
                    request: Box::new(request),
                }
            }
            ReplicaOutput::Confirm { sequence, bytes } => {
                let Some(connection) = self.places[from].connections[to] else {
                    return;
                };
                Input::ConfirmFeed {
                    follower: own(connection),
                    sequence,
                    bytes,
                }
            }
        };
        self.parcels.push_back(Parcel::ToOwner { from, to, input });
    }

    fn tell(&mut self, at: usize, owner: usize, input: ReplicaInput) {
        let input = Input::Link {
            region: region(owner),
            attempt: self.places[at].attempts[owner],
            input: Box::new(input),
        };
        self.step(at, input);
    }

    /// Delivers messages; those on links that are cut are lost. With `drops`, the first message of an owner is lost.
    pub(crate) fn deliver(&mut self, count: usize, mut drops: bool) {
        for _ in 0..count {
            let Some(parcel) = self.parcels.pop_front() else {
                return;
            };
            match parcel {
                Parcel::ToOwner { from, to, input } => {
                    if !self.is_cut[from][to] {
                        self.step(to, input);
                    }
                }
                Parcel::ToCopy {
                    from,
                    to,
                    connection,
                    input,
                } => {
                    let is_current = self.places[to].connections[from] == Some(connection);
                    let is_lost = std::mem::take(&mut drops);
                    if is_current && !self.is_cut[to][from] && !is_lost {
                        self.tell(to, from, input);
                    }
                }
                Parcel::Routed { from, to, write } => {
                    if !self.is_cut[from][to] {
                        self.count += 1;
                        let own = WriteId(self.count);
                        self.routed.insert(own.0, (from, write.write));
                        let write = WriteRequest {
                            write: own,
                            ..*write
                        };
                        self.step(to, Input::Write(Box::new(write)));
                    }
                }
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        at: usize,
        operations: Vec<WriteOperation>,
        copies: usize,
    ) -> u64 {
        self.count += 1;
        let timeout = Duration::from_secs(1);
        let write = WriteRequest {
            write: WriteId(self.count),
            caller: RegistryCaller::Administrator,
            request: None,
            batch: WriteBatch { operations },
            time: Wall(0),
            copies: Some(CopiesWanted {
                count: copies,
                timeout,
            }),
            is_routed: false,
        };
        let id = self.count;
        self.step(at, Input::Write(Box::new(write)));
        id
    }

    pub(crate) fn commit(&mut self, at: usize) {
        if let Some((ticket, group)) = self.places[at].group.take() {
            self.store(at, &group);
            self.step(at, Input::Committed { ticket });
        }
    }

    fn store(&mut self, at: usize, group: &CommitGroup) {
        let place = &mut self.places[at];
        place.store.commit(group).expect("the store is sound");
        place.history.extend(group.entries.iter().cloned());
        self.check(at);
    }

    /// Each stored copy equals the owner's objects at its position.
    fn check(&mut self, at: usize) {
        let image = self.places[at].store.clone().open(9);
        for (owner, position) in image.copies {
            let mut expected: BTreeMap<ObjectName, Arc<Object>> = BTreeMap::new();
            let history = &self.places[index(&owner)].history;
            for entry in &history[..position.at.sequence as usize] {
                for change in &entry.changes {
                    match &change.after {
                        Some(after) => {
                            drop(expected.insert(change.name.clone(), Arc::clone(after)))
                        }
                        None => drop(expected.remove(&change.name)),
                    }
                }
            }
            let copy = image.objects.iter();
            let copy = copy.filter(|it| it.metadata.owning_region == owner);
            assert!(copy.eq(expected.values()), "{owner} in {}", REGIONS[at]);
        }
    }

    fn play(&mut self, it: Move) {
        match it {
            Move::Write {
                at,
                owner,
                order,
                removes,
                copies,
            } => {
                let name = match owner {
                    0 => format!("//shop/orders/{order}"),
                    _ => format!("//shop/regions/{}/orders/{order}", REGIONS[owner]),
                };
                let name: ObjectName = name.parse().unwrap();
                self.count += 1;
                let value = ObjectValue::from(self.count);
                let operation = if removes {
                    WriteOperation::Delete {
                        name,
                        condition: Precondition::default(),
                        allow_missing: true,
                    }
                } else {
                    WriteOperation::Update {
                        draft: ObjectDraft::new(name, [("value".to_owned(), value)].into()),
                        mask: FieldMask::All,
                        condition: Precondition::default(),
                        allow_missing: true,
                    }
                };
                self.write(at, vec![operation], copies);
            }
            Move::Commit { at } => self.commit(at),
            Move::Fail { at, is_stored } => {
                if let Some((ticket, group)) = self.places[at].group.take() {
                    if is_stored {
                        self.store(at, &group);
                    }
                    let failure = StoreFailure::Failed;
                    self.step(at, Input::CommitFailed { ticket, failure });
                }
            }
            Move::Crash { at, is_stored } => self.crash(at, is_stored),
            Move::Cut { from, to } => {
                if from != to {
                    self.is_cut[from][to] = !self.is_cut[from][to];
                }
            }
            Move::Deliver { count, drops } => self.deliver(count, drops),
            Move::Sleep { millis } => self.sleep(Duration::from_millis(millis)),
        }
    }

    pub(crate) fn crash(&mut self, at: usize, is_stored: bool) {
        if let Some((_, group)) = self.places[at].group.take().filter(|_| is_stored) {
            self.store(at, &group);
        }
        for other in 0..3 {
            if let Some(connection) = self.places[at].connections[other].take() {
                let follower = FollowerId(connection * 3 + at as u64);
                self.step(other, Input::CloseFeed { follower });
            }
            if self.places[other].connections[at].take().is_some() {
                self.tell(other, at, ReplicaInput::Disconnected);
            }
        }
        self.count += 1;
        self.routed.retain(|_, (to, _)| *to != at);
        self.places[at].machine = Sequencer::new(config(at, self.count, self.bugs));
        self.step(at, Input::Start);
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.now += duration;
        for at in 0..3 {
            let deadline = self.places[at].machine.next_deadline();
            if deadline.is_some_and(|at| at <= self.now) {
                self.step(at, Input::Wake);
                let next = self.places[at].machine.next_deadline();
                assert!(next.is_none_or(|next| next > self.now), "a deadline stays");
            }
        }
    }

    /// Ends all faults, and lets the regions work until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.is_cut = [[false; 3]; 3];
        for _ in 0..60 {
            for _ in 0..6 {
                self.deliver(1_000, false);
                (0..3).for_each(|at| self.commit(at));
            }
            self.sleep(Duration::from_millis(500));
        }
    }

    pub(crate) fn check_settled(&self) {
        let objects = |at: usize| self.places[at].machine.objects().iter();
        for (at, place) in self.places.iter().enumerate() {
            for copy in place.machine.copies(self.now) {
                assert!(copy.is_following && copy.lag == 0, "{at}: {copy:?}");
            }
            assert!(
                objects(0).eq(objects(at)),
                "eu differs from {}",
                REGIONS[at]
            );
            for answer in place.answers.values() {
                let Ok(outcome) = answer else { continue };
                let history = &self.places[index(&outcome.region)].history;
                let sequence = outcome.revision.sequence as usize;
                assert!(sequence <= history.len(), "an acknowledged write is lost");
            }
        }
    }
}

/// A creation or change of an order of a region; of the primary region, if none is given.
fn put(region: Option<&str>, id: u8) -> WriteOperation {
    let name = match region {
        None => format!("//shop/orders/{id}"),
        Some(region) => format!("//shop/regions/{region}/orders/{id}"),
    };
    WriteOperation::Update {
        draft: ObjectDraft::new(name.parse().unwrap(), ObjectTable::new()),
        mask: FieldMask::All,
        condition: Precondition::default(),
        allow_missing: true,
    }
}

impl RegionsWorld {
    /// Delivers and commits until nothing is on its way.
    pub(crate) fn flow(&mut self) {
        for _ in 0..8 {
            self.deliver(1_000, false);
            (0..3).for_each(|at| self.commit(at));
        }
    }

    /// Writes a batch, and returns the answer.
    pub(crate) fn done(
        &mut self,
        at: usize,
        operations: Vec<WriteOperation>,
    ) -> Result<WriteOutcome, WriteRefusal> {
        let write = self.write(at, operations, 0);
        self.flow();
        self.answer(at, write).expect("an answer").clone()
    }

    pub(crate) fn answer(
        &self,
        at: usize,
        write: u64,
    ) -> Option<&Result<WriteOutcome, WriteRefusal>> {
        self.places[at].answers.get(&write)
    }
}

#[test]
fn a_routed_write_is_answered_when_it_can_be_read_here() {
    let mut world = RegionsWorld::new();
    let write = world.write(1, vec![put(None, 1)], 0);
    world.deliver(1_000, false);
    world.commit(0);
    assert_eq!(world.answer(1, write), None, "the copy has not the batch");
    world.flow();
    let outcome = world.answer(1, write).unwrap().as_ref().unwrap();
    assert_eq!(outcome.region, region(0));
    let name: ObjectName = "//shop/orders/1".parse().unwrap();
    let object = world.places[1].machine.get(&name).unwrap();
    assert_eq!(object.metadata.owning_region, region(0));
}

#[test]
fn a_write_is_refused_while_its_owner_cannot_be_reached_and_a_lost_one_is_unknown() {
    let mut world = RegionsWorld::new();
    let lost = world.write(1, vec![put(Some("asia"), 1)], 0);
    world.is_cut[1][2] = true;
    world.deliver(1_000, false);
    assert_eq!(world.answer(1, lost), None);
    for _ in 0..8 {
        world.sleep(Duration::from_millis(500));
    }
    assert_eq!(world.answer(1, lost), Some(&Err(WriteRefusal::Unknown)));
    let refused = world.write(1, vec![put(Some("asia"), 1)], 0);
    let refusal = world.answer(1, refused).unwrap().clone().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "//shop/regions/asia/orders/1: region asia owns it and cannot be reached; the write was not applied, repeat it later"
    );
    // The region goes on with its own objects.
    let own = world.write(1, vec![put(Some("us"), 1)], 0);
    world.commit(1);
    assert!(world.answer(1, own).unwrap().is_ok());
    world.settle();
    world.check_settled();
}

#[test]
fn a_batch_over_two_regions_is_refused() {
    let mut world = RegionsWorld::new();
    let write = world.write(0, vec![put(None, 1), put(Some("us"), 1)], 0);
    let refusal = world.answer(0, write).unwrap().clone().unwrap_err();
    assert!(matches!(refusal, WriteRefusal::TwoRegions { .. }));
    assert!(refusal.is_terminal());
}

#[test]
fn a_writer_hears_how_many_copies_have_confirmed_its_batch() {
    let mut world = RegionsWorld::new();
    let both = world.write(0, vec![put(None, 1)], 2);
    world.commit(0);
    assert_eq!(world.answer(0, both), None, "no copy has confirmed");
    world.flow();
    assert_eq!(world.answer(0, both).unwrap().as_ref().unwrap().copies, 2);
    world.is_cut[2][0] = true;
    let one = world.write(0, vec![put(None, 2)], 2);
    world.commit(0);
    world.flow();
    assert_eq!(world.answer(0, one), None);
    world.sleep(Duration::from_secs(1));
    let outcome = world.answer(0, one).unwrap().as_ref().unwrap();
    assert_eq!(outcome.copies, 1, "at the deadline, the write stands");
}

#[test]
fn a_second_store_of_a_region_takes_no_writes_and_no_copy() {
    let mut world = RegionsWorld::new();
    world.places[1].store = VolatileStore::default();
    world.places[1].history.clear();
    world.crash(1, false);
    for _ in 0..20 {
        world.flow();
        world.sleep(Duration::from_millis(500));
    }
    let write = world.write(1, vec![put(Some("us"), 1)], 0);
    let refused = world.answer(1, write).unwrap();
    assert!(refused.is_err());
    let refusal = |at: usize| {
        let copies = world.places[at].machine.copies(world.now);
        copies.filter_map(|it| it.refusal).next()
    };
    let second = FeedRefusal::SecondStore { region: region(1) };
    assert_eq!(refusal(1), Some(second), "the primary does not serve it");
    let other = FeedRefusal::OtherOwner { region: region(1) };
    assert_eq!(refusal(0), Some(other), "it does not serve the primary");
}

#[test]
fn a_watch_goes_on_in_another_region_once_that_has_the_position() {
    let mut world = RegionsWorld::new();
    let scope = ObjectScope {
        selector: "//shop/orders".parse().unwrap(),
        ..ObjectScope::default()
    };
    let token = |world: &RegionsWorld| {
        let mut token = None;
        for message in &world.watched {
            match message {
                WatchMessage::Snapshot { end: Some(end), .. } => token = Some(end.token.clone()),
                WatchMessage::Changes { token: last, .. }
                | WatchMessage::Bookmark { token: last } => token = Some(last.clone()),
                WatchMessage::Snapshot { end: None, .. } | WatchMessage::Reset { .. } => {}
            }
        }
        token.unwrap()
    };
    let open = |world: &mut RegionsWorld, at, resume| {
        let watch = WatchId(1);
        let request = Box::new(WatchRequest {
            resume,
            ..WatchRequest::new(scope.clone())
        });
        let caller = RegistryCaller::Administrator;
        let opened = Input::OpenWatch {
            watch,
            caller,
            request,
        };
        world.step(at, opened);
        let bytes = 100_000;
        world.step(at, Input::GrantWatch { watch, bytes });
    };
    open(&mut world, 0, None);
    world.write(0, vec![put(None, 1)], 0);
    world.commit(0);
    let resume = token(&world);
    world.watched.clear();
    open(&mut world, 1, Some(resume.clone()));
    assert_eq!(world.refused, Some(WatchRefusal::Behind));
    world.write(0, vec![put(None, 2)], 0);
    world.commit(0);
    world.flow();
    world.watched.clear();
    open(&mut world, 1, Some(resume));
    let heard = world.watched.iter().filter_map(|message| match message {
        WatchMessage::Changes { changes, .. } => Some(changes),
        WatchMessage::Snapshot { .. }
        | WatchMessage::Bookmark { .. }
        | WatchMessage::Reset { .. } => None,
    });
    let names: Vec<_> = heard.flatten().map(|it| it.name().id()).collect();
    assert_eq!(names, ["2"], "no snapshot, and no repetition");
}

/// A move of the schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    Write {
        at: usize,
        owner: usize,
        order: u8,
        removes: bool,
        copies: usize,
    },
    Commit {
        at: usize,
    },
    Fail {
        at: usize,
        is_stored: bool,
    },
    Crash {
        at: usize,
        is_stored: bool,
    },
    Cut {
        from: usize,
        to: usize,
    },
    Deliver {
        count: usize,
        drops: bool,
    },
    Sleep {
        millis: u64,
    },
}

fn any_move() -> impl Strategy<Value = Move> {
    let write = (0_usize..3, 0_usize..3, 0_u8..4, any::<bool>(), 0_usize..3);
    prop_oneof![
        8 => write.prop_map(|(at, owner, order, removes, copies)| Move::Write { at, owner, order, removes, copies }),
        10 => (0_usize..3).prop_map(|at| Move::Commit { at }),
        1 => (0_usize..3, any::<bool>()).prop_map(|(at, is_stored)| Move::Fail { at, is_stored }),
        1 => (0_usize..3, any::<bool>()).prop_map(|(at, is_stored)| Move::Crash { at, is_stored }),
        1 => (0_usize..3, 0_usize..3).prop_map(|(from, to)| Move::Cut { from, to }),
        8 => (1_usize..6, prop::bool::weighted(0.2)).prop_map(|(count, drops)| Move::Deliver { count, drops }),
        3 => (1_u64..900).prop_map(|millis| Move::Sleep { millis }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn copies_equal_their_owners_in_every_schedule(moves in prop::collection::vec(any_move(), 1..80)) {
        let mut world = RegionsWorld::new();
        world.check_settled();
        for it in moves {
            world.play(it);
        }
        world.settle();
        world.check_settled();
    }
}
