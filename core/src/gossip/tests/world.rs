//! Whole meshes in the helper world: constant latency, no loss, partitions and crashes.

use super::super::*;
use crate::link::{Address, CloseReason, DialError, DialId, LinkId};
use crate::random::mix;
use crate::size::{Encoded, FRAME_BYTES_MAX};
use crate::testing::world::{self as testing, TestEnvironment};
use crate::time::{Duration, Wall};
use crate::topology::record::{Content, Service};
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

const LATENCY: Duration = Duration::from_millis(1);

/// An end of a link: the host, and the host's number for the link.
type End = (usize, LinkId);

/// An event in flight on the network.
pub(super) enum UnderWay {
    /// An input of the machine on a host.
    Input(usize, Input),
    /// A request to connect.
    Connect {
        from: usize,
        dial: DialId,
        address: SocketAddr,
    },
}

/// The links between hosts, and the events that machines reported.
#[derive(Default)]
pub(super) struct TestLinks {
    /// The other end of each end of a link.
    links: BTreeMap<End, End>,
    made: BTreeMap<usize, u64>,
    pub(super) events: BTreeMap<usize, Vec<Event>>,
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// The dials that hosts refuse although a process listens: from the first host to the second.
    pub(super) refused: BTreeSet<(usize, usize)>,
}

/// The hosts `n0`, `n1`, ... and the network between them.
pub(super) type GossipWorld = testing::TestWorld<TestLinks>;

impl TestEnvironment for TestLinks {
    type Node = usize;
    type Machine = Gossip;
    type Event = UnderWay;

    fn perform(world: &mut GossipWorld, index: &usize, output: Output) {
        let from = *index;
        match output {
            Output::Dial { dial, address } => {
                let connect = UnderWay::Connect {
                    from,
                    dial,
                    address,
                };
                world.schedule(3 * LATENCY, connect);
            }
            Output::Send { link, message } => {
                assert!(message.encoded_len() <= FRAME_BYTES_MAX);
                if let Some((to, link)) = world.environment.links.get(&(from, link)).copied() {
                    world.send(from, to, Input::Receive { link, message });
                }
            }
            Output::Close { link } => {
                if let Some((to, link)) = world.environment.unlink((from, link)) {
                    let reason = CloseReason::Farewell;
                    world.send(from, to, Input::Closed { link, reason });
                }
            }
            Output::Store { ticket, .. } => {
                world.schedule(LATENCY, UnderWay::Input(from, Input::Stored { ticket }));
            }
            Output::Report(event) => {
                let events = world.environment.events.entry(from).or_default();
                events.push(event);
            }
            Output::CancelDial { .. }
            | Output::Resolve { .. }
            | Output::LinkOpened { .. }
            | Output::KeepAddresses { .. }
            | Output::Left => {}
        }
    }

    fn happen(world: &mut GossipWorld, event: UnderWay) {
        match event {
            UnderWay::Input(to, input) => world.step(&to, input),
            UnderWay::Connect {
                from,
                dial,
                address,
            } => world.connect(from, dial, address),
        }
    }
}

impl TestLinks {
    fn number(&mut self, host: usize) -> LinkId {
        let made = self.made.entry(host).or_default();
        *made += 1;
        LinkId(*made)
    }

    /// Removes one end of a link. Returns the other end.
    fn unlink(&mut self, end: End) -> Option<End> {
        self.links.remove(&end)
    }
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

impl GossipWorld {
    pub(super) fn new(count: usize) -> Self {
        let mut world = Self::around(TestLinks::default());
        for index in 0..count {
            let seeds: &[usize] = if index == 0 { &[] } else { &[0] };
            world.boot(index, config(index, 1, seeds));
        }
        world
    }

    pub(super) fn boot(&mut self, index: usize, config: Config) {
        let machine = Gossip::new(config, index as u64, self.now);
        self.nodes.insert(index, machine);
        self.environment.events.remove(&index);
        self.step(&index, Input::Start);
    }

    pub(super) fn cut_between(&mut self, some: &[usize], others: &[usize]) {
        for one in some {
            for other in others {
                self.environment.cut.insert((*one, *other));
                self.environment.cut.insert((*other, *one));
            }
        }
    }

    /// Delivers an input from a running host to another host, unless the network between them is cut.
    fn send(&mut self, from: usize, to: usize, input: Input) {
        if !self.environment.cut.contains(&(from, to)) {
            self.schedule(LATENCY, UnderWay::Input(to, input));
        }
    }

    fn connect(&mut self, from: usize, dial: DialId, wanted: SocketAddr) {
        let hosts = self.environment.made.keys().chain(self.nodes.keys());
        let host = hosts.copied().find(|index| address(*index) == wanted);
        let Some(to) = host.filter(|to| !self.environment.cut.contains(&(from, *to))) else {
            return;
        };
        let refuses = self.environment.refused.contains(&(from, to));
        if refuses || !self.nodes.contains_key(&to) {
            let reason = DialError::Refused;
            let failed = Input::DialFailed { dial, reason };
            self.schedule(LATENCY, UnderWay::Input(from, failed));
            return;
        }
        let near = self.environment.number(from);
        let far = self.environment.number(to);
        self.environment.links.insert((from, near), (to, far));
        self.environment.links.insert((to, far), (from, near));
        let accepted = Input::Accepted {
            link: far,
            peer: name(from),
        };
        self.step(&to, accepted);
        let dialed = Input::Dialed {
            dial,
            link: near,
            peer: name(to),
        };
        self.schedule(LATENCY, UnderWay::Input(from, dialed));
    }

    /// Kills a host without warning; the operating system of the host resets its connections.
    pub(super) fn kill(&mut self, index: usize) {
        self.nodes.remove(&index);
        self.reset(index);
    }

    /// Resets all connections of a host, at both ends.
    pub(super) fn reset(&mut self, index: usize) {
        let links = self.environment.links.keys().filter(|end| end.0 == index);
        for end in links.copied().collect::<Vec<_>>() {
            if let Some((to, link)) = self.environment.unlink(end) {
                self.environment.unlink((to, link));
                let reason = CloseReason::Reset;
                self.send(index, to, Input::Closed { link, reason });
                let (index, link) = end;
                self.send(to, index, Input::Closed { link, reason });
            }
        }
    }

    /// Makes a host refuse the dials of all others.
    pub(super) fn refuse_dials(&mut self, index: usize) {
        let others = (0..100).filter(|other| *other != index);
        self.environment
            .refused
            .extend(others.map(|other| (other, index)));
    }

    pub(super) fn statuses(&self, of: usize) -> BTreeMap<Status, usize> {
        let mut found = BTreeMap::new();
        for member in self.nodes[&of].members() {
            *found.entry(member.status).or_default() += 1;
        }
        found
    }

    /// Asserts that all running hosts hold equal views and see exactly `alive` members alive.
    pub(super) fn assert_whole(&self, alive: usize) {
        let hash = self.nodes.values().next().map(Gossip::hash);
        for (index, machine) in &self.nodes {
            let (host, statuses) = (name(*index), self.statuses(*index));
            let seen = statuses.get(&Status::Alive).copied().unwrap_or(0);
            assert_eq!(seen, alive, "{host} at {:?} sees {statuses:?}", self.now);
            assert_eq!(Some(machine.hash()), hash, "{host}");
        }
    }

    /// The number of matching events that a host reported.
    pub(super) fn count(&self, of: usize, matches: impl Fn(&Event) -> bool) -> usize {
        let events = self.environment.events.get(&of).into_iter().flatten();
        events.filter(|event| matches(event)).count()
    }
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
