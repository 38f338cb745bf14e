//! Reads and writes of each object are linearizable: see [`linearizability`](crate::linearizability).

use crate::archive::SharedArchive;
use crate::fact::{OperationKind, RegistryFact};
use crate::linearizability::{RecordedOperation, check};
use phalanx_core::registry::metadata::Uid;
use phalanx_core::registry::name::ObjectName;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::{Program, Scene};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(super) struct Linearizable {
    /// The operations on each object. The index of an operation is its place in the list.
    histories: BTreeMap<ObjectName, Vec<RecordedOperation>>,
    /// The places of the operations of each request, in the order of the request.
    places: BTreeMap<String, Vec<(ObjectName, usize)>>,
    /// The objects of the backup that was restored last, with their uids and generations.
    initial: BTreeMap<ObjectName, (Uid, u64)>,
    /// The requests that were executed before that backup was made. Their answers are not compared.
    settled: BTreeSet<String>,
    archive: SharedArchive,
    checked: u64,
}

impl Linearizable {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            histories: BTreeMap::new(),
            places: BTreeMap::new(),
            initial: BTreeMap::new(),
            settled: BTreeSet::new(),
            archive: Rc::clone(archive),
            checked: 0,
        }
    }

    fn check_all(&self) -> InvariantResult {
        for (name, history) in &self.histories {
            let initial = self.initial.get(name).copied();
            check(initial, history).map_err(|request| {
                format!("{name}: no order of the operations explains request {request}")
            })?;
        }
        Ok(())
    }

    /// Checks the operations so far, and begins again with the objects of a restored backup. Operations without an
    /// outcome may be executed from now on.
    fn restore(&mut self) -> InvariantResult {
        self.check_all()?;
        let mut histories: BTreeMap<ObjectName, Vec<RecordedOperation>> = BTreeMap::new();
        // The operations of a request have outcomes together, and keep their order.
        for places in self.places.values_mut() {
            for (name, place) in places.iter_mut() {
                let open = self.histories[name][*place].clone();
                if open.returned.is_none() {
                    let history = histories.entry(name.clone()).or_default();
                    *place = history.len();
                    history.push(open);
                }
            }
        }
        let is_open = |places: &Vec<(ObjectName, usize)>, request: &str| {
            places.iter().all(|(name, place)| {
                let history = histories.get(name);
                let operation = history.and_then(|history| history.get(*place));
                operation.is_some_and(|it| it.request == request)
            })
        };
        self.places
            .retain(|request, places| is_open(places, request));
        self.histories = histories;
        self.initial.clear();
        self.settled.clear();
        let archive = self.archive.borrow();
        for (_, entry) in archive.histories() {
            let request = entry.request.as_ref().map(|it| it.key.id.clone());
            self.settled.extend(request);
            for change in &entry.changes {
                match &change.after {
                    Some(after) => {
                        let state = (after.metadata.uid, after.metadata.generation);
                        self.initial.insert(change.name.clone(), state);
                    }
                    None => drop(self.initial.remove(&change.name)),
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, now: u64, request: &str, operations: &[(ObjectName, OperationKind)]) {
        let mut places = Vec::new();
        for (name, kind) in operations {
            let history = self.histories.entry(name.clone()).or_default();
            places.push((name.clone(), history.len()));
            history.push(RecordedOperation {
                request: request.to_owned(),
                kind: *kind,
                called: now,
                returned: None,
            });
        }
        self.places.insert(request.to_owned(), places);
    }

    fn operation(&mut self, request: &str, index: usize) -> Option<&mut RecordedOperation> {
        let (name, place) = self.places.get(request)?.get(index)?;
        self.histories.get_mut(name)?.get_mut(*place)
    }

    /// Removes a write that was not applied.
    fn remove(&mut self, request: &str) {
        for (name, place) in self.places.get(request).into_iter().flatten() {
            let history = self.histories.get_mut(name);
            if let Some(operation) = history.and_then(|history| history.get_mut(*place)) {
                // A read without an outcome fits into every order.
                operation.kind = OperationKind::Read;
            }
        }
    }
}

impl Invariant for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(RegistryFact::Called {
                request,
                operations,
            }) => self.call(report.now, request, operations),
            Some(RegistryFact::Serving {
                restored: Some(_), ..
            }) => return self.restore(),
            Some(RegistryFact::Returned { request, .. }) if self.settled.contains(request) => {
                self.remove(request);
            }
            Some(RegistryFact::Returned { request, outcomes }) => {
                for (index, outcome) in outcomes.iter().enumerate() {
                    if let Some(operation) = self.operation(request, index) {
                        operation.returned = Some((report.now, *outcome));
                        self.checked += 1;
                    }
                }
            }
            Some(RegistryFact::Refused { request }) => self.remove(request),
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _: &Scene<'_>) -> InvariantResult {
        self.check_all()
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
