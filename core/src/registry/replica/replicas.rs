//! The copies of a registry, by the regions that own the objects.

use super::copy::{AppliedCopy, CopyStatus, FollowerIdentity, Replica, ReplicaTurn};
use super::message::{ReplicaEvent, ReplicaInput, ReplicaOutput, ReplicaTuning};
use crate::random::Random;
use crate::registry::log::{CopyPosition, LogEpoch};
use crate::registry::members::RegistryMembers;
use crate::registry::name::RegionId;
use crate::registry::region_logs::REGIONS_MAX;
use crate::registry::sabotage::RegistryBugs;
use crate::registry::state::ObjectMap;
use crate::registry::store::CopyUpdate;
use crate::time::Instant;
use std::collections::BTreeMap;

/// The orders and events of copies, in turn.
#[derive(Debug, Default)]
pub struct ReplicaReports {
    /// Orders about the links to regions.
    pub orders: Vec<(RegionId, ReplicaOutput)>,
    /// Events of the copies of regions.
    pub events: Vec<(RegionId, ReplicaEvent)>,
}

impl ReplicaReports {
    fn add(&mut self, region: &RegionId, turn: ReplicaTurn) {
        let of = |it| (region.clone(), it);
        self.orders.extend(turn.orders.into_iter().map(of));
        let of = |it| (region.clone(), it);
        self.events.extend(turn.events.into_iter().map(of));
    }
}

/// The copies of a registry.
#[derive(Clone, Debug)]
pub struct Replicas {
    region: RegionId,
    primary: RegionId,
    /// None until the store is open.
    own: Option<FollowerIdentity>,
    replicas: BTreeMap<RegionId, Replica>,
    members: RegistryMembers,
    tuning: ReplicaTuning,
    random: Random,
    bugs: RegistryBugs,
}

impl Replicas {
    /// No copies. `random` is the stream of their back-offs.
    #[must_use]
    pub fn new(
        region: RegionId,
        primary: RegionId,
        tuning: ReplicaTuning,
        random: Random,
        bugs: RegistryBugs,
    ) -> Self {
        Self {
            region,
            primary,
            own: None,
            replicas: BTreeMap::new(),
            members: RegistryMembers::default(),
            tuning,
            random,
            bugs,
        }
    }

    /// The copy of a region.
    #[must_use]
    pub fn get(&self, region: &RegionId) -> Option<&Replica> {
        self.replicas.get(region)
    }

    /// The sequence number of the last durable batch of a region's copy; 0 if there is none.
    #[must_use]
    pub fn sequence(&self, region: &RegionId) -> u64 {
        let position = self.replicas.get(region).and_then(Replica::position);
        position.map_or(0, |it| it.at.sequence)
    }

    /// The states of all copies, in the order of their regions.
    pub fn status(&self, now: Instant) -> impl Iterator<Item = CopyStatus> {
        self.replicas.values().map(move |it| it.status(now))
    }

    /// The time of the next wake.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.replicas.values().filter_map(Replica::deadline).min()
    }

    /// The store is open, and holds copies at these positions.
    pub fn open(
        &mut self,
        now: Instant,
        store: u64,
        epoch: LogEpoch,
        copies: &[(RegionId, CopyPosition)],
        out: &mut ReplicaReports,
    ) {
        self.own = Some(FollowerIdentity {
            region: self.region.clone(),
            store,
            epoch,
        });
        if self.region != self.primary {
            self.begin(now, &self.primary.clone());
        }
        for (region, _) in copies {
            self.begin(now, region);
        }
        for (region, replica) in &mut self.replicas {
            let stored = copies.iter().find(|it| it.0 == *region);
            let turn = replica.restore(now, stored.map(|it| it.1));
            out.add(region, turn);
        }
    }

    /// Begins to copy a region, unless there is a copy or the number of copies is at its bound.
    pub fn begin(&mut self, now: Instant, region: &RegionId) {
        let has_room = self.replicas.len() < REGIONS_MAX;
        if *region == self.region || self.own.is_none() || !has_room {
            return;
        }
        if !self.replicas.contains_key(region) {
            let random = self.random.child(region.as_str());
            let (of, primary) = (region.clone(), self.primary.clone());
            let replica = Replica::new(now, of, primary, self.tuning, random, self.bugs);
            self.replicas.insert(region.clone(), replica);
        }
    }

    /// Other members announce registries.
    pub fn on_members(&mut self, now: Instant, members: RegistryMembers) {
        for replica in self.replicas.values_mut() {
            replica.on_members(now, &self.members, &members);
        }
        self.members = members;
    }

    /// Something happened on the connection of an attempt to connect to a region.
    pub fn on_input(
        &mut self,
        now: Instant,
        region: &RegionId,
        input: (u64, ReplicaInput),
        out: &mut ReplicaReports,
    ) {
        if let (Some(replica), Some(own)) = (self.replicas.get_mut(region), &self.own) {
            out.add(region, replica.on_input(now, input, own));
        }
    }

    /// A deadline has arrived.
    pub fn on_wake(&mut self, now: Instant, out: &mut ReplicaReports) {
        for (region, replica) in &mut self.replicas {
            out.add(region, replica.on_wake(now, &self.members));
        }
    }

    /// Whether something can be committed.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.replicas.values().any(Replica::has_content)
    }

    /// The next commit of the store, given the present objects.
    pub fn take_updates(&mut self, objects: &ObjectMap) -> Vec<CopyUpdate> {
        let replicas = self.replicas.values_mut();
        replicas.filter_map(|it| it.take_update(objects)).collect()
    }

    /// The commit under way is durable. Returns the changes.
    pub fn on_committed(
        &mut self,
        now: Instant,
        out: &mut ReplicaReports,
    ) -> Vec<(RegionId, AppliedCopy)> {
        let mut applied = Vec::new();
        for (region, replica) in &mut self.replicas {
            if let Some((changes, turn)) = replica.on_committed(now) {
                applied.push((region.clone(), changes));
                out.add(region, turn);
            }
        }
        applied
    }

    /// The store did not take what was to be committed.
    pub fn abort(&mut self, now: Instant, out: &mut ReplicaReports) {
        for (region, replica) in &mut self.replicas {
            out.add(region, replica.abort(now));
        }
    }

    /// Ends all copies, because another sequencer has the store.
    pub fn end(&mut self, out: &mut ReplicaReports) {
        for (region, replica) in &mut self.replicas {
            out.add(region, replica.end());
        }
    }
}
