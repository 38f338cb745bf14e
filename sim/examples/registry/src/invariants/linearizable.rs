//! Reads and writes of each object are linearizable: see [`linearizability`](crate::linearizability).

use crate::fact::{OperationKind, RegistryFact};
use crate::linearizability::{RecordedOperation, check};
use phalanx_core::registry::name::ObjectName;
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::{Program, Scene};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Linearizable {
    /// The operations on each object. The index of an operation is its place in the list.
    histories: BTreeMap<ObjectName, Vec<RecordedOperation>>,
    /// The places of the operations of each request, in the order of the request.
    places: BTreeMap<String, Vec<(ObjectName, usize)>>,
    checked: u64,
}

impl Linearizable {
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
        for (name, history) in &self.histories {
            check(history).map_err(|request| {
                format!("{name}: no order of the operations explains request {request}")
            })?;
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
