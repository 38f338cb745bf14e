//! Tests of watches: the snapshot and its edge, filters, credit, resumption, compaction.

use super::{SequencerBench, config, create, delete, forgetful, update};
use crate::machine::Machine;
use crate::registry::access::RegistryCaller;
use crate::registry::name::RegionId;
use crate::registry::query::ObjectScope;
use crate::registry::sequencer::{Config, Event, Input};
use crate::registry::watch::{
    BOOKMARK_INTERVAL, BOOKMARK_INTERVAL_MIN, ResetReason, ResumeToken, SCAN_MAX, WatchChange,
    WatchId, WatchMessage, WatchRefusal, WatchRequest,
};

/// Credit that no test uses up.
const PLENTY: usize = 1 << 40;

fn orders(filter: &str) -> ObjectScope {
    ObjectScope {
        selector: "//shop/orders".parse().unwrap(),
        filter: filter.parse().unwrap(),
    }
}

fn open(bench: &mut SequencerBench, watch: u64, scope: ObjectScope, resume: Option<ResumeToken>) {
    let request = WatchRequest {
        resume,
        ..WatchRequest::new(scope)
    };
    ask(bench, watch, request);
}

fn ask(bench: &mut SequencerBench, watch: u64, request: WatchRequest) {
    ask_as(bench, watch, RegistryCaller::Administrator, request);
}

fn ask_as(bench: &mut SequencerBench, watch: u64, caller: RegistryCaller, request: WatchRequest) {
    bench.step(Input::OpenWatch {
        watch: WatchId(watch),
        caller,
        request: Box::new(request),
    });
}

fn grant(bench: &mut SequencerBench, watch: u64, bytes: usize) {
    let watch = WatchId(watch);
    bench.step(Input::GrantWatch { watch, bytes });
}

/// The messages of a watch since the last call, each on one line.
fn heard(bench: &mut SequencerBench, watch: u64) -> Vec<String> {
    let messages = bench.watched.remove(&watch).unwrap_or_default();
    messages.iter().map(line).collect()
}

fn line(message: &WatchMessage) -> String {
    match message {
        WatchMessage::Snapshot { objects, end } => {
            let ids: Vec<&str> = objects.iter().map(|object| object.name.id()).collect();
            let end = end.as_ref();
            let end = end.map(|end| format!(" = {} at {}", end.count, end.token.batches()));
            format!("snapshot {}{}", ids.join(","), end.unwrap_or_default())
        }
        WatchMessage::Changes { changes, token } => {
            let changes: Vec<_> = changes
                .iter()
                .map(|change| match change {
                    WatchChange::Current(it) => {
                        format!("+{}.{}", it.name.id(), it.metadata.generation)
                    }
                    WatchChange::Removed(name) => format!("-{}", name.id()),
                })
                .collect();
            format!("{} at {}", changes.join(","), token.batches())
        }
        WatchMessage::Bookmark { token } => format!("bookmark {}", token.batches()),
        WatchMessage::Reset { reason } => format!("reset {}", reason.word()),
    }
}

/// The token of the last message that has one.
fn last_token(bench: &SequencerBench, watch: u64) -> ResumeToken {
    let mut tokens = bench.watched[&watch].iter().filter_map(|it| match it {
        WatchMessage::Snapshot { end, .. } => end.as_ref().map(|end| end.token.clone()),
        WatchMessage::Changes { token, .. } | WatchMessage::Bookmark { token } => {
            Some(token.clone())
        }
        WatchMessage::Reset { .. } => None,
    });
    tokens.next_back().unwrap()
}

fn order(id: &str) -> String {
    format!("//shop/orders/{id}")
}

fn prepared(config: Config) -> SequencerBench {
    let mut bench = SequencerBench::prepared(config);
    bench.must(&[create(&order("a"), &[("size", 1.into())])]);
    bench
}

