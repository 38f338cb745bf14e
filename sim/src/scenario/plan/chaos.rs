//! Chaos: faults drawn from the seed within a budget, scheduled as ordinary actions.

use super::{Cut, HostState, Origin, Planner, ScheduledAction, Work, nanos};
use crate::scenario::planning::Strike;
use crate::scenario::{Chaos, ChaosKind, Direction, Disk, Latency, Sides};
use core::time::Duration;
use phalanx_core::random::Random;
use std::collections::BTreeMap;

impl Planner<'_> {
    /// Starts the fault of the `number`th draw, if the budget allows one, and schedules the next draw.
    pub(super) fn strike(&mut self, at: Duration, number: u64) {
        let scenario = self.scenario;
        let Some(chaos) = &scenario.chaos else { return };
        let mut random = self.random.nth_child("chaos", number);
        let next = at + chaos.every / 2 + random.duration_below(chaos.every);
        self.push(next, Work::Chaos { number: number + 1 });
        let left = chaos.quiet.saturating_sub(at);
        if left < chaos.shortest {
            return;
        }
        self.chaos.retain(|(until, _)| *until > at);
        if self.chaos.len() >= chaos.at_once {
            return;
        }
        let Some(kind) = random.pick(&chaos.kinds).copied() else {
            return;
        };
        let room = nanos(chaos.longest.min(left) - chaos.shortest) + 1;
        let length = chaos.shortest + Duration::from_nanos(random.below(room));
        let touched = self.unleash(at, length, kind, chaos, &mut random);
        if let Some(touched) = touched {
            self.chaos.push((at + length, touched));
        }
    }

    /// Draws the hosts that a fault touches, and schedules the fault; `None` if no host may be touched.
    fn unleash(
        &mut self,
        at: Duration,
        length: Duration,
        kind: ChaosKind,
        chaos: &Chaos,
        random: &mut Random,
    ) -> Option<Vec<usize>> {
        let scenario = self.scenario;
        let from = Origin {
            step: Some(scenario.steps.len() + kind.index(&scenario.vocabulary)),
            chaos: true,
            program: None,
        };
        let touched = |host: &usize| self.chaos.iter().any(|(_, hosts)| hosts.contains(host));
        let mut free: Vec<usize> = (0..self.lives.len())
            .filter(|host| self.lives[*host] == HostState::Running && !touched(host))
            .collect();
        random.shuffle(&mut free);
        let most = free.len().saturating_sub(chaos.stay_up);
        let few = 1 + random.below(most.min(3) as u64) as usize;
        let zone = self.struck_zone(chaos, &free, most, random);
        let victims = zone.as_deref().unwrap_or(&free[..few.min(most)]);
        match kind {
            ChaosKind::Partition if zone.is_some() => {
                self.isolate(at, from, length, victims, random);
                zone
            }
            ChaosKind::Partition => self.split(at, from, length, &free, most, random),
            ChaosKind::Loss => {
                self.lose(at, from, length, random);
                Some(Vec::new())
            }
            ChaosKind::Latency => {
                self.delay(at, from, length, random);
                Some(Vec::new())
            }
            ChaosKind::Own { word: fault, .. } => {
                let (free, victims) = (&free[..], victims);
                let strike = Strike {
                    fault,
                    free,
                    victims,
                };
                self.own_fault(at, from, length, strike, random)
            }
            ChaosKind::ZonePartition | ChaosKind::ZonePowerLoss => {
                self.strike_zone(at, from, length, kind, (&free, most), random)
            }
            _ if victims.is_empty() => None,
            ChaosKind::Cut | ChaosKind::Hold => {
                let others = 1 + random.below(self.lives.len() as u64 / 2) as usize;
                let is_outside = |host: &&usize| zone.as_ref().is_none_or(|it| !it.contains(host));
                let outside = free.iter().rev().filter(is_outside);
                let others: Vec<usize> = outside.take(others).copied().collect();
                let cut = Cut::between(victims, &others, direction(random));
                if kind == ChaosKind::Cut {
                    self.cut(at, from, cut, false, Some(length));
                } else {
                    self.hold(at, from, cut, Some(length));
                }
                Some(victims.to_vec())
            }
            ChaosKind::Crash
            | ChaosKind::PowerLoss
            | ChaosKind::Wipe
            | ChaosKind::Leave
            | ChaosKind::Pause
            | ChaosKind::Slow
            | ChaosKind::Jump
            | ChaosKind::Drift => {
                for host in victims {
                    self.strike_host(at, from, length, kind, *host, random);
                }
                Some(victims.to_vec())
            }
        }
    }

    /// Loses a drawn share of the segments on all links.
    fn lose(&mut self, at: Duration, from: Origin, length: Duration, random: &mut Random) {
        let ppm = 20_000 + random.below(280_000) as u32;
        self.schedule(at, from, ScheduledAction::Loss(Some(ppm)));
        self.later(at + length, from, ScheduledAction::Loss(None));
    }

    /// Raises the latency of all links to a drawn value.
    fn delay(&mut self, at: Duration, from: Origin, length: Duration, random: &mut Random) {
        let most = Duration::from_millis(2 + random.below(200));
        let latency = Latency::Uniform(Duration::from_millis(1), most);
        self.schedule(at, from, ScheduledAction::Latency(Some(latency)));
        self.later(at + length, from, ScheduledAction::Latency(None));
    }

    /// Draws whether a fault strikes a zone, and which; returns its hosts.
    fn struck_zone(
        &self,
        chaos: &Chaos,
        free: &[usize],
        most: usize,
        random: &Random,
    ) -> Option<Vec<usize>> {
        let mut random = random.child("by-zone");
        let strikes = chaos.by_zone_ppm > 0 && random.chance_ppm(chaos.by_zone_ppm);
        strikes.then(|| self.zone(free, most, &mut random))?
    }

    /// Isolates hosts from all others.
    fn isolate(
        &mut self,
        at: Duration,
        from: Origin,
        length: Duration,
        hosts: &[usize],
        random: &mut Random,
    ) {
        let sides = self.sides(&Sides::Isolate(super::Selector::of(hosts)), random);
        let cut = Cut::partition(self.lives.len(), &sides, direction(random));
        self.cut(at, from, cut, false, Some(length));
    }

    /// Applies a fault to a zone that is drawn; returns the zone's hosts, or `None` if no zone is free.
    fn strike_zone(
        &mut self,
        at: Duration,
        from: Origin,
        length: Duration,
        kind: ChaosKind,
        (free, most): (&[usize], usize),
        random: &mut Random,
    ) -> Option<Vec<usize>> {
        let zone = self.zone(free, most, random)?;
        if kind == ChaosKind::ZonePartition {
            self.isolate(at, from, length, &zone, random);
        } else {
            for host in &zone {
                self.strike_host(at, from, length, ChaosKind::PowerLoss, *host, random);
            }
        }
        Some(zone)
    }

    /// Draws a zone whose hosts are all free, with at most `most` hosts; returns its hosts.
    fn zone(&self, free: &[usize], most: usize, random: &mut Random) -> Option<Vec<usize>> {
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, host) in self.scenario.hosts.iter().enumerate() {
            if let Some(zone) = &host.zone {
                zones.entry(zone).or_default().push(index);
            }
        }
        zones
            .retain(|_, hosts| hosts.len() <= most && hosts.iter().all(|host| free.contains(host)));
        let zones: Vec<Vec<usize>> = zones.into_values().collect();
        random.pick(&zones).cloned()
    }

    /// Isolates a random set of hosts from all others, as far as the budget allows.
    fn split(
        &mut self,
        at: Duration,
        from: Origin,
        length: Duration,
        free: &[usize],
        most: usize,
        random: &mut Random,
    ) -> Option<Vec<usize>> {
        if most == 0 {
            return None;
        }
        let size = 1 + random.below(most as u64) as usize;
        let few = free[..size].to_vec();
        self.isolate(at, from, length, &few, random);
        Some(few)
    }

    fn strike_host(
        &mut self,
        at: Duration,
        from: Origin,
        length: Duration,
        kind: ChaosKind,
        host: usize,
        random: &mut Random,
    ) {
        match kind {
            ChaosKind::Crash | ChaosKind::PowerLoss | ChaosKind::Wipe => {
                if kind == ChaosKind::Crash {
                    self.stop(at, from, host, false);
                } else {
                    self.lose_power(at, from, host, Some(length));
                }
                let disk = if kind == ChaosKind::Wipe {
                    Disk::Lose
                } else {
                    Disk::Keep
                };
                self.push(at + length, Work::Revive(host, disk, from));
            }
            ChaosKind::Leave => {
                self.leave(at, from, host);
                let disk = Disk::Keep;
                self.push(at + length, Work::Revive(host, disk, from));
            }
            ChaosKind::Pause => self.schedule(at, from, ScheduledAction::Pause { host, length }),
            ChaosKind::Slow => {
                let by = Duration::from_millis(1 + random.below(30));
                self.slow(at, from, host, by, Some(length));
            }
            ChaosKind::Jump => {
                let jump = Duration::from_millis(random.below(20_000));
                let drift_ppm = None;
                self.schedule(
                    at,
                    from,
                    ScheduledAction::Clock {
                        host,
                        jump,
                        back: false,
                        drift_ppm,
                    },
                );
            }
            ChaosKind::Drift => {
                let ppm = i32::try_from(random.below(100_000)).unwrap_or(0) - 50_000;
                let usual = self.scenario.hosts[host].clock.drift_ppm;
                let clock = |ppm| ScheduledAction::Clock {
                    host,
                    jump: Duration::ZERO,
                    back: false,
                    drift_ppm: Some(ppm),
                };
                self.schedule(at, from, clock(ppm));
                self.later(at + length, from, clock(usual));
            }
            ChaosKind::ZonePartition | ChaosKind::ZonePowerLoss => {}
            ChaosKind::Partition | ChaosKind::Cut | ChaosKind::Hold => {}
            ChaosKind::Loss | ChaosKind::Latency | ChaosKind::Own { .. } => {}
        }
    }
}

fn direction(random: &mut Random) -> Direction {
    match random.below(4) {
        0 => Direction::Out,
        1 => Direction::In,
        _ => Direction::Both,
    }
}
