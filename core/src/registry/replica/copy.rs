//! A copy of the objects of one region.

use super::inbox::{BatchArrival, InboxContent, ReplicaInbox};
use super::link::{LinkTurn, ReplicaLink};
use super::message::{
    FeedBatch, FeedMessage, FeedRefusal, FeedRequest, ReplicaEvent, ReplicaInput, ReplicaOutput,
    ReplicaTuning,
};
use crate::random::Random;
use crate::registry::log::{CopyPosition, LogEpoch};
use crate::registry::members::{RegistryMember, RegistryMembers};
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::Object;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::state::ObjectMap;
use crate::registry::store::CopyUpdate;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The region that has the copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FollowerIdentity {
    pub(super) region: RegionId,
    pub(super) store: u64,
    pub(super) epoch: LogEpoch,
}

/// Changes of a copy that are durable.
#[derive(Clone, Debug)]
pub enum AppliedCopy {
    /// Batches of the owner's log.
    Batches(Vec<FeedBatch>),
    /// The difference of a snapshot.
    Snapshot(Vec<(ObjectName, Option<Arc<Object>>)>),
}

/// The state of a copy, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStatus {
    /// The region that owns the objects.
    pub region: RegionId,
    /// Whether the copy follows the owner.
    pub is_following: bool,
    /// The position; none before the first snapshot.
    pub position: Option<CopyPosition>,
    /// The number of batches that the copy has not yet, as far as the owner was heard.
    pub lag: u64,
    /// The time since the copy was known to be current; none if it never was since the start.
    pub age: Option<Duration>,
    /// Why the copy does not follow the owner, if a reason is known.
    pub refusal: Option<FeedRefusal>,
    /// The member at which the owner was dialled last.
    pub member: Option<RegistryMember>,
}

/// Changes that the store commits.
#[derive(Clone, Debug)]
struct CommittingCopy {
    applied: AppliedCopy,
    position: CopyPosition,
    bytes: usize,
}

/// A copy.
#[derive(Clone, Debug)]
pub struct Replica {
    region: RegionId,
    /// The position of what is durable.
    durable: Option<CopyPosition>,
    committing: Option<CommittingCopy>,
    inbox: ReplicaInbox,
    link: ReplicaLink,
    /// The uid of the owner's store on this connection; none before the owner has answered the last request.
    store: Option<u64>,
    /// The sequence number of the owner's latest batch.
    head: u64,
    /// The time until which the copy is known to be current.
    current_at: Option<Instant>,
    refusal: Option<FeedRefusal>,
    /// The member at which the owner was dialled last.
    member: Option<RegistryMember>,
    bugs: RegistryBugs,
}

/// The results of a step.
#[derive(Debug, Default)]
pub(super) struct ReplicaTurn {
    pub(super) orders: Vec<ReplicaOutput>,
    pub(super) events: Vec<ReplicaEvent>,
}

/// Readable state.
impl Replica {
    pub(super) fn new(
        now: Instant,
        region: RegionId,
        primary: RegionId,
        tuning: ReplicaTuning,
        random: Random,
        bugs: RegistryBugs,
    ) -> Self {
        Self {
            inbox: ReplicaInbox::new(region.clone(), primary),
            region,
            durable: None,
            committing: None,
            link: ReplicaLink::new(now, tuning, random),
            store: None,
            head: 0,
            current_at: None,
            refusal: None,
            member: None,
            bugs,
        }
    }

    /// The position of what is durable; none before the first snapshot.
    #[must_use]
    pub const fn position(&self) -> Option<CopyPosition> {
        self.durable
    }

