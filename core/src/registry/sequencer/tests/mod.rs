//! Tests of the sequencer: a harness with a store in memory, and steps with exact outputs.

mod access;
mod references;
mod regions;
mod requests;
mod rules;
mod watches;
mod world;

use super::*;
use crate::machine::wake_checked;
use crate::registry::log::Retention;
use crate::registry::metadata::WriterMetadata;
use crate::registry::object::ObjectDraft;
use crate::registry::query::{FieldMask, ObjectScope};
use crate::registry::value::{ObjectTable, ObjectValue};
use crate::registry::volatile_store::VolatileStore;
use crate::registry::write::{
    Precondition, RegistryCaller, WriteBatch, WriteLimit, WriteOperation,
};
use crate::time::Duration;
use std::collections::BTreeMap;

/// A sequencer with its store. The test completes commits.
pub(super) struct SequencerBench {
    pub(super) now: Instant,
    pub(super) machine: Sequencer,
    pub(super) store: VolatileStore,
    /// The group under way.
    pub(super) group: Option<(Ticket, CommitGroup)>,
    pub(super) answers: BTreeMap<u64, Result<WriteOutcome, WriteRefusal>>,
    pub(super) watched: BTreeMap<u64, Vec<WatchMessage>>,
    pub(super) refused: BTreeMap<u64, WatchRefusal>,
    pub(super) events: Vec<Event>,
    /// Orders about other regions.
    pub(super) regional: Vec<Output>,
    next: u64,
}

pub(super) fn config() -> Config {
    Config::new("eu".parse().unwrap(), 1)
}

pub(super) fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