#[test]
fn a_watcher_gets_a_snapshot_and_then_each_durable_change() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    assert_eq!(heard(&mut bench, 1), ["snapshot a = 1 at 2"]);
    bench.write(&[create(&order("b"), &[]), create(&order("c"), &[])]);
    assert_eq!(heard(&mut bench, 1), [""; 0]);
    bench.commit();
    assert_eq!(heard(&mut bench, 1), ["+b.1,+c.1 at 3"]);
    bench.must(&[
        delete(&order("a")),
        update(&order("b"), &[("size", 2.into())], None),
    ]);
    assert_eq!(heard(&mut bench, 1), ["-a,+b.2 at 4"]);
    bench.must(&[create("regions/us", &[])]);
    assert_eq!(heard(&mut bench, 1), [""; 0]);
}

#[test]
fn an_object_that_leaves_the_filter_is_removed_and_one_that_enters_is_current() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders("size >= 2"), None);
    grant(&mut bench, 1, PLENTY);
    assert_eq!(heard(&mut bench, 1), ["snapshot  = 0 at 2"]);
    bench.must(&[update(&order("a"), &[("size", 2.into())], None)]);
    bench.must(&[update(&order("a"), &[("size", 3.into())], None)]);
    bench.must(&[update(&order("a"), &[("size", 1.into())], None)]);
    bench.must(&[delete(&order("a"))]);
    assert_eq!(heard(&mut bench, 1), ["+a.2 at 3", "+a.3 at 4", "-a at 5"]);
}

#[test]
fn changes_during_a_snapshot_follow_it_whole() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders(""), None);
    bench.must(&[delete(&order("a")), create(&order("b"), &[])]);
    grant(&mut bench, 1, PLENTY);
    assert_eq!(
        heard(&mut bench, 1),
        ["snapshot a = 1 at 2", "-a,+b.1 at 3"]
    );
}

#[test]
fn a_watcher_without_credit_hears_nothing_and_delays_no_other() {
    let mut bench = prepared(config());
    for watch in [1, 2] {
        open(&mut bench, watch, orders(""), None);
    }
    grant(&mut bench, 1, 1);
    grant(&mut bench, 2, PLENTY);
    for id in ["b", "c"] {
        bench.must(&[create(&order(id), &[])]);
    }
    assert_eq!(
        heard(&mut bench, 2),
        ["snapshot a = 1 at 2", "+b.1 at 3", "+c.1 at 4"]
    );
    assert_eq!(heard(&mut bench, 1), ["snapshot a = 1 at 2"]);
    grant(&mut bench, 1, 1);
    assert_eq!(heard(&mut bench, 1), ["+b.1,+c.1 at 4"]);
}

#[test]
fn a_watcher_resumes_after_its_position() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    let token = last_token(&bench, 1);
    bench.step(Input::CloseWatch { watch: WatchId(1) });
    bench.must(&[create(&order("b"), &[])]);
    bench.must(&[create(&order("c"), &[])]);
    open(&mut bench, 2, orders(""), Some(token.clone()));
    grant(&mut bench, 2, PLENTY);
    assert_eq!(heard(&mut bench, 2), ["+b.1,+c.1 at 4"]);
    // A new sequencer on the same store knows the position as well.
    let mut next = SequencerBench::with_store(config(), bench.store.clone());
    open(&mut next, 3, orders(""), Some(token));
    grant(&mut next, 3, PLENTY);
    assert_eq!(heard(&mut next, 3), ["+b.1,+c.1 at 4"]);
}

#[test]
fn a_watcher_that_resumes_and_has_missed_nothing_gets_a_bookmark() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    let token = last_token(&bench, 1);
    open(&mut bench, 2, orders(""), Some(token));
    grant(&mut bench, 2, PLENTY);
    grant(&mut bench, 2, PLENTY);
    assert_eq!(heard(&mut bench, 2), ["bookmark 2"]);
}

