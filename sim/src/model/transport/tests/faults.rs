//! Faults of single links and hosts: resets, refusals, changes of links, NATs.

use super::*;
use crate::scenario::plan::LinkSettingChange;

const SECOND: u64 = 1_000_000_000;

/// Runs a test on two hosts with the plan of a step.
fn with_step(step: &str, test: impl FnOnce(&mut Pair<'_>, &Plan)) {
    let text = format!("{SLOW}\n[[at]]\ntime = \"5s\"\n{step}\n");
    let scenario = Scenario::parse("x.toml", &text).expect("the scenario is valid");
    let plan = scenario.plan(1).expect("the scenario can be planned");
    test(&mut Pair::new(&scenario, &plan, true), &plan);
}

/// Runs a test on two hosts with a change of links in effect.
fn with_links(step: &str, test: impl FnOnce(&mut Pair<'_>)) {
    let text = format!("{SLOW}\n[[at]]\ntime = \"5s\"\n{step}\n");
    let scenario = Scenario::parse("x.toml", &text).expect("the scenario is valid");
    let plan = scenario.plan(1).expect("the scenario can be planned");
    let mut pair = Pair::new(&scenario, &plan, true);
    let change: &LinkSettingChange = &plan.link_changes[0];
    let now = pair.context.now();
    pair.transport
        .change_network(now, NetworkChange::Links(0, change), Some(0));
    test(&mut pair);
}

fn closed(pair: &Pair<'_>) -> Vec<usize> {
    let closed = pair.transitions.iter().filter_map(|(_, it)| {
        if let ConnectionTransition::Closed {
            slot,
            reason: CloseReason::Reset,
            ..
        } = it
        {
            Some(*slot)
        } else {
            None
        }
    });
    closed.collect()
}

#[test]
fn a_reset_closes_both_ends_of_a_connection() {
    with_step("reset = \"n2\"", |pair, plan| {
        pair.connect();
        let reset = pair
            .transport
            .reset_connections(&mut pair.context, &plan.cuts[0], |slot| slot == 7);
        assert_eq!(reset, 0, "it has no end in another process");
        let reset = pair
            .transport
            .reset_connections(&mut pair.context, &plan.cuts[0], |slot| slot == 1);
        assert_eq!(reset, 1);
        pair.run();
        assert_eq!(closed(pair), [0, 1]);
        assert_eq!(pair.transport.connection_count(0), 0, "it is released");
    });
}

#[test]
fn a_dial_that_is_reset_after_a_process_accepted_it_is_not_refused() {
    with_step("reset = \"n2\"", |pair, plan| {
        assert_eq!(pair.transport.listen(1, PORT, 1), Ok(()));
        let context = &mut pair.context;
        pair.transport.dial(context, DialId(7), (0, 0), (1, PORT));
        pair.run_for(2_500_000);
        let reset = pair
            .transport
            .reset_connections(&mut pair.context, &plan.cuts[0], |slot| slot == 1);
        assert_eq!(reset, 1);
        pair.run();
        let failed = pair.transitions.iter().any(|(_, it)| {
            matches!(it, ConnectionTransition::DialFailed { dial: DialId(7), reason, .. } if *reason == DialError::Unreachable)
        });
        assert!(failed, "{:?}", pair.transitions);
    });
}

#[test]
fn a_host_that_refuses_dials_keeps_its_own_and_its_connections() {
    with_pair(true, |pair| {
        let link = pair.connect();
        pair.transport.set_refusal(1, true, None);
        let context = &mut pair.context;
        pair.transport.dial(context, DialId(8), (0, 0), (1, PORT));
        assert_eq!(pair.transport.listen(0, PORT, 0), Ok(()));
        pair.transport.dial(context, DialId(9), (1, 1), (0, PORT));
        pair.send(link, Lane::Control, 10);
        pair.run();
        let refused = pair.transitions.iter().any(|(_, it)| {
            matches!(it, ConnectionTransition::DialFailed { dial: DialId(8), reason, .. } if *reason == DialError::Refused)
        });
        let own = pair.transitions.iter();
        let mut own = own.filter(|(_, it)| {
            matches!(
                it,
                ConnectionTransition::Dialed {
                    dial: DialId(9),
                    ..
                }
            )
        });
        assert!(refused && own.next().is_some(), "{:?}", pair.transitions);
        assert_eq!(pair.received().len(), 1);
        pair.transport.set_refusal(1, false, None);
        let context = &mut pair.context;
        pair.transport.dial(context, DialId(10), (0, 0), (1, PORT));
        pair.run();
        let last = pair.transitions.last();
        assert!(
            matches!(
                last,
                Some((
                    _,
                    ConnectionTransition::Dialed {
                        dial: DialId(10),
                        ..
                    }
                ))
            ),
            "{last:?}"
        );
    });
}

#[test]
fn a_nat_forgets_an_idle_connection_and_keeps_a_busy_one() {
    with_pair(true, |pair| {
        let link = pair.connect();
        pair.transport.set_nat(1, Some(30 * SECOND), None);
        pair.send(link, Lane::Control, 10);
        pair.run();
        assert_eq!(pair.received().len(), 1, "it was idle for ten seconds");
        pair.transport.set_nat(1, Some(5 * SECOND), None);
        pair.send(link, Lane::Control, 10);
        for _ in 0..3 {
            pair.run();
        }
        assert_eq!(pair.received().len(), 1, "the connection is forgotten");
        assert!(pair.context.now() > 30 * SECOND);
    });
}

#[test]
fn a_nat_forgets_an_idle_flow_of_datagrams_until_the_inner_host_sends() {
    with_pair(true, |pair| {
        pair.transport.set_nat(1, Some(5 * SECOND), None);
        let mut sends = |after: u64, from: usize, to: usize| {
            let at = pair.context.now() + after;
            while pair.context.advance(at).is_some() {}
            pair.transport
                .send_datagram(&mut pair.context, from, to, 10)
                .is_some()
        };
        assert!(sends(0, 1, 0));
        assert!(sends(4 * SECOND, 0, 1), "the flow is in use");
        assert!(sends(4 * SECOND, 0, 1), "inbound datagrams keep it");
        assert!(!sends(6 * SECOND, 0, 1), "the flow is forgotten");
        assert!(!sends(SECOND, 0, 1), "inbound datagrams do not begin it");
        assert!(sends(SECOND, 1, 0), "outbound datagrams pass");
        assert!(sends(SECOND, 0, 1), "and begin a flow");
    });
}

#[test]
fn a_packet_above_the_mtu_vanishes_and_a_smaller_one_passes() {
    with_links(
        "mtu = { from = \"n1\", to = \"n2\", is = \"600B\" }",
        |pair| {
            assert_eq!(pair.transport.listen(1, PORT, 1), Ok(()));
            let context = &mut pair.context;
            let small = pair.transport.send_datagram(context, 0, 1, 400);
            let large = pair.transport.send_datagram(context, 0, 1, 600);
            assert!(small.is_some() && large.is_none());
            let local = pair.transport.send_datagram(context, 0, 0, 600);
            assert!(local.is_some(), "no packet leaves the host");
            assert_eq!(context.affected()[0], 1);
            // The flights with the certificates are larger: the handshake never ends.
            pair.transport.dial(context, DialId(7), (0, 0), (1, PORT));
            pair.run();
            pair.run();
            let last = pair.transitions.last();
            let timed_out = matches!(last, Some((_, ConnectionTransition::DialFailed { reason, .. })) if *reason == DialError::TimedOut);
            assert!(timed_out, "{last:?}");
        },
    );
}

#[test]
fn loss_of_a_chosen_direction_spares_the_other() {
    let step = "loss = { from = \"n1\", to = \"n2\", direction = \"out\", is = \"100%\" }";
    with_links(step, |pair| {
        let context = &mut pair.context;
        assert!(pair.transport.send_datagram(context, 0, 1, 10).is_none());
        assert!(pair.transport.send_datagram(context, 1, 0, 10).is_some());
        let now = context.now();
        pair.transport
            .change_network(now, NetworkChange::Usual(0), None);
        let context = &mut pair.context;
        assert!(pair.transport.send_datagram(context, 0, 1, 10).is_some());
    });
}

#[test]
fn chosen_links_go_before_all_links() {
    let step = "latency = { from = \"n1\", to = \"n2\", direction = \"in\", is = \"70ms\" }";
    with_links(step, |pair| {
        let now = pair.context.now();
        let all = crate::scenario::Latency::Constant(core::time::Duration::from_millis(30));
        pair.transport
            .change_network(now, NetworkChange::Latency(Some(all)), None);
        let context = &mut pair.context;
        let latency =
            |flight: Option<DatagramFlight>| flight.map(|flight| flight.latency / 1_000_000);
        let out = pair.transport.send_datagram(context, 0, 1, 10);
        let back = pair.transport.send_datagram(context, 1, 0, 10);
        assert_eq!((latency(out), latency(back)), (Some(30), Some(70)));
    });
}

#[test]
fn datagrams_arrive_twice_or_damaged() {
    with_links("duplicate = \"100%\"", |pair| {
        let flight = pair.transport.send_datagram(&mut pair.context, 0, 1, 10);
        assert!(flight.is_some_and(|flight| flight.again.is_some() && flight.damage.is_none()));
    });
    with_links("corrupt = \"100%\"", |pair| {
        let flight = pair.transport.send_datagram(&mut pair.context, 0, 1, 10);
        assert!(flight.is_some_and(|flight| flight.again.is_none() && flight.damage.is_some()));
    });
}

#[test]
fn the_bandwidth_changes_from_a_time_on() {
    with_links("bandwidth = \"10Mbit\"", |pair| {
        let link = pair.connect();
        let from = pair.context.now();
        for _ in 0..5 {
            pair.send(link, Lane::Channel, 12_500);
        }
        pair.run();
        let last = pair.transitions.last().map(|(at, _)| at - from);
        // Five times 100 000 bits at ten million bits a second; the scenario has one million.
        assert!(
            last.is_some_and(|last| (50_000_000..60_000_000).contains(&last)),
            "{last:?}"
        );
    });
}
