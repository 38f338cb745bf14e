//! The machine among its like: a small world with one latency, no loss, cuts and crashes.

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

#[test]
fn the_older_of_two_machines_with_one_name_stops_and_says_so() {
    let mut world = World::new(5);
    world.run_for(secs(10));
    // The clone runs elsewhere, under n2's id.
    let mut clone = config(5, 1, &[0]);
    clone.id = name(2);
    clone.instance = 7;
    world.boot(5, clone);
    world.hosts[5].machine = Gossip::new(
        Config {
            content: Content {
                address: Some(address(5)),
                ..Content::default()
            },
            ..world.hosts[5].machine.config().clone()
        },
        5,
        world.now,
    );
    assert_eq!(
        world.hosts[2].machine.record().rank(),
        Rank {
            epoch: 1,
            instance: config(2, 1, &[]).instance,
            incarnation: 0,
            leaving: false,
            version: 1
        }
    );
}
