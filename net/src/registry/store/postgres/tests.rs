//! Tests on a server of PostgreSQL: the suite of stores, and failures.

use super::super::conformance::{self, ExpectedContent, StoreFactory};
use super::*;
use crate::registry::store::conformance::batch;
use phalanx_tests::PostgresServer;
use std::sync::atomic::{AtomicU32, Ordering};

/// Regions of the shared server, each in a schema of its own.
struct PostgresSchemas(RegionId);

fn region() -> RegionId {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("t{number}").parse().unwrap()
}

fn store_at(url: &str, region: &RegionId, holder: &str) -> PostgresStore {
    let settings = PostgresSettings::parse(url).unwrap();
    PostgresStore::connect(settings, region, holder).unwrap()
}

impl StoreFactory for PostgresSchemas {
    type Store = PostgresStore;

    fn create() -> Self {
        Self(region())
    }

    fn store(&mut self) -> PostgresStore {
        store_at(&PostgresServer::shared().url(), &self.0, "n1")
    }
}

#[test]
fn postgres_conforms() {
    conformance::check::<PostgresSchemas>();
}

#[test]
fn tables_of_a_newer_version_are_refused_with_both_versions() {
    let (server, region) = (PostgresServer::shared(), region());
    drop(store_at(&server.url(), &region, "n1"));
    let newer = format!("UPDATE \"phalanx_registry_{region}\".schema_version SET version = 99");
    let _none = server.query(&newer);
    let settings = PostgresSettings::parse(&server.url()).unwrap();
    let error = PostgresStore::connect(settings, &region, "n1").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("version 99") && error.contains("up to 1"),
        "{error}"
    );
}

#[test]
fn a_damaged_record_fails_the_opening() {
    let mut schemas = PostgresSchemas::create();
    let (mut store, mut log) = (schemas.store(), ExpectedContent::default());
    log.open(&mut store);
    for id in ["a", "b"] {
        log.commit(&mut store, batch(id, 10)).unwrap();
    }
    let delete = format!(
        "DELETE FROM \"phalanx_registry_{}\".entry WHERE sequence = 1",
        schemas.0
    );
    let _none = PostgresServer::shared().query(&delete);
    assert_eq!(schemas.store().open(7), Err(StoreFailure::Failed));
}

/// Lets each insertion of a batch into a region's log call a function.
fn on_append(region: &RegionId, deferred: &str, body: &str) {
    let _none = PostgresServer::shared().query(&format!(
        "SET search_path = \"phalanx_registry_{region}\"; CREATE SEQUENCE calls;
         CREATE FUNCTION hook() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER hook AFTER INSERT ON entry DEFERRABLE INITIALLY {deferred} FOR EACH ROW
         EXECUTE FUNCTION hook()"
    ));
}

/// A store with one batch, whose next batches fail with an error at their first calls.
fn failing(code: &str, times: u32) -> (PostgresSchemas, PostgresStore, ExpectedContent) {
    let mut schemas = PostgresSchemas::create();
    let (mut store, mut log) = (schemas.store(), ExpectedContent::default());
    log.open(&mut store);
    log.commit(&mut store, batch("a", 10)).unwrap();
    let schema = format!("phalanx_registry_{}", schemas.0);
    let body = format!(
        "IF nextval('\"{schema}\".calls') <= {times} THEN RAISE EXCEPTION 'planted' USING ERRCODE = '{code}'; END IF;"
    );
    on_append(&schemas.0, "IMMEDIATE", &body);
    (schemas, store, log)
}

#[test]
fn a_full_disk_is_told_and_the_store_goes_on_when_there_is_room() {
    let (mut schemas, mut store, mut log) = failing("53100", 1);
    let refused = log.commit(&mut store, batch("b", 10));
    assert_eq!(refused, Err(StoreFailure::Full));
    assert!(
        store.state().to_string().contains("free space"),
        "{}",
        store.state()
    );
    log.commit(&mut store, batch("c", 10)).unwrap();
    log.open(&mut schemas.store());
}

#[test]
fn conflicts_time_limits_and_read_only_servers_are_tried_again() {
    for code in ["40001", "40P01", "55P03", "57014", "25006"] {
        let (mut schemas, mut store, mut log) = failing(code, 2);
        log.commit(&mut store, batch("b", 10)).unwrap();
        log.open(&mut schemas.store());
    }
}

#[test]
fn a_statement_that_the_server_refuses_fails_at_once() {
    let (_schemas, mut store, mut log) = failing("42501", 1);
    let refused = log.commit(&mut store, batch("b", 10));
    assert_eq!(refused, Err(StoreFailure::Failed));
    assert!(
        store.state().to_string().contains("GRANT"),
        "{}",
        store.state()
    );
    log.open(&mut store);
}

/// Asks until the answer is not 0.
fn until_some(query: &str) {
    let begun = Instant::now();
    while PostgresServer::shared().query(query) == "0" {
        assert!(begun.elapsed() < Duration::from_secs(10), "{query}");
    }
}

