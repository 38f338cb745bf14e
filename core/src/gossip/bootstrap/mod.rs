//! Bootstrap: seed addresses configured by operators, and whether members learnt from other members are dialled.
//!
//! A seed address is dialled until it leads to a live member. A failed dial is repeated after a delay that grows by
//! half each time from `retry_min` to `retry_max`, with jitter. A seed whose member left or is down is dialled again
//! after a few seconds, because another node may have taken its place.
//!
//! A name is resolved before it is dialled, and again after each delay. Its addresses are dialled one after another,
//! each at once when the one before failed, or [`JOIN_STAGGER`] after it (RFC 8305, section 5). The attempt failed when
//! every address failed. An address that leads to a member does not end the attempt: nodes that start together may
//! otherwise form several meshes, each of nodes that found one another first. Addresses of live members are skipped. A
//! name with an address that failed beside one of a live member is resolved again after `retry_max`, with jitter;
//! addresses that led to this node are then dialled as well.
//!
//! Only a handshake shows that an address leads to this node: the address that the node advertises may be shared with
//! another node. A seed that leads to no other node is dialled again every `retry_max`, because its address or name may
//! lead to another node by then. A node whose seeds all lead to itself forms a mesh.
//!
//! Addresses of members that an earlier start kept are dialled beside the seed addresses, each at once when the dial
//! before failed while the node knows no member (`kept`).
//!
//! Bounds: [`SEEDS_MAX`] seed addresses after an edit, [`ADDRESSES_MAX`] addresses of a name, and
//! [`RESOLUTIONS_MAX`] resolutions in progress; further names wait for the next pass.

mod address_file;
mod kept;
mod reach;
mod resolution;

pub use address_file::{decode_addresses, encode_addresses};
pub use kept::KEPT_MAX;
pub use resolution::ADDRESSES_MAX;

use super::config::Config;
use super::context::Context;
use super::event::Event;
use super::interface::{Output, SEEDS_MAX};
use super::timer::Timer;
use crate::identity::NodeId;
use crate::link::{Address, ResolutionError, Ticket};
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;
use kept::KeptAddresses;
use reach::{is_alive, jitter_below, live_member_at, retry_wait};
use resolution::{Addresses, Resolution};

/// The state of a seed address that leads to the node itself, for users.
pub const MYSELF: &str = "is this node itself";
/// Approximate pause before a seed address is dialled again once its member is gone. Most members that leave come back
/// at once, and dial by themselves.
const LOST_SEED_WAIT: Duration = Duration::from_secs(2);
/// Time between two dials to seed addresses by a node that has not joined yet.
pub(super) const JOIN_STAGGER: Duration = Duration::from_millis(250);
/// Time between two passes over the seed addresses of a member, while one of them is due.
const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of resolutions in progress.
const RESOLUTIONS_MAX: usize = 16;

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
    /// Whether the address leads to this node itself, and to no other.
    myself: bool,
    /// The addresses of a name; none for a socket address.
    resolution: Option<Box<Resolution>>,
}

impl Seed {
    fn new(address: Address) -> Self {
        let is_name = matches!(address, Address::Name(_));
        Self {
            address,
            resolution: is_name.then(Box::default),
            peer: None,
            error: None,
            failures: 0,
            next: Instant::ZERO,
            myself: false,
        }
    }

    /// The address leads to a live member.
    fn settle(&mut self, context: &mut Context, peer: Option<NodeId>) {
        let pace = context.tuning().retry_max;
        let resolution = self.resolution.as_mut();
        let retry_at = resolution.and_then(|resolution| {
            resolution.on_settled(|| {
                let jitter = jitter_below(context, pace);
                context.after(pace / 2 + jitter)
            })
        });
        self.peer = peer;
        self.error = None;
        self.failures = 0;
        self.next = retry_at.unwrap_or_else(|| context.after(pace));
        self.myself = false;
    }

    /// The live member that was found at the address.
    fn live_peer(&self, context: &Context) -> Option<NodeId> {
        let peer = self.peer.as_ref();
        peer.filter(|peer| is_alive(context, peer)).cloned()
    }

