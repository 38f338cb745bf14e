//! The running registry of a region: writes, restarts and watches.

use super::message::watch::WatchReply;
use super::region::{RegionRegistry, RegionWrite, WriteFailure};
use super::store::{RegionStore, SqliteStore, StoreDirectory};
use phalanx_core::registry::object::ObjectDraft;
use phalanx_core::registry::query::ObjectScope;
use phalanx_core::registry::sequencer::{Config, Sequencer};
use phalanx_core::registry::store::{CommitGroup, StoreFailure, StoreImage};
use phalanx_core::registry::value::ObjectTable;
use phalanx_core::registry::watch::{WatchChange, WatchMessage, WatchRequest};
use phalanx_core::registry::write::{RegistryCaller, WriteBatch, WriteOperation, WriteRefusal};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

fn create(id: &str) -> WriteBatch {
    let name = format!("services/{id}").parse().unwrap();
    let draft = ObjectDraft::new(name, ObjectTable::new());
    WriteBatch {
        operations: vec![WriteOperation::Create(draft)],
    }
}

fn store_in(path: &Path) -> (StoreDirectory, SqliteStore) {
    let directory = StoreDirectory::hold(&path.join("registry")).unwrap();
    let store = directory.sqlite(&"eu".parse().unwrap()).unwrap();
    (directory, store)
}

async fn start(place: &TempDir) -> RegionRegistry {
    let (directory, store) = store_in(place.path());
    let config = Config::new("eu".parse().unwrap(), 7);
    let registry = RegionRegistry::start(config, directory, store).unwrap();
    while !registry.inspect(Sequencer::is_serving).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    registry
}

async fn write(registry: &RegionRegistry, request: &str, id: &str) -> Result<u64, WriteFailure> {
    let outcome = registry.write(RegionWrite {
        caller: RegistryCaller::Administrator,
        request: Some(request.to_owned()),
        batch: create(id),
        copies: None,
        is_routed: false,
    });
    Ok(outcome.await?.revision.sequence)
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_many_callers_are_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let registry = start(&place).await;
    let mut writes = JoinSet::new();
    for index in 0..64 {
        let registry = registry.clone();
        writes
            .spawn(async move { write(&registry, &index.to_string(), &format!("s{index}")).await });
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap().unwrap();
    }
    registry.shutdown().await;
    assert!(matches!(
        write(&registry, "x", "x").await,
        Err(WriteFailure::Stopped(_))
    ));
    drop(registry);
    let registry = start(&place).await;
    let counts = registry.inspect(|it| (it.objects().len(), it.log().head(), it.epoch().number));
    assert_eq!(counts.await.unwrap(), (64, 64, 2));
    // A request id has the outcome of the first attempt, also after a restart.
    assert!(write(&registry, "7", "s7").await.unwrap() <= 64);
    let exists = write(&registry, "other", "s7").await.unwrap_err();
    assert!(matches!(
        exists,
        WriteFailure::Refused(WriteRefusal::AlreadyExists(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_has_a_snapshot_and_then_the_changes() {
    let place = tempfile::tempdir().unwrap();
    let registry = start(&place).await;
    write(&registry, "1", "one").await.unwrap();
    let (stream, mut arrivals) = mpsc::unbounded_channel();
    let request = WatchRequest::new(ObjectScope::default());
    let watch = registry.open_watch(RegistryCaller::Administrator, request, stream);
    let watch = watch.await.unwrap();
    registry.grant(watch, 1_000_000).await.unwrap();
    let mut next = async || timeout(DEADLINE, arrivals.recv()).await.unwrap().unwrap().1;
    assert_eq!(next().await, WatchReply::Opened);
    let WatchReply::Message(WatchMessage::Snapshot { objects, end }) = next().await else {
        panic!("a snapshot comes first");
    };
    assert_eq!((objects.len(), end.unwrap().count), (1, 1));
    write(&registry, "2", "two").await.unwrap();
    let WatchReply::Message(WatchMessage::Changes { changes, .. }) = next().await else {
        panic!("the change follows");
    };
    let [WatchChange::Current(object)] = changes.as_slice() else {
        panic!("one object was created: {changes:?}");
    };
    assert_eq!(object.name.as_str(), "services/two");
    registry.close_watch(watch).await;
    assert_eq!(registry.inspect(Sequencer::watches).await.unwrap(), 0);
}

/// A store with a bug.
struct PanickingStore(SqliteStore);

impl RegionStore for PanickingStore {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        self.0.open(incarnation)
    }

    fn commit(&mut self, _group: &CommitGroup) -> Result<(), StoreFailure> {
        panic!("a bug of the store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_whose_store_panics_ends() {
    let place = tempfile::tempdir().unwrap();
    let (directory, store) = store_in(place.path());
    let config = Config::new("eu".parse().unwrap(), 7);
    let registry = RegionRegistry::start(config, directory, PanickingStore(store)).unwrap();
    while !registry.inspect(Sequencer::is_serving).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let written = timeout(DEADLINE, write(&registry, "1", "one"))
        .await
        .unwrap();
    assert!(matches!(written, Err(WriteFailure::Stopped(_))));
    timeout(DEADLINE, registry.closed()).await.unwrap();
}
