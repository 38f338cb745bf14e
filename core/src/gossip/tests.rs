//! The machine among its like: a small world with one latency, no loss, cuts and crashes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::*;
use crate::random::mix;
use crate::size::Encoded;
use crate::time::{Duration, Wall};
use crate::topology::record::{Content, Rank, Service};
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

const LATENCY: Duration = Duration::from_millis(1);

#[derive(Debug)]
enum What {
    Deliver {
        to: usize,
        input: Input,
    },
    Wake {
        to: usize,
    },
    Syn {
        from: usize,
        dial: DialId,
        address: SocketAddr,
    },
}

struct Host {
    machine: Gossip,
    up: bool,
    /// Our link, to the other host and its link.
    links: BTreeMap<LinkId, (usize, LinkId)>,
    made: u64,
    events: Vec<Event>,
    sent: usize,
}

struct World {
    now: Instant,
    order: u64,
    heap: BTreeMap<(Instant, u64), What>,
    hosts: Vec<Host>,
    cut: BTreeSet<(usize, usize)>,
}

fn name(index: usize) -> NodeId {
    NodeId::new(&format!("n{index}")).unwrap()
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, (index >> 8) as u8, index as u8), 7_000))
}

fn config(index: usize, epoch: u64, seeds: &[usize]) -> Config {
    let content = Content {
        address: Some(address(index)),
        joined: Wall(1_700_000_000),
        services: BTreeSet::from([Service {
            name: "echo".into(),
            version: "1".into(),
        }]),
        ..Content::default()
    };
    let targets = seeds
        .iter()
        .map(|seed| Address::Socket(address(*seed)))
        .collect();
    let instance = mix(index as u64 * 31 + epoch) as u32 | 1;
    Config::new(name(index), "test", epoch, instance, content, targets)
}