    fn awaited(&self) -> Option<Ticket> {
        let resolution = self.resolution.as_ref()?;
        resolution.awaited()
    }

    fn has_addresses_left(&self) -> bool {
        let resolution = self.resolution.as_ref();
        resolution.is_some_and(|it| !it.left().is_empty())
    }
}

/// The seed addresses of one node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bootstrap {
    seeds: Vec<Seed>,
    discovery: bool,
    /// The number of resolutions ever ordered.
    ordered: u64,
    kept: KeptAddresses,
}

impl Bootstrap {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            seeds: config.seeds.iter().cloned().map(Seed::new).collect(),
            discovery: config.discovery,
            ordered: 0,
            kept: KeptAddresses::new(&config.kept),
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

    /// The list that results when seed addresses are removed and others added, in one step.
    ///
    /// # Errors
    /// If it would be longer than [`SEEDS_MAX`]: its length.
    pub(super) fn edited(
        &self,
        add: &[Address],
        remove: &[Address],
    ) -> Result<Vec<Address>, usize> {
        let held = self.seeds.iter().map(|seed| &seed.address);
        let mut addresses: Vec<Address> = Vec::new();
        for address in held.filter(|address| !remove.contains(address)).chain(add) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        if addresses.len() > SEEDS_MAX {
            return Err(addresses.len());
        }
        Ok(addresses)
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
        seed.is_some_and(|seed| seed.next <= context.now)
    }

    /// Whether a name has addresses that were not dialled since its resolution.
    pub(super) fn has_addresses_left(&self, index: usize) -> bool {
        self.seeds.get(index).is_some_and(Seed::has_addresses_left)
    }

    /// The address to dial next for a seed that is due. A name without addresses is ordered to be resolved.
    pub(super) fn take_next(&mut self, context: &mut Context, index: usize) -> Option<SocketAddr> {
        let in_progress = self.seeds.iter().filter_map(Seed::awaited).count();
        let seed = self.seeds.get_mut(index)?;
        let name = match &seed.address {
            Address::Socket(address) => return Some(*address),
            Address::Name(name) => name,
        };
        let resolution = seed.resolution.as_mut()?;
        if resolution.awaited().is_some() {
            self.on_unresolved(context, index, &ResolutionError::TimedOut.to_string());
            return None;
        }
        if let Some(address) = resolution.take_next() {
            return Some(address);
        }
        if in_progress < RESOLUTIONS_MAX {
            self.ordered += 1;
            let ticket = Ticket(self.ordered);
            resolution.order(ticket);
            let name = name.clone();
            seed.next = context.after(context.tuning().resolution_timeout);
            context.out.push(Output::Resolve { ticket, name });
        }
        None
    }

    /// A name was resolved, or not. Returns whether every seed address leads to this node itself. Answers to no order are
    /// ignored: the seed was removed, or the answer is late.
    pub(super) fn on_resolved(
        &mut self,
        context: &mut Context,
        ticket: Ticket,
        addresses: Result<Vec<SocketAddr>, ResolutionError>,
    ) -> bool {
        let mut seeds = self.seeds.iter();
        let Some(index) = seeds.position(|seed| seed.awaited() == Some(ticket)) else {
            return false;
        };
        let seed = &mut self.seeds[index];
        let Some(resolution) = &mut seed.resolution else {
            return false;
        };
        let found = match addresses {
            Ok(found) => resolution.on_answered(context.now, found),
            Err(error) => {
                self.on_unresolved(context, index, &error.to_string());
                return false;
            }
        };
        match found {
            Addresses::None => {
                self.on_unresolved(context, index, "the name has no address");
                return false;
            }
            Addresses::OnlyMyself => return self.on_only_myself(context, index, false),
            Addresses::PerhapsMyself => {}
            Addresses::Others => seed.myself = false,
        }
        seed.next = context.now;
        seed.peer = seed.live_peer(context);
        self.schedule_at_once(context);
        false
    }

