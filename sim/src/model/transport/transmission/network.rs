//! The network between hosts: latency, loss, bandwidth, and blocked pairs.

use super::latency;
use crate::model::context::Context;
use crate::scenario::plan::{Cut, LinkSettingChange};
use crate::scenario::{Latency, LinkSetting, PathProperties, Scenario};
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

/// A datagram on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatagramFlight {
    pub latency: u64,
    /// The latency of a second copy, if there is one.
    pub again: Option<u64>,
    /// The seed of the damage, if it arrives damaged.
    pub damage: Option<u64>,
}

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
    /// The change of links with this index in the plan begins.
    Links(usize, &'a LinkSettingChange),
    /// A change of links ends.
    Usual(usize),
}

/// The state of the network from one host to another, with the steps that caused it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkConditions {
    network: PathProperties,
    loss_by: Option<usize>,
    latency_by: Option<usize>,
    bandwidth_by: Option<usize>,
    /// The size of the largest packet that passes, in bytes.
    mtu: Option<(u32, Option<usize>)>,
    /// Shares of datagrams, in parts per million.
    duplicate: Option<(u32, Option<usize>)>,
    damage: Option<(u32, Option<usize>)>,
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
    /// Active changes of links, each with the step that caused it; a later one overrides an earlier one.
    changes: Vec<(usize, &'a LinkSettingChange, Option<usize>)>,
    /// The settings of every pair; `None` while they differ between pairs.
    common: Option<LinkConditions>,
}

impl<'a> NetworkState<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let hosts = scenario.hosts.len();
        let mut state = Self {
            scenario,
            hosts,
            random: Random::from_seed(seed).child("network"),
            blocked: vec![0; (hosts * hosts).div_ceil(64)],
            active: Vec::new(),
            loss: None,
            latency: None,
            holds: Vec::new(),
            changes: Vec::new(),
            common: None,
        };
        state.find_common();
        state
    }

    /// Finds the settings that hold for all pairs.
    fn find_common(&mut self) {
        let differ = !self.scenario.links.is_empty() || !self.changes.is_empty();
        self.common = (!differ).then(|| self.settings_of_all());
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
            NetworkChange::Links(index, change) => self.changes.push((index, change, step)),
            NetworkChange::Usual(index) => self.changes.retain(|(active, ..)| *active != index),
        }
        self.find_common();
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

    /// Returns the current settings of the network between two hosts. A step for chosen links goes before one for all.
    pub(super) fn settings(&self, from: usize, to: usize) -> LinkConditions {
        if let Some(common) = self.common {
            return common;
        }
        let mut settings = LinkConditions::new(self.scenario.network_between(from, to));
        self.apply_general(&mut settings);
        for (_, change, step) in &self.changes {
            if change.pairs.blocks(from, to) {
                settings.change(change.setting, *step);
            }
        }
        settings
    }

    /// Returns the current settings of pairs for which neither the scenario nor a step says otherwise.
    fn settings_of_all(&self) -> LinkConditions {
        let mut settings = LinkConditions::new(self.scenario.network);
        self.apply_general(&mut settings);
        settings
    }

    /// Applies the steps for all links.
    const fn apply_general(&self, settings: &mut LinkConditions) {
        if let Some((ppm, step)) = self.loss {
            (settings.network.loss_ppm, settings.loss_by) = (ppm, step);
        }
        if let Some((latency, step)) = self.latency {
            (settings.network.latency, settings.latency_by) = (latency, step);
        }
    }

    /// Draws whether a datagram arrives twice, and whether it is damaged.
    pub(super) fn disturb(
        &mut self,
        context: &mut Context<'_, '_>,
        settings: &LinkConditions,
        flight: &mut DatagramFlight,
    ) {
        if let Some((ppm, step)) = settings.duplicate
            && self.random.chance_ppm(ppm)
        {
            context.affect(step, 1);
            flight.again = Some(self.latency(&settings.network));
        }
        if let Some((ppm, step)) = settings.damage
            && self.random.chance_ppm(ppm)
        {
            context.affect(step, 1);
            flight.damage = Some(self.random.next_u64());
        }
    }

    /// Draws a one-way latency.
    pub(super) fn latency(&mut self, settings: &PathProperties) -> u64 {
        latency::draw(settings.latency, &mut self.random)
    }

    /// Transmits a number of segments, the largest of which has this size as a packet, from one host to another.
    pub(super) fn transmit(
        &mut self,
        context: &mut Context<'_, '_>,
        (from, to): (usize, usize),
        (segments, packet): (u32, usize),
        settings: &LinkConditions,
    ) -> Transit {
        if self.is_blocked(from, to) {
            self.count_dropped(context, (from, to), segments as usize);
            return Transit {
                lost: segments,
                latency: 0,
            };
        }
        if let Some((mtu, step)) = settings.mtu
            && packet > mtu as usize
        {
            context.affect(step, u64::from(segments));
            return Transit {
                lost: segments,
                latency: 0,
            };
        }
        let mut lost = 0;
        if settings.network.loss_ppm > 0 {
            for _ in 0..segments {
                lost += u32::from(self.random.chance_ppm(settings.network.loss_ppm));
            }
            context.affect(settings.loss_by, u64::from(lost));
        }
        context.affect(settings.latency_by, 1);
        Transit {
            lost,
            latency: self.latency(&settings.network),
        }
    }
}

impl LinkConditions {
    const fn new(network: PathProperties) -> Self {
        Self {
            network,
            loss_by: None,
            latency_by: None,
            bandwidth_by: None,
            mtu: None,
            duplicate: None,
            damage: None,
        }
    }

    /// Returns the latency, the loss and the bandwidth.
    pub(super) const fn network(&self) -> &PathProperties {
        &self.network
    }

    /// Returns the step that set the bandwidth.
    pub(super) const fn bandwidth_by(&self) -> Option<usize> {
        self.bandwidth_by
    }

    /// Applies a change of these links by a step.
    const fn change(&mut self, setting: LinkSetting, step: Option<usize>) {
        match setting {
            LinkSetting::Latency(latency) => {
                self.network.latency = latency;
                self.latency_by = step;
            }
            LinkSetting::Loss(ppm) => {
                self.network.loss_ppm = ppm;
                self.loss_by = step;
            }
            LinkSetting::Bandwidth(rate) => {
                self.network.bandwidth = Some(rate);
                self.bandwidth_by = step;
            }
            LinkSetting::Mtu(bytes) => self.mtu = Some((bytes, step)),
            LinkSetting::Duplicate(ppm) => self.duplicate = Some((ppm, step)),
            LinkSetting::Corrupt(ppm) => self.damage = Some((ppm, step)),
        }
    }
}
