//! The tests that each store passes.

use super::RegionStore;
use phalanx_core::registry::log::{
    ChangeLog, CopyPosition, LogEntry, LogEpoch, LogPosition, ObjectChange, RequestKey,
    RequestStamp,
};
use phalanx_core::registry::metadata::{Metadata, Revision, Uid, WriterMetadata};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::store::{CommitGroup, CopyUpdate, StoreFailure, StoreImage};
use phalanx_core::registry::volatile_store::VolatileStore;
use phalanx_core::time::Wall;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Makes stores with one content.
pub(super) trait StoreFactory {
    /// The store.
    type Store: RegionStore;

    /// An empty content.
    fn create() -> Self;

    /// A further store with the content, as after a start of the process.
    fn store(&mut self) -> Self::Store;
}

/// Sizes of the bodies that a batch writes, by the ids of objects; none removes the object.
pub(super) type WrittenSizes = BTreeMap<String, Option<usize>>;

/// A batch that writes one object with a body of this size.
pub(super) fn batch(id: &str, size: usize) -> WrittenSizes {
    [(id.to_owned(), Some(size))].into()
}

/// The expected content of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedContent {
    epochs: Vec<(LogEpoch, u64)>,
    objects: BTreeMap<String, Arc<Object>>,
    log: Vec<Arc<LogEntry>>,
    floor: u64,
    copies: BTreeMap<String, CopyPosition>,
}

impl ExpectedContent {
    fn head(&self) -> u64 {
        self.log
            .last()
            .map_or(self.floor, |it| it.revision.sequence)
    }

    fn epoch(&self) -> LogEpoch {
        self.epochs.last().map(|it| it.0).unwrap_or_default()
    }

    /// Opens a store, and checks what it returns.
    pub(super) fn open(&mut self, store: &mut impl RegionStore) {
        let number = self.epoch().number + 1;
        // An incarnation beyond the range of signed numbers.
        let incarnation = u64::MAX - number;
        let epoch = LogEpoch {
            number,
            incarnation,
        };
        self.epochs.push((epoch, self.head() + 1));
        let image = store.open(incarnation).expect("the store opens");
        assert_eq!(image.epochs, self.epochs);
        assert_eq!(image.uid, u64::MAX - 1, "the first incarnation");
        self.check(&image);
    }

    /// Checks an image, except for its epochs.
    pub(super) fn check(&self, image: &StoreImage) {
        let objects: Vec<_> = self.objects.values().cloned().collect();
        assert_eq!(image.objects, objects);
        assert_eq!((image.floor, &image.log), (self.floor, &self.log));
        assert_eq!(image.head(), self.head());
        let copies = image.copies.iter();
        assert!(
            copies
                .map(|(region, at)| (region.as_str(), at))
                .eq(self.copies.iter().map(|(region, at)| (region.as_str(), at)))
        );
        let log = ChangeLog::of(image.floor, image.epochs.clone(), image.log.iter().cloned());
        assert_eq!(log.head(), self.head());
    }

    /// The group of these batches after the head.
    pub(super) fn group(&self, batches: &[WrittenSizes], floor: u64) -> CommitGroup {
        let mut objects = self.objects.clone();
        let entries = batches
            .iter()
            .zip(self.head() + 1..)
            .map(|(batch, sequence)| {
                Arc::new(entry(&mut objects, batch, self.epoch().number, sequence))
            });
        CommitGroup {
            epoch: self.epoch(),
            entries: entries.collect(),
            floor,
            copies: Vec::new(),
        }
    }