impl World {
    fn new(count: usize) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            order: 0,
            heap: BTreeMap::new(),
            hosts: Vec::new(),
            cut: BTreeSet::new(),
        };
        for index in 0..count {
            let seeds: &[usize] = if index == 0 { &[] } else { &[0] };
            world.boot(index, config(index, 1, seeds));
        }
        world
    }

    fn boot(&mut self, index: usize, config: Config) {
        let machine = Gossip::new(config, index as u64, self.now);
        let made = self.hosts.get(index).map_or(0, |host| host.made);
        let host = Host {
            machine,
            up: true,
            links: BTreeMap::new(),
            made,
            events: Vec::new(),
            sent: 0,
        };
        if index == self.hosts.len() {
            self.hosts.push(host);
        } else {
            self.hosts[index] = host;
        }
        self.schedule(
            Duration::ZERO,
            What::Deliver {
                to: index,
                input: Input::Start,
            },
        );
    }

    fn schedule(&mut self, after: Duration, what: What) {
        self.order += 1;
        self.heap.insert((self.now + after, self.order), what);
    }

    fn passes(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to)) && self.hosts[from].up && self.hosts[to].up
    }

    fn cut_between(&mut self, some: &[usize], others: &[usize]) {
        for one in some {
            for other in others {
                self.cut.insert((*one, *other));
                self.cut.insert((*other, *one));
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((&(at, order), _)) = self.heap.first_key_value() {
            if at > end {
                break;
            }
            let what = self.heap.remove(&(at, order)).unwrap();
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Deliver { to, input } => self.step(to, input),
            What::Wake { to } => {
                if self.hosts[to].up
                    && self.hosts[to]
                        .machine
                        .next_deadline()
                        .is_some_and(|at| at <= self.now)
                {
                    self.step(to, Input::Wake);
                    let next = self.hosts[to].machine.next_deadline();
                    assert!(
                        next.is_none_or(|at| at > self.now),
                        "would spin: {:?}",
                        self.hosts[to].machine.timers
                    );
                }
            }
            What::Syn {
                from,
                dial,
                address: wanted,
            } => self.connect(from, dial, wanted),
        }
    }

    fn connect(&mut self, from: usize, dial: DialId, wanted: SocketAddr) {
        let Some(to) = (0..self.hosts.len()).find(|index| address(*index) == wanted) else {
            return;
        };
        if self.cut.contains(&(from, to)) || !self.hosts[from].up {
            return;
        }
        if !self.hosts[to].up {
            self.schedule(
                LATENCY,
                What::Deliver {
                    to: from,
                    input: Input::DialFailed {
                        dial,
                        reason: DialError::Refused,
                    },
                },
            );
            return;
        }
        self.hosts[from].made += 1;
        let near = LinkId(self.hosts[from].made);
        self.hosts[to].made += 1;
        let far = LinkId(self.hosts[to].made);
        self.hosts[from].links.insert(near, (to, far));
        self.hosts[to].links.insert(far, (from, near));
        self.step(
            to,
            Input::Accepted {
                link: far,
                peer: name(from),
            },
        );
        self.schedule(
            LATENCY,
            What::Deliver {
                to: from,
                input: Input::Dialed {
                    dial,
                    link: near,
                    peer: name(to),
                },
            },
        );
    }

    fn step(&mut self, index: usize, input: Input) {
        if !self.hosts[index].up {
            return;
        }
        let mut out = Outbox::new();
        self.hosts[index].machine.step(self.now, input, &mut out);
        for output in out.drain().collect::<Vec<_>>() {
            match output {
                Output::Dial {
                    dial,
                    address: Address::Socket(address),
                } => {
                    self.schedule(
                        3 * LATENCY,
                        What::Syn {
                            from: index,
                            dial,
                            address,
                        },
                    );
                }
                Output::Send { link, message } => {
                    assert!(message.encoded_len() <= message::FRAME_BYTES_MAX);
                    self.hosts[index].sent += message.encoded_len();
                    let Some((to, far)) = self.hosts[index].links.get(&link).copied() else {
                        continue;
                    };
                    if self.passes(index, to) {
                        self.schedule(
                            LATENCY,
                            What::Deliver {
                                to,
                                input: Input::Receive { link: far, message },
                            },
                        );
                    }
                }
                Output::Close { link } => {
                    let Some((to, far)) = self.hosts[index].links.remove(&link) else {
                        continue;
                    };
                    if self.passes(index, to) {
                        let reason = CloseReason::Ended;
                        self.schedule(
                            LATENCY,
                            What::Deliver {
                                to,
                                input: Input::Closed { link: far, reason },
                            },
                        );
                    }
                }
                Output::Store { ticket, .. } => {
                    self.schedule(
                        LATENCY,
                        What::Deliver {
                            to: index,
                            input: Input::Stored { ticket },
                        },
                    );
                }
                Output::Report(event) => self.hosts[index].events.push(event),
                Output::Dial { .. } | Output::Left => {}
            }
        }
        if let Some(at) = self.hosts[index].machine.next_deadline() {
            let wait = at - self.now;
            self.schedule(wait, What::Wake { to: index });
        }
    }

    /// Kills without warning; the operating system resets its connections.
    fn kill(&mut self, index: usize) {
        let links = core::mem::take(&mut self.hosts[index].links);
        for (to, far) in links.into_values() {
            if self.passes(index, to) {
                let reason = CloseReason::Lost;
                self.schedule(
                    LATENCY,
                    What::Deliver {
                        to,
                        input: Input::Closed { link: far, reason },
                    },
                );
            }
        }
        self.hosts[index].up = false;
    }

    fn statuses(&self, of: usize) -> BTreeMap<Status, usize> {
        let mut found = BTreeMap::new();
        for member in self.hosts[of].machine.members() {
            *found.entry(member.status).or_default() += 1;
        }
        found
    }

    /// All hosts that are up hold equal views and see exactly `alive` members alive.
    fn assert_whole(&self, alive: usize) {
        let up: Vec<usize> = (0..self.hosts.len())
            .filter(|index| self.hosts[*index].up)
            .collect();
        for index in &up {
            let seen = self
                .statuses(*index)
                .get(&Status::Alive)
                .copied()
                .unwrap_or(0);
            assert_eq!(
                seen,
                alive,
                "{} at {:?} sees {:?}",
                name(*index),
                self.now,
                self.statuses(*index)
            );
            assert_eq!(
                self.hosts[*index].machine.hash(),
                self.hosts[up[0]].machine.hash(),
                "{}",
                name(*index)
            );
        }
    }

    fn count(&self, of: usize, matches: impl Fn(&Event) -> bool) -> usize {
        self.hosts[of]
            .events
            .iter()
            .filter(|event| matches(event))
            .count()
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn two_nodes_that_know_one_address_see_each_other() {
    let mut world = World::new(2);
    world.run_for(secs(2));
    world.assert_whole(2);
    assert_eq!(world.hosts[1].machine.phase(), Phase::Running);
}

#[test]
fn thirty_nodes_join_through_one_seed() {
    let mut world = World::new(30);
    world.run_for(secs(1));
    world.assert_whole(30);
    world.run_for(secs(60));
    world.assert_whole(30);
    for host in &world.hosts {
        let links = host.machine.links(world.now).count();
        assert!(
            (3..=14).contains(&links),
            "{} has {links} links",
            host.machine.id()
        );
        assert_eq!(
            host.events
                .iter()
                .filter(|event| matches!(event, Event::PeerDown { .. }))
                .count(),
            0
        );
    }
}

#[test]
fn a_killed_node_is_down_everywhere_within_five_seconds_and_back_after_a_restart() {
    let mut world = World::new(10);
    world.run_for(secs(30));
    world.kill(4);
    world.run_for(secs(5));
    for index in (0..10).filter(|index| *index != 4) {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 9), (Status::Down, 1)]),
            "{}",
            name(index)
        );
    }
    world.boot(4, config(4, 2, &[0]));
    world.run_for(secs(2));
    for index in 0..10 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 10)]),
            "{}",
            name(index)
        );
    }
    world.run_for(secs(8));
    world.assert_whole(10);
}

