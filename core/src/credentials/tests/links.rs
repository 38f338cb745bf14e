//! Replacement and closing of links.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const LONG: u64 = 1_000 * DAY;

fn renew(link: u64) -> Output {
    let link = LinkId(link);
    Output::Renew { link }
}

fn close(link: u64, reason: LocalClose) -> Output {
    let link = LinkId(link);
    Output::Close { link, reason }
}

fn replaced(generation: u64) -> Input {
    Input::Replaced {
        generation,
        validity: validity(0, LONG),
    }
}

fn verified(link: u64, trusted: bool) -> Input {
    let link = LinkId(link);
    Input::Verified { link, trusted }
}

#[test]
fn new_credentials_replace_all_links_in_turns() {
    let mut node = Node::new(validity(0, LONG), 1);
    for link in 0..100 {
        node.open(link, link % 2 == 0, expiry(0, LONG), 0);
    }
    assert_eq!(node.machine.outdated_links(), 0);
    node.input(replaced(1));
    assert_eq!(node.machine.outdated_links(), 100);
    node.run_for(Duration::from_millis(999));
    for link in 0..100 {
        let turn = Instant::ZERO + STAGGER * u32::try_from(link % STAGGER_TURNS).unwrap();
        assert_eq!(node.times_of(&renew(link)), [turn]);
        let link = LinkId(link);
        assert_eq!(node.times_of(&Output::Verify { link }), [turn]);
    }
}

#[test]
fn a_link_that_is_opened_with_earlier_credentials_is_replaced() {
    let mut node = Node::new(validity(0, LONG), 1);
    node.input(replaced(3));
    node.open(16, false, expiry(0, LONG), 2);
    node.open(32, false, expiry(0, LONG), 3);
    node.run_for(Duration::from_millis(999));
    assert_eq!(node.times_of(&renew(16)), [Instant::ZERO]);
    assert_eq!(node.times_of(&renew(32)), []);
}

#[test]
fn a_replacement_that_does_not_come_is_retried_until_the_link_closes() {
    let mut node = Node::new(validity(0, LONG), 1);
    node.open(16, false, expiry(0, LONG), 0);
    node.input(replaced(1));
    node.run_for_seconds(240);
    let pauses = pauses(&node.times_of(&renew(16)));
    assert_eq!(
        pauses,
        [1, 2, 4, 8, 16, 32, 60, 60].map(|seconds| seconds * 1_000)
    );
    node.input(Input::LinkClosed { link: LinkId(16) });
    node.take_orders();
    node.run_for_seconds(240);
    assert_eq!(node.take_orders(), []);
    assert_eq!(node.machine.links(), 0);
}

#[test]
fn an_untrusted_peer_loses_its_link_after_the_grace() {
    let mut node = Node::new(validity(0, LONG), 1);
    node.open(16, true, expiry(0, LONG), 0);
    node.input(replaced(1));
    let closed = close(16, LocalClose::Untrusted);
    while node.times_of(&closed).is_empty() {
        let at = node.machine.next_deadline().unwrap();
        node.run_until(at);
        node.input(verified(16, false));
        assert!(node.now < Instant::from_millis(20_000), "{:?}", node.orders);
    }
    assert_eq!(node.times_of(&closed), [Instant::ZERO + GRACE]);
    let attempts = pauses(&node.times_of(&renew(16)));
    assert_eq!(attempts, [1_000; 5]);
    node.run_for_seconds(600);
    assert_eq!(node.orders.last().unwrap().1, closed, "nothing follows");
}

#[test]
fn a_peer_that_is_trusted_again_keeps_its_link() {
    let mut node = Node::new(validity(0, LONG), 1);
    node.open(16, true, expiry(0, LONG), 0);
    node.input(replaced(1));
    for second in 0..60 {
        node.run_for_seconds(1);
        node.input(verified(16, second % 4 == 3));
    }
    assert_eq!(node.times_of(&close(16, LocalClose::Untrusted)), []);
}

#[test]
fn the_dialer_of_a_link_attempts_a_replacement_late_in_a_certificates_life() {
    let mut node = Node::new(validity(0, LONG), 1);
    node.open(1, true, expiry(0, 6_000), 0);
    node.open(2, false, expiry(0, 6_000), 0);
    node.run_for_seconds(6_000);
    assert_eq!(node.times_of(&renew(2)), [], "the peer dialled");
    let attempts = node.times_of(&renew(1));
    assert_eq!(attempts[0], Instant::from_millis(5_000_000));
    let pauses = pauses(&attempts);
    assert!(pauses.windows(2).all(|it| it[1] <= it[0]), "{pauses:?}");
    assert_eq!(pauses[..3], [498_000, 249_000, 124_000]);
}

proptest! {
    #[test]
    fn a_link_closes_shortly_before_the_first_certificate_expires(
        life in 10..100_000_u64, dialed: bool, began in 0..1_000_u64, offset_ms in 0..1_000_u64,
    ) {
        let mut node = Node::new(validity(0, LONG), 1);
        node.run_for(Duration::from_millis(offset_ms));
        node.open(1, dialed, expiry(began, life), 0);
        node.run_for_seconds(life + 100);
        let closed = node.times_of(&close(1, LocalClose::Expired));
        prop_assert_eq!(closed.len(), 1);
        let left = (life * 1_000).saturating_sub(closed[0].as_millis());
        prop_assert!((2_000..=3_000).contains(&left), "{} ms are left", left);
    }

    #[test]
    fn the_machine_keeps_its_contract_whatever_happens(
        all in vec((0..8_u8, 0..20_u64, 0..100_000_u64), 0..100), seed in any::<u64>(),
    ) {
        let mut node = Node::new(validity(50, 300), seed);
        for (kind, number, amount) in all {
            let link = LinkId(number);
            match kind {
                0 => node.open(number, amount % 2 == 0, expiry(0, amount), amount % 3),
                1 => node.input(Input::LinkClosed { link }),
                2 => node.input(verified(number, amount % 2 == 0)),
                3 => node.input(replaced(amount % 3)),
                4 => node.input(Input::Unchanged),
                5 => node.input(Input::RequestFailed { reason: String::new() }),
                6 => node.ahead = i64::try_from(amount).unwrap() - 50_000,
                // Each wake checks that the next deadline is later.
                _ => node.run_for(Duration::from_millis(amount)),
            }
            let requested = node.times_of(&Output::RequestCertificate);
            prop_assert!(requested.len() < 1_000);
        }
    }
}