#[test]
fn a_session_that_ends_between_the_statement_and_the_commit_loses_nothing() {
    let mut schemas = PostgresSchemas::create();
    let (mut store, mut log) = (schemas.store(), ExpectedContent::default());
    log.open(&mut store);
    let server = PostgresServer::shared();
    let key = 7_000_000 + u32::from(server.port());
    on_append(
        &schemas.0,
        "DEFERRED",
        &format!("PERFORM pg_advisory_xact_lock_shared({key});"),
    );
    thread::scope(|threads| {
        let hold = format!("SELECT pg_advisory_lock({key}); SELECT pg_sleep(3)");
        let _holder = threads.spawn(move || server.query(&hold));
        let locks = format!("FROM pg_locks WHERE locktype = 'advisory' AND objid = {key} AND");
        until_some(&format!("SELECT count(*) {locks} granted"));
        let committing = threads.spawn(|| log.commit(&mut store, batch("a", 10)));
        until_some(&format!(
            "SELECT count(pg_terminate_backend(pid)) {locks} NOT granted"
        ));
        committing.join().unwrap().unwrap();
    });
    log.open(&mut schemas.store());
}

#[test]
fn the_outcome_of_a_group_whose_answer_is_lost_is_found_out() {
    let mut schemas = PostgresSchemas::create();
    let (mut store, mut log) = (schemas.store(), ExpectedContent::default());
    log.open(&mut store);
    let opened = store.opened.unwrap();
    let group = log.group(&[batch("a", 10)], 0);
    let encoded = EncodedGroup::of(&group).unwrap();
    let repeated = Some(BatchIdentity::of(&group.entries[0]));
    let stands = GroupOutcome::Stands(opened.1 + 1);
    assert_eq!(store.attempt(&encoded, opened, None).unwrap(), stands);
    // The same epoch: the number of commits tells.
    assert_eq!(store.attempt(&encoded, opened, repeated).unwrap(), stands);
    let gap = GroupOutcome::Gap {
        expected: 0,
        head: 1,
    };
    assert_eq!(store.attempt(&encoded, opened, None).unwrap(), gap);
    // Another epoch: the log tells.
    log.take(&group);
    let lost = log.group(&[batch("b", 10)], 0);
    let mut next = schemas.store();
    log.open(&mut next);
    assert_eq!(store.attempt(&encoded, opened, repeated).unwrap(), stands);
    let repeated = Some(BatchIdentity::of(&lost.entries[0]));
    let (lost, fenced) = (EncodedGroup::of(&lost).unwrap(), GroupOutcome::Fenced);
    assert_eq!(store.attempt(&lost, opened, repeated).unwrap(), fenced);
    // The next epoch gives the number to another batch.
    log.commit(&mut next, batch("c", 10)).unwrap();
    assert_eq!(store.attempt(&lost, opened, repeated).unwrap(), fenced);
    // The log does not keep the batch any more.
    log.commit_all(&mut next, &[batch("d", 10)], 2).unwrap();
    let unknown = GroupOutcome::Unknown;
    assert_eq!(store.attempt(&lost, opened, repeated).unwrap(), unknown);
}

#[test]
fn another_process_takes_over_when_the_lease_has_ended() {
    let (server, region) = (PostgresServer::shared(), region());
    let [mut one, mut two] = ["n1", "n2"].map(|name| store_at(&server.url(), &region, name));
    let mut log = ExpectedContent::default();
    log.open(&mut one);
    log.commit(&mut one, batch("a", 10)).unwrap();
    assert_eq!(two.open(5), Err(StoreFailure::Fenced));
    assert_eq!(
        (two.holder(), two.state().holder()),
        (Some("n1".to_owned()), Some("n1".to_owned()))
    );
    assert!(one.keep() && two.keep());
    // The time ends, as when the process stands still.
    let end = format!("UPDATE \"phalanx_registry_{region}\".lease SET expires = clock_timestamp()");
    let _none = server.query(&end);
    let late = log.group(&[batch("b", 10)], 0);
    log.open(&mut two);
    assert_eq!(two.holder(), None);
    assert_eq!(one.commit(&late), Err(StoreFailure::Fenced));
    assert!(!one.keep() && one.keep(), "it is told once");
    assert_eq!(one.open(6), Err(StoreFailure::Fenced));
    // A process that ends gives the lease up.
    two.release();
    log.open(&mut one);
    // Of two processes with one name, the one that was deposed waits.
    let mut namesake = store_at(&server.url(), &region, "n1");
    log.open(&mut namesake);
    assert!(!one.keep());
    assert_eq!(one.open(6), Err(StoreFailure::Fenced));
}

#[test]
fn a_server_that_would_lose_acknowledged_writes_is_refused() {
    let server = PostgresServer::start(&["fsync=off"]);
    let settings = PostgresSettings::parse(&server.url()).unwrap();
    let error = PostgresStore::connect(settings, &region(), "n1").unwrap_err();
    assert!(error.to_string().contains("fsync = off"), "{error}");
}

#[test]
fn the_next_host_is_asked_and_no_error_shows_the_password() {
    let url = PostgresServer::shared().url();
    let url = url.replace("phalanx@", "phalanx:cret@127.0.0.1:1,");
    let mut store = store_at(&url, &region(), "n1");
    ExpectedContent::default().open(&mut store);
    let shown = format!("{store:?} {}", store.state());
    assert!(!shown.contains("cret"), "{shown}");
    let settings = PostgresSettings::parse("postgres://phalanx:cret@127.0.0.1:1/r").unwrap();
    let mut store = PostgresStore::connect(settings, &region(), "n1").unwrap();
    assert_eq!(store.open(1), Err(StoreFailure::Failed));
    let shown = format!("{store:?} {}", store.state());
    assert!(
        shown.contains("127.0.0.1:1: ") && !shown.contains("cret"),
        "{shown}"
    );
}
