//! All that an object needs exists, in the durable history of all regions at each time: a deployment has a service that
//! enables its region, an object of a registered kind has its kind, an object below others has them, and a cart the order
//! that it refers to (rules G-11, G-31 and G-37; the check of both sides at once that no registry can make).

use crate::archive::SharedArchive;
use crate::fact::RegistryFact;
use phalanx_core::registry::log::ObjectChange;
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::policy::enabled_regions;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub(super) struct NeededStays {
    archive: SharedArchive,
    /// The number of batches of each region that were looked at.
    seen: BTreeMap<RegionId, usize>,
    objects: BTreeMap<ObjectName, Arc<Object>>,
    checked: u64,
}

impl NeededStays {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            seen: BTreeMap::new(),
            objects: BTreeMap::new(),
            checked: 0,
        }
    }

    fn check(&mut self, change: &ObjectChange) -> InvariantResult {
        let name = &change.name;
        match &change.after {
            Some(after) => drop(self.objects.insert(name.clone(), Arc::clone(after))),
            None => drop(self.objects.remove(name)),
        }
        if change.after.is_none() {
            let mut carts = self.objects.values();
            if let Some(cart) = carts.find(|it| it.text("order") == name.as_str()) {
                return Err(format!("{} refers to {name}, which was removed", cart.name));
            }
        }
        let service = name.of_service().unwrap_or_default();
        let below = format!("services/{service}/");
        let own = format!("//{service}/");
        let parts = [name.as_str(), &below, &own];
        let concerned = self
            .objects
            .iter()
            .filter(|it| parts.iter().any(|part| it.0.as_str().starts_with(part)));
        for (_, object) in concerned {
            self.checked += 1;
            needs(&self.objects, object)?;
        }
        Ok(())
    }
}

fn needs(objects: &BTreeMap<ObjectName, Arc<Object>>, object: &Object) -> InvariantResult {
    let name = &object.name;
    let service = name.registrant().map(ObjectName::service);
    let service = service.and_then(Result::ok);
    let parents = name
        .ancestors()
        .filter(|it| it.as_str().starts_with("services/"));
    if let Some(missing) = parents.chain(service).find(|it| !objects.contains_key(it)) {
        return Err(format!("{name} exists without {missing}"));
    }
    let is_cart = name.as_str().contains("/carts/");
    let kind = name
        .registrant()
        .map(|it| format!("services/{it}/resources/Cart"));
    if let Some(kind) = kind.filter(|it| is_cart && !objects.contains_key(it.as_str())) {
        return Err(format!("{name} exists without its kind {kind}"));
    }
    let order = object.text("order");
    if !order.is_empty() && !objects.contains_key(order) {
        return Err(format!("{name} refers to {order}, which does not exist"));
    }
    let deployed = name
        .region()
        .filter(|_| name.as_str().contains("/deployments/"));
    let record = name.parent().and_then(|it| objects.get(&it));
    match (deployed, record) {
        (Some(region), Some(record)) if !enabled_regions(record).contains(region.as_str()) => Err(
            format!("{name} exists, and its service does not enable the region"),
        ),
        _ => Ok(()),
    }
}

impl Invariant for NeededStays {
    fn name(&self) -> &'static str {
        "needed-stays"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        let (Some(RegistryFact::Committed { region, .. })
        | Some(RegistryFact::Serving { region, .. })) = report.event.of()
        else {
            return Ok(());
        };
        let archive = Rc::clone(&self.archive);
        let archive = archive.borrow();
        let history = archive.history(region);
        let from = self.seen.insert(region.clone(), history.len()).unwrap_or(0);
        for change in history.iter().skip(from).flat_map(|entry| &entry.changes) {
            self.check(change)?;
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
