//! Quotas: the number of objects and the rate of writes (the generic cell rate algorithm), of services and of the names
//! that begin with a prefix.
//!
//! Administrators have no rate. An object counts for the service that its name belongs to, also if an administrator writes
//! it. A batch is one write of each prefix that one of its names begins with.
//!
//! Bounds: [`RATES_KEPT`] rates of services that are not in use; [`PREFIXES_MAX`] prefixes.

use super::interface::{PREFIXES_MAX, PrefixQuota, WriteLimits};
use crate::registry::log::ObjectChange;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::write::{
    RegistryCaller, WriteBatch, WriteLimit, WriteOperation, WriteRefusal,
};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of services above which rates that are not in use are dropped.
const RATES_KEPT: usize = 1_024;

/// A rate: a number of writes at once, and then one each interval.
#[derive(Clone, Copy, Debug)]
struct WriteRate {
    burst: u32,
    interval: Duration,
}

impl WriteRate {
    /// The time at which the write after one at `now` conforms, if the present one conforms from `at` on.
    fn next(self, now: Instant, at: Option<Instant>) -> Result<Instant, Duration> {
        let at = at.map_or(now, |at| now.max(at));
        let allowed = self.interval * self.burst.saturating_sub(1);
        if at - now > allowed {
            return Err((at - now) - allowed);
        }
        Ok(at + self.interval)
    }
}

/// A quota of a prefix, and its use.
#[derive(Clone, Debug)]
struct PrefixUse {
    quota: PrefixQuota,
    objects: usize,
    conforms: Option<Instant>,
}

impl PrefixUse {
    fn concerns(&self, name: &ObjectName) -> bool {
        name.as_str().starts_with(&self.quota.prefix)
    }

    fn rate(&self) -> Option<WriteRate> {
        let burst = self.quota.writes?.max(1);
        let interval = Duration::from_secs(1) / burst;
        Some(WriteRate { burst, interval })
    }
}

/// The use of quotas.
#[derive(Clone, Debug)]
pub(super) struct Quotas {
    limits: WriteLimits,
    /// The number of objects of each service.
    objects: BTreeMap<String, usize>,
    /// The time at which the next write of each service conforms to its rate.
    conforms: BTreeMap<String, Instant>,
    prefixes: Vec<PrefixUse>,
}

impl Quotas {
    /// No use. Of the prefixes, the first [`PREFIXES_MAX`] count.
    pub(super) fn new(limits: WriteLimits, prefixes: &[PrefixQuota]) -> Self {
        let prefixes = prefixes.iter().take(PREFIXES_MAX).cloned();
        let unused = |quota| PrefixUse {
            quota,
            objects: 0,
            conforms: None,
        };
        Self {
            limits,
            objects: BTreeMap::new(),
            conforms: BTreeMap::new(),
            prefixes: prefixes.map(unused).collect(),
        }
    }

    /// Counts the objects of a state.
    pub(super) fn recount<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<Object>>) {
        self.objects.clear();
        for prefix in &mut self.prefixes {
            prefix.objects = 0;
        }
        for object in objects {
            if let Some(service) = object.name.of_service() {
                *self.objects.entry(service.to_owned()).or_default() += 1;
            }
            for prefix in &mut self.prefixes {
                prefix.objects += usize::from(prefix.concerns(&object.name));
            }
        }
    }

    /// Takes one write of a caller from its rate and from the rates of the prefixes; from none if one is exceeded.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        caller: &RegistryCaller,
        batch: &WriteBatch,
    ) -> Result<(), WriteRefusal> {
        let RegistryCaller::Service(service) = caller else {
            return Ok(());
        };
        let WriteLimits {
            burst, interval, ..
        } = self.limits;
        let rate = WriteRate { burst, interval };
        let next = rate.next(now, self.conforms.get(service).copied());
        let next = next.map_err(|retry_after| WriteRefusal::Rate {
            service: service.clone(),
            retry_after,
        })?;
        let mut taken = Vec::new();
        for (at, used) in self.prefixes.iter().enumerate() {
            let mut names = batch.operations.iter().map(WriteOperation::name);
            let Some(rate) = used.rate().filter(|_| names.any(|it| used.concerns(it))) else {
                continue;
            };
            let next = rate.next(now, used.conforms);
            let next = next.map_err(|retry_after| WriteRefusal::PrefixRate {
                prefix: used.quota.prefix.clone(),
                retry_after,
            })?;
            taken.push((at, next));
        }
        for (at, next) in taken {
            self.prefixes[at].conforms = Some(next);
        }
        if self.conforms.len() >= RATES_KEPT {
            self.conforms.retain(|_, at| *at > now);
        }
        self.conforms.insert(service.clone(), next);
        Ok(())
    }

    /// Checks the numbers of objects after a batch that adds these objects.
    pub(super) fn check<'a>(
        &self,
        added: impl Iterator<Item = &'a ObjectName>,
    ) -> Result<(), WriteRefusal> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut below = vec![0; self.prefixes.len()];
        for name in added {
            for (used, added) in self.prefixes.iter().zip(&mut below) {
                *added += usize::from(used.concerns(name));
                if *added > 0 && used.objects + *added > used.quota.objects {
                    let limit = WriteLimit::ObjectsBelow(used.quota.objects);
                    return Err(WriteRefusal::Limit(name.clone(), limit));
                }
            }
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
        let name = &change.name;
        match (&change.before, &change.after) {
            (None, Some(_)) => {
                for prefix in &mut self.prefixes {
                    prefix.objects += usize::from(prefix.concerns(name));
                }
                if let Some(service) = name.of_service() {
                    *self.objects.entry(service.to_owned()).or_default() += 1;
                }
            }
            (Some(_), None) => {
                for prefix in &mut self.prefixes {
                    let removed = usize::from(prefix.concerns(name));
                    prefix.objects = prefix.objects.saturating_sub(removed);
                }
                self.remove(name);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn remove(&mut self, name: &ObjectName) {
        let Some(service) = name.of_service() else {
            return;
        };
        if let Some(count) = self.objects.get_mut(service) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.objects.remove(service);
            }
        }
    }
}