#[test]
fn two_halves_find_each_other_again_without_a_flicker() {
    let mut world = World::new(12);
    world.run_for(secs(30));
    let (left, right): (Vec<usize>, Vec<usize>) = (0..12).partition(|index| index % 2 == 0);
    world.cut_between(&left, &right);
    world.run_for(secs(40));
    for index in 0..12 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 6), (Status::Down, 6)]),
            "{}",
            name(index)
        );
    }
    for host in &mut world.hosts {
        host.events.clear();
    }
    world.cut.clear();
    world.run_for(secs(3));
    for index in 0..12 {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 12)]),
            "{}",
            name(index)
        );
        assert_eq!(
            world.count(index, |event| matches!(event, Event::PeerDown { .. })),
            0
        );
    }
    world.run_for(secs(40));
    world.assert_whole(12);
}

#[test]
fn a_farewell_is_no_death() {
    let mut world = World::new(6);
    world.run_for(secs(20));
    world.step(3, Input::Leave);
    world.run_for(secs(2));
    assert_eq!(world.hosts[3].machine.phase(), Phase::Left);
    for index in [0, 1, 2, 4, 5] {
        assert_eq!(
            world.statuses(index),
            BTreeMap::from([(Status::Alive, 5), (Status::Left, 1)])
        );
        assert_eq!(
            world.count(index, |event| matches!(
                event,
                Event::PeerDown { .. } | Event::PeerSuspected { .. }
            )),
            0
        );
    }
}

/// Steps one machine and returns its orders.
fn orders(machine: &mut Gossip, now: Instant, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    machine.step(now, input, &mut out);
    out.drain().collect()
}