    /// The group of no batches that copies one object of another region, or removes it.
    fn copy_group(&self, region: &str, size: Option<usize>, sequence: u64) -> CommitGroup {
        let mut group = self.group(&[], 0);
        let name = format!("//shop/regions/{region}/orders/a");
        let epoch = LogEpoch {
            number: 3,
            incarnation: u64::MAX - 3,
        };
        let revision = Revision { epoch: 3, sequence };
        let after = size.map(|size| Arc::new(object(&name, None, revision, size)));
        group.copies.push(CopyUpdate {
            region: region.parse().expect("a valid region"),
            position: CopyPosition {
                store: u64::MAX - 8,
                at: LogPosition { epoch, sequence },
                hash: u64::MAX - 9,
            },
            changes: vec![(name.parse().expect("a valid name"), after)],
        });
        group
    }

    pub(super) fn take(&mut self, group: &CommitGroup) {
        for entry in &group.entries {
            for change in &entry.changes {
                let name = change.name.to_string();
                match &change.after {
                    Some(after) => drop(self.objects.insert(name, Arc::clone(after))),
                    None => drop(self.objects.remove(&name)),
                }
            }
            self.log.push(Arc::clone(entry));
        }
        for update in &group.copies {
            let region = update.region.to_string();
            self.copies.insert(region, update.position);
            for (name, after) in &update.changes {
                match after {
                    Some(after) => drop(self.objects.insert(name.to_string(), Arc::clone(after))),
                    None => drop(self.objects.remove(name.as_str())),
                }
            }
        }
        self.floor = self.floor.max(group.floor.min(self.head()));
        let floor = self.floor;
        self.log.retain(|it| it.revision.sequence > floor);
    }

    /// Commits a batch; the content changes if the store takes it.
    pub(super) fn commit(
        &mut self,
        store: &mut impl RegionStore,
        batch: WrittenSizes,
    ) -> Result<(), StoreFailure> {
        self.commit_all(store, &[batch], 0)
    }

    pub(super) fn commit_all(
        &mut self,
        store: &mut impl RegionStore,
        batches: &[WrittenSizes],
        floor: u64,
    ) -> Result<(), StoreFailure> {
        let group = self.group(batches, floor);
        store.commit(&group)?;
        self.take(&group);
        Ok(())
    }
}

fn entry(
    objects: &mut BTreeMap<String, Arc<Object>>,
    batch: &WrittenSizes,
    epoch: u64,
    sequence: u64,
) -> LogEntry {
    let revision = Revision { epoch, sequence };
    let changes = batch.iter().filter_map(|(id, size)| {
        let name = format!("//shop/orders/{id}");
        let before = objects.get(&name).cloned();
        let after = size.map(|size| Arc::new(object(&name, before.as_deref(), revision, size)));
        match &after {
            Some(after) => drop(objects.insert(name.clone(), Arc::clone(after))),
            None => drop(objects.remove(&name)),
        }
        let name = name.parse().expect("a valid name");
        (before.is_some() || after.is_some()).then_some(ObjectChange {
            name,
            before,
            after,
        })
    });
    LogEntry {
        revision,
        time: Wall(sequence),
        changes: changes.collect(),
        request: sequence.is_multiple_of(2).then(|| RequestStamp {
            key: RequestKey {
                caller: "service/shop".to_owned(),
                id: format!("request-{sequence}"),
            },
            hash: u64::MAX - sequence,
        }),
        previous: u64::MAX - sequence,
        hash: u64::MAX - sequence - 1,
    }
}

fn object(name: &str, before: Option<&Object>, revision: Revision, size: usize) -> Object {
    let generation = before.map_or(1, |it| it.metadata.generation + 1);
    let uid = before.map_or(Uid::from_random(revision.sequence, 7), |it| it.metadata.uid);
    let text = "x".repeat(size);
    Object {
        name: name.parse().expect("a valid name"),
        metadata: Metadata {
            uid,
            generation,
            revision,
            owning_region: "eu".parse().expect("a valid region"),
            created: Wall(1),
            updated: Wall(revision.sequence),
            deleted: generation.is_multiple_of(3).then_some(Wall(2)),
            audience: ["mail".to_owned()].into_iter().collect(),
            writer: WriterMetadata::default(),
        },
        body: [("text".to_owned(), text.as_str().into())].into(),
    }
}