#[test]
fn a_position_that_cannot_be_resumed_gets_a_reset_and_a_snapshot() {
    let mut bench = prepared(forgetful());
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    let token = last_token(&bench, 1);
    let eu: RegionId = "eu".parse().unwrap();
    let mut future = token.clone();
    future.positions.get_mut(&eu).unwrap().sequence = 99;
    let mut other = token.clone();
    let position = other.positions.get_mut(&eu).unwrap();
    position.epoch.incarnation += 1;
    for (resume, scope, reason) in [
        (future, orders(""), "reset other-history"),
        (other, orders(""), "reset other-history"),
        (token.clone(), orders("size = 1"), "reset other-scope"),
    ] {
        open(&mut bench, 2, scope, Some(resume));
        grant(&mut bench, 2, PLENTY);
        assert_eq!(heard(&mut bench, 2), [reason, "snapshot a = 1 at 2"]);
    }
    for id in ["b", "c", "d"] {
        bench.must(&[create(&order(id), &[])]);
    }
    assert_eq!(bench.machine.log().floor(), 3);
    heard(&mut bench, 2);
    open(&mut bench, 2, orders(""), Some(token.clone()));
    grant(&mut bench, 2, PLENTY);
    assert_eq!(
        heard(&mut bench, 2),
        ["reset compacted", "snapshot a,b,c,d = 4 at 5"]
    );
    let position = token.positions[&eu];
    let other = ResumeToken::of("us".parse().unwrap(), position, token.scope);
    open(&mut bench, 3, orders(""), Some(other));
    assert_eq!(bench.refused[&3], WatchRefusal::OtherRegion);
}

#[test]
fn a_removal_at_the_floor_is_not_lost() {
    let mut bench = prepared(forgetful());
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    bench.must(&[delete(&order("a"))]);
    let before = last_token(&bench, 1);
    bench.must(&[create(&order("b"), &[])]);
    bench.must(&[create(&order("c"), &[])]);
    assert_eq!((bench.machine.log().floor(), before.batches()), (3, 3));
    open(&mut bench, 2, orders(""), Some(before.clone()));
    grant(&mut bench, 2, PLENTY);
    assert_eq!(heard(&mut bench, 2), ["+b.1,+c.1 at 5"]);
    // One batch earlier, the removal itself is compacted: the snapshot has no `a`.
    let mut earlier = before;
    for position in earlier.positions.values_mut() {
        position.sequence = 2;
    }
    open(&mut bench, 3, orders(""), Some(earlier));
    grant(&mut bench, 3, PLENTY);
    assert_eq!(
        heard(&mut bench, 3),
        ["reset compacted", "snapshot b,c = 2 at 5"]
    );
}

#[test]
fn a_slow_watcher_is_reset_only_by_batches_that_concern_it() {
    let mut bench = prepared(forgetful());
    for (watch, filter) in [(1, ""), (2, "size = 1")] {
        open(&mut bench, watch, orders(filter), None);
        grant(&mut bench, watch, 1);
        heard(&mut bench, watch);
    }
    for id in ["b", "c", "d"] {
        bench.must(&[create(&order(id), &[])]);
    }
    bench.must(&[update(&order("a"), &[("size", 5.into())], None)]);
    for watch in [1, 2] {
        grant(&mut bench, watch, PLENTY);
    }
    assert_eq!(
        heard(&mut bench, 1),
        ["reset compacted", "snapshot a,b,c,d = 4 at 6"]
    );
    assert_eq!(heard(&mut bench, 2), ["-a at 6"]);
    let reset = Event::WatchReset {
        watch: WatchId(1),
        reason: ResetReason::Compacted,
    };
    assert!(bench.events.contains(&reset));
}

#[test]
fn a_bookmark_precedes_the_compaction_of_the_last_token() {
    let mut bench = prepared(forgetful());
    open(&mut bench, 1, orders("size = 1"), None);
    grant(&mut bench, 1, PLENTY);
    heard(&mut bench, 1);
    for id in ["b", "c", "d", "e"] {
        bench.must(&[create(&order(id), &[])]);
    }
    // The token of sequence number 2 would be below the floor from 5 on, and 5 would be from 8 on.
    assert_eq!(heard(&mut bench, 1), ["bookmark 5"]);
    assert_eq!(bench.machine.log().floor(), 4);
}

