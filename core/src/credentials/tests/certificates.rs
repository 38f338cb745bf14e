//! Renewal of the node's own certificate.

use super::*;
use proptest::prelude::*;

fn failed(reason: &str) -> Input {
    let reason = reason.to_owned();
    Input::RequestFailed { reason }
}

/// A node whose certificate was already due for renewal before the node started.
fn due() -> Node {
    let mut node = Node::new(validity(80 * DAY, 10 * DAY), 1);
    node.run_for_seconds(0);
    assert_eq!(
        node.take_orders(),
        [(Instant::ZERO, Output::RequestCertificate)]
    );
    node
}

proptest! {
    #[test]
    fn a_certificate_is_requested_between_two_thirds_and_three_quarters_of_its_life(
        seed in any::<u64>(), life in 2_000..500_000_u64,
    ) {
        let mut node = Node::new(validity(0, life), seed);
        node.run_for_seconds(life);
        let (at, order) = node.orders[0].clone();
        prop_assert_eq!(order, Output::RequestCertificate);
        let at = at.as_millis();
        prop_assert!(at >= life / 3 * 2 * 1_000, "{} of {}", at, life);
        prop_assert!(at <= life * 750 + 1_000, "{} of {}", at, life);
        prop_assert_eq!(node.orders.len(), 1, "one request is under way at a time");
    }

    #[test]
    fn a_failed_request_is_retried_with_back_off_of_1_to_60_seconds(seed in any::<u64>()) {
        let mut node = Node::new(validity(80 * DAY, 10 * DAY), seed);
        for _ in 0..12 {
            node.run_for_seconds(61);
            node.now = node.orders.last().unwrap().0;
            node.input(failed("the issuer does not answer"));
        }
        let pauses = pauses(&node.times_of(&Output::RequestCertificate));
        for (pause, most) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]) {
            let most = most * 1_000;
            prop_assert!((most / 2..=most).contains(pause), "{:?}", pauses);
        }
    }
}

#[test]
fn the_renewals_of_two_nodes_differ() {
    let at = |seed| {
        let mut node = Node::new(validity(0, 90 * DAY), seed);
        node.run_for_seconds(90 * DAY);
        node.orders[0].0
    };
    assert_ne!(at(1), at(2));
}

#[test]
fn a_certificate_that_is_due_at_the_start_is_requested_at_once() {
    drop(due());
}

#[test]
fn a_replaced_certificate_is_not_requested_before_it_is_due() {
    let mut node = due();
    node.input(Input::Replaced {
        generation: 1,
        validity: validity(0, 90 * DAY),
    });
    node.run_for_seconds(60 * DAY - 1);
    assert_eq!(node.take_orders(), []);
    node.run_for_seconds(90 * DAY / 12 + 1);
    assert_eq!(node.take_orders().len(), 1);
}

#[test]
fn a_source_without_a_newer_certificate_is_read_again_after_a_quarter_of_the_remaining_life() {
    for (left, pause) in [
        (10 * DAY, 3_600),
        (1_200, 300),
        (2, 1),
        // The certificate has expired.
        (0, 60),
    ] {
        let mut node = Node::new(validity(90 * DAY, left), 1);
        node.run_for_seconds(0);
        node.input(Input::Unchanged);
        node.run_for_seconds(pause + 1);
        let pauses = pauses(&node.times_of(&Output::RequestCertificate));
        assert_eq!(pauses, [pause * 1_000], "{left}");
    }
}

#[test]
fn a_source_that_gives_only_certificates_that_are_due_is_not_asked_without_pause() {
    let mut node = due();
    for generation in 1..=10 {
        node.input(Input::Replaced {
            generation,
            validity: validity(80 * DAY, 10 * DAY),
        });
        node.run_for_seconds(3_599);
        assert_eq!(node.take_orders(), []);
        node.run_for_seconds(1);
        let orders = node.take_orders();
        assert_eq!(orders.len(), 1, "{orders:?}");
    }
}

#[test]
fn a_failure_is_reported_once_an_hour_and_when_its_reason_changes() {
    let mut node = due();
    let mut reported = Vec::new();
    let mut reasons = vec!["the file is gone"; 100];
    reasons.extend(["permission denied"; 20]);
    for reason in reasons {
        node.input(failed(reason));
        node.run_for_seconds(60);
        for (at, order) in node.take_orders() {
            if let Output::Report(CredentialsEvent::RequestFailed { reason, failures }) = order {
                reported.push((at.as_millis() / 60_000, reason, failures));
            }
        }
    }
    let gone = "the file is gone".to_owned();
    let denied = "permission denied".to_owned();
    assert_eq!(
        reported,
        [(0, gone.clone(), 1), (60, gone, 61), (100, denied, 101)]
    );
}

#[test]
fn an_expired_certificate_is_reported_at_once_and_then_once_an_hour() {
    let mut node = Node::new(validity(0, 90), 1);
    node.run_for_seconds(7_300);
    let expired = Output::Report(CredentialsEvent::Expired {
        not_after: validity(0, 90).not_after,
    });
    let times = node.times_of(&expired);
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times[0].as_millis() <= 92_000, "{times:?}");
    assert!(pauses(&times).iter().all(|pause| *pause >= 3_600_000));
    node.take_orders();
    node.input(Input::Replaced {
        generation: 1,
        validity: validity(0, 90 * DAY),
    });
    node.run_for_seconds(7_200);
    assert!(!node.orders.iter().any(|(_, order)| *order == expired));
}

#[test]
fn an_answer_without_a_request_changes_nothing() {
    let mut node = Node::new(validity(0, 90 * DAY), 1);
    let before = node.machine.clone();
    node.input(failed("the issuer does not answer"));
    node.input(Input::Unchanged);
    assert_eq!(node.machine, before);
    assert_eq!(node.orders, []);
}