pub(super) fn table(fields: &[(&str, ObjectValue)]) -> ObjectTable {
    let fields = fields.iter();
    fields
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

pub(super) fn draft(at: &str, fields: &[(&str, ObjectValue)]) -> ObjectDraft {
    ObjectDraft::new(name(at), table(fields))
}

pub(super) fn create(at: &str, fields: &[(&str, ObjectValue)]) -> WriteOperation {
    WriteOperation::Create(draft(at, fields))
}

/// Replaces the body, if the generation is this one.
pub(super) fn update(
    at: &str,
    fields: &[(&str, ObjectValue)],
    generation: Option<u64>,
) -> WriteOperation {
    WriteOperation::Update {
        draft: draft(at, fields),
        mask: FieldMask::All,
        condition: generation.map_or_else(Precondition::default, Precondition::generation),
        allow_missing: false,
    }
}

pub(super) fn delete(at: &str) -> WriteOperation {
    WriteOperation::Delete {
        name: name(at),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

/// A service that is enabled in these regions.
pub(super) fn service(id: &str, regions: &[&str], imports: &[&str]) -> WriteOperation {
    let policy = table(&[("enabled_regions", ObjectValue::texts(regions))]);
    create(
        &format!("services/{id}"),
        &[
            ("multi_region_policy", ObjectValue::Table(policy)),
            ("imported_services", ObjectValue::texts(imports)),
        ],
    )
}

impl SequencerBench {
    pub(super) fn new(config: Config) -> Self {
        Self::with_store(config, VolatileStore::default())
    }

    pub(super) fn with_store(config: Config, store: VolatileStore) -> Self {
        let mut bench = Self {
            now: Instant::from_millis(1),
            machine: Sequencer::new(config),
            store,
            group: None,
            answers: BTreeMap::new(),
            watched: BTreeMap::new(),
            refused: BTreeMap::new(),
            events: Vec::new(),
            regional: Vec::new(),
            next: 0,
        };
        bench.step(Input::Start);
        bench
    }

    /// A registry with region `eu`, service `shop` and kind `//shop/orders`.
    pub(super) fn prepared(config: Config) -> Self {
        let mut bench = Self::new(config);
        let patterns = ObjectValue::texts(["//shop/orders/{order}"]);
        bench.must(&[
            create("regions/eu", &[]),
            service("shop", &["eu"], &[]),
            create("services/shop/resources/Order", &[("patterns", patterns)]),
        ]);
        bench
    }

    pub(super) fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.machine.step(self.now, input, &mut out);
        self.perform(out);
    }

    pub(super) fn perform(&mut self, mut out: Outbox<Output>) {
        for output in out.drain() {
            match output {
                Output::OpenStore { incarnation } => {
                    let image = self.store.open(incarnation);
                    self.step(Input::Opened(Box::new(image)));
                }
                Output::Commit { ticket, group } => {
                    assert!(self.group.is_none(), "one group at a time");
                    self.group = Some((ticket, group));
                }
                Output::Answer { write, result } => {
                    assert!(
                        self.answers.insert(write.0, result).is_none(),
                        "two answers"
                    );
                }
                Output::WatchOpened { watch, result } => {
                    if let Err(refusal) = result {
                        self.refused.insert(watch.0, refusal);
                    }
                }
                Output::Watch { watch, message } => {
                    self.watched.entry(watch.0).or_default().push(message);
                }
                Output::Feed { .. }
                | Output::FeedEnded { .. }
                | Output::Link { .. }
                | Output::Route { .. } => self.regional.push(output),
                Output::Report(event) => self.events.push(event),
            }
        }
    }

    pub(super) fn wake_after(&mut self, duration: Duration) {
        self.now += duration;
        let mut out = Outbox::new();
        wake_checked(&mut self.machine, self.now, &mut out);
        self.perform(out);
    }

    /// Sends a write, and returns its number.
    pub(super) fn send(
        &mut self,
        caller: RegistryCaller,
        request: Option<&str>,
        operations: &[WriteOperation],
    ) -> u64 {
        self.next += 1;
        let write = WriteRequest {
            write: WriteId(self.next),
            caller,
            request: request.map(str::to_owned),
            batch: WriteBatch {
                operations: operations.to_vec(),
            },
            time: Wall(self.now.as_millis() / 1_000),
            copies: None,
            is_routed: false,
        };
        self.step(Input::Write(Box::new(write)));
        self.next
    }

    pub(super) fn write(&mut self, operations: &[WriteOperation]) -> u64 {
        self.send(RegistryCaller::Administrator, None, operations)
    }

    /// Completes the commit under way.
    pub(super) fn commit(&mut self) {
        let (ticket, group) = self.group.take().expect("a group is under way");
        self.store.commit(&group).expect("the store is sound");
        self.step(Input::Committed { ticket });
    }

    /// Fails the commit under way.
    pub(super) fn fail(&mut self, failure: StoreFailure, is_stored: bool) {
        let (ticket, group) = self.group.take().expect("a group is under way");
        if is_stored {
            self.store.commit(&group).expect("the store is sound");
        }
        self.step(Input::CommitFailed { ticket, failure });
    }

    /// Writes and commits; returns the answer.
    pub(super) fn done(
        &mut self,
        operations: &[WriteOperation],
    ) -> Result<WriteOutcome, WriteRefusal> {
        let write = self.write(operations);
        while self.group.is_some() {
            self.commit();
        }
        self.answers[&write].clone()
    }

    pub(super) fn must(&mut self, operations: &[WriteOperation]) -> WriteOutcome {
        self.done(operations).expect("the write is accepted")
    }

    pub(super) fn refusal(&mut self, operations: &[WriteOperation]) -> WriteRefusal {
        let head = self.machine.log().head();
        let refusal = self.done(operations).expect_err("the write is refused");
        assert_eq!(self.machine.log().head(), head);
        refusal
    }

    pub(super) fn generation(&self, at: &str) -> Option<u64> {
        let object = self.machine.get(&name(at));
        object.map(|object| object.metadata.generation)
    }
}

const ORDER: &str = "//shop/orders/1";

#[test]
fn a_write_is_answered_and_visible_once_it_is_durable() {
    let mut bench = SequencerBench::prepared(config());
    let write = bench.write(&[create(ORDER, &[("a", 1.into())])]);
    assert_eq!(bench.answers.get(&write), None);
    assert_eq!(bench.generation(ORDER), None);
    bench.commit();
    let outcome = bench.answers[&write].clone().unwrap();
    assert_eq!(
        outcome.revision,
        Revision {
            epoch: 1,
            sequence: 2
        }
    );
    assert_eq!(outcome.objects[0].generation, Some(1));
    assert_eq!(bench.generation(ORDER), Some(1));
}

#[test]
fn writes_that_arrive_during_a_commit_form_one_group_and_see_each_other() {
    let mut bench = SequencerBench::prepared(config());
    let first = bench.write(&[create(ORDER, &[])]);
    let second = bench.write(&[update(ORDER, &[("a", 1.into())], Some(1))]);
    let stale = bench.write(&[update(ORDER, &[("a", 2.into())], Some(1))]);
    let third = bench.write(&[update(ORDER, &[("a", 3.into())], Some(2))]);
    let conflict = WriteRefusal::Conflict {
        name: name(ORDER),
        generation: Some(2),
    };
    bench.commit();
    assert!(bench.answers[&first].is_ok());
    assert!(
        !bench.answers.contains_key(&stale),
        "generation 2 is not durable"
    );
    let (_, group) = bench.group.as_ref().unwrap();
    assert_eq!(group.entries.len(), 2);
    bench.commit();
    assert!(bench.answers[&second].is_ok() && bench.answers[&third].is_ok());
    assert_eq!(bench.answers[&stale], Err(conflict));
    assert_eq!(bench.generation(ORDER), Some(3));
}

#[test]
fn a_batch_is_applied_as_a_whole_or_not_at_all() {
    let mut bench = SequencerBench::prepared(config());
    let refusal = bench.refusal(&[create(ORDER, &[]), update("//shop/orders/2", &[], None)]);
    assert_eq!(refusal, WriteRefusal::NotFound(name("//shop/orders/2")));
    assert_eq!(bench.generation(ORDER), None);
    let twice = bench.refusal(&[create(ORDER, &[]), delete(ORDER)]);
    assert_eq!(twice, WriteRefusal::Twice(name(ORDER)));
    assert_eq!(bench.refusal(&[]), WriteRefusal::Empty);
    let outcome = bench.must(&[create(ORDER, &[]), create("//shop/orders/2", &[])]);
    assert_eq!(outcome.objects.len(), 2);
}

#[test]
fn preconditions_compare_generation_uid_and_fields() {
    let mut bench = SequencerBench::prepared(config());
    let uid = bench
        .must(&[create(ORDER, &[("a", 1.into()), ("b", 1.into())])])
        .objects[0]
        .uid;
    let etag = bench.machine.get(&name(ORDER)).unwrap().metadata.etag();
    let with = |condition| WriteOperation::Update {
        draft: draft(ORDER, &[("a", 2.into())]),
        mask: "a".parse().unwrap(),
        condition,
        allow_missing: true,
    };
    let fields = Precondition {
        fields: Some((
            "a".parse().unwrap(),
            table(&[("a", 1.into()), ("b", 9.into())]),
        )),
        uid: Some(uid),
        ..Precondition::default()
    };
    bench.must(&[with(fields.clone())]);
    for stale in [fields, Precondition::from_etag(&etag).unwrap()] {
        let refusal = bench.refusal(&[with(stale)]);
        assert!(matches!(
            refusal,
            WriteRefusal::Conflict {
                generation: Some(2),
                ..
            }
        ));
    }
    let object = bench.machine.get(&name(ORDER)).unwrap();
    assert_eq!(object.body, table(&[("a", 2.into()), ("b", 1.into())]));
    bench.must(&[delete(ORDER)]);
    let again = bench.refusal(&[with(Precondition::generation(2))]);
    assert!(matches!(
        again,
        WriteRefusal::Conflict {
            generation: None,
            ..
        }
    ));
    let other = bench.must(&[with(Precondition::default())]).objects[0].uid;
    assert_ne!(other, uid, "another life of the object");
}

#[test]
fn an_update_that_changes_nothing_waits_for_the_state_it_saw() {
    let mut bench = SequencerBench::prepared(config());
    let first = bench.write(&[create(ORDER, &[("a", 1.into())])]);
    let same = bench.write(&[update(ORDER, &[("a", 1.into())], None)]);
    assert_eq!(bench.answers.get(&same), None);
    bench.commit();
    let revision = bench.answers[&first].clone().unwrap().revision;
    let outcome = bench.answers[&same].clone().unwrap();
    assert_eq!((outcome.revision, outcome.objects.len()), (revision, 0));
    assert!(bench.group.is_none());
    assert_eq!(bench.generation(ORDER), Some(1));
}

#[test]
fn a_field_that_is_set_to_null_is_not_set() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create(ORDER, &[("a", 1.into()), ("b", ObjectValue::Null)])]);
    let body = |bench: &SequencerBench| bench.machine.get(&name(ORDER)).unwrap().body.clone();
    assert_eq!(body(&bench), table(&[("a", 1.into())]));
    bench.must(&[update(
        ORDER,
        &[("a", ObjectValue::Null), ("c", 2.into())],
        None,
    )]);
    assert_eq!(body(&bench), table(&[("c", 2.into())]));
}