fn hello(record: Record, session: u32) -> Message {
    Message::Hello(message::Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session,
        joining: false,
        hash: 0,
        record: Arc::new(record),
    })
}

fn rank(epoch: u64, instance: u32, version: u64) -> Rank {
    Rank {
        epoch,
        instance,
        incarnation: 0,
        leaving: false,
        version,
    }
}

/// A machine with one established link to `n1`, over which its orders can be read.
fn with_a_neighbour() -> (Gossip, LinkId) {
    let mut machine = Gossip::new(config(0, 5, &[]), 1, Instant::ZERO);
    orders(&mut machine, Instant::ZERO, Input::Start);
    let link = LinkId(1);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Accepted {
            link,
            peer: name(1),
        },
    );
    let record = Record::new(name(1), rank(1, 9, 1), config(1, 1, &[]).content);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Receive {
            link,
            message: hello(record, 1),
        },
    );
    assert_eq!(machine.links(Instant::ZERO).count(), 1);
    (machine, link)
}

fn frame_of(record: Record) -> Message {
    Message::Frame(message::Frame {
        records: vec![Arc::new(record)],
        ..message::Frame::default()
    })
}

fn refusal_in(orders: &[Output]) -> Option<&message::Refusal> {
    orders.iter().find_map(|order| match order {
        Output::Send {
            message: Message::Refuse(refusal),
            ..
        } => Some(refusal),
        _ => None,
    })
}

#[test]
fn a_lie_about_oneself_is_published_over() {
    let (mut machine, link) = with_a_neighbour();
    let truth = machine.record().content().clone();
    let own = machine.record().rank();
    let mut lie = truth.clone();
    lie.services.clear();
    let lying = Rank {
        incarnation: 3,
        version: 40,
        leaving: true,
        ..own
    };
    let message = frame_of(Record::new(name(0), lying, lie));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    assert!(given.contains(&Output::Report(Event::Refuted { from: name(1) })));
    let now = machine.record();
    assert_eq!(now.content(), &truth);
    assert!(now.rank() > lying && !now.rank().leaving && now.rank().version > 40);
    assert_eq!(machine.topology().record(&name(0)), Some(now));
}

#[test]
fn a_lie_at_the_highest_counter_is_outlived_by_a_stored_epoch() {
    let (mut machine, link) = with_a_neighbour();
    let own = machine.record().rank();
    let lying = Rank {
        incarnation: crate::topology::record::COUNTER_MAX,
        ..own
    };
    let message = frame_of(Record::new(name(0), lying, Content::default()));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    let ticket = given.iter().find_map(|order| match order {
        Output::Store { ticket, epoch: 6 } => Some(*ticket),
        _ => None,
    });
    assert_eq!(machine.record().rank().epoch, 5, "not before it is durable");
    let ticket = ticket.expect("an epoch to store");
    orders(
        &mut machine,
        Instant::from_millis(20),
        Input::Stored { ticket },
    );
    assert_eq!(machine.record().rank().epoch, 6);
    assert!(machine.record().rank() > lying);
}

#[test]
fn a_counter_above_the_maximum_is_rejected() {
    let (mut machine, link) = with_a_neighbour();
    let wild = Rank {
        version: u64::MAX,
        ..rank(1, 1, 1)
    };
    let message = frame_of(Record::new(name(7), wild, Content::default()));
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive { link, message },
    );
    let reason = Rejection::CounterTooHigh;
    assert!(given.contains(&Output::Report(Event::Rejected {
        from: name(1),
        reason
    })));
    assert_eq!(machine.member(&name(7)), None);
}