fn an_empty_store_opens_in_its_first_epoch<F: StoreFactory>() {
    let mut store = F::create().store();
    let image = store.open(7).unwrap();
    let epoch = LogEpoch {
        number: 1,
        incarnation: 7,
    };
    let expected = StoreImage {
        uid: 7,
        epochs: vec![(epoch, 1)],
        ..StoreImage::default()
    };
    assert_eq!(image, expected);
}

fn nothing_is_committed_before_the_store_is_open<F: StoreFactory>() {
    let mut log = ExpectedContent::default();
    let refused = log.commit(&mut F::create().store(), batch("a", 1));
    assert_eq!(refused, Err(StoreFailure::Fenced));
}

fn a_committed_batch_is_there_after_a_start<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut store = factory.store();
    log.open(&mut store);
    log.commit(&mut store, batch("a", 1)).unwrap();
    let both = [("a".to_owned(), None), ("b".to_owned(), Some(5))];
    log.commit(&mut store, both.into()).unwrap();
    drop(store);
    log.open(&mut factory.store());
}

fn a_deposed_sequencer_commits_nothing<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut old = factory.store();
    log.open(&mut old);
    log.commit(&mut old, batch("a", 1)).unwrap();
    let late = log.group(&[batch("b", 1)], 0);
    let mut new = factory.store();
    log.open(&mut new);
    assert_eq!(old.commit(&late), Err(StoreFailure::Fenced));
    log.commit(&mut new, batch("c", 1)).unwrap();
    assert_eq!(old.commit(&late), Err(StoreFailure::Fenced));
    log.open(&mut new);
}

fn an_epoch_of_another_incarnation_commits_nothing<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut store = factory.store();
    log.open(&mut store);
    let mut other = log.group(&[batch("b", 1)], 0);
    other.epoch.incarnation -= 1;
    assert_eq!(store.commit(&other), Err(StoreFailure::Fenced));
}

fn a_group_that_does_not_follow_the_head_is_refused_as_a_whole<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut store = factory.store();
    log.open(&mut store);
    log.commit(&mut store, batch("a", 1)).unwrap();
    let repeated = log.group(&[batch("b", 1)], 0);
    log.commit(&mut store, batch("b", 2)).unwrap();
    assert_eq!(store.commit(&repeated), Err(StoreFailure::Failed));
    // After such a failure the store is opened again.
    log.open(&mut store);
    let mut group = log.group(&[batch("c", 1), batch("d", 1)], 0);
    group.entries.remove(0);
    assert_eq!(store.commit(&group), Err(StoreFailure::Failed));
    log.open(&mut store);
    let empty = log.group(&[], 0);
    assert_eq!(store.commit(&empty), Err(StoreFailure::Failed));
    log.open(&mut store);
}

fn old_batches_are_removed_up_to_the_floor<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut store = factory.store();
    log.open(&mut store);
    for id in ["a", "b", "c"] {
        log.commit(&mut store, batch(id, 1)).unwrap();
    }
    log.commit_all(&mut store, &[batch("d", 1)], 2).unwrap();
    // The floor does not fall, and does not pass the head.
    log.commit_all(&mut store, &[batch("e", 1)], 1).unwrap();
    log.open(&mut store);
    log.commit_all(&mut store, &[batch("f", 1)], 99).unwrap();
    log.open(&mut factory.store());
}