#[test]
fn masks_name_only_fields_that_writers_set() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create(ORDER, &[])]);
    for path in [
        "name",
        "metadata.uid",
        "metadata.generation",
        "metadata.other.a",
    ] {
        let operation = WriteOperation::Update {
            draft: draft(ORDER, &[]),
            mask: path.parse().unwrap(),
            condition: Precondition::default(),
            allow_missing: false,
        };
        let refusal = bench.refusal(&[operation]);
        assert_eq!(refusal, WriteRefusal::ReadOnly(path.parse().unwrap()));
    }
}

#[test]
fn an_object_with_finalizers_is_removed_when_they_are_gone() {
    let mut bench = SequencerBench::prepared(config());
    let with = |finalizers: &[&str], value: u64| WriteOperation::Update {
        draft: ObjectDraft {
            metadata: WriterMetadata {
                finalizers: finalizers.iter().map(|&it| it.to_owned()).collect(),
                ..WriterMetadata::default()
            },
            ..draft(ORDER, &[("a", value.into())])
        },
        mask: FieldMask::All,
        condition: Precondition::default(),
        allow_missing: true,
    };
    bench.must(&[with(&["drain", "bill"], 1)]);
    bench.must(&[delete(ORDER)]);
    assert_eq!(bench.generation(ORDER), Some(2));
    for refused in [with(&["drain"], 2), with(&["drain", "bill", "more"], 1)] {
        assert_eq!(
            bench.refusal(&[refused]),
            WriteRefusal::Deleting(name(ORDER))
        );
    }
    bench.must(&[with(&["drain"], 1)]);
    bench.must(&[with(&[], 1)]);
    assert_eq!(bench.generation(ORDER), None);
}

