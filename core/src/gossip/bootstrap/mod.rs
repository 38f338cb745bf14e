//! Bootstrap: seed addresses configured by operators, and whether members learnt from other members are dialled.
//!
//! A seed address is dialled until it leads to a live member. A failed dial is repeated after a delay that grows by
//! half each time from `retry_min` to `retry_max`, with jitter. A seed whose member left or is down is dialled again
//! after a few seconds, because the name may then resolve to another node.

use super::config::Config;
use super::context::Context;
use super::event::Event;
use super::interface::TARGETS_MAX;
use super::timer::Timer;
use crate::identity::NodeId;
use crate::link::Address;
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;

/// Approximate pause before a seed address is dialled again once its member is gone. Most members that leave come back
/// at once, and dial by themselves.
const LOST_SEED_WAIT: Duration = Duration::from_secs(2);
/// Time between two dials to seed addresses by a node that has not joined yet.
pub(super) const JOIN_STAGGER: Duration = Duration::from_millis(250);
/// Time between two passes over the seed addresses of a member, while one of them is due.
const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// A seed address.
#[derive(Clone, Debug, PartialEq)]
struct Seed {
    address: Address,
    /// The member found there.
    peer: Option<NodeId>,
    /// The latest failure.
    error: Option<String>,
    /// Failures in a row.
    failures: u32,
    /// Not dialled before this time.
    next: Instant,
    /// Whether the address leads to this node itself.
    myself: bool,
}

impl Seed {
    const fn new(address: Address) -> Self {
        Self {
            address,
            peer: None,
            error: None,
            failures: 0,
            next: Instant::ZERO,
            myself: false,
        }
    }

    fn found(&mut self, peer: Option<NodeId>, next: Instant) {
        self.peer = peer;
        self.error = None;
        self.failures = 0;
        self.next = next;
    }
}

/// The seed addresses of one node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bootstrap {
    seeds: Vec<Seed>,
    discovery: bool,
}

impl Bootstrap {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            seeds: config.targets.iter().cloned().map(Seed::new).collect(),
            discovery: config.discovery,
        }
    }

    /// Adds seed addresses, or replaces all of them. They are dialled at once.
    pub(super) fn set_seeds(
        &mut self,
        context: &mut Context,
        addresses: Vec<Address>,
        replace: bool,
    ) {
        if replace {
            self.seeds.retain(|seed| addresses.contains(&seed.address));
        }
        for address in addresses {
            if !self.seeds.iter().any(|seed| seed.address == address) {
                self.seeds.push(Seed::new(address));
            }
        }
        self.schedule_at_once(context);
    }

    /// Adds and removes seed addresses in one step. Returns the list that results, unless it would be longer than
    /// [`TARGETS_MAX`].
    pub(super) fn edited(&self, add: Vec<Address>, remove: &[Address]) -> Option<Vec<Address>> {
        let held = self.seeds.iter().map(|seed| seed.address.clone());
        let mut addresses: Vec<_> = held.filter(|address| !remove.contains(address)).collect();
        for address in add {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        (addresses.len() <= TARGETS_MAX).then_some(addresses)
    }

    /// Sets whether members learnt from other members are dialled.
    pub(super) const fn set_discovery(&mut self, discovery: bool) {
        self.discovery = discovery;
    }

    /// Schedules a pass over the seed addresses for the next step.
    pub(super) fn schedule_at_once(&self, context: &mut Context) {
        let at = context.at_once();
        context.timers.set(Timer::Seeds, at);
    }

    /// Whether a seed address may be dialled.
    pub(super) fn is_due(&self, context: &Context, index: usize) -> bool {
        let seed = self.seeds.get(index);
        seed.is_some_and(|seed| !seed.myself && seed.next <= context.now)
    }

    /// Whether a seed address needs no dial: it is the node's `own`, or leads to a member that is alive.
    pub(super) fn is_settled(
        &mut self,
        context: &Context,
        index: usize,
        own: Option<SocketAddr>,
    ) -> bool {
        let Some(seed) = self.seeds.get_mut(index) else {
            return true;
        };
        if own.map(Address::Socket).as_ref() == Some(&seed.address) {
            seed.myself = true;
            return true;
        }
        // The scan finds a member at an address to which no dial has led yet. A member that was found is looked up.
        let peer = seed.peer.clone().or_else(|| {
            let mut records = context.topology.records();
            let there = records.find(|record| {
                record.content().address.map(Address::Socket).as_ref() == Some(&seed.address)
            });
            there.map(|record| record.id().clone())
        });
        let topology = &context.topology;
        let member = peer.as_ref().and_then(|peer| topology.handle(peer));
        let alive = member.is_some_and(|it| topology.is_known(it) && topology.is_well(it));
        if alive {
            seed.found(peer, context.after(context.tuning().retry_max));
        }
        alive
    }

    /// Schedules the next pass over the seed addresses.
    pub(super) fn schedule(&self, context: &mut Context, joining: bool) {
        let waiting = if joining { JOIN_STAGGER } else { PASS_INTERVAL };
        let soonest = context.after(waiting);
        let seeds = self.seeds.iter().filter(|seed| !seed.myself);
        if let Some(next) = seeds.map(|seed| seed.next).min() {
            let at = if next > context.now { next } else { soonest };
            context.timers.set(Timer::Seeds, at);
        }
    }

    /// A link to the member at a seed address is open.
    pub(super) fn on_linked(&mut self, context: &Context, index: usize, peer: Option<NodeId>) {
        if let Some(seed) = self.seeds.get_mut(index) {
            seed.found(peer, context.after(context.tuning().retry_max));
        }
    }

    /// A dial to a seed address failed.
    pub(super) fn on_failed(&mut self, context: &mut Context, index: usize, why: &str) {
        let (min, max) = (context.tuning().retry_min, context.tuning().retry_max);
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        // The delay grows by half each time; jitter scales it by 0.5 to 1.5.
        let mut wait = min;
        for _ in 0..seed.failures.min(32) {
            wait = (wait + wait / 2).min(max);
        }
        let wait = wait / 2 + context.random.duration_below(wait);
        seed.failures = seed.failures.saturating_add(1);
        seed.error = Some(why.to_owned());
        seed.peer = None;
        let never = context.has(Switch::NoRetry);
        seed.next = if never {
            Instant::FAR_FUTURE
        } else {
            context.after(wait)
        };
        let (address, next) = (seed.address.clone(), seed.next);
        context.report(Event::DialFailed {
            address,
            reason: why.to_owned(),
            retry_in: (!never).then_some(wait),
        });
        context.timers.set_earlier(Timer::Seeds, next);
    }

    /// A seed address leads to this node itself. Returns whether all seed addresses do.
    pub(super) fn on_myself(&mut self, index: usize) -> bool {
        if let Some(seed) = self.seeds.get_mut(index) {
            seed.myself = true;
            seed.error = Some("is this node itself".to_owned());
        }
        self.seeds.iter().all(|seed| seed.myself)
    }

    /// A member left or is down: seed addresses that led to it are dialled again soon. No other component dials a
    /// member that left.
    pub(super) fn on_member_gone(&mut self, context: &mut Context, peer: &NodeId) {
        let led_there = |seed: &&mut Seed| seed.peer.as_ref() == Some(peer);
        for seed in self.seeds.iter_mut().filter(led_there) {
            let wait = LOST_SEED_WAIT / 2 + context.random.duration_below(LOST_SEED_WAIT);
            seed.next = context.after(wait);
            context.timers.set_earlier(Timer::Seeds, seed.next);
        }
    }
}

