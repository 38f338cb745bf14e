//! A member: core's credentials machine, with a certificate and links.

use super::messages::{Alive, Issuing, Proof};
use crate::messages::Reported;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::credentials::{Credentials, CredentialsEvent, Expiry, Input, Output, Validity};
use phalanx_core::machine::{Machine, Outbox};
use phalanx_core::random::hash_bytes;
use phalanx_core::time::{Instant, Wall};
use phalanx_sim::address::address;
use phalanx_sim::world::{DialId, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The port that members listen on.
pub const PORT: u16 = 8_444;
/// The command that moves the calendar of a member forward: `{ seconds }`.
pub const SET_CLOCK: &str = "set-clock";

/// The time that the issuer has for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// The pause before a lost link is dialled again.
const REDIAL: Duration = Duration::from_secs(1);

/// The interval between two messages on a link.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The start of a member.
#[derive(Debug)]
pub struct Birth {
    /// The index of the host.
    pub host: usize,
    /// The hosts that the member keeps links to.
    pub dials: Vec<usize>,
    /// The address of the issuer.
    pub issuer: SocketAddr,
    /// The calendar time at the start, as the scenario sets it.
    pub started: Wall,
    /// The number of seconds by which the calendar was moved before the latest restart.
    pub moved: u64,
    /// The first certificate.
    pub validity: Validity,
    /// The seed of the machine's random choices.
    pub seed: u64,
    /// Planted bug: the machine is not notified that a request failed.
    pub unretried: bool,
}

/// A dial under way, to a host.
#[derive(Clone, Copy, Debug)]
struct Dial {
    to: usize,
    /// The number of earlier links in a chain of links, each of which replaced the previous link.
    version: u64,
}

/// A link.
#[derive(Debug)]
struct Link {
    /// The dial that created the link; `None` if the peer dialled.
    dial: Option<Dial>,
    /// The version of the dial; zero on a link that the peer dialled, until the peer's proof arrives.
    version: u64,
    /// The member's own certificate as presented on the link, with its generation.
    shown: (Validity, u64),
    /// The peer, once it has presented its certificate, and the earlier expiry of the two certificates.
    open: Option<(usize, Expiry)>,
}

impl Link {
    /// Returns the host at the other end of an open link.
    fn peer(&self) -> Option<usize> {
        self.open.map(|(host, _)| host)
    }
}

/// A member of the fleet.
#[derive(Debug)]
pub struct RenewingMember {
    birth: Birth,
    machine: Credentials,
    /// The number of seconds by which the calendar was moved.
    moved: u64,
    /// The time of the latest event.
    now: Instant,
    validity: Validity,
    generation: u64,
    /// The number of the latest request, and the time until which its answer is awaited.
    requests: u64,
    awaited: Option<Instant>,
    dials: u64,
    dialing: BTreeMap<DialId, Dial>,
    links: BTreeMap<LinkId, Link>,
    /// The hosts to dial again.
    redial: BTreeMap<usize, Instant>,
    keep_alive_at: Instant,
    inputs: VecDeque<Input>,
}

impl RenewingMember {
    /// Creates a member.
    #[must_use]
    pub fn new(birth: Birth) -> Self {
        let validity = birth.validity;
        let wall = Wall(birth.started.0 + birth.moved);
        Self {
            machine: Credentials::new(validity, wall, birth.seed, Instant::ZERO),
            moved: birth.moved,
            now: Instant::ZERO,
            validity,
            generation: 0,
            requests: 0,
            awaited: None,
            dials: 0,
            dialing: BTreeMap::new(),
            links: BTreeMap::new(),
            redial: BTreeMap::new(),
            keep_alive_at: Instant::ZERO + KEEP_ALIVE,
            inputs: VecDeque::new(),
            birth,
        }
    }

    /// Returns whether the certificate is valid according to the member's calendar.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let wall = self.wall();
        self.validity.not_before <= wall && wall <= self.validity.not_after
    }

    /// Returns the number of open links.
    #[must_use]
    pub fn links(&self) -> usize {
        self.machine.links()
    }

    /// Returns the number of open links on which the member presented an earlier certificate.
    #[must_use]
    pub fn outdated_links(&self) -> usize {
        self.machine.outdated_links()
    }

    fn wall(&self) -> Wall {
        Wall(self.birth.started.0 + self.now.as_millis() / 1_000 + self.moved)
    }

    fn dial(&mut self, dial: Dial, out: &mut Effects) {
        self.redial.remove(&dial.to);
        self.dials += 1;
        let id = DialId(self.dials);
        self.dialing.insert(id, dial);
        let mut to = address(dial.to);
        to.set_port(PORT);
        out.push(Effect::Dial {
            dial: id,
            to: Some(to),
        });
    }

    /// Presents the certificate on a new link.
    fn show(&mut self, link: LinkId, dial: Option<Dial>, out: &mut Effects) {
        let version = dial.map_or(0, |dial| dial.version);
        out.send(
            link,
            Proof {
                host: self.birth.host,
                validity: self.validity,
                version,
            },
        );
        let validity = self.validity;
        let shown = (validity, self.generation);
        self.links.insert(
            link,
            Link {
                dial,
                version,
                shown,
                open: None,
            },
        );
    }

    /// The peer of a link presents its certificate, which opens the link. Of several links to one peer, both ends keep
    /// the link of the highest version; of equal versions, the link dialled by the lower host.
    fn on_proof(&mut self, link: LinkId, proof: Proof, out: &mut Effects) {
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        let (own, generation) = held.shown;
        let expiry = Expiry::first_of(own, proof.validity);
        let dialed = held.dial.is_some();
        held.open = Some((proof.host, expiry));
        held.version = held.dial.map_or(proof.version, |dial| dial.version);
        self.inputs.push_back(Input::LinkOpened {
            link,
            dialed,
            expiry,
            generation,
        });
        let to_peer = self.links.iter();
        let to_peer = to_peer.filter(|(_, held)| held.peer() == Some(proof.host));
        let rank = |(id, held): (&LinkId, &Link)| {
            let dialer = match held.dial {
                Some(_) => self.birth.host,
                None => proof.host,
            };
            (held.version, Reverse(dialer), *id)
        };
        let mut ranked: Vec<_> = to_peer.map(rank).collect();
        ranked.sort_unstable();
        ranked.pop();
        for (_, _, surplus) in ranked {
            self.drop_link(surplus, out);
        }
    }

    /// Closes a link.
    fn drop_link(&mut self, link: LinkId, out: &mut Effects) {
        out.push(Effect::Close { link });
        self.forget(link);
    }

    /// Forgets a link that is closed. Returns the host to dial again, if this member keeps a link to that host.
    fn forget(&mut self, link: LinkId) -> Option<usize> {
        let gone = self.links.remove(&link)?;
        if gone.open.is_some() {
            self.inputs.push_back(Input::LinkClosed { link });
        }
        let peer = gone.peer().or(gone.dial.map(|dial| dial.to))?;
        let is_linked = self.links.values().any(|link| link.peer() == Some(peer));
        (self.birth.dials.contains(&peer) && !is_linked).then_some(peer)
    }

    fn on_closed(&mut self, link: LinkId) {
        if let Some(peer) = self.forget(link) {
            self.redial.insert(peer, self.now + REDIAL);
        }
    }

    fn on_dial_failed(&mut self, dial: DialId) {
        // The machine itself repeats a failed replacement.
        let failed = self.dialing.remove(&dial);
        if let Some(dial) = failed.filter(|dial| dial.version == 0) {
            self.redial.insert(dial.to, self.now + REDIAL);
        }
    }

    fn on_issued(&mut self, number: u64, validity: Validity, out: &mut Effects) {
        if number != self.requests || self.awaited.take().is_none() {
            return;
        }
        self.validity = validity;
        self.generation += 1;
        out.report(Reported("renewed"));
        self.inputs.push_back(Input::Replaced {
            generation: self.generation,
            validity,
        });
    }

    fn on_wake(&mut self, out: &mut Effects) {
        let now = self.now;
        if self.awaited.take_if(|until| *until <= now).is_some() && !self.birth.unretried {
            let reason = "the issuer does not answer".to_owned();
            self.inputs.push_back(Input::RequestFailed { reason });
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + KEEP_ALIVE;
            for link in self.links.keys() {
                out.send(*link, Alive);
            }
        }
        let due: Vec<usize> = self
            .redial
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(to, _)| *to)
            .collect();
        for to in due {
            self.dial(Dial { to, version: 0 }, out);
        }
        if self.machine.next_deadline().is_some_and(|at| at <= now) {
            self.inputs.push_back(Input::Wake);
        }
    }

    /// Steps the machine until it has no more input, and performs its outputs.
    fn advance(&mut self, out: &mut Effects) {
        let mut outputs = Outbox::new();
        while let Some(input) = self.inputs.pop_front() {
            self.machine.step(self.now, input, &mut outputs);
            for output in outputs.drain() {
                self.perform(output, out);
            }
        }
    }

    fn perform(&mut self, output: Output, out: &mut Effects) {
        match output {
            Output::ReadCalendar => self.inputs.push_back(Input::Calendar(self.wall())),
            Output::Renew { link } => {
                let held = self.links.get(&link);
                if let Some((to, version)) = held.and_then(|it| Some((it.peer()?, it.version + 1)))
                {
                    self.dial(Dial { to, version }, out);
                }
            }
            Output::Verify { link } => {
                let trusted = true;
                self.inputs.push_back(Input::Verified { link, trusted });
            }
            Output::Close { link, .. } => {
                out.report(Reported("link-expired"));
                out.push(Effect::Close { link });
                self.on_closed(link);
            }
            Output::RequestCertificate => {
                self.requests += 1;
                self.awaited = Some(self.now + ANSWER);
                out.datagram(self.birth.issuer, Issuing::Request(self.requests));
            }
            Output::Report(event) => out.report(Reported(match event {
                CredentialsEvent::RequestFailed { .. } => "renewal-failed",
                CredentialsEvent::Expired { .. } => "certificate-expired",
                CredentialsEvent::CalendarStepped { .. } => "clock-set",
            })),
        }
    }

    fn take(&mut self, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.push(Effect::Listen { port: PORT });
                for to in self.birth.dials.clone() {
                    self.dial(Dial { to, version: 0 }, out);
                }
            }
            ProcessEvent::Wake => self.on_wake(out),
            ProcessEvent::Accepted { link, .. } => self.show(link, None, out),
            ProcessEvent::Dialed { dial, link, .. } => {
                let dial = self.dialing.remove(&dial);
                self.show(link, dial, out);
            }
            ProcessEvent::DialFailed { dial, .. } => self.on_dial_failed(dial),
            ProcessEvent::Closed { link, .. } => self.on_closed(link),
            ProcessEvent::Received { link, message } => {
                if let Some(proof) = message.take() {
                    self.on_proof(link, proof, out);
                }
            }
            ProcessEvent::Datagram { message, .. } => {
                if let Some(Issuing::Issued(number, validity)) = message.take() {
                    self.on_issued(number, validity, out);
                }
            }
            ProcessEvent::Command(command) => {
                self.moved += command.with["seconds"].as_u64().unwrap_or_default();
            }
            _ => {}
        }
    }
}

impl ProcessView for RenewingMember {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{:?} {}", self.validity, self.links()).as_bytes())
    }

    fn state(&self) -> Value {
        json!({
            "valid": self.is_valid(),
            "renewals": self.generation,
            "links": self.links(),
            "outdated-links": self.outdated_links(),
        })
    }
}

impl Process for RenewingMember {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Command(command) => command.name == SET_CLOCK,
            ProcessEvent::Start
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Received { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Wake => true,
            _ => false,
        }
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        self.now = now;
        self.take(event, out);
        self.advance(out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let redial = self.redial.values().min().copied();
        let keep_alive = Some(self.keep_alive_at);
        let own = [
            self.machine.next_deadline(),
            self.awaited,
            redial,
            keep_alive,
        ];
        own.into_iter().flatten().min()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}
