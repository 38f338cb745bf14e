//! Tests of the node's own record and edge report.

use super::*;
use crate::gossip::tests::context::{context, events, id, learn};

fn of_rank(own: &SelfRecord, change: impl FnOnce(&mut Rank)) -> Record {
    let mut rank = own.record().rank();
    change(&mut rank);
    Record::new(id(0), rank, own.record().content().clone())
}

#[test]
fn a_change_is_published_once_with_a_higher_version() {
    let mut context = context();
    let mut own = SelfRecord::new(&context.config);
    assert_eq!(own.publish_record(&mut context), None);
    let content = Content {
        nickname: "new".into(),
        ..Content::default()
    };
    own.announce(&mut context, content);
    let before = context.topology.hash();
    assert_eq!(own.publish_record(&mut context), Some(before));
    assert_eq!(own.publish_record(&mut context), None);
    assert_eq!(own.record().rank().version, 2);
    assert_eq!(context.topology.record(&id(0)), Some(own.record()));
}

#[test]
fn further_changes_wait_for_the_end_of_the_second_and_a_departure_does_not() {
    let mut context = context();
    let mut own = SelfRecord::new(&context.config);
    let named = |own: &mut SelfRecord, context: &mut Context, nickname: &str| {
        let content = Content {
            nickname: nickname.into(),
            ..Content::default()
        };
        own.announce(context, content);
        own.publish_record(context).is_some()
    };
    assert!(named(&mut own, &mut context, "one"));
    let end = context.after(CHANGE_INTERVAL);
    for nickname in ["two", "three"] {
        context.now += Duration::from_millis(300);
        assert!(!named(&mut own, &mut context, nickname));
        assert_eq!(own.record().content().nickname, "one");
    }
    assert_eq!(context.timers.next(), Some(end));
    context.now = end;
    assert!(own.publish_record(&mut context).is_some());
    assert_eq!(own.record().content().nickname, "three");
    assert!(!named(&mut own, &mut context, "four"));
    assert!(!named(&mut own, &mut context, "three"), "as published");
    context.now += CHANGE_INTERVAL;
    assert_eq!(own.publish_record(&mut context), None);
    assert!(named(&mut own, &mut context, "five"));
    assert!(!named(&mut own, &mut context, "six"));
    own.leave();
    own.announce_departure(&mut context);
    assert!(own.publish_record(&mut context).is_some());
    assert_eq!(own.record().content().nickname, "six");
}

#[test]
fn the_first_report_of_an_edge_keeps_its_proof() {
    let mut context = context();
    let peer = learn(&mut context, 1);
    let mut own = SelfRecord::new(&context.config);
    let early = Some(Instant::from_millis(5));
    own.set_edge(peer, true, early);
    assert!(own.publish_report(&mut context).is_some());
    own.set_edge(peer, true, Some(context.now));
    assert_eq!(own.publish_report(&mut context), None);
    assert_eq!(
        own.edge(peer),
        Some(OwnEdge {
            down: true,
            refused: false,
            last_heard: early,
            failure: None,
            settled: 0,
        })
    );
    own.set_edge(peer, false, Some(context.now));
    assert!(!own.edge(peer).unwrap().is_down());
    own.clear_edge(peer);
    assert!(own.publish_report(&mut context).is_some());
    assert!(context.topology.report(&id(0)).unwrap().edges.is_empty());
}

#[test]
fn a_record_under_the_own_id_is_known_outdated_forged_or_newer() {
    let context = context();
    let own = SelfRecord::new(&context.config);
    let claim = |change: fn(&mut Rank)| own.claim(&context, &of_rank(&own, change));
    assert_eq!(claim(|_| {}), Claim::Known);
    assert_eq!(claim(|rank| rank.epoch -= 1), Claim::Outdated);
    assert_eq!(claim(|rank| rank.version += 1), Claim::Forged);
    assert_eq!(claim(|rank| rank.instance += 1), Claim::Newer);
}

#[test]
fn a_forged_record_is_published_over() {
    let mut context = context();
    let mut own = SelfRecord::new(&context.config);
    let forged = of_rank(&own, |rank| rank.version += 7);
    own.refute(&mut context, &forged, Some(id(1)));
    assert_eq!(events(&mut context), [Event::Refuted { from: id(1) }]);
    own.publish_record(&mut context);
    assert!(own.record().as_ref() > &forged);
    assert_eq!(own.claim(&context, &forged), Claim::Known);
}

#[test]
fn a_fresh_node_outranks_its_past_and_an_established_one_gives_way() {
    let mut context = context();
    let mut own = SelfRecord::new(&context.config);
    let newer = of_rank(&own, |rank| rank.epoch = 9);
    assert_eq!(
        own.succession(&context, &newer, true),
        Succession::Raises(9)
    );
    own.raise_epoch(&mut context, 9);
    assert_eq!(own.succession(&context, &newer, true), Succession::Stays);
    assert!(!own.on_stored(Ticket(7)), "another ticket");
    assert!(own.on_stored(Ticket(1)));
    assert_eq!(own.record().rank().epoch, 10);
    own.establish(context.now);
    let newer = of_rank(&own, |rank| rank.epoch = 99);
    assert_eq!(own.succession(&context, &newer, true), Succession::GivesUp);
}

#[test]
fn two_machines_that_start_at_once_do_not_outbid_each_other_for_ever() {
    let mut context = context();
    let mut own = SelfRecord::new(&context.config);
    for raise in 1..=RAISES_MAX {
        assert!(!own.is_established(context.now));
        own.raise_epoch(&mut context, 10 * raise);
        assert!(own.on_stored(Ticket(raise)));
    }
    assert!(own.is_established(context.now));
}

#[test]
fn a_leave_announcement_withdraws_the_edge_report() {
    let mut context = context();
    let peer = learn(&mut context, 1);
    let mut own = SelfRecord::new(&context.config);
    own.set_edge(peer, true, None);
    own.publish_report(&mut context);
    own.leave();
    own.announce_departure(&mut context);
    assert_eq!(own.phase(), Phase::Leaving);
    own.publish_record(&mut context);
    own.publish_report(&mut context);
    assert!(context.topology.record(&id(0)).unwrap().rank().leaving);
    assert!(context.topology.report(&id(0)).unwrap().edges.is_empty());
}