#[test]
fn a_full_store_refuses_writes_and_serves_reads() {
    let mut bench = SequencerBench::prepared(config());
    let first = bench.write(&[create(ORDER, &[])]);
    let second = bench.write(&[create("//shop/orders/2", &[])]);
    bench.fail(StoreFailure::Full, false);
    assert_eq!(bench.answers[&first], Err(WriteRefusal::StoreFull));
    assert_eq!(bench.answers[&second], Err(WriteRefusal::StoreFull));
    assert!(bench.machine.is_readable() && bench.machine.is_serving());
    assert_eq!(bench.generation("services/shop"), Some(1));
    bench.must(&[create(ORDER, &[])]);
}

#[test]
fn an_unknown_outcome_is_learnt_by_repeating_the_request() {
    for is_stored in [false, true] {
        let mut bench = SequencerBench::prepared(config());
        let admin = RegistryCaller::Administrator;
        let first = bench.send(admin.clone(), Some("r1"), &[create(ORDER, &[])]);
        let second = bench.write(&[create("//shop/orders/2", &[])]);
        bench.fail(StoreFailure::Failed, is_stored);
        assert_eq!(bench.answers[&first], Err(WriteRefusal::Unknown));
        assert_eq!(bench.answers[&second], Err(WriteRefusal::StoreFailed));
        assert_eq!(bench.machine.epoch().number, 2);
        assert_eq!(bench.generation(ORDER), is_stored.then_some(1));
        let again = bench.send(admin.clone(), Some("r1"), &[create(ORDER, &[])]);
        if !is_stored {
            bench.commit();
        }
        let outcome = bench.answers[&again].clone().unwrap();
        assert_eq!(outcome.revision.epoch, if is_stored { 1 } else { 2 });
        assert_eq!(bench.machine.log().head(), 2);
        let other = bench.send(admin, Some("r1"), &[delete(ORDER)]);
        assert_eq!(bench.answers[&other], Err(WriteRefusal::RequestReused));
    }
}