#[test]
fn the_older_of_two_machines_with_one_id_stops_and_names_the_other() {
    let (mut machine, link) = with_a_neighbour();
    let newer = Record::new(name(0), rank(6, 77, 1), Content::default());
    let given = orders(
        &mut machine,
        Instant::from_millis(10),
        Input::Receive {
            link,
            message: frame_of(newer),
        },
    );
    assert!(given.contains(&Output::Report(Event::NameTaken {
        epoch: 6,
        instance: 77
    })));
    let message = Message::Goodbye(message::Goodbye::NameTaken);
    assert!(given.contains(&Output::Send { link, message }));
    assert_eq!(
        (machine.phase(), machine.next_deadline()),
        (Phase::NameTaken, None)
    );
    // It never leapfrogs: nothing that comes later makes it publish again.
    assert_eq!(
        orders(&mut machine, Instant::from_millis(20), Input::Wake),
        []
    );
}

#[test]
fn a_node_that_finds_its_previous_life_takes_a_higher_epoch_once_that_is_stored() {
    let mut machine = Gossip::new(config(0, 5, &[1]), 1, Instant::ZERO);
    orders(&mut machine, Instant::ZERO, Input::Start);
    let at = Instant::from_millis(1);
    let dialled = orders(&mut machine, at, Input::Wake);
    let dial = dialled.iter().find_map(|order| match order {
        Output::Dial { dial, .. } => Some(*dial),
        _ => None,
    });
    let (dial, link) = (dial.expect("a dial of the target"), LinkId(1));
    orders(
        &mut machine,
        at,
        Input::Dialed {
            dial,
            link,
            peer: name(1),
        },
    );
    let yours = Some(Arc::new(Record::new(
        name(0),
        rank(9, 3, 4),
        Content::default(),
    )));
    let reason = message::RefusalReason::NameTaken;
    let refusal = message::Refusal {
        reason,
        session: 0,
        versions: (0, 0),
        others: vec![],
        yours,
    };
    let given = orders(
        &mut machine,
        at,
        Input::Receive {
            link,
            message: Message::Refuse(refusal),
        },
    );
    assert!(
        given
            .iter()
            .any(|order| matches!(order, Output::Store { epoch: 10, .. })),
        "{given:?}"
    );
    orders(&mut machine, at, Input::Stored { ticket: Ticket(1) });
    assert_eq!(machine.record().rank().epoch, 10);
    let dialled = orders(&mut machine, Instant::from_millis(900), Input::Wake);
    assert!(
        dialled
            .iter()
            .any(|order| matches!(order, Output::Dial { .. })),
        "{dialled:?}"
    );
}

#[test]
fn greetings_that_do_not_fit_are_refused_with_the_reason() {
    let content = config(1, 1, &[]).content;
    let record = || Record::new(name(2), rank(1, 9, 1), content.clone());
    let Message::Hello(good) = hello(record(), 1) else {
        unreachable!()
    };
    let wrong_mesh = message::Hello {
        mesh: "other".into(),
        ..good.clone()
    };
    let too_new = message::Hello {
        version_min: 7,
        version_max: 9,
        ..good.clone()
    };
    let mine = message::Hello {
        record: Arc::clone(with_a_neighbour().0.record()),
        ..good
    };
    for (greeting, peer, reason) in [
        (wrong_mesh, 2, message::RefusalReason::WrongMesh),
        (too_new, 2, message::RefusalReason::Version),
        (mine, 0, message::RefusalReason::Myself),
    ] {
        let (mut machine, _) = with_a_neighbour();
        let link = LinkId(2);
        orders(
            &mut machine,
            Instant::ZERO,
            Input::Accepted {
                link,
                peer: name(peer),
            },
        );
        let given = orders(
            &mut machine,
            Instant::ZERO,
            Input::Receive {
                link,
                message: Message::Hello(greeting),
            },
        );
        assert_eq!(
            refusal_in(&given).map(|refusal| refusal.reason),
            Some(reason)
        );
        assert!(given.contains(&Output::Close { link }));
        assert_eq!(machine.links(Instant::ZERO).count(), 1);
    }
}

