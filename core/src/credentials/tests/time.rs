//! A calendar that is set while the node runs.

use super::*;
use proptest::prelude::*;

const MONTHS: i64 = 200 * 86_400;

fn expired(link: u64) -> Output {
    Output::Close {
        link: LinkId(link),
        reason: LocalClose::Expired,
    }
}

proptest! {
    #[test]
    fn a_calendar_set_forward_by_months_is_noticed_within_a_minute(
        seed in any::<u64>(), at_ms in 0..10_000_000_u64,
    ) {
        let mut node = Node::new(validity(0, 90 * DAY), seed);
        node.open(1, true, expiry(0, 90 * DAY), 0);
        node.run_for(Duration::from_millis(at_ms));
        prop_assert_eq!(node.take_orders(), []);
        node.ahead = MONTHS;
        node.run_for(READ_INTERVAL);
        let orders: Vec<Output> = node.take_orders().into_iter().map(|(_, it)| it).collect();
        prop_assert!(orders.contains(&Output::RequestCertificate), "{:?}", orders);
        prop_assert!(orders.contains(&expired(1)), "{:?}", orders);
        let stepped = orders.iter().any(|it| {
            matches!(it, Output::Report(CredentialsEvent::CalendarStepped { .. }))
        });
        prop_assert!(stepped, "{:?}", orders);
    }

    #[test]
    fn a_certificate_of_a_calendar_that_was_ahead_by_months_is_renewed_within_a_minute_of_the_mend(
        seed in any::<u64>(), at_ms in 0..10_000_000_u64,
    ) {
        let mut node = Node::new(validity(0, 90 * DAY), seed);
        node.run_for(Duration::from_millis(at_ms));
        prop_assert_eq!(node.take_orders(), []);
        node.ahead = -MONTHS;
        node.run_for(READ_INTERVAL);
        prop_assert_eq!(node.times_of(&Output::RequestCertificate).len(), 1);
    }
}

#[test]
fn a_link_with_a_later_expiry_closes_at_the_right_time() {
    let mut node = Node::new(validity(0, 1_000 * DAY), 1);
    node.ahead = 900;
    node.run_for_seconds(60);
    node.open(1, true, expiry(0, 1_000), 0);
    // The calendar was 15 minutes ahead, and is corrected 30 seconds before the link would close.
    node.run_for_seconds(5);
    node.ahead = 0;
    node.run_for_seconds(1_000);
    assert_eq!(node.times_of(&expired(1)), [Instant::from_millis(997_000)]);
    // The first attempt comes at the time that the corrected calendar gives.
    let link = LinkId(1);
    let attempts = node.times_of(&Output::Renew { link });
    let first_right = attempts
        .iter()
        .find(|at| **at > Instant::from_millis(120_000));
    assert_eq!(first_right, Some(&Instant::from_millis(834_000)));
}

#[test]
fn small_differences_of_the_calendar_are_not_reported() {
    let mut node = Node::new(validity(0, 90 * DAY), 1);
    for second in 0..100 {
        node.ahead = second % 5;
        node.run_for_seconds(60);
    }
    assert_eq!(node.take_orders(), []);
}

#[test]
fn a_reading_that_is_never_answered_is_ordered_again() {
    let mut machine = Credentials::new(validity(0, 90 * DAY), BEGIN, 1, Instant::ZERO);
    let mut out = Outbox::new();
    for minute in 0..5 {
        let at = machine.next_deadline().unwrap();
        assert_eq!(at, Instant::from_millis(minute * 60_000));
        machine.step(at, Wake.into(), &mut out);
        assert_eq!(out.drain().collect::<Vec<_>>(), [Output::ReadCalendar]);
    }
}