#[test]
fn a_repeated_request_that_is_under_way_gets_the_same_outcome() {
    let mut bench = SequencerBench::prepared(config());
    let caller = || RegistryCaller::Service("shop".to_owned());
    let one = bench.send(caller(), Some("r"), &[create(ORDER, &[])]);
    let two = bench.send(caller(), Some("r"), &[create(ORDER, &[])]);
    let admin = bench.send(
        RegistryCaller::Administrator,
        Some("r"),
        &[create(ORDER, &[])],
    );
    bench.commit();
    // The refusal is recorded.
    bench.commit();
    assert_eq!(
        bench.answers[&admin],
        Err(WriteRefusal::AlreadyExists(name(ORDER)))
    );
    assert!(bench.answers[&one].is_ok());
    assert_eq!(bench.answers[&one], bench.answers[&two]);
}

#[test]
fn a_refusal_because_of_a_batch_that_is_not_durable_waits_for_it() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create(ORDER, &[])]);
    let one = bench.write(&[update(ORDER, &[("size", 1.into())], Some(1))]);
    let two = bench.write(&[update(ORDER, &[("size", 2.into())], Some(1))]);
    assert!(
        !bench.answers.contains_key(&two),
        "generation 2 is not durable"
    );
    bench.commit();
    assert!(bench.answers[&one].is_ok());
    let conflict = WriteRefusal::Conflict {
        name: name(ORDER),
        generation: Some(2),
    };
    assert_eq!(bench.answers[&two], Err(conflict));
    let one = bench.write(&[update(ORDER, &[("size", 3.into())], Some(2))]);
    let two = bench.write(&[update(ORDER, &[("size", 4.into())], Some(2))]);
    bench.fail(StoreFailure::Full, false);
    assert_eq!(bench.answers[&one], Err(WriteRefusal::StoreFull));
    assert_eq!(bench.answers[&two], Err(WriteRefusal::StoreFull));
    assert_eq!(bench.generation(ORDER), Some(2), "no conflict was told");
}

#[test]
fn a_sequencer_whose_epoch_has_ended_commits_nothing() {
    let mut old = SequencerBench::prepared(config());
    let open = |watch| Input::OpenWatch {
        watch: WatchId(watch),
        caller: RegistryCaller::Administrator,
        request: Box::new(WatchRequest::new(ObjectScope::default())),
    };
    old.step(open(1));
    let write = old.write(&[create(ORDER, &[])]);
    let mut store = old.store.clone();
    let image = store.open(99);
    let (ticket, group) = old.group.take().unwrap();
    let failure = store.commit(&group).unwrap_err();
    assert_eq!(
        (failure, store.head()),
        (StoreFailure::Fenced, image.head())
    );
    old.step(Input::CommitFailed { ticket, failure });
    assert_eq!(old.answers[&write], Err(WriteRefusal::Deposed));
    assert_eq!(old.refusal(&[create(ORDER, &[])]), WriteRefusal::Deposed);
    assert!(!old.machine.is_readable() && old.events.contains(&Event::Deposed));
    assert_eq!(old.refused.remove(&1), Some(WatchRefusal::Opening));
    old.step(open(2));
    assert_eq!(old.refused.remove(&2), Some(WatchRefusal::Opening));
    assert_eq!(old.machine.watches(), 0);
}

