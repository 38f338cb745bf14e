//! Decides whether a mesh can recover from a plan.
//!
//! Search and shrinking change scenarios at random. The result may be a plan that no mesh can recover from: a permanent
//! partition, restarts while all seed nodes are down, or a separation that lasts until each side has forgotten the
//! other. A run of such a plan that does not recover is not a failure. The analysis follows the running hosts, their
//! reachability and the hosts that each of them knows. Hosts that can find each other are assumed to meet at once.
//! Plans with triggers are not analysed and count as recoverable.

use super::host_words;
use crate::scenario::Scenario;
use crate::scenario::plan::{Plan, ScheduledAction};
use core::time::Duration;

/// The maximum number of hosts to analyse; the cost of each order grows with the square of the number of hosts. Larger
/// meshes count as recoverable.
const HOSTS_MAX: usize = 200;
/// The minimum time that new hosts need to meet. Hosts that can reach each other for a shorter time may not have met.
const MEETING: Duration = Duration::from_secs(1);

/// Whether a mesh can be healthy at `at`.
///
/// # Errors
/// The error is the reason why no mesh can recover.
pub(super) fn recoverable(scenario: &Scenario, plan: &Plan, at: Duration) -> Result<(), String> {
    if scenario.hosts.len() > HOSTS_MAX || !plan.triggers.is_empty() {
        return Ok(());
    }
    let mut world = World::new(scenario, plan);
    for planned in &plan.actions {
        // Orders at `at` or later have no time to take effect.
        if planned.at >= at {
            break;
        }
        world.advance(planned.at);
        if planned
            .program
            .is_none_or(|program| program == super::words::PROGRAM)
        {
            world.take(&planned.action);
        }
    }
    world.advance(at);
    world.verdict()
}