    /// Whether the owner serves the copy.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.link.is_connected() && self.store.is_some()
    }

    /// The state for operators.
    #[must_use]
    pub fn status(&self, now: Instant) -> CopyStatus {
        let at = self.durable.map_or(0, |it| it.at.sequence);
        let lag = self.head.saturating_sub(at);
        let age = self.current_at.map(|current| {
            let is_current = lag == 0 && self.is_following();
            if is_current {
                Duration::ZERO
            } else {
                now - current
            }
        });
        CopyStatus {
            region: self.region.clone(),
            is_following: self.is_following(),
            position: self.durable,
            lag,
            age,
            refusal: self.refusal.clone(),
            member: self.member.clone(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.link.deadline()
    }

    /// Whether something can be committed.
    pub(super) const fn has_content(&self) -> bool {
        self.committing.is_none() && self.inbox.has_content()
    }
}

/// Changes.
impl Replica {
    /// The store holds the copy at this position; nothing else of it is durable.
    pub(super) fn restore(&mut self, now: Instant, position: Option<CopyPosition>) -> ReplicaTurn {
        self.durable = position;
        self.committing = None;
        self.inbox.restart(position);
        self.disconnect(now)
    }

    /// Drops what is not durable, because the store did not take it.
    pub(super) fn abort(&mut self, now: Instant) -> ReplicaTurn {
        self.restore(now, self.durable)
    }

    /// Ends the copy: it follows no more.
    pub(super) fn end(&mut self) -> ReplicaTurn {
        self.committing = None;
        self.inbox.restart(self.durable);
        self.store = None;
        let mut turn = ReplicaTurn::default();
        if self.link.end() {
            turn.orders.push(ReplicaOutput::Disconnect);
        }
        turn
    }

    /// The members that announce registries changed from `before` to `after`.
    pub(super) fn on_members(
        &mut self,
        now: Instant,
        before: &RegistryMembers,
        after: &RegistryMembers,
    ) {
        if before.of(&self.region) != after.of(&self.region) {
            self.link.hurry(now);
        }
    }

    pub(super) fn on_wake(&mut self, now: Instant, members: &RegistryMembers) -> ReplicaTurn {
        match self.link.on_wake(now) {
            Some(LinkTurn::Connect) => {
                self.member = members.choose(&self.region, self.link.failures()).cloned();
                let (attempt, member) = (self.link.attempt(), self.member.clone());
                ReplicaTurn {
                    orders: vec![ReplicaOutput::Connect { attempt, member }],
                    events: Vec::new(),
                }
            }
            Some(LinkTurn::TimedOut) => self.disconnect(now),
            None => ReplicaTurn::default(),
        }
    }

    /// Closes the connection, and connects again after a back-off.
    fn disconnect(&mut self, now: Instant) -> ReplicaTurn {
        let mut turn = ReplicaTurn::default();
        if self.is_following() {
            turn.events.push(ReplicaEvent::Lost);
        }
        self.store = None;
        if self.link.back_off(now) {
            turn.orders.push(ReplicaOutput::Disconnect);
        }
        turn
    }

    fn violate(&mut self, now: Instant, what: &'static str, turn: &mut ReplicaTurn) {
        turn.events.push(ReplicaEvent::Violation(what));
        let closed = self.disconnect(now);
        turn.events.extend(closed.events);
        turn.orders.extend(closed.orders);
    }

    /// Asks for what follows a position.
    fn follow(
        &mut self,
        position: Option<CopyPosition>,
        own: &FollowerIdentity,
        turn: &mut ReplicaTurn,
    ) {
        let tuning = self.link.tuning();
        self.store = None;
        turn.orders.push(ReplicaOutput::Follow(FeedRequest {
            region: own.region.clone(),
            store: own.store,
            epoch: own.epoch,
            position,
            window: tuning.window,
            interval: tuning.idle_timeout / 3,
        }));
    }

    pub(super) fn on_input(
        &mut self,
        now: Instant,
        (attempt, input): (u64, ReplicaInput),
        own: &FollowerIdentity,
    ) -> ReplicaTurn {
        let mut turn = ReplicaTurn::default();
        if !self.link.is_current(attempt) {
            return turn;
        }
        match input {
            ReplicaInput::Connected => {
                if self.link.on_connected(now) {
                    self.restart_inbox();
                    self.follow(self.inbox.end(), own, &mut turn);
                }
            }
            ReplicaInput::Disconnected => {
                turn = self.disconnect(now);
                // The connection has ended already.
                turn.orders.clear();
            }
            ReplicaInput::Refused(refusal) => {
                if self.refusal.as_ref() != Some(&refusal) {
                    turn.events.push(ReplicaEvent::Refused(refusal.clone()));
                    self.refusal = Some(refusal);
                }
                let closed = self.disconnect(now);
                turn.events.extend(closed.events);
                turn.orders.extend(closed.orders);
            }
            ReplicaInput::Receive(message) => {
                if self.link.is_connected() {
                    // A request that is never answered ends the connection.
                    let is_answer = matches!(message, FeedMessage::Opened { .. });
                    if is_answer || self.store.is_some() {
                        self.link.on_heard(now);
                    }
                    self.on_message(now, message, own, &mut turn);
                }
            }
        }
        turn
    }

    /// The next batch is the one after what is durable or being committed.
    fn restart_inbox(&mut self) {
        let committing = self.committing.as_ref().map(|it| it.position);
        self.inbox.restart(committing.or(self.durable));
    }

    fn on_message(
        &mut self,
        now: Instant,
        message: FeedMessage,
        own: &FollowerIdentity,
        turn: &mut ReplicaTurn,
    ) {
        let weight = message.weight();
        if self.store.is_none() && !matches!(message, FeedMessage::Opened { .. }) {
            // It was sent before the owner heard the last request.
            return;
        }
        match message {
            FeedMessage::Opened {
                region,
                store,
                head,
            } => self.on_opened(now, &region, store, head, turn),
            FeedMessage::Batches { batches, head } => {
                self.head = head;
                self.inbox.count(weight);
                for batch in batches {
                    if !self.on_batch(now, batch, own, turn) {
                        return;
                    }
                }
            }
            FeedMessage::Snapshot { objects, end } => match self.inbox.take_part(objects, end) {
                Ok(_) => turn.orders.push(ReplicaOutput::Confirm {
                    sequence: self.durable.map_or(0, |it| it.at.sequence),
                    bytes: weight,
                }),
                Err(what) => self.violate(now, what, turn),
            },
            FeedMessage::Head(head) => {
                self.head = head;
                self.note_current(now);
                let is_idle = self.committing.is_none();
                let missing = self.inbox.missing(head).filter(|_| is_idle);
                if let Some(expected) = missing {
                    let arrived = head;
                    turn.events.push(ReplicaEvent::Gap { expected, arrived });
                    self.follow(self.inbox.end(), own, turn);
                }
            }
        }
    }

    fn on_opened(
        &mut self,
        now: Instant,
        region: &RegionId,
        store: u64,
        head: u64,
        turn: &mut ReplicaTurn,
    ) {
        if *region != self.region {
            return self.violate(now, "the region of the owner", turn);
        }
        if self.durable.is_some_and(|it| it.store != store) {
            return self.violate(now, "the store of the owner", turn);
        }
        self.store = Some(store);
        self.head = head;
        self.refusal = None;
        self.link.on_success();
        turn.events.push(ReplicaEvent::Following);
        self.note_current(now);
        if let Some(durable) = self.durable.filter(|_| self.committing.is_none()) {
            let (sequence, bytes) = (durable.at.sequence, 0);
            let confirm = ReplicaOutput::Confirm { sequence, bytes };
            turn.orders.push(confirm);
        }
    }

    /// Returns false if the rest of the message is of no use.
    fn on_batch(
        &mut self,
        now: Instant,
        batch: FeedBatch,
        own: &FollowerIdentity,
        turn: &mut ReplicaTurn,
    ) -> bool {
        let sequence = batch.entry.revision.sequence;
        match self.inbox.take(batch) {
            BatchArrival::Taken => {
                if self.bugs.has(RegistryBug::CopyConfirmedEarly) {
                    turn.orders
                        .push(ReplicaOutput::Confirm { sequence, bytes: 0 });
                }
                true
            }
            BatchArrival::Known => true,
            BatchArrival::Gap(expected) => {
                let arrived = sequence;
                turn.events.push(ReplicaEvent::Gap { expected, arrived });
                self.follow(self.inbox.end(), own, turn);
                false
            }
            BatchArrival::Diverged => {
                turn.events.push(ReplicaEvent::Diverged { sequence });
                self.inbox.restart(None);
                self.follow(None, own, turn);
                false
            }
            BatchArrival::Violation(what) => {
                self.violate(now, what, turn);
                false
            }
        }
    }

    /// Notes that the copy is current if it has the owner's latest batch.
    fn note_current(&mut self, now: Instant) {
        if self.durable.is_some_and(|it| it.at.sequence >= self.head) {
            self.current_at = Some(now);
        }
    }

    /// The next commit of the store, given the present objects.
    pub(super) fn take_update(&mut self, objects: &ObjectMap) -> Option<CopyUpdate> {
        if self.committing.is_some() {
            return None;
        }
        let (content, position, bytes) = self.inbox.take_content()?;
        let (applied, changes) = match content {
            InboxContent::Batches(batches) => {
                let changes = batches.iter().flat_map(|batch| &batch.entry.changes);
                let latest: BTreeMap<_, _> = changes
                    .map(|change| (change.name.clone(), change.after.clone()))
                    .collect();
                (AppliedCopy::Batches(batches), latest.into_iter().collect())
            }
            InboxContent::Snapshot(arrived) => {
                let own = objects.iter();
                let own = own.filter(|it| it.metadata.owning_region == self.region);
                let gone = own.filter(|it| !arrived.contains_key(&it.name));
                let mut changes: Vec<_> = gone.map(|it| (it.name.clone(), None)).collect();
                if self.bugs.has(RegistryBug::CopyKeepsRemoved) {
                    changes.clear();
                }
                let new = arrived.into_iter().filter(|(name, object)| {
                    objects.get(name).is_none_or(|known| **known != **object)
                });
                changes.extend(new.map(|(name, object)| (name, Some(object))));
                (AppliedCopy::Snapshot(changes.clone()), changes)
            }
        };
        self.committing = Some(CommittingCopy {
            applied,
            position,
            bytes,
        });
        Some(CopyUpdate {
            region: self.region.clone(),
            position,
            changes,
        })
    }

    /// The commit under way is durable.
    pub(super) fn on_committed(&mut self, now: Instant) -> Option<(AppliedCopy, ReplicaTurn)> {
        let CommittingCopy {
            applied,
            position,
            bytes,
        } = self.committing.take()?;
        self.durable = Some(position);
        let mut turn = ReplicaTurn::default();
        let sequence = position.at.sequence;
        if let AppliedCopy::Snapshot(changes) = &applied {
            let changes = changes.len();
            turn.events
                .push(ReplicaEvent::TookSnapshot { sequence, changes });
        }
        if self.is_following() {
            turn.orders.push(ReplicaOutput::Confirm { sequence, bytes });
            self.note_current(now);
        }
        Some((applied, turn))
    }
}