#[test]
fn a_store_that_cannot_be_opened_is_opened_again_later() {
    let mut machine = Sequencer::new(config());
    let (mut out, mut now) = (Outbox::new(), Instant::from_millis(1));
    machine.step(now, Input::Start, &mut out);
    assert!(matches!(out.as_slice(), [Output::OpenStore { .. }]));
    out.drain();
    machine.step(now, Input::OpenFailed(StoreFailure::Failed), &mut out);
    assert!(!machine.is_readable());
    now = machine.next_deadline().unwrap();
    out.drain();
    wake_checked(&mut machine, now, &mut out);
    assert!(matches!(out.as_slice(), [Output::OpenStore { .. }]));
}

#[test]
fn a_standby_names_the_holder_and_takes_over_when_the_store_is_free() {
    let mut machine = Sequencer::new(config());
    let (mut out, mut now) = (Outbox::new(), Instant::from_millis(1));
    machine.step(now, Input::Start, &mut out);
    for is_first in [true, false] {
        out.drain();
        let holder = "n1".to_owned();
        machine.step(now, Input::StoreHeld { holder }, &mut out);
        let holder = "n1".to_owned();
        let reported = out
            .as_slice()
            .contains(&Output::Report(Event::Standby { holder }));
        assert_eq!(reported, is_first, "{:?}", out.as_slice());
        assert!(!machine.is_readable() && machine.holder() == Some("n1"));
        out.drain();
        now = machine.next_deadline().unwrap();
        wake_checked(&mut machine, now, &mut out);
        assert!(matches!(out.as_slice(), [Output::OpenStore { .. }]));
    }
    let image = VolatileStore::default().open(5);
    machine.step(now, Input::Opened(Box::new(image)), &mut out);
    assert!(machine.is_serving() && machine.holder().is_none());
}

#[test]
fn a_deposed_sequencer_of_a_shared_store_becomes_a_standby() {
    let mut bench = SequencerBench::prepared(Config {
        shares_store: true,
        ..config()
    });
    let write = bench.write(&[create(ORDER, &[])]);
    bench.step(Input::StoreFenced);
    assert_eq!(bench.answers[&write], Err(WriteRefusal::Deposed));
    assert!(!bench.machine.is_readable() && bench.events.contains(&Event::Deposed));
    // The group that was under way fails without effect.
    let (ticket, _) = bench.group.take().unwrap();
    let failure = StoreFailure::Fenced;
    bench.step(Input::CommitFailed { ticket, failure });
    assert!(bench.machine.next_deadline().is_some());
    assert_eq!(bench.refusal(&[create(ORDER, &[])]), WriteRefusal::Opening);
}

#[test]
fn services_write_their_own_objects_alone() {
    let mut bench = SequencerBench::prepared(config());
    for (at, is_allowed) in [
        (ORDER, true),
        ("//other/orders/1", false),
        ("regions/us", false),
    ] {
        let caller = RegistryCaller::Service("shop".to_owned());
        let write = bench.send(caller, None, &[create(at, &[])]);
        if is_allowed {
            bench.commit();
        }
        let denied = matches!(bench.answers[&write], Err(WriteRefusal::Denied { .. }));
        assert_eq!(denied, !is_allowed, "{at}");
    }
    let refusal = bench.refusal(&[create("services/shop/deployments/us", &[])]);
    assert!(matches!(refusal, WriteRefusal::Unreachable { .. }));
}

