//! Two processes on two hosts, connected by the transport alone.

mod faults;

use super::*;
use crate::model::trace::Trace;
use crate::scenario::plan::Plan;
use phalanx_core::lane::{Lane, Placement};
use phalanx_core::time::nanos;

const SLOW: &str = r#"
scenario = 1
name = "x"
about = "x"
engines = ["model"]
duration = "20s"
[network]
bandwidth = "1Mbit"
[[nodes]]
count = 2
[[expect]]
eventually = { converged = true }
"#;

/// The port that process 1 listens on.
const PORT: u16 = 80;

/// A message with the given lane and size.
#[derive(Clone, Debug)]
struct Data(Lane, usize);

impl Message for Data {
    fn encoded_len(&self) -> usize {
        self.1
    }

    fn kind(&self) -> &'static str {
        "data"
    }

    fn placement(&self) -> Placement {
        Placement::of(self.0)
    }
}

struct Pair<'a> {
    context: Context<'a, 'a>,
    transport: Transport<'a>,
    /// The transitions so far, each with its time in nanoseconds.
    transitions: Vec<(u64, ConnectionTransition)>,
}

impl<'a> Pair<'a> {
    fn new(scenario: &'a Scenario, plan: &'a Plan, has_lanes: bool) -> Self {
        let trace = Trace::new(None);
        Self {
            context: Context::new(scenario, plan, trace, true),
            transport: Transport::new(scenario, 1, 2, has_lanes),
            transitions: Vec::new(),
        }
    }

    /// Handles all events of the next ten seconds.
    fn run(&mut self) {
        self.run_for(10_000_000_000);
    }

    /// Handles all events of a time in nanoseconds.
    fn run_for(&mut self, time: u64) {
        let until = self.context.now() + time;
        while let Some(event) = self.context.advance(until) {
            let context = &mut self.context;
            let transport = &mut self.transport;
            let transition = match event {
                ScheduledEvent::Arrive {
                    connection,
                    end,
                    number,
                } => {
                    let receiver = Receiver {
                        powered: true,
                        paused_until: 0,
                        delayed_by: None,
                    };
                    let place = (connection, end);
                    if transport.on_arrive(context, place, number, receiver) {
                        while let Some(next) = transport.next_transition(context, place, |_| true) {
                            self.transitions.push((context.now(), next));
                        }
                    }
                    None
                }
                ScheduledEvent::Depart { connection, end } => {
                    transport.on_departure(context, connection, end);
                    None
                }
                ScheduledEvent::Retransmit {
                    connection,
                    end,
                    number,
                } => transport.on_retransmit(context, (connection, end), number),
                ScheduledEvent::Reset { connection, end } => {
                    transport.on_reset(connection, end, |_| true)
                }
                ScheduledEvent::DialTimeout { connection } => transport.on_dial_timeout(connection),
                other @ (ScheduledEvent::Action(_)
                | ScheduledEvent::Triggered { .. }
                | ScheduledEvent::Wake { .. }
                | ScheduledEvent::Mail { .. }
                | ScheduledEvent::Unreachable { .. }
                | ScheduledEvent::Disk { .. }
                | ScheduledEvent::RetryWrite { .. }
                | ScheduledEvent::RestartProcess { .. }
                | ScheduledEvent::Datagram(_)
                | ScheduledEvent::Local { .. }
                | ScheduledEvent::ListenFailed { .. }) => {
                    panic!("the transport schedules no {other:?}")
                }
            };
            self.transitions
                .extend(transition.map(|it| (self.context.now(), it)));
        }
    }

    /// Opens a connection from process 0 to process 1; returns the link of process 0.
    fn connect(&mut self) -> LinkId {
        assert_eq!(self.transport.listen(1, PORT, 1), Ok(()));
        let context = &mut self.context;
        self.transport.dial(context, DialId(7), (0, 0), (1, PORT));
        self.run();
        let Some((_, ConnectionTransition::Dialed { link, .. })) = self.transitions.pop() else {
            panic!("{:?}", self.transitions);
        };
        self.transitions.clear();
        link
    }

    fn send(&mut self, link: LinkId, lane: Lane, bytes: usize) {
        let message = Rc::new(Data(lane, bytes));
        let leaves = self
            .transport
            .send_message(&mut self.context, link, message, bytes);
        assert!(leaves, "the message goes to another host");
    }

    /// The lanes of the messages that arrived, in order.
    fn received(&self) -> Vec<Lane> {
        let messages = self.transitions.iter().filter_map(|(_, it)| match it {
            ConnectionTransition::Received { message, .. } => message.of::<Data>(),
            ConnectionTransition::Accepted { .. }
            | ConnectionTransition::Dialed { .. }
            | ConnectionTransition::DialFailed { .. }
            | ConnectionTransition::Closed { .. } => None,
        });
        messages.map(|data| data.0).collect()
    }
}