/// Queries.
impl Bootstrap {
    pub(super) const fn discovers(&self) -> bool {
        self.discovery
    }

    pub(super) const fn len(&self) -> usize {
        self.seeds.len()
    }

    pub(super) fn address(&self, index: usize) -> Option<&Address> {
        self.seeds.get(index).map(|seed| &seed.address)
    }

    /// Each seed address, with the peer found there, or the latest failure.
    pub(super) fn views(
        &self,
    ) -> impl Iterator<Item = (&Address, Option<&NodeId>, Option<&str>)> + '_ {
        let seeds = self.seeds.iter();
        seeds.map(|seed| (&seed.address, seed.peer.as_ref(), seed.error.as_deref()))
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<Seed>(self.seeds.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{address, context, events, id, learn};

    fn with_seeds(context: &mut Context, indices: &[usize]) -> Bootstrap {
        let mut bootstrap = Bootstrap::new(&context.config);
        let addresses = indices.iter().map(|index| Address::Socket(address(*index)));
        bootstrap.set_seeds(context, addresses.collect(), false);
        bootstrap
    }

    #[test]
    fn a_failed_seed_is_dialled_again_ever_more_slowly() {
        let mut context = context();
        let mut bootstrap = with_seeds(&mut context, &[1]);
        let (min, max) = (context.tuning().retry_min, context.tuning().retry_max);
        let mut wait = min;
        for _ in 0..30 {
            bootstrap.on_failed(&mut context, 0, "refused");
            let [
                Event::DialFailed {
                    retry_in: Some(retry_in),
                    ..
                },
            ] = &events(&mut context)[..]
            else {
                panic!("it is reported, with the time of the next dial");
            };
            assert!(*retry_in >= wait / 2 && *retry_in < wait / 2 + wait);
            assert!(!bootstrap.is_due(&context, 0));
            context.now += *retry_in;
            assert!(bootstrap.is_due(&context, 0));
            wait = (wait + wait / 2).min(max);
        }
    }

    #[test]
    fn a_seed_that_leads_to_a_live_member_is_settled_until_the_member_is_gone() {
        let mut context = context();
        let member = learn(&mut context, 1);
        let mut bootstrap = with_seeds(&mut context, &[1, 2]);
        context.topology.set_well(member, false);
        assert!(!bootstrap.is_settled(&context, 0, None));
        context.topology.set_well(member, true);
        assert!(bootstrap.is_settled(&context, 0, None));
        assert!(!bootstrap.is_settled(&context, 1, None));
        assert!(!bootstrap.is_due(&context, 0));
        bootstrap.on_member_gone(&mut context, &id(1));
        context.now += 2 * LOST_SEED_WAIT;
        assert!(bootstrap.is_due(&context, 0));
    }

    #[test]
    fn the_own_address_is_never_dialled() {
        let mut context = context();
        let mut bootstrap = with_seeds(&mut context, &[0, 1]);
        assert!(bootstrap.is_settled(&context, 0, Some(address(0))));
        assert!(!bootstrap.is_due(&context, 0));
        assert!(bootstrap.on_myself(1), "all seeds are this node");
    }

    #[test]
    fn replaced_seeds_keep_what_is_known_of_those_that_stay() {
        let mut context = context();
        let mut bootstrap = with_seeds(&mut context, &[1, 2]);
        bootstrap.on_linked(&context, 1, Some(id(2)));
        let addresses = vec![Address::Socket(address(2)), Address::Socket(address(3))];
        bootstrap.set_seeds(&mut context, addresses, true);
        let peers: Vec<_> = bootstrap
            .views()
            .map(|(_, peer, _)| peer.cloned())
            .collect();
        assert_eq!(peers, [Some(id(2)), None]);
    }
}