    /// A resolution gave no address. This is a failure of the seed, unless the member found earlier is alive.
    fn on_unresolved(&mut self, context: &mut Context, index: usize, why: &str) {
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        if let Some(resolution) = &mut seed.resolution {
            resolution.on_unanswered();
        }
        match seed.live_peer(context) {
            Some(peer) => {
                seed.settle(context, Some(peer));
                context.timers.set_earlier(Timer::Seeds, seed.next);
            }
            None => self.fail(context, index, why),
        }
    }

    /// Whether a seed address needs no dial: it leads to a member that is alive and no other address of the name is due.
    pub(super) fn is_settled(&mut self, context: &mut Context, index: usize) -> bool {
        let Some(seed) = self.seeds.get_mut(index) else {
            return true;
        };
        if let Some(resolution) = &mut seed.resolution {
            while let Some(address) = resolution.left().front().copied() {
                let reached = resolution.reached(address);
                let reached = reached.filter(|peer| is_alive(context, peer)).cloned();
                let Some(member) = reached.or_else(|| live_member_at(context, address)) else {
                    return false;
                };
                resolution.take_next();
                resolution.on_reached(address, member.clone());
                seed.peer = Some(member);
            }
        }
        // The scan finds a member at an address to which no dial has led yet. A member that was found is looked up.
        let peer = seed.peer.clone().or_else(|| {
            let mut records = context.topology.records();
            let there = records.find(|record| {
                record.content().address.map(Address::Socket).as_ref() == Some(&seed.address)
                    && *record.id() != context.config.id
            });
            there.map(|record| record.id().clone())
        });
        let alive = peer.as_ref().is_some_and(|peer| is_alive(context, peer));
        let resolution = seed.resolution.as_ref();
        let settled = alive && !resolution.is_some_and(|it| it.is_retry_due(context.now));
        if settled {
            seed.settle(context, peer);
        }
        settled
    }

    /// Schedules the next pass over the seed addresses.
    pub(super) fn schedule(&self, context: &mut Context, joining: bool) {
        let waiting = if joining { JOIN_STAGGER } else { PASS_INTERVAL };
        let soonest = context.after(waiting);
        let seeds = self.seeds.iter().map(|seed| seed.next);
        let kept = self.kept.next(context).filter(|_| self.discovery);
        if let Some(next) = seeds.chain(kept).min() {
            let at = if next > context.now { next } else { soonest };
            context.timers.set(Timer::Seeds, at);
        }
        if self.seeds.iter().any(Seed::has_addresses_left) {
            let at = context.after(JOIN_STAGGER);
            context.timers.set_earlier(Timer::Seeds, at);
        }
    }

    /// A link to the member at a seed address is open.
    pub(super) fn on_linked(
        &mut self,
        context: &mut Context,
        index: usize,
        address: SocketAddr,
        peer: Option<NodeId>,
    ) {
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        if let (Some(resolution), Some(peer)) = (&mut seed.resolution, &peer) {
            resolution.on_reached(address, peer.clone());
        }
        seed.settle(context, peer);
        if seed.has_addresses_left() {
            // By then the peer has sent its view, which shows the members at the other addresses.
            seed.next = context.after(JOIN_STAGGER);
            context.timers.set_earlier(Timer::Seeds, seed.next);
        }
    }

    /// A dial to a seed address failed. `dialing` is whether a dial to another address of the name is in progress.
    pub(super) fn on_failed(
        &mut self,
        context: &mut Context,
        index: usize,
        address: SocketAddr,
        why: &str,
        dialing: bool,
    ) {
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        let Some(resolution) = &mut seed.resolution else {
            self.fail(context, index, why);
            return;
        };
        resolution.on_failed(address);
        let why = format!("{address}: {why}");
        if seed.peer.is_none() {
            seed.error = Some(why.clone());
        }
        self.go_on(context, index, &why, dialing);
    }

    /// A dial to an address of a name ended without a link: the next address is dialled. The attempt ends with the last
    /// address, and failed if no member was found; otherwise the name is resolved again after a pause.
    fn go_on(&mut self, context: &mut Context, index: usize, why: &str, dialing: bool) {
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        if seed.has_addresses_left() {
            self.schedule_at_once(context);
        } else if dialing {
            // The attempt ends with the dial in progress.
        } else if seed.peer.is_none() {
            self.fail(context, index, why);
        } else if let Some(peer) = seed.live_peer(context) {
            seed.settle(context, Some(peer));
            context.timers.set_earlier(Timer::Seeds, seed.next);
        }
    }

