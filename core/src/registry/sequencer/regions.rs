//! The part of the sequencer that deals with other regions: copies of their objects, feeds of its own, writes that other
//! regions own, and the claim of its store to the region.

use super::claim::{CLAIM, ClaimState, STORE_FIELD, claim_state, is_region};
use super::reconciler::INTERNAL_MIN;
use super::routing::RoutedAnswer;
use super::{Event, Output, Sequencer, WriteId, WriteRequest};
use crate::machine::Outbox;
use crate::registry::kind::BuiltInKind;
use crate::registry::log::{LogEntry, ObjectChange};
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::Object;
use crate::registry::placement::owner_of;
use crate::registry::replica::{
    AppliedCopy, FeedOutput, FeedRefusal, FeedRequest, FeedServer, FeedSource, FollowerId,
    ReplicaInput, ReplicaReports,
};
use crate::registry::sabotage::RegistryBug;
use crate::registry::write::{RegistryCaller, WriteBatch, WriteOutcome, WriteRefusal};
use crate::time::Instant;
use std::sync::Arc;

impl Sequencer {
    /// The region that owns the objects of a batch, if it is another one, with the first object.
    pub(super) fn other_owner(
        &self,
        batch: &WriteBatch,
    ) -> Result<Option<(ObjectName, RegionId)>, WriteRefusal> {
        let (objects, primary) = (self.accepted.objects(), &self.config.primary);
        let mut found: Option<(&ObjectName, RegionId)> = None;
        for operation in &batch.operations {
            let (name, owner) = (
                operation.name(),
                owner_of(operation.name(), objects, primary),
            );
            match &found {
                None => found = Some((name, owner)),
                Some((_, other)) if *other == owner => {}
                Some((_, other)) => {
                    let (name, other) = (name.clone(), other.clone());
                    return Err(WriteRefusal::TwoRegions { name, owner, other });
                }
            }
        }
        let other = found.filter(|(_, owner)| *owner != self.config.region);
        Ok(other.map(|(name, owner)| (name.clone(), owner)))
    }

    /// Routes a write to the region that owns its objects.
    pub(super) fn route(
        &mut self,
        name: ObjectName,
        owner: RegionId,
        write: WriteRequest,
        out: &mut Outbox<Output>,
    ) -> Result<(), WriteRefusal> {
        if write.is_routed {
            return Err(WriteRefusal::OtherRegion { name, owner });
        }
        let copy = self.replicas.get(&owner);
        if !copy.is_some_and(|copy| copy.is_following()) {
            if self.config.bugs.has(RegistryBug::RoutesInSilence) {
                return Ok(());
            }
            return Err(WriteRefusal::Unreachable { name, owner });
        }
        if !self.routed.begin(write.write, owner.clone()) {
            return Err(WriteRefusal::Busy);
        }
        // The owner waits for the copies.
        self.acks.forget(write.write);
        let write = Box::new(WriteRequest {
            is_routed: true,
            ..write
        });
        out.push(Output::Route { owner, write });
        Ok(())
    }

    pub(super) fn on_routed(
        &mut self,
        now: Instant,
        write: WriteId,
        result: Result<WriteOutcome, WriteRefusal>,
        out: &mut Outbox<Output>,
    ) {
        let owner = result.as_ref().ok().map(|outcome| &outcome.region);
        let copied = owner.map_or(0, |owner| self.replicas.sequence(owner));
        let answer = self.routed.on_answer(now, write, result, copied);
        let is_question = answer.as_ref().is_some_and(|it| it.0.0 >= INTERNAL_MIN);
        self.answer_routed(answer, out);
        if is_question {
            self.reconcile(now, out);
        }
    }

    /// Answers writers whose writes were routed. The claim of the region has no writer, and questions are the registry's.
    pub(super) fn answer_routed(
        &mut self,
        answers: impl IntoIterator<Item = RoutedAnswer>,
        out: &mut Outbox<Output>,
    ) {
        for (write, result) in answers {
            if write != CLAIM && !self.reconciler.on_answer(write, &result) {
                out.push(Output::Answer { write, result });
            }
        }
    }

    /// Applies the changes of copies that are durable. Returns whether records of regions are among them.
    pub(super) fn apply_copies(&mut self, now: Instant, out: &mut Outbox<Output>) -> bool {
        let (mut reports, mut has_regions) = (ReplicaReports::default(), false);
        let applied = self.replicas.on_committed(now, &mut reports);
        for (region, applied) in applied {
            match applied {
                AppliedCopy::Batches(batches) => {
                    for batch in batches {
                        let changes = batch.entry.changes.iter().map(|change| {
                            has_regions |= is_region(&change.name);
                            self.apply_copied(&change.name, change.after.clone())
                        });
                        let entry = LogEntry {
                            changes: changes.collect(),
                            request: None,
                            ..LogEntry::clone(&batch.entry)
                        };
                        let log = self.logs.copy_mut(&region);
                        log.begin_epoch(batch.epoch);
                        log.append(Arc::new(entry));
                    }
                }
                AppliedCopy::Snapshot(changes) => {
                    has_regions = true;
                    for (name, after) in changes {
                        self.apply_copied(&name, after);
                    }
                    let copy = self.replicas.get(&region).and_then(|it| it.position());
                    if let Some(position) = copy {
                        self.logs.begin_copy(&region, position);
                    }
                }
            }
            let copied = self.replicas.sequence(&region);
            let answers = self.routed.on_copied(&region, copied);
            self.answer_routed(answers, out);
        }
        self.report_copies(now, reports, out);
        has_regions
    }