fn with_pair(has_lanes: bool, test: impl FnOnce(&mut Pair<'_>)) {
    let scenario = Scenario::parse("x.toml", SLOW).expect("the scenario is valid");
    let plan = scenario.plan(1).expect("the scenario can be planned");
    test(&mut Pair::new(&scenario, &plan, has_lanes));
}

#[test]
fn a_handshake_opens_both_ends_the_acceptor_first() {
    with_pair(true, |pair| {
        assert_eq!(pair.transport.listen(1, PORT, 1), Ok(()));
        let context = &mut pair.context;
        pair.transport.dial(context, DialId(7), (0, 0), (1, PORT));
        assert_eq!(pair.transport.connection_count(0), 1);
        pair.run();
        let [(accepted, first), (dialed, second)] = &*pair.transitions else {
            panic!("{:?}", pair.transitions);
        };
        assert!(matches!(
            first,
            ConnectionTransition::Accepted {
                slot: 1,
                peer: 0,
                ..
            }
        ));
        assert!(matches!(
            second,
            ConnectionTransition::Dialed {
                slot: 0,
                peer: 1,
                dial: DialId(7),
                ..
            }
        ));
        let latency = nanos(core::time::Duration::from_millis(1));
        assert!(*accepted >= 5 * latency && *dialed >= accepted + latency);
    });
}

#[test]
fn a_dial_to_a_port_without_a_listener_is_refused() {
    with_pair(true, |pair| {
        let context = &mut pair.context;
        pair.transport.dial(context, DialId(7), (0, 0), (1, PORT));
        pair.run();
        let reason = match &*pair.transitions {
            [
                (
                    _,
                    ConnectionTransition::DialFailed {
                        slot: 0, reason, ..
                    },
                ),
            ] => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(*reason, DialError::Refused);
        assert_eq!(pair.transport.connection_count(0), 0, "it is released");
    });
}

#[test]
fn a_heartbeat_overtakes_the_bulk_data_that_waits() {
    for (has_lanes, place) in [(true, 1), (false, 4)] {
        with_pair(has_lanes, |pair| {
            let link = pair.connect();
            for _ in 0..4 {
                pair.send(link, Lane::Channel, 10_000);
            }
            pair.send(link, Lane::Control, 100);
            pair.run();
            let received = pair.received();
            assert_eq!(received.len(), 5);
            let found = received.iter().position(|lane| *lane == Lane::Control);
            assert_eq!(found, Some(place), "lanes: {has_lanes}");
        });
    }
}

#[test]
fn the_bandwidth_is_used_without_a_gap_while_messages_wait() {
    with_pair(true, |pair| {
        let link = pair.connect();
        for _ in 0..4 {
            pair.send(link, Lane::Channel, 12_500 - FRAMING_BYTES);
        }
        pair.run();
        // 12 500 bytes take 100 ms at a megabit a second.
        let times: Vec<u64> = pair.transitions.iter().map(|(at, _)| *at).collect();
        let gaps: Vec<u64> = times.windows(2).map(|it| it[1] - it[0]).collect();
        assert_eq!(gaps, [100_000_000; 3]);
    });
}

#[test]
fn waiting_messages_are_sent_before_a_farewell_and_lost_with_a_killed_process() {
    for (reason, arrive) in [(CloseReason::Farewell, 3), (CloseReason::Fin, 1)] {
        with_pair(true, |pair| {
            let link = pair.connect();
            for _ in 0..3 {
                pair.send(link, Lane::Channel, 10_000);
            }
            pair.transport.close_all(&mut pair.context, 0, reason);
            pair.run();
            assert_eq!(pair.received().len(), arrive);
            let closed = match pair.transitions.last() {
                Some((
                    _,
                    ConnectionTransition::Closed {
                        slot: 1, reason, ..
                    },
                )) => *reason,
                other => panic!("{other:?}"),
            };
            assert_eq!(closed, reason);
        });
    }
}

#[test]
fn a_process_of_a_host_without_power_sends_nothing_more() {
    with_pair(true, |pair| {
        let link = pair.connect();
        for _ in 0..3 {
            pair.send(link, Lane::Channel, 10_000);
        }
        pair.transport.vanish(0, 0);
        pair.run();
        assert_eq!(pair.received().len(), 1, "the first was on its way");
        assert_eq!(pair.transport.connection_count(0), 0);
    });
}