fn copies_are_there_after_a_start<F: StoreFactory>() {
    let (mut factory, mut log) = (F::create(), ExpectedContent::default());
    let mut store = factory.store();
    log.open(&mut store);
    log.commit(&mut store, batch("a", 1)).unwrap();
    for (region, size, sequence) in [("us", Some(5), 7), ("us", None, 8), ("asia", Some(1), 1)] {
        let mut group = log.copy_group(region, size, sequence);
        store.commit(&group).unwrap();
        log.take(&group);
        group.epoch.number += 1;
        assert_eq!(store.commit(&group), Err(StoreFailure::Fenced));
    }
    // Batches and copies are committed together.
    let mut both = log.copy_group("us", Some(9), 9);
    both.entries = log.group(&[batch("b", 1)], 0).entries;
    store.commit(&both).unwrap();
    log.take(&both);
    drop(store);
    log.open(&mut factory.store());
}

/// A step of a random test.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<WrittenSizes>, u64),
    Reopen,
    Restart,
    /// A second sequencer opens the store, and the first one tries a commit.
    Depose,
}

fn any_step() -> impl Strategy<Value = Step> {
    let change = ("[a-e]", prop::option::weighted(0.7, 0_usize..40));
    let batch = prop::collection::btree_map(change.0, change.1, 1..4);
    let group = (prop::collection::vec(batch, 1..4), 0_u64..6);
    prop_oneof![
        6 => group.prop_map(|(batches, back)| Step::Commit(batches, back)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restart),
        1 => Just(Step::Depose),
    ]
}

fn random_steps_have_the_same_effect_as_on_the_model<F: StoreFactory>() {
    let mut runner = TestRunner::new(Config::with_cases(40));
    let steps = prop::collection::vec(any_step(), 1..20);
    let done = runner.run(&steps, |steps| {
        let (mut factory, mut log) = (F::create(), ExpectedContent::default());
        let mut store = factory.store();
        log.open(&mut store);
        for step in steps {
            match step {
                Step::Commit(batches, back) => {
                    let floor = log.head().saturating_sub(back);
                    log.commit_all(&mut store, &batches, floor).unwrap();
                }
                Step::Reopen => log.open(&mut store),
                Step::Restart => {
                    drop(store);
                    store = factory.store();
                    log.open(&mut store);
                }
                Step::Depose => {
                    let late = log.group(&[batch("z", 1)], 0);
                    let mut next = factory.store();
                    log.open(&mut next);
                    prop_assert_eq!(store.commit(&late), Err(StoreFailure::Fenced));
                    store = next;
                }
            }
        }
        log.open(&mut store);
        Ok(())
    });
    done.expect("the store has the content of the model");
}

/// The number of tests of the suite.
const TESTS: usize = 9;

/// Runs all tests of the suite.
pub(super) fn check<F: StoreFactory>() {
    let tests: &[fn()] = &[
        an_empty_store_opens_in_its_first_epoch::<F>,
        nothing_is_committed_before_the_store_is_open::<F>,
        a_committed_batch_is_there_after_a_start::<F>,
        a_deposed_sequencer_commits_nothing::<F>,
        an_epoch_of_another_incarnation_commits_nothing::<F>,
        a_group_that_does_not_follow_the_head_is_refused_as_a_whole::<F>,
        old_batches_are_removed_up_to_the_floor::<F>,
        copies_are_there_after_a_start::<F>,
        random_steps_have_the_same_effect_as_on_the_model::<F>,
    ];
    let mut run = 0;
    for test in tests {
        test();
        run += 1;
    }
    assert_eq!(run, TESTS, "the suite is not complete");
}

/// One of several volatile stores with one content.
pub(super) struct SharedVolatile(Arc<Mutex<VolatileStore>>);

impl RegionStore for SharedVolatile {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        Ok(self.0.lock().unwrap().open(incarnation))
    }

    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        self.0.lock().unwrap().commit(group)
    }
}

impl StoreFactory for Arc<Mutex<VolatileStore>> {
    type Store = SharedVolatile;

    fn create() -> Self {
        Self::default()
    }

    fn store(&mut self) -> SharedVolatile {
        SharedVolatile(Self::clone(self))
    }
}

#[test]
fn the_volatile_store_conforms() {
    check::<Arc<Mutex<VolatileStore>>>();
}