    /// Applies the change of a copied object to the durable and the accepted state.
    fn apply_copied(&mut self, name: &ObjectName, after: Option<Arc<Object>>) -> ObjectChange {
        if BuiltInKind::of(name) == Some(BuiltInKind::Service) {
            self.reconciler.note_service(name);
        }
        let change = ObjectChange {
            name: name.clone(),
            before: self.durable.objects().get(name).cloned(),
            after,
        };
        self.durable.apply(&change);
        self.accepted.apply(&change);
        self.quotas.apply(&change);
        self.references.on_accepted(&change, &self.accepted);
        self.on_durable(&change);
        change
    }

    /// Calls the feed, and orders what it sends.
    pub(super) fn feed(
        &mut self,
        out: &mut Outbox<Output>,
        call: impl FnOnce(&mut FeedServer, FeedSource<'_>, &mut Vec<FeedOutput>),
    ) {
        let mut sent = Vec::new();
        let source = FeedSource {
            region: &self.config.region,
            store: self.lease.store(),
            log: self.logs.own(),
            objects: self.durable.objects(),
        };
        call(&mut self.feed, source, &mut sent);
        for FeedOutput { follower, message } in sent {
            out.push(Output::Feed { follower, message });
        }
    }

    pub(super) fn on_open_feed(
        &mut self,
        now: Instant,
        follower: FollowerId,
        request: &FeedRequest,
        out: &mut Outbox<Output>,
    ) {
        let mut result = Err(FeedRefusal::Opening);
        if self.lease.is_serving() {
            let claimed = claim_state(self.record(&request.region), request.store);
            if claimed == ClaimState::Taken {
                let region = request.region.clone();
                result = Err(FeedRefusal::SecondStore { region });
            } else {
                self.feed(out, |feed, source, sent| {
                    result = feed.open(now, follower, request, source, sent);
                });
            }
        }
        match result {
            Ok(None) => {}
            Ok(Some(replaced)) => {
                let (follower, refusal) = (replaced, FeedRefusal::Opening);
                out.push(Output::FeedEnded { follower, refusal });
            }
            Err(refusal) => {
                self.feed.close(now, follower);
                let (region, reason) = (request.region.clone(), refusal.clone());
                if refusal != FeedRefusal::Opening {
                    let refusal = reason;
                    out.push(Output::Report(Event::FollowerRefused { region, refusal }));
                }
                out.push(Output::FeedEnded { follower, refusal });
            }
        }
    }

    /// Ends all feeds; followers ask again.
    pub(super) fn end_feeds(&mut self, out: &mut Outbox<Output>) {
        for follower in self.feed.close_all() {
            let refusal = FeedRefusal::Opening;
            out.push(Output::FeedEnded { follower, refusal });
        }
    }

    pub(super) fn on_link(
        &mut self,
        now: Instant,
        region: &RegionId,
        input: (u64, ReplicaInput),
        out: &mut Outbox<Output>,
    ) {
        let mut reports = ReplicaReports::default();
        self.replicas.on_input(now, region, input, &mut reports);
        self.report_copies(now, reports, out);
    }

    /// Orders what copies have ordered, and ends the routed writes whose links are lost.
    pub(super) fn report_copies(
        &mut self,
        now: Instant,
        reports: ReplicaReports,
        out: &mut Outbox<Output>,
    ) {
        for (region, event) in reports.events {
            out.push(Output::Report(Event::Copy { region, event }));
        }
        for (region, order) in reports.orders {
            out.push(Output::Link { region, order });
        }
        let lost = self.replicas.status(now).filter(|it| !it.is_following);
        let lost: Vec<RegionId> = lost.map(|it| it.region).collect();
        for region in lost {
            let answers = self.routed.on_lost(&region);
            self.answer_routed(answers, out);
        }
    }

    /// Begins to copy the regions that have a registry.
    pub(super) fn discover(&mut self, now: Instant) {
        let records = self.durable.objects().with_prefix("regions/");
        let claimed = records.filter(|it| is_region(&it.name) && !it.text(STORE_FIELD).is_empty());
        let regions: Vec<RegionId> = claimed.filter_map(|it| it.name.region()).collect();
        for region in regions {
            self.replicas.begin(now, &region);
        }
    }

    /// The record of a region.
    fn record(&self, region: &RegionId) -> Option<&Object> {
        let name: ObjectName = format!("regions/{region}").parse().ok()?;
        self.durable.objects().get(&name).map(|object| &**object)
    }

    /// Which store has this region.
    pub(super) fn claim_state(&self) -> ClaimState {
        if self.config.region == self.config.primary {
            return ClaimState::Held;
        }
        claim_state(self.record(&self.config.region), self.lease.store())
    }

    /// Claims the region, unless it is claimed already.
    pub(super) fn claim_region(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if !self.is_readable() || !self.lease.is_serving() {
            self.claim.pause();
            return;
        }
        match self.claim_state() {
            ClaimState::Held => self.claim.on_held(),
            ClaimState::Taken => {
                if self.claim.on_taken() {
                    out.push(Output::Report(Event::RegionTaken));
                }
            }
            ClaimState::Open => {
                let region = self.config.region.clone();
                let record = self.record(&region).cloned();
                let store = self.lease.store();
                let attempt = self.claim.attempt(now, &region, record.as_ref(), store);
                let Some(batch) = attempt else {
                    return;
                };
                let write = WriteRequest {
                    write: CLAIM,
                    caller: RegistryCaller::Administrator,
                    request: None,
                    batch,
                    time: self.time,
                    copies: None,
                    is_routed: false,
                };
                let primary = self.config.primary.clone();
                let name = write.batch.operations[0].name().clone();
                // A claim that is not sent is made again.
                drop(self.route(name, primary, write, out));
            }
        }
    }
}
