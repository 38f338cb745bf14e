//! A fleet of 200 nodes with one issuer: renewals do not coincide, failed renewals are retried, and a change of the
//! calendar is noticed within a minute.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const NODES: usize = 200;
/// The number of peers that each node dials: the next nodes on a ring.
const DIALS: usize = 2;
/// The lifetime of a certificate, in seconds.
const LIFE: u64 = DAY;
/// Maximum number of renewals of the fleet in any one minute. Renewals of certificates with a life of one day are
/// spread over 120 minutes.
const MINUTE_MAX: usize = 12;

/// One node of the fleet.
struct Member {
    machine: Credentials,
    validity: Validity,
    generation: u64,
    last_link: u64,
    /// The number of seconds by which the calendar is ahead of the elapsed time.
    ahead: u64,
    /// For each link, the peer and the peer's id of the link.
    links: BTreeMap<LinkId, (usize, LinkId)>,
}

/// The fleet, its issuer and its network.
struct Fleet {
    members: Vec<Member>,
    now: Instant,
    due: BTreeSet<(Instant, usize)>,
    /// The time during which the issuer does not answer.
    outage: core::ops::Range<Instant>,
    renewals: Vec<(Instant, usize)>,
    failures: usize,
    closed: Vec<(Instant, usize, LocalClose)>,
}

impl Fleet {
    /// Creates a fleet whose certificates were all issued in the same second, with links along a ring.
    fn new(seed: u64) -> Self {
        let member = |index| {
            let validity = issued(BEGIN);
            let seed = Random::from_seed(seed).nth_child("node", index).next_u64();
            Member {
                machine: Credentials::new(validity, BEGIN, seed, Instant::ZERO),
                validity,
                generation: 0,
                last_link: 0,
                ahead: 0,
                links: BTreeMap::new(),
            }
        };
        let mut fleet = Self {
            members: (0..NODES as u64).map(member).collect(),
            now: Instant::ZERO,
            due: BTreeSet::new(),
            outage: Instant::FAR_FUTURE..Instant::FAR_FUTURE,
            renewals: Vec::new(),
            failures: 0,
            closed: Vec::new(),
        };
        for dialer in 0..NODES {
            for next in 1..=DIALS {
                fleet.connect(dialer, (dialer + next) % NODES);
            }
        }
        fleet
    }

    fn wall(&self, node: usize) -> Wall {
        let passed = self.now.since(Instant::ZERO).as_secs();
        Wall(BEGIN.0 + passed + self.members[node].ahead)
    }

    fn step(&mut self, node: usize, input: Input) {
        let mut out = Outbox::new();
        let before = self.members[node].machine.next_deadline();
        let machine = &mut self.members[node].machine;
        if input == Input::Wake {
            wake_checked(machine, self.now, &mut out);
        } else {
            machine.step(self.now, input, &mut out);
        }
        if let Some(at) = before {
            self.due.remove(&(at, node));
        }
        if let Some(at) = self.members[node].machine.next_deadline() {
            self.due.insert((at, node));
        }
        for output in out.drain() {
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::ReadCalendar => self.step(node, Input::Calendar(self.wall(node))),
            Output::Renew { link } => {
                if let Some((peer, _)) = self.members[node].links.get(&link).copied() {
                    // Make before break: the old link stays open.
                    self.connect(node, peer);
                    self.disconnect(node, link);
                }
            }
            Output::Verify { link } => {
                let trusted = true;
                self.step(node, Input::Verified { link, trusted });
            }
            Output::Close { link, reason } => {
                self.closed.push((self.now, node, reason));
                self.disconnect(node, link);
            }
            Output::RequestCertificate => self.issue(node),
            Output::Report(_) => {}
        }
    }

    fn issue(&mut self, node: usize) {
        if self.outage.contains(&self.now) {
            self.failures += 1;
            let reason = "the issuer does not answer".to_owned();
            return self.step(node, Input::RequestFailed { reason });
        }
        self.renewals.push((self.now, node));
        let validity = issued(self.wall(node));
        let member = &mut self.members[node];
        member.validity = validity;
        member.generation += 1;
        let generation = member.generation;
        self.step(
            node,
            Input::Replaced {
                generation,
                validity,
            },
        );
    }

