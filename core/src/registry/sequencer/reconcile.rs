//! The batches that a registry writes of its own accord, in the region that it decides for:
//!
//! | object | batch |
//! |---|---|
//! | a service that closes a region | the region leaves its policy when no deployment is there |
//! | an object that is being deleted, without finalizers | its removal when nothing depends on it |
//! | an object that refers to one that is being deleted | its deletion, or its change without the name |
//! | an object whose owners are all gone | its deletion |
//! | a deployment whose service's record, a copy, has changed | its audience follows |
//!
//! An owner is gone if no object of its name has its uid. A copy had the owner when the reference was written, so its absence is
//! proof: what is not known is not taken for absent.
//!
//! The first two wait for the registries of other regions: see [`super::reconciler`].

use super::audiences;
use super::claim::{ClaimState, STORE_FIELD, is_region};
use super::interface::{Output, WriteRequest};
use super::pipeline::WaitingAnswer;
use super::reconciler::OWN_WRITE;
use super::reference_index::Referrer;
use super::{RegistryBug, Sequencer};
use crate::machine::Outbox;
use crate::registry::kind::BuiltInKind;
use crate::registry::log::ObjectChange;
use crate::registry::metadata::OwnerReference;
use crate::registry::name::{ObjectName, RegionId};
use crate::registry::object::{Object, ObjectDraft};
use crate::registry::placement::owner_of;
use crate::registry::policy::{POLICY_FIELD, closing_regions, without_region};
use crate::registry::query::FieldMask;
use crate::registry::references::{OnDelete, is_owner, without_target};
use crate::registry::rules::has_registry;
use crate::registry::value::FieldPath;
use crate::registry::write::{Precondition, RegistryCaller, WriteBatch, WriteOperation};
use crate::time::Instant;
use std::sync::Arc;

/// Number of objects whose references to one object a step ends.
const REFERRERS_MAX: usize = 128;

fn delete_of(object: &Object) -> WriteOperation {
    WriteOperation::Delete {
        name: object.name.clone(),
        condition: Precondition::generation(object.metadata.generation),
        allow_missing: true,
    }
}

impl Sequencer {
    /// Notes the objects here whose owners may be gone, and those that refer to deleted ones.
    pub(super) fn on_durable(&mut self, change: &ObjectChange) {
        self.references.forget(change, &self.accepted);
        if let (Some(before), None) = (&change.before, &change.after) {
            for name in self.references.dependents(before.metadata.uid) {
                self.reconciler.note_dependent(name);
            }
        }
    }

    /// Notes the services whose deployments here may have an old audience, and the objects whose owners may be gone.
    pub(super) fn note_unfinished(&mut self) {
        if !self.durable.unfinished().is_empty() {
            self.reconciler.wake();
        }
        for object in self.durable.objects().iter() {
            if !object.metadata.writer.owner_references.is_empty() {
                self.reconciler.note_dependent(&object.name);
            }
        }
        let all = self.durable.objects().with_prefix("services/");
        let deployments =
            all.filter(|it| BuiltInKind::of(&it.name) == Some(BuiltInKind::Deployment));
        let own = deployments.filter(|it| it.metadata.owning_region == self.config.region);
        let services: Vec<_> = own.filter_map(|it| it.name.parent()).collect();
        services
            .iter()
            .for_each(|it| self.reconciler.note_service(it));
    }

    /// Writes what follows from the present objects.
    pub(super) fn reconcile(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let is_able = self.lease.is_serving() && self.is_readable();
        if !is_able || self.claim_state() != ClaimState::Held {
            self.reconciler.pause();
            return;
        }
        self.follow_audiences(out);
        if !self.reconciler.begin(now, self.durable.unfinished()) {
            return;
        }
        self.collect(out);
        for name in self.reconciler.turn(self.durable.unfinished()) {
            let Some(object) = self.durable.objects().get(&name).cloned() else {
                continue;
            };
            // Another change is under way otherwise.
            let is_latest = self.accepted.objects().get(&name) == Some(&object);
            if !is_latest {
                continue;
            }
            if object.metadata.deleted.is_some() {
                self.end_references(&object, out);
            }
            let owner = owner_of(&name, self.durable.objects(), &self.config.primary);
            if owner != self.config.region {
                continue;
            }
            if object.metadata.deleted.is_some() {
                self.finish_deletion(&object, out);
            } else {
                for region in closing_regions(&object) {
                    self.finish_closing(&object, region, out);
                }
            }
        }
    }

    /// Deletes objects of this region whose owners are all gone.
    fn collect(&mut self, out: &mut Outbox<Output>) {
        for name in self.reconciler.take_dependents() {
            let Some(object) = self.accepted.objects().get(&name).cloned() else {
                continue;
            };
            let is_own = object.metadata.owning_region == self.config.region;
            if !is_own || object.metadata.deleted.is_some() {
                continue;
            }
            let is_latest = self.durable.objects().get(&name) == Some(&object);
            if is_latest && self.is_orphan(&object) {
                self.write_own(delete_of(&object), out);
            }
            // A deletion that is refused, or under way, is looked at again.
            if !is_latest || self.is_orphan(&object) {
                self.reconciler.note_dependent(&name);
            }
        }
    }

    /// Whether all owners of an object are gone.
    fn is_orphan(&self, object: &Object) -> bool {
        let mut owners = object.metadata.writer.owner_references.iter();
        let has_owners = owners.len() > 0;
        let is_gone = |owner: &OwnerReference| {
            let found = self.durable.objects().get(&owner.name);
            !is_owner(found.map(|it| &**it), owner.uid)
        };
        if self.config.bugs.has(RegistryBug::OneOwnerCounts) {
            return owners.any(is_gone);
        }
        has_owners && owners.all(is_gone)
    }

