//! A small world for machines: one latency, no loss, cuts and crashes.

use super::super::*;
use crate::random::mix;
use crate::size::Encoded;
use crate::time::{Duration, Wall};
use crate::topology::record::{Content, Service};
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const LATENCY: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) enum What {
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

pub(super) struct Host {
    pub(super) machine: Gossip,
    pub(super) up: bool,
    /// Our link, to the other host and its link.
    pub(super) links: BTreeMap<LinkId, (usize, LinkId)>,
    pub(super) made: u64,
    pub(super) events: Vec<Event>,
    pub(super) sent: usize,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) order: u64,
    pub(super) heap: BTreeMap<(Instant, u64), What>,
    pub(super) hosts: Vec<Host>,
    pub(super) cut: BTreeSet<(usize, usize)>,
}

pub(super) fn name(index: usize) -> NodeId {
    NodeId::new(&format!("n{index}")).unwrap()
}

pub(super) fn address(index: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, (index >> 8) as u8, index as u8), 7_000))
}

pub(super) fn config(index: usize, epoch: u64, seeds: &[usize]) -> Config {
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
    pub(super) fn new(count: usize) -> Self {
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

    pub(super) fn boot(&mut self, index: usize, config: Config) {
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

    pub(super) fn schedule(&mut self, after: Duration, what: What) {
        self.order += 1;
        self.heap.insert((self.now + after, self.order), what);
    }

    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to)) && self.hosts[from].up && self.hosts[to].up
    }

    pub(super) fn cut_between(&mut self, some: &[usize], others: &[usize]) {
        for one in some {
            for other in others {
                self.cut.insert((*one, *other));
                self.cut.insert((*other, *one));
            }
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
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

    pub(super) fn happen(&mut self, what: What) {
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
                        self.hosts[to].machine.context.timers
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

    pub(super) fn connect(&mut self, from: usize, dial: DialId, wanted: SocketAddr) {
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

    pub(super) fn step(&mut self, index: usize, input: Input) {
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
                        let reason = CloseReason::Farewell;
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
                Output::Dial { .. } | Output::LinkOpened { .. } | Output::Left => {}
            }
        }
        if let Some(at) = self.hosts[index].machine.next_deadline() {
            let wait = at - self.now;
            self.schedule(wait, What::Wake { to: index });
        }
    }

    /// Kills without warning; the operating system resets its connections.
    pub(super) fn kill(&mut self, index: usize) {
        let links = core::mem::take(&mut self.hosts[index].links);
        for (to, far) in links.into_values() {
            if self.passes(index, to) {
                let reason = CloseReason::Reset;
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

    pub(super) fn statuses(&self, of: usize) -> BTreeMap<Status, usize> {
        let mut found = BTreeMap::new();
        for member in self.hosts[of].machine.members() {
            *found.entry(member.status).or_default() += 1;
        }
        found
    }

    /// All hosts that are up hold equal views and see exactly `alive` members alive.
    pub(super) fn assert_whole(&self, alive: usize) {
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

    pub(super) fn count(&self, of: usize, matches: impl Fn(&Event) -> bool) -> usize {
        self.hosts[of]
            .events
            .iter()
            .filter(|event| matches(event))
            .count()
    }
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
