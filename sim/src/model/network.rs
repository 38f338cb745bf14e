//! The network between hosts: latency, loss, bandwidth, and blocked pairs.

use super::latency;
use crate::scenario::plan::Cut;
use crate::scenario::{Latency, Network, Scenario};
use phalanx_core::random::Random;

/// The outcome of one transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transit {
    /// Number of lost segments.
    pub(crate) lost: u32,
    /// The time until the other segments arrive, in nanoseconds.
    pub(crate) latency: u64,
}

/// A transmission within a host: no loss, no cut, 20 µs.
pub(crate) const LOOPBACK: Transit = Transit {
    lost: 0,
    latency: 20_000,
};

/// The state of the network.
#[derive(Debug)]
pub(crate) struct Fabric<'a> {
    scenario: &'a Scenario,
    hosts: usize,
    random: Random,
    /// One bit for each ordered pair: whether traffic is blocked.
    blocked: Vec<u64>,
    /// Active cuts, each with the step that caused it.
    active: Vec<(usize, &'a Cut, Option<usize>)>,
    loss: Option<(u32, Option<usize>)>,
    latency: Option<(Latency, Option<usize>)>,
    /// Active holds: the end, the pairs, and the step that caused it.
    holds: Vec<(u64, &'a Cut, Option<usize>)>,
    /// Number of items that each step affected.
    pub(crate) bites: Vec<u64>,
}

impl<'a> Fabric<'a> {
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let hosts = scenario.hosts.len();
        Self {
            scenario,
            hosts,
            random: Random::from_seed(seed).child("network"),
            blocked: vec![0; (hosts * hosts).div_ceil(64)],
            active: Vec::new(),
            loss: None,
            latency: None,
            holds: Vec::new(),
            bites: vec![0; scenario.causes()],
        }
    }

    /// Adds to the number of items that a step affected.
    pub(crate) fn bite(&mut self, step: Option<usize>, by: u64) {
        if let Some(bites) = step.and_then(|step| self.bites.get_mut(step)) {
            *bites += by;
        }
    }

    pub(crate) fn cut(&mut self, index: usize, cut: &'a Cut, step: Option<usize>) {
        self.active.push((index, cut, step));
        self.redraw();
    }

    pub(crate) fn mend(&mut self, index: usize) {
        self.active.retain(|(active, _, _)| *active != index);
        self.redraw();
    }

    fn redraw(&mut self) {
        self.blocked.fill(0);
        for (_, cut, _) in &self.active {
            for (from, to) in cut.pairs(self.hosts) {
                let bit = from * self.hosts + to;
                self.blocked[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    pub(crate) const fn set_loss(&mut self, ppm: Option<u32>, step: Option<usize>) {
        self.loss = match ppm {
            Some(ppm) => Some((ppm, step)),
            None => None,
        };
    }

    pub(crate) const fn set_latency(&mut self, latency: Option<Latency>, step: Option<usize>) {
        self.latency = match latency {
            Some(latency) => Some((latency, step)),
            None => None,
        };
    }

    /// Delays traffic between the pairs of a cut, from `now` on, until `until`.
    pub(crate) fn hold(&mut self, now: u64, until: u64, cut: &'a Cut, step: Option<usize>) {
        self.holds.retain(|(until, ..)| *until > now);
        self.holds.push((until, cut, step));
    }

    /// Returns the delay by holds of traffic that one host sends to another at `now`.
    pub(crate) fn held(&mut self, now: u64, from: usize, to: usize) -> u64 {
        let mut longest = 0;
        for at in 0..self.holds.len() {
            let (until, cut, step) = self.holds[at];
            if until > now && cut.blocks(from, to) {
                longest = longest.max(until - now);
                self.bite(step, 1);
            }
        }
        longest
    }

    /// Returns whether traffic from one host to another is blocked.
    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        let bit = from * self.hosts + to;
        self.blocked[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Counts the bytes or segments that the cuts between two hosts dropped, for the steps that caused the cuts.
    pub(crate) fn swallowed(&mut self, from: usize, to: usize, bytes: usize) {
        for at in 0..self.active.len() {
            let (_, cut, step) = self.active[at];
            if cut.blocks(from, to) {
                self.bite(step, bytes as u64);
            }
        }
    }

    /// Returns the current settings of the network between two hosts.
    pub(crate) fn settings(&self, from: usize, to: usize) -> Network {
        let mut settings = if self.scenario.links.is_empty() {
            self.scenario.network
        } else {
            self.scenario.network_between(from, to)
        };
        if let Some((ppm, _)) = self.loss {
            settings.loss_ppm = ppm;
        }
        if let Some((latency, _)) = self.latency {
            settings.latency = latency;
        }
        settings
    }

    /// Draws a one-way latency.
    pub(crate) fn latency(&mut self, settings: &Network) -> u64 {
        latency::draw(settings.latency, &mut self.random)
    }

    /// Transmits a number of segments from one host to another.
    pub(crate) fn transmit(
        &mut self,
        from: usize,
        to: usize,
        segments: u32,
        settings: &Network,
    ) -> Transit {
        if self.is_blocked(from, to) {
            self.swallowed(from, to, segments as usize);
            return Transit {
                lost: segments,
                latency: 0,
            };
        }
        let mut lost = 0;
        if settings.loss_ppm > 0 {
            for _ in 0..segments {
                lost += u32::from(self.random.chance_ppm(settings.loss_ppm));
            }
            if lost > 0 {
                let step = self.loss.and_then(|(_, step)| step);
                self.bite(step, u64::from(lost));
            }
        }
        if let Some((_, step)) = self.latency {
            self.bite(step, 1);
        }
        Transit {
            lost,
            latency: self.latency(settings),
        }
    }
}