    /// Ends the references of objects of this region to one that is being deleted.
    fn end_references(&mut self, target: &Arc<Object>, out: &mut Outbox<Output>) {
        let referrers = self.references.referrers(&self.accepted, target);
        let own = referrers.filter(|it| {
            it.object.metadata.owning_region == self.config.region
                && it.object.metadata.deleted.is_none()
        });
        let own: Vec<_> = own.take(REFERRERS_MAX).collect();
        for Referrer { object, on_delete } in own {
            let operation = match on_delete {
                OnDelete::Block => continue,
                OnDelete::Cascade => delete_of(&object),
                OnDelete::Unset => {
                    let fields = self.accepted.kinds().references_of(&object.name);
                    let mut draft = ObjectDraft::from(&*object);
                    draft.body = without_target(fields, &object, &target.name);
                    WriteOperation::Update {
                        draft,
                        mask: FieldMask::All,
                        condition: Precondition::generation(object.metadata.generation),
                        allow_missing: false,
                    }
                }
            };
            self.write_own(operation, out);
        }
    }

    /// Gives the deployments of noted services the audiences of the services.
    fn follow_audiences(&mut self, out: &mut Outbox<Output>) {
        let services = self.reconciler.take_services();
        if services.is_empty() || self.config.bugs.has(RegistryBug::CopiedAudiencesStay) {
            return;
        }
        let batch = (&self.config, self.next_revision());
        let changes = audiences::refresh(&self.accepted, &services, batch);
        if changes.is_empty() {
            return;
        }
        if self.pipeline.has_room() {
            let write = self.own_write(Vec::new());
            self.push(&write, None, changes, WaitingAnswer::Own, out);
        } else {
            services
                .iter()
                .for_each(|it| self.reconciler.note_service(it));
        }
    }

    /// Takes a region off the policy of a service, if no deployment is there and none can be created any more.
    fn finish_closing(&mut self, service: &Arc<Object>, region: &str, out: &mut Outbox<Output>) {
        let (Ok(deployment), Ok(other)) = (
            format!("{}/deployments/{region}", service.name).parse::<ObjectName>(),
            region.parse::<RegionId>(),
        ) else {
            return;
        };
        let is_asked = other != self.config.region && has_registry(&self.accepted, region);
        if is_asked && !self.is_settled(service, &other, out) {
            return;
        }
        if self.accepted.objects().get(&deployment).is_some() {
            return;
        }
        let body = without_region(service, region);
        self.write_own(
            WriteOperation::Update {
                draft: ObjectDraft::new(service.name.clone(), body),
                mask: FieldMask::of(vec![FieldPath::of(&[POLICY_FIELD])]),
                condition: Precondition::generation(service.metadata.generation),
                allow_missing: false,
            },
            out,
        );
    }

    /// Removes an object that is being deleted, if nothing depends on it in any region.
    fn finish_deletion(&mut self, object: &Arc<Object>, out: &mut Outbox<Output>) {
        let records = self.accepted.objects().with_prefix("regions/");
        let others = records.filter(|it| {
            let is_other = it.name.id() != self.config.region.as_str() && it.name != object.name;
            is_region(&it.name) && is_other && !it.text(STORE_FIELD).is_empty()
        });
        let others: Vec<_> = others.filter_map(|it| it.name.region()).collect();
        // Each region is asked, whether or not another one has answered.
        let waiting = others.iter().filter(|it| !self.is_settled(object, it, out));
        if waiting.count() > 0 {
            return;
        }
        self.write_own(delete_of(object), out);
    }

    /// Whether the copy of a region has all that the region decided before it knew the present state of an object of
    /// this region. Asks the region otherwise.
    fn is_settled(&mut self, object: &Object, region: &RegionId, out: &mut Outbox<Output>) -> bool {
        if self.config.bugs.has(RegistryBug::EndsUnasked) {
            return true;
        }
        let (name, mark) = (&object.name, object.metadata.revision.sequence);
        if let Some(revision) = self.reconciler.answer(name, region, mark) {
            return self.replicas.sequence(region) >= revision;
        }
        let copy = self.replicas.get(region);
        let is_following = copy.is_some_and(|copy| copy.is_following());
        let probe = format!("//registry/regions/{region}/probes/none").parse::<ObjectName>();
        let (true, true, Ok(probe)) = (is_following, self.feed.confirmed(region) >= mark, probe)
        else {
            return false;
        };
        let Some(write) = self.reconciler.ask(name, region, mark) else {
            return false;
        };
        let question = WriteRequest {
            write,
            ..self.own_write(vec![WriteOperation::Delete {
                name: probe.clone(),
                condition: Precondition::default(),
                allow_missing: true,
            }])
        };
        if let Err(refusal) = self.route(probe, region.clone(), question, out) {
            self.reconciler.on_answer(write, &Err(refusal));
        }
        false
    }

    fn own_write(&self, operations: Vec<WriteOperation>) -> WriteRequest {
        WriteRequest {
            write: OWN_WRITE,
            caller: RegistryCaller::Administrator,
            request: None,
            batch: WriteBatch { operations },
            time: self.time,
            copies: None,
            is_routed: false,
        }
    }

    /// Writes to an object of this region. A refusal stands until the next look.
    fn write_own(&mut self, operation: WriteOperation, out: &mut Outbox<Output>) {
        let write = self.own_write(vec![operation]);
        if !self.pipeline.has_room() {
            return;
        }
        if let Ok(changes) = self.decide(&write)
            && !changes.is_empty()
        {
            self.push(&write, None, changes, WaitingAnswer::Own, out);
        }
    }
}
