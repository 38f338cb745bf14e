//! The network between hosts: latency, loss, bandwidth, and blocked pairs.

use super::latency;
use crate::model::context::Context;
use crate::scenario::plan::Cut;
use crate::scenario::{Latency, PathProperties, Scenario};
use phalanx_core::random::Random;

/// The outcome of one transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transit {
    /// Number of lost segments.
    pub lost: u32,
    /// The time until the other segments arrive, in nanoseconds.
    pub latency: u64,
}

/// A transmission within a host: no loss, no cut, 20 µs.
pub(super) const LOOPBACK: Transit = Transit {
    lost: 0,
    latency: 20_000,
};

/// A change of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetworkChange<'a> {
    /// The cut with this index in the plan begins.
    Cut(usize, &'a Cut),
    /// A cut ends.
    Heal(usize),
    /// Traffic between the node pairs of a cut is held until the given time.
    Hold { until: u64, cut: &'a Cut },
    /// The loss of all links, in parts per million; none restores the scenario's values.
    Loss(Option<u32>),
    /// The latency of all links; none restores the scenario's values.
    Latency(Option<Latency>),
}

/// The state of the network.
#[derive(Debug)]
pub(super) struct NetworkState<'a> {
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
}

impl<'a> NetworkState<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64) -> Self {
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
        }
    }

    /// Changes the network. A step causes the change.
    pub(super) fn change(&mut self, now: u64, change: NetworkChange<'a>, step: Option<usize>) {
        match change {
            NetworkChange::Cut(index, cut) => {
                self.active.push((index, cut, step));
                self.redraw();
            }
            NetworkChange::Heal(index) => {
                self.active.retain(|(active, _, _)| *active != index);
                self.redraw();
            }
            NetworkChange::Hold { until, cut } => {
                self.holds.retain(|(until, ..)| *until > now);
                self.holds.push((until, cut, step));
            }
            NetworkChange::Loss(ppm) => self.loss = ppm.map(|ppm| (ppm, step)),
            NetworkChange::Latency(latency) => {
                self.latency = latency.map(|latency| (latency, step));
            }
        }
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

    /// Returns the delay by holds of traffic that one host sends to another now.
    pub(super) fn held(&self, context: &mut Context<'_, '_>, from: usize, to: usize) -> u64 {
        let mut longest = 0;
        for (until, cut, step) in &self.holds {
            let left = until.saturating_sub(context.now());
            if left > 0 && cut.blocks(from, to) {
                longest = longest.max(left);
                context.affect(*step, 1);
            }
        }
        longest
    }

    /// Returns whether traffic from one host to another is blocked.
    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        let bit = from * self.hosts + to;
        self.blocked[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Counts the bytes or segments that the cuts between two hosts dropped, for the steps that caused the cuts.
    pub(super) fn count_dropped(
        &self,
        context: &mut Context<'_, '_>,
        (from, to): (usize, usize),
        amount: usize,
    ) {
        for (_, cut, step) in &self.active {
            if cut.blocks(from, to) {
                context.affect(*step, amount as u64);
            }
        }
    }

    /// Returns the current settings of the network between two hosts.
    pub(super) fn settings(&self, from: usize, to: usize) -> PathProperties {
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
    pub(super) fn latency(&mut self, settings: &PathProperties) -> u64 {
        latency::draw(settings.latency, &mut self.random)
    }

    /// Transmits a number of segments from one host to another.
    pub(super) fn transmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (from, to): (usize, usize),
        segments: u32,
        settings: &PathProperties,
    ) -> Transit {
        if self.is_blocked(from, to) {
            self.count_dropped(context, (from, to), segments as usize);
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
                context.affect(step, u64::from(lost));
            }
        }
        if let Some((_, step)) = self.latency {
            context.affect(step, 1);
        }
        Transit {
            lost,
            latency: self.latency(settings),
        }
    }
}
