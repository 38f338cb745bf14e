//! Quotas of services: the number of objects and the rate of writes (the generic cell rate algorithm).
//!
//! Administrators have no rate. An object counts for the service that its name belongs to, also if an administrator writes it.

use super::interface::WriteLimits;
use crate::registry::log::ObjectChange;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::write::{RegistryCaller, WriteLimit, WriteRefusal};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of services above which rates that are not in use are dropped.
const RATES_KEPT: usize = 1_024;

/// The use of quotas.
#[derive(Clone, Debug)]
pub(super) struct Quotas {
    limits: WriteLimits,
    /// The number of objects of each service.
    objects: BTreeMap<String, usize>,
    /// The time at which the next write of each service conforms to its rate.
    conforms: BTreeMap<String, Instant>,
}

impl Quotas {
    pub(super) const fn new(limits: WriteLimits) -> Self {
        Self {
            limits,
            objects: BTreeMap::new(),
            conforms: BTreeMap::new(),
        }
    }

    /// Counts the objects of a state.
    pub(super) fn recount<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<Object>>) {
        self.objects.clear();
        for object in objects {
            if let Some(service) = object.name.of_service() {
                *self.objects.entry(service.to_owned()).or_default() += 1;
            }
        }
    }

    /// Takes one write of a caller from its rate.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        caller: &RegistryCaller,
    ) -> Result<(), WriteRefusal> {
        let RegistryCaller::Service(service) = caller else {
            return Ok(());
        };
        let at = self.conforms.get(service).map_or(now, |at| now.max(*at));
        let allowed = self.limits.interval * self.limits.burst.saturating_sub(1);
        if at - now > allowed {
            return Err(WriteRefusal::Rate {
                service: service.clone(),
                retry_after: (at - now) - allowed,
            });
        }
        if self.conforms.len() >= RATES_KEPT {
            self.conforms.retain(|_, at| *at > now);
        }
        let next = at + self.limits.interval;
        self.conforms.insert(service.clone(), next);
        Ok(())
    }

    /// Checks the numbers of objects after a batch that adds these objects.
    pub(super) fn check<'a>(
        &self,
        added: impl Iterator<Item = &'a ObjectName>,
    ) -> Result<(), WriteRefusal> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in added {
            let Some(service) = name.of_service() else {
                continue;
            };
            let count = counts.entry(service).or_default();
            *count += 1;
            let used = self.objects.get(service).copied().unwrap_or(0);
            if used + *count > self.limits.objects {
                let limit = WriteLimit::Objects(self.limits.objects);
                return Err(WriteRefusal::Limit(name.clone(), limit));
            }
        }
        Ok(())
    }

    /// Counts an accepted change.
    pub(super) fn apply(&mut self, change: &ObjectChange) {
        let Some(service) = change.name.of_service() else {
            return;
        };
        match (&change.before, &change.after) {
            (None, Some(_)) => *self.objects.entry(service.to_owned()).or_default() += 1,
            (Some(_), None) => {
                if let Some(count) = self.objects.get_mut(service) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.objects.remove(service);
                    }
                }
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