    /// An attempt to reach a member at a seed address failed.
    fn fail(&mut self, context: &mut Context, index: usize, why: &str) {
        let Some(seed) = self.seeds.get_mut(index) else {
            return;
        };
        let wait = retry_wait(context, seed.failures);
        seed.failures = seed.failures.saturating_add(1);
        seed.error = Some(why.to_owned());
        seed.peer = None;
        seed.myself = false;
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
        self.go_on_with_kept(context);
    }

    /// A dial failed: a node that knows no member dials the next address that an earlier start kept at once. The members
    /// declare a node down that is without a link for some tenths of a second after its restart, if it refuses dials.
    fn go_on_with_kept(&self, context: &mut Context) {
        if self.discovery && self.kept.is_any_untried(context) {
            let at = context.at_once();
            context.timers.set_earlier(Timer::Seeds, at);
        }
    }

    /// A dial to a seed address led to this node itself. Returns whether all seed addresses do. `dialing` is whether a
    /// dial to another address of the name is in progress.
    pub(super) fn on_myself(
        &mut self,
        context: &mut Context,
        index: usize,
        address: SocketAddr,
        dialing: bool,
    ) -> bool {
        let Some(seed) = self.seeds.get_mut(index) else {
            return false;
        };
        let Some(resolution) = &mut seed.resolution else {
            return self.on_only_myself(context, index, true);
        };
        let until = context.after(context.tuning().retry_max);
        resolution.on_myself(context.now, address, until);
        if resolution.is_only_myself() {
            return self.on_only_myself(context, index, true);
        }
        let earlier = seed.error.clone();
        let why = earlier.unwrap_or_else(|| format!("{address}: {MYSELF}"));
        self.go_on(context, index, &why, dialing);
        false
    }

    /// A seed address leads to this node itself, and to no other, as this dial (`dialed`) or an earlier one shows.
    fn on_only_myself(&mut self, context: &mut Context, index: usize, dialed: bool) -> bool {
        let Some(seed) = self.seeds.get_mut(index) else {
            return false;
        };
        let known = core::mem::replace(&mut seed.myself, true);
        seed.error = Some(MYSELF.to_owned());
        seed.peer = None;
        seed.failures = 0;
        seed.next = context.after(context.tuning().retry_max);
        context.timers.set_earlier(Timer::Seeds, seed.next);
        let address = seed.address.clone();
        if dialed && !known {
            context.report(Event::DialedMyself { address });
        }
        self.seeds.iter().all(|seed| seed.myself)
    }

    /// A member left or is down: seed addresses that led to it are dialled again soon. No other component dials a
    /// member that left.
    pub(super) fn on_member_gone(&mut self, context: &mut Context, peer: &NodeId) {
        for seed in &mut self.seeds {
            let mut led_there = seed.peer.as_ref() == Some(peer);
            if let Some(resolution) = &mut seed.resolution {
                led_there |= resolution.on_member_gone(peer);
                // The answer that is awaited is dialled without a pause.
                led_there &= resolution.awaited().is_none();
            }
            if !led_there {
                continue;
            }
            let wait = LOST_SEED_WAIT / 2 + jitter_below(context, LOST_SEED_WAIT);
            seed.next = context.after(wait);
            context.timers.set_earlier(Timer::Seeds, seed.next);
        }
    }
}

/// Addresses of members that are kept for the next start.
impl Bootstrap {
    /// A member proved its id at an address that this node dialled (`dialed`), or presented the address itself.
    pub(super) fn on_proved(&mut self, member: &NodeId, address: SocketAddr, dialed: bool) {
        self.kept.on_proved(member, address, dialed);
    }