#[test]
fn a_greeting_with_somebody_elses_record_ends_the_link() {
    let (mut machine, _) = with_a_neighbour();
    let link = LinkId(2);
    orders(
        &mut machine,
        Instant::ZERO,
        Input::Accepted {
            link,
            peer: name(2),
        },
    );
    let message = hello(Record::new(name(3), rank(1, 9, 1), Content::default()), 1);
    let given = orders(
        &mut machine,
        Instant::ZERO,
        Input::Receive { link, message },
    );
    let reason = Rejection::WrongRecord;
    assert!(given.contains(&Output::Report(Event::Rejected {
        from: name(2),
        reason
    })));
    assert!(given.contains(&Output::Close { link }));
}

#[test]
fn of_two_connections_the_higher_session_stays_and_of_equal_ones_the_one_the_lower_id_dialled() {
    let record = || Record::new(name(1), rank(1, 9, 1), config(1, 1, &[]).content);
    for (session, kept) in [(1, LinkId(1)), (2, LinkId(2))] {
        let (mut machine, _) = with_a_neighbour();
        let link = LinkId(2);
        orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Accepted {
                link,
                peer: name(1),
            },
        );
        let message = hello(record(), session);
        let given = orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Receive { link, message },
        );
        assert_eq!(
            machine
                .links(Instant::ZERO)
                .map(|link| link.link)
                .collect::<Vec<_>>(),
            [kept]
        );
        let superseded = refusal_in(&given).map(|refusal| (refusal.reason, refusal.session));
        let expected = (kept == LinkId(1)).then_some((message::RefusalReason::Superseded, 1));
        assert_eq!(superseded, expected);
    }
}

#[test]
fn a_join_storm_is_answered_with_other_members_to_try() {
    let (mut machine, _) = with_a_neighbour();
    let mut refused = 0;
    for index in 2..40 {
        let link = LinkId(index);
        let peer = name(usize::try_from(index).unwrap());
        orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Accepted {
                link,
                peer: peer.clone(),
            },
        );
        let content = config(usize::try_from(index).unwrap(), 1, &[]).content;
        let record = Record::new(peer, rank(1, 9, 1), content);
        let Message::Hello(greeting) = hello(record, 1) else {
            unreachable!()
        };
        let message = Message::Hello(message::Hello {
            joining: true,
            ..greeting
        });
        let given = orders(
            &mut machine,
            Instant::from_millis(1),
            Input::Receive { link, message },
        );
        if let Some(refusal) = refusal_in(&given) {
            assert_eq!(refusal.reason, message::RefusalReason::Busy);
            assert!(!refusal.others.is_empty() && refusal.others.len() <= message::REFERRALS_MAX);
            assert!(
                refusal
                    .others
                    .iter()
                    .all(|other| (1..21).any(|index| address(index) == *other))
            );
            refused += 1;
        }
    }
    assert_eq!(
        refused,
        38 - 19,
        "a burst of 20, one of which the neighbour took"
    );
}

#[test]
fn updates_of_one_moment_go_out_as_one_message() {
    let (mut machine, link) = with_a_neighbour();
    // The link was used just now, so it gathers.
    let mut content = machine.record().content().clone();
    let mut sent = Vec::new();
    for value in ["1", "2", "3"] {
        content.metadata.insert("key".into(), value.into());
        sent.extend(orders(
            &mut machine,
            Instant::from_millis(50),
            Input::Announce(content.clone()),
        ));
    }
    sent.extend(orders(&mut machine, Instant::from_millis(51), Input::Wake));
    let frames: Vec<_> = sent
        .iter()
        .filter_map(|order| match order {
            Output::Send {
                link: on,
                message: Message::Frame(frame),
            } if *on == link => Some(frame.records.len()),
            _ => None,
        })
        .filter(|records| *records > 0)
        .collect();
    assert_eq!(frames, [1, 1], "the first at once, the others together");
    assert_eq!(machine.record().content().metadata["key"], "3");
}