#[test]
fn quotas_limit_objects_bytes_and_rates() {
    let mut config = config();
    config.limits = WriteLimits {
        object_bytes: 300,
        batch_bytes: 500,
        objects: 4,
        burst: 2,
        interval: Duration::from_millis(100),
    };
    let mut bench = SequencerBench::prepared(config);
    let text = |bytes: usize| [("a", ObjectValue::Text("x".repeat(bytes)))];
    let limit = |refusal| {
        let WriteRefusal::Limit(_, limit) = refusal else {
            panic!("{refusal:?}")
        };
        limit
    };
    assert_eq!(
        limit(bench.refusal(&[create(ORDER, &text(300))])),
        WriteLimit::ObjectBytes(300)
    );
    let two = [
        create(ORDER, &text(250)),
        create("//shop/orders/2", &text(250)),
    ];
    assert_eq!(limit(bench.refusal(&two)), WriteLimit::BatchBytes(500));
    let ids = ["1", "2", "3"].map(|id| create(&format!("//shop/orders/{id}"), &[]));
    assert_eq!(limit(bench.refusal(&ids)), WriteLimit::Objects(4));
    bench.must(&ids[..2]);
    let caller = || RegistryCaller::Service("shop".to_owned());
    let writes: Vec<_> = (0..3)
        .map(|value: u64| {
            bench.send(
                caller(),
                None,
                &[update(ORDER, &[("a", value.into())], None)],
            )
        })
        .collect();
    let refused = &bench.answers[&writes[2]];
    let retry_after = Duration::from_millis(100);
    let service = "shop".to_owned();
    assert_eq!(
        *refused,
        Err(WriteRefusal::Rate {
            service,
            retry_after
        })
    );
    bench.now += retry_after;
    let later = bench.send(caller(), None, &[delete(ORDER)]);
    while bench.group.is_some() {
        bench.commit();
    }
    assert!(bench.answers[&later].is_ok());
    bench.must(&[create(ORDER, &[])]);
}

#[test]
fn the_pipeline_is_bounded() {
    let mut bench = SequencerBench::prepared(config());
    let last = (0..=WAITING_ENTRIES_MAX + 1)
        .map(|id| bench.write(&[create(&format!("//shop/orders/{id}"), &[])]))
        .last();
    assert_eq!(bench.answers[&last.unwrap()], Err(WriteRefusal::Busy));
}

#[test]
fn reads_are_of_the_durable_state() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[create(ORDER, &[])]);
    bench.write(&[create("//shop/orders/2", &[])]);
    let scope = ObjectScope {
        selector: "//shop/orders".parse().unwrap(),
        ..ObjectScope::default()
    };
    let query = ObjectQuery {
        scope,
        ..ObjectQuery::default()
    };
    assert_eq!(bench.machine.list(&query).unwrap().objects.len(), 1);
    bench.commit();
    assert_eq!(bench.machine.list(&query).unwrap().objects.len(), 2);
}

/// Keeps two batches in the log.
pub(super) fn forgetful() -> Config {
    Config {
        retention: Retention {
            entries: 2,
            time: Duration::ZERO,
            entries_max: 2,
        },
        ..config()
    }
}

#[test]
fn quotas_of_names_limit_objects_and_the_writes_of_services() {
    let mut config = config();
    config.prefixes = vec![PrefixQuota {
        prefix: "//shop/orders/".to_owned(),
        objects: 2,
        writes: Some(2),
    }];
    let mut bench = SequencerBench::prepared(config);
    let ids = ["1", "2", "3"].map(|id| create(&format!("//shop/orders/{id}"), &[]));
    let refusal = bench.refusal(&ids);
    assert!(
        matches!(refusal, WriteRefusal::Limit(_, WriteLimit::ObjectsBelow(2))),
        "{refusal}"
    );
    bench.must(&ids[..2]);
    bench.must(&[delete("//shop/orders/2")]);
    bench.must(&[create("//shop/orders/3", &[])]);
    let caller = || RegistryCaller::Service("shop".to_owned());
    let mut size = 0;
    let mut write = |bench: &mut SequencerBench, at: &str| {
        size += 1;
        let write = bench.send(caller(), None, &[update(at, &[("a", size.into())], None)]);
        while bench.group.is_some() {
            bench.commit();
        }
        bench.answers[&write].clone()
    };
    assert!(write(&mut bench, ORDER).is_ok() && write(&mut bench, ORDER).is_ok());
    let refused = WriteRefusal::PrefixRate {
        prefix: "//shop/orders/".to_owned(),
        retry_after: Duration::from_millis(500),
    };
    assert_eq!(write(&mut bench, ORDER), Err(refused));
    let other = bench.send(caller(), None, &[delete("services/shop/deployments/eu")]);
    assert!(!matches!(
        bench.answers[&other],
        Err(WriteRefusal::PrefixRate { .. })
    ));
    bench.now += Duration::from_millis(500);
    assert!(write(&mut bench, ORDER).is_ok());
}