    /// Orders to store the addresses if they changed, at intervals.
    pub(super) fn store_changed(&mut self, context: &mut Context) {
        if let Some(addresses) = self.kept.take_changed(context.now)
            && !context.has(Switch::NoKeptAddresses)
        {
            context.out.push(Output::KeepAddresses { addresses });
        }
    }

    /// Takes the next address of an earlier start to dial.
    pub(super) fn take_kept(&mut self, context: &Context) -> Option<(usize, SocketAddr)> {
        self.discovery.then(|| self.kept.take_next(context))?
    }

    /// A dial to the address of an earlier start led to a member.
    pub(super) fn on_kept_linked(&mut self, context: &Context, index: usize) {
        self.kept.on_linked(context, index);
    }

    /// A dial to the address of an earlier start failed.
    pub(super) fn on_kept_failed(&mut self, context: &mut Context, index: usize) {
        if let Some(next) = self.kept.on_failed(context, index) {
            context.timers.set_earlier(Timer::Seeds, next);
        }
        self.go_on_with_kept(context);
    }
}

/// Queries.
impl Bootstrap {
    pub(super) const fn discovers(&self) -> bool {
        self.discovery
    }

    /// Whether a seed address is a name.
    pub(super) fn is_name(&self, index: usize) -> bool {
        let seed = self.seeds.get(index);
        seed.is_some_and(|seed| matches!(seed.address, Address::Name(_)))
    }

    pub(super) const fn len(&self) -> usize {
        self.seeds.len()
    }

    /// The seed addresses that are not names.
    pub(super) fn socket_addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.seeds.iter().map(|seed| &seed.address);
        let sockets = addresses.filter_map(|address| match address {
            Address::Socket(address) => Some(*address),
            Address::Name(_) => None,
        });
        sockets.collect()
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
        let resolutions = self
            .seeds
            .iter()
            .filter_map(|seed| seed.resolution.as_ref());
        held::<Seed>(self.seeds.len())
            + self.kept.memory()
            + resolutions.map(|it| it.memory()).sum::<usize>()
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
            bootstrap.on_failed(&mut context, 0, address(1), "refused", false);
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
        context.topology.set_alive(member, false);
        assert!(!bootstrap.is_settled(&mut context, 0));
        context.topology.set_alive(member, true);
        assert!(bootstrap.is_settled(&mut context, 0));
        assert!(!bootstrap.is_settled(&mut context, 1));
        assert!(!bootstrap.is_due(&context, 0));
        bootstrap.on_member_gone(&mut context, &id(1));
        context.now += 2 * LOST_SEED_WAIT;
        assert!(bootstrap.is_due(&context, 0));
    }

    #[test]
    fn the_advertised_address_is_dialled_like_any_other() {
        let mut context = context();
        let mut bootstrap = with_seeds(&mut context, &[0, 1]);
        let own = context.topology.record(&id(0)).unwrap();
        assert_eq!(own.content().address, Some(address(0)));
        for index in [0, 1] {
            assert!(!bootstrap.is_settled(&mut context, index));
            assert!(bootstrap.is_due(&context, index));
            let all = bootstrap.on_myself(&mut context, index, address(index), false);
            assert_eq!(all, index == 1, "all seeds are this node");
            assert!(!bootstrap.is_due(&context, index));
        }
        assert_eq!(events(&mut context).len(), 2);
        context.now += context.tuning().retry_max;
        assert!(
            bootstrap.is_due(&context, 0),
            "a node may share the address"
        );
        assert!(bootstrap.on_myself(&mut context, 0, address(0), false));
        assert_eq!(events(&mut context), [], "it is reported once");
    }

    #[test]
    fn replaced_seeds_keep_the_state_of_those_that_stay() {
        let mut context = context();
        let mut bootstrap = with_seeds(&mut context, &[1, 2]);
        bootstrap.on_linked(&mut context, 1, address(2), Some(id(2)));
        let addresses = vec![Address::Socket(address(2)), Address::Socket(address(3))];
        bootstrap.set_seeds(&mut context, addresses, true);
        let peers: Vec<_> = bootstrap
            .views()
            .map(|(_, peer, _)| peer.cloned())
            .collect();
        assert_eq!(peers, [Some(id(2)), None]);
    }
}
