//! Tests of request ids: a repeat has the outcome of the first attempt, whatever happened in between.

use super::{ORDER, SequencerBench, config, create, delete, name, update};
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::sequencer::Sequencer;
use crate::registry::write::{Precondition, RegistryCaller, WriteOperation, WriteRefusal};

const ADMIN: RegistryCaller = RegistryCaller::Administrator;

/// Deletes the order, if it exists.
fn remove() -> WriteOperation {
    WriteOperation::Delete {
        name: name(ORDER),
        condition: Precondition::default(),
        allow_missing: true,
    }
}

fn settle(bench: &mut SequencerBench) {
    while bench.group.is_some() {
        bench.commit();
    }
}

#[test]
fn a_repeat_of_a_write_that_changed_nothing_changes_nothing() {
    for is_slow in [false, true] {
        let mut bench = SequencerBench::prepared(config());
        // The group under way takes long; the repeat arrives while the first attempt waits, or after its answer.
        bench.write(&[create("//shop/orders/9", &[])]);
        let first = bench.send(ADMIN, Some("r"), &[remove()]);
        let created = bench.write(&[create(ORDER, &[])]);
        if !is_slow {
            settle(&mut bench);
        }
        let again = bench.send(ADMIN, Some("r"), &[remove()]);
        settle(&mut bench);
        assert!(bench.answers[&created].is_ok());
        let outcome = bench.answers[&first].clone().unwrap();
        assert!(outcome.objects.is_empty());
        assert_eq!(bench.answers[&again], Ok(outcome));
        assert_eq!(bench.generation(ORDER), Some(1), "the order stays");
    }
}

#[test]
fn a_repeat_of_a_write_that_was_refused_is_refused() {
    for is_slow in [false, true] {
        let mut bench = SequencerBench::prepared(config());
        bench.write(&[create("//shop/orders/9", &[])]);
        let change = update(ORDER, &[("a", 1.into())], None);
        let first = bench.send(ADMIN, Some("r"), std::slice::from_ref(&change));
        bench.write(&[create(ORDER, &[])]);
        if !is_slow {
            settle(&mut bench);
        }
        let again = bench.send(ADMIN, Some("r"), std::slice::from_ref(&change));
        settle(&mut bench);
        let missing = Err(WriteRefusal::NotFound(name(ORDER)));
        assert_eq!(bench.answers[&first], missing);
        assert_eq!(bench.answers[&again], Err(WriteRefusal::RefusedBefore));
        assert_eq!(bench.generation(ORDER), Some(1));
        // A reason that still holds is named.
        bench.must(&[delete(ORDER)]);
        let third = bench.send(ADMIN, Some("r"), std::slice::from_ref(&change));
        assert_eq!(bench.answers[&third], missing);
        // Under another id, the write is a new one.
        bench.must(&[create(ORDER, &[])]);
        let new = bench.send(ADMIN, Some("r2"), &[change]);
        settle(&mut bench);
        assert!(bench.answers[&new].is_ok());
    }
}

#[test]
fn a_recorded_outcome_survives_a_restart() {
    let mut bench = SequencerBench::prepared(config());
    let (unchanged, refused) = ([remove()], [update(ORDER, &[], None)]);
    bench.send(ADMIN, Some("unchanged"), &unchanged);
    bench.send(ADMIN, Some("refused"), &refused);
    settle(&mut bench);
    bench.machine = Sequencer::new(config());
    bench.step(crate::registry::sequencer::Input::Start);
    bench.must(&[create(ORDER, &[])]);
    let one = bench.send(ADMIN, Some("unchanged"), &unchanged);
    let two = bench.send(ADMIN, Some("refused"), &refused);
    assert!(bench.answers[&one].as_ref().unwrap().objects.is_empty());
    assert_eq!(bench.answers[&two], Err(WriteRefusal::RefusedBefore));
    assert_eq!(bench.generation(ORDER), Some(1));
}

#[test]
fn an_id_that_recorded_an_outcome_is_not_used_for_another_write() {
    let mut bench = SequencerBench::prepared(config());
    for (id, operation) in [("u", remove()), ("f", update(ORDER, &[], None))] {
        bench.send(ADMIN, Some(id), &[operation]);
        // While the first write waits, and after its answer.
        for _ in 0..2 {
            let other = bench.send(ADMIN, Some(id), &[create(ORDER, &[])]);
            assert_eq!(bench.answers[&other], Err(WriteRefusal::RequestReused));
            settle(&mut bench);
        }
        // Another caller has ids of its own.
        let service = RegistryCaller::Service("shop".to_owned());
        let own = bench.send(service, Some(id), &[create(ORDER, &[])]);
        settle(&mut bench);
        assert!(bench.answers[&own].is_ok());
        bench.must(&[delete(ORDER)]);
    }
}

#[test]
fn writes_that_were_not_decided_about_may_be_repeated() {
    let mut bench = SequencerBench::prepared(config());
    let first = bench.send(ADMIN, Some("r"), &[create(ORDER, &[])]);
    bench.fail(crate::registry::store::StoreFailure::Full, false);
    assert_eq!(bench.answers[&first], Err(WriteRefusal::StoreFull));
    let again = bench.send(ADMIN, Some("r"), &[create(ORDER, &[])]);
    settle(&mut bench);
    assert!(bench.answers[&again].is_ok());
    // A refusal that depends on the batch alone is not recorded.
    let head = bench.machine.log().head();
    bench.send(ADMIN, Some("s"), &[]);
    assert!(bench.group.is_none());
    assert_eq!(bench.machine.log().head(), head);
}

#[test]
fn the_planted_bugs_execute_a_repeat() {
    for (bug, operation) in [
        (RegistryBug::UnchangedForgotten, remove()),
        (
            RegistryBug::RefusalsForgotten,
            update(ORDER, &[("a", 1.into())], None),
        ),
    ] {
        let mut config = config();
        config.bugs = RegistryBugs::NONE.with(bug);
        let mut bench = SequencerBench::prepared(config);
        bench.send(ADMIN, Some("r"), std::slice::from_ref(&operation));
        bench.must(&[create(ORDER, &[])]);
        bench.send(ADMIN, Some("r"), &[operation]);
        settle(&mut bench);
        assert_ne!(bench.generation(ORDER), Some(1));
    }
}