    fn connect(&mut self, dialer: usize, acceptor: usize) {
        let ends = [dialer, acceptor];
        let [dialed, accepted] = ends.map(|node| {
            let member = &mut self.members[node];
            member.last_link += 1;
            LinkId(member.last_link)
        });
        let [one, other] = ends.map(|node| self.members[node].validity);
        let expiry = Expiry::first_of(one, other);
        let links = [dialed, accepted];
        for end in [0, 1] {
            let entry = (ends[1 - end], links[1 - end]);
            let member = &mut self.members[ends[end]];
            member.links.insert(links[end], entry);
            let generation = member.generation;
            self.step(
                ends[end],
                Input::LinkOpened {
                    link: links[end],
                    dialed: end == 0,
                    expiry,
                    generation,
                },
            );
        }
    }

    fn disconnect(&mut self, node: usize, link: LinkId) {
        if let Some((peer, other)) = self.members[node].links.remove(&link) {
            self.members[peer].links.remove(&other);
            self.step(node, Input::LinkClosed { link });
            self.step(peer, Input::LinkClosed { link: other });
        }
    }

    fn run_for_seconds(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some((at, node)) = self.due.first().copied().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.step(node, Input::Wake);
        }
        self.now = end;
    }

    /// The maximum number of renewals in any minute.
    fn busiest_minute(&self) -> usize {
        let minute = Duration::from_secs(60);
        let begins = self.renewals.iter().enumerate();
        let counts = begins.map(|(first, (begin, _))| {
            let rest = &self.renewals[first..];
            rest.partition_point(|(at, _)| *at < *begin + minute)
        });
        counts.max().unwrap_or(0)
    }

    /// Whether each link was made with the current credentials of both ends, and each member has its links.
    fn is_current(&self) -> bool {
        let current = self
            .members
            .iter()
            .all(|it| it.machine.outdated_links() == 0);
        let links = self.members.iter().map(|it| it.machine.links());
        current && links.sum::<usize>() == 2 * DIALS * NODES
    }

    fn certificates_are_valid(&self) -> bool {
        (0..NODES).all(|node| self.wall(node) <= self.members[node].validity.not_after)
    }
}

/// A certificate that the issuer issues at this time.
fn issued(wall: Wall) -> Validity {
    Validity {
        not_before: Wall(wall.0 - 300),
        not_after: Wall(wall.0 + LIFE),
    }
}

#[test]
fn a_fleet_renews_without_a_spike_and_without_losing_a_link() {
    for seed in 1..=3 {
        let mut fleet = Fleet::new(seed);
        for _ in 0..3 * 24 {
            fleet.run_for_seconds(3_600);
            assert!(fleet.certificates_are_valid());
        }
        let each = fleet.renewals.len() / NODES;
        assert!((3..=4).contains(&each), "{each} renewals of each node");
        let busiest = fleet.busiest_minute();
        assert!(busiest <= MINUTE_MAX, "seed {seed}: {busiest} in a minute");
        assert_eq!(fleet.closed, []);
        fleet.run_for_seconds(1);
        assert!(fleet.is_current());
    }
}

#[test]
fn renewals_that_fail_are_retried_and_done_within_a_minute_of_the_issuers_return() {
    let mut fleet = Fleet::new(1);
    let hours = |hours: u64| Instant::ZERO + Duration::from_secs(hours * 3_600);
    fleet.outage = hours(12)..hours(22);
    fleet.run_for_seconds(22 * 3_600);
    assert_eq!(fleet.renewals, [], "all were due in the outage");
    assert!(fleet.failures > NODES * 60, "{} failures", fleet.failures);
    fleet.run_for_seconds(60);
    assert_eq!(fleet.renewals.len(), NODES);
    fleet.run_for_seconds(3_600);
    assert_eq!(fleet.renewals.len(), NODES, "each renews once");
    assert!(fleet.certificates_are_valid() && fleet.is_current());
    assert_eq!(fleet.closed, []);
}

#[test]
fn a_calendar_set_right_by_months_is_noticed_by_the_whole_fleet_within_a_minute() {
    let mut fleet = Fleet::new(1);
    fleet.run_for_seconds(1_234);
    assert_eq!(fleet.renewals, []);
    for member in &mut fleet.members {
        member.ahead = 200 * DAY;
    }
    fleet.run_for_seconds(60);
    assert_eq!(fleet.renewals.len(), NODES);
    assert!(fleet.certificates_are_valid());
}