struct World<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    now: Duration,
    /// For each host, the time for which its node remembers members that are down.
    remembers: Vec<Duration>,
    /// For each host, whether other hosts can dial this host.
    dialable: Vec<bool>,
    /// The number of the start that runs on each host, if any.
    runs: Vec<Option<u32>>,
    starts: Vec<u32>,
    /// The time at which the pause of each host ends.
    still: Vec<Duration>,
    cuts: Vec<usize>,
    /// For each pair of hosts, when the running process of the first was last in touch with the second, and with which
    /// start of the second.
    met: Vec<Vec<Option<(Duration, u32)>>>,
    /// Pairs of processes (host and start) that were apart for longer than the first process remembers the second.
    apart: Vec<(usize, u32, usize, u32)>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, plan: &'a Plan) -> Self {
        let hosts = scenario.hosts.len();
        let each = scenario.hosts.iter();
        let tuning = |host| host_words::tuning_of(&scenario.settings, host);
        Self {
            scenario,
            plan,
            now: Duration::ZERO,
            remembers: each.clone().map(|host| tuning(host).forget_after).collect(),
            dialable: each.map(host_words::is_dialable).collect(),
            runs: vec![None; hosts],
            starts: vec![0; hosts],
            still: vec![Duration::ZERO; hosts],
            cuts: Vec::new(),
            met: vec![vec![None; hosts]; hosts],
            apart: Vec::new(),
        }
    }

    const fn hosts(&self) -> core::ops::Range<usize> {
        0..self.runs.len()
    }

    /// Advances the time to an instant before which the plan has no orders.
    fn advance(&mut self, to: Duration) {
        loop {
            // The end of a pause is a separate event.
            let woken = self
                .still
                .iter()
                .copied()
                .filter(|at| *at > self.now && *at < to);
            let next = woken.min().unwrap_or(to);
            if next > self.now {
                self.meet(next);
            }
            self.now = next;
            if next == to {
                return;
            }
        }
    }

    /// Advances the time to `until` without a change of the world. Hosts of the same group meet.
    fn meet(&mut self, until: Duration) {
        let groups = self.groups(until - self.now >= MEETING);
        for one in self.hosts() {
            for other in self.hosts() {
                let (Some(life), Some(others)) = (self.runs[one], self.runs[other]) else {
                    continue;
                };
                if groups[one] == groups[other] {
                    self.met[one][other] = Some((until, others));
                } else if let Some((last, met)) = self.met[one][other]
                    && met == others
                    && until - last >= self.remembers(one)
                {
                    self.apart.push((one, life, other, others));
                }
            }
        }
    }

    fn remembers(&self, host: usize) -> Duration {
        self.remembers[host]
    }

    /// Whether two running hosts can have a link.
    fn is_open(&self, one: usize, other: usize) -> bool {
        let awake = |host: usize| self.runs[host].is_some() && self.still[host] <= self.now;
        let blocked = |cut: &usize| {
            let cut = &self.plan.cuts[*cut];
            cut.blocks(one, other) || cut.blocks(other, one)
        };
        awake(one) && awake(other) && !self.cuts.iter().any(blocked)
    }

    fn knows(&self, one: usize, other: usize) -> bool {
        self.met[one][other].is_some_and(|(last, _)| self.now - last < self.remembers(one))
    }

    /// The group of each host: hosts in one group are in touch, directly or through others. With `strangers`, hosts
    /// also find each other through seed addresses.
    fn groups(&self, strangers: bool) -> Vec<usize> {
        let mut groups: Vec<usize> = self.hosts().collect();
        loop {
            let before = groups.clone();
            for one in self.hosts() {
                for other in one + 1..self.runs.len() {
                    if groups[one] != groups[other]
                        && self.is_open(one, other)
                        && self.find_each_other(&groups, one, other, strangers)
                    {
                        let (from, into) = (groups[other], groups[one]);
                        for group in &mut groups {
                            if *group == from {
                                *group = into;
                            }
                        }
                    }
                }
            }
            if groups == before {
                return groups;
            }
        }
    }

    /// Whether one of two hosts knows the other, from its seed addresses or through its group, and can dial the other.
    fn find_each_other(&self, groups: &[usize], one: usize, other: usize, strangers: bool) -> bool {
        let dials = |from: usize, to: usize| {
            let mut group = self.hosts().filter(|host| groups[*host] == groups[from]);
            let told = strangers && self.scenario.seeds.contains(&to);
            self.dialable[to] && (told || group.any(|host| self.knows(host, to)))
        };
        dials(one, other) || dials(other, one)
    }

    fn take(&mut self, action: &ScheduledAction) {
        match action {
            ScheduledAction::Start { host, .. } => {
                self.starts[*host] += 1;
                self.runs[*host] = Some(self.starts[*host]);
                self.still[*host] = Duration::ZERO;
                self.met[*host] = vec![None; self.runs.len()];
            }
            ScheduledAction::Stop { host, .. } => self.runs[*host] = None,
            ScheduledAction::Leave(host) => {
                self.runs[*host] = None;
                // Nodes do not dial a member that left.
                for met in &mut self.met {
                    met[*host] = None;
                }
            }
            ScheduledAction::Cut(cut) => self.cuts.push(*cut),
            ScheduledAction::Heal(cut) => self.cuts.retain(|other| other != cut),
            ScheduledAction::Pause { host, length } => {
                self.still[*host] = self.still[*host].max(self.now + *length);
            }
            ScheduledAction::NoPower { .. }
            | ScheduledAction::Trouble { .. }
            | ScheduledAction::Move(_)
            | ScheduledAction::Links { .. }
            | ScheduledAction::Reset(_)
            | ScheduledAction::Hold { .. }
            | ScheduledAction::Slow { .. }
            | ScheduledAction::Clock { .. } => {}
            ScheduledAction::Disk { .. } | ScheduledAction::Certificate { .. } => {}
            ScheduledAction::Own { .. } | ScheduledAction::Command { .. } => {}
            ScheduledAction::Loss(_) | ScheduledAction::Latency(_) => {}
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let name = |host: usize| &self.scenario.hosts[host].name;
        for (one, life, other, others) in &self.apart {
            if self.runs[*one] == Some(*life) && self.runs[*other] == Some(*others) {
                let (one, other) = (name(*one), name(*other));
                return Err(format!("{one} forgot {other} while both ran"));
            }
        }
        let groups = self.groups(true);
        let mut running = self.hosts().filter(|host| self.runs[*host].is_some());
        let Some(first) = running.next() else {
            return Ok(());
        };
        match running.find(|host| groups[*host] != groups[first]) {
            Some(other) => Err(format!(
                "{} and {} cannot find each other",
                name(first),
                name(other)
            )),
            None => Ok(()),
        }
    }
}