#[test]
fn an_idle_watcher_gets_bookmarks_at_intervals() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders("size = 1"), None);
    grant(&mut bench, 1, PLENTY);
    heard(&mut bench, 1);
    bench.wake_after(BOOKMARK_INTERVAL);
    assert_eq!(heard(&mut bench, 1), ["bookmark 2"]);
    bench.must(&[create(&order("b"), &[])]);
    bench.wake_after(BOOKMARK_INTERVAL);
    assert_eq!(heard(&mut bench, 1), ["bookmark 3"]);
    bench.wake_after(BOOKMARK_INTERVAL / 2);
    bench.must(&[delete(&order("a"))]);
    assert_eq!(heard(&mut bench, 1), ["-a at 4"]);
    bench.wake_after(BOOKMARK_INTERVAL / 2);
    assert_eq!(
        heard(&mut bench, 1),
        [""; 0],
        "half of the interval is over"
    );
    bench.wake_after(BOOKMARK_INTERVAL / 2);
    assert_eq!(heard(&mut bench, 1), ["bookmark 4"]);
}

#[test]
fn a_watcher_asks_for_a_shorter_interval_and_gets_no_longer_one() {
    let mut bench = prepared(config());
    let intervals = [
        BOOKMARK_INTERVAL / 5,
        BOOKMARK_INTERVAL * 5,
        BOOKMARK_INTERVAL_MIN / 2,
    ];
    for (watch, interval) in (1..).zip(intervals) {
        let request = WatchRequest {
            interval: Some(interval),
            ..WatchRequest::new(orders(""))
        };
        ask(&mut bench, watch, request);
        grant(&mut bench, watch, PLENTY);
        heard(&mut bench, watch);
    }
    let began = bench.now;
    while bench.now < began + BOOKMARK_INTERVAL {
        bench.wake_after(BOOKMARK_INTERVAL_MIN / 2);
    }
    let counts = [1, 2, 3].map(|watch| heard(&mut bench, watch).len());
    assert_eq!(counts, [5, 1, 50]);
}

#[test]
fn a_watcher_without_credit_gets_no_bookmark_and_closed_ones_need_no_wake() {
    let mut bench = prepared(config());
    open(&mut bench, 1, orders(""), None);
    bench.wake_after(BOOKMARK_INTERVAL);
    assert_eq!(heard(&mut bench, 1), [""; 0]);
    let next = bench.machine.next_deadline();
    assert_eq!(next, Some(bench.now + BOOKMARK_INTERVAL));
    open(&mut bench, 1, orders(""), None);
    let watch = WatchId(1);
    bench.step(Input::CloseWatch { watch });
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_long_snapshot_is_sent_over_several_steps() {
    let mut bench = prepared(config());
    let ids: Vec<String> = (0..SCAN_MAX + 100)
        .map(|id| order(&format!("n{id}")))
        .collect();
    for part in ids.chunks(100) {
        let operations: Vec<_> = part.iter().map(|at| create(at, &[])).collect();
        bench.must(&operations);
    }
    open(&mut bench, 1, orders("size = 1"), None);
    grant(&mut bench, 1, PLENTY);
    open(&mut bench, 2, orders(""), None);
    grant(&mut bench, 2, PLENTY);
    let mut count = 0;
    for _ in 0..3 {
        for message in bench.watched.remove(&2).unwrap_or_default() {
            if let WatchMessage::Snapshot { objects, end } = message {
                assert!(objects.len() <= SCAN_MAX);
                count += objects.len();
                assert!(end.is_none_or(|end| end.count == count as u64));
            }
        }
        let deadline = bench.machine.next_deadline();
        let next = deadline.unwrap() - bench.now;
        bench.wake_after(next);
    }
    assert_eq!(count, SCAN_MAX + 101);
    let one = heard(&mut bench, 1);
    assert_eq!(one[0], "snapshot a");
    assert!(one[1].starts_with("snapshot  = 1 at "), "{one:?}");
}

#[test]
fn watchers_of_a_store_with_another_history_are_reset() {
    let mut bench = prepared(config());
    let backup = bench.store.clone();
    open(&mut bench, 1, orders(""), None);
    grant(&mut bench, 1, PLENTY);
    bench.must(&[create(&order("b"), &[])]);
    heard(&mut bench, 1);
    bench.store = backup;
    bench.write(&[create(&order("c"), &[])]);
    bench.fail(crate::registry::store::StoreFailure::Failed, false);
    assert_eq!(
        heard(&mut bench, 1),
        ["reset other-history", "snapshot a = 1 at 2"]
    );
    assert!(
        bench
            .events
            .contains(&Event::HistoryLost { head: 3, stored: 2 })
    );
}
