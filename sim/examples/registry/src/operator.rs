//! An operator: writes services, their policies and imports, deployments, kinds, orders, and carts that refer to orders, at
//! random, one write at a time.
//!
//! Many writes are refused, because of the objects or because a region cannot be reached. A write without an answer is
//! repeated under its request id.

use crate::fact::RegistryFact;
use crate::messages::{ClientMessage, RegistryMessage};
use core::net::SocketAddr;
use phalanx_core::random::Random;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::object::ObjectDraft;
use phalanx_core::registry::query::FieldMask;
use phalanx_core::registry::value::{FieldPath, ObjectTable, ObjectValue};
use phalanx_core::registry::write::{Precondition, WriteBatch, WriteOperation, WriteRefusal};
use phalanx_core::time::{Duration, Instant};
use phalanx_sim::world::{DialId, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};

/// The number of services.
const SERVICES: u64 = 3;
/// The number of carts of a service in a region.
const CARTS: u64 = 2;
/// The number of orders, which carts refer to.
const ORDERS: u64 = 2;
/// Time after which a write without an answer is sent again, and a dial is repeated.
const REPEAT: Duration = Duration::from_millis(800);
/// Longest pause between two writes.
const PAUSE: Duration = Duration::from_millis(150);

/// An operator.
#[derive(Debug)]
pub struct OperatorProcess {
    registry: SocketAddr,
    /// All regions, the primary first.
    regions: Vec<RegionId>,
    region: RegionId,
    link: Option<LinkId>,
    dials: u64,
    pending: Option<(String, WriteBatch)>,
    /// The time at which the pending write is repeated, or the next one begins.
    next_at: Option<Instant>,
    left: u64,
    prefix: String,
    count: u64,
    random: Random,
}

fn name(text: &str) -> phalanx_core::registry::name::ObjectName {
    text.parse().expect("a valid name")
}

fn update(at: &str, field: &str, value: ObjectValue) -> WriteOperation {
    WriteOperation::Update {
        draft: ObjectDraft::new(name(at), [(field.to_owned(), value)].into()),
        mask: FieldMask::of(vec![FieldPath::of(&[field])]),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

fn create(at: &str, body: ObjectTable) -> WriteOperation {
    WriteOperation::Create(ObjectDraft::new(name(at), body))
}

fn delete(at: &str) -> WriteOperation {
    WriteOperation::Delete {
        name: name(at),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

impl OperatorProcess {
    /// An operator that starts.
    #[must_use]
    pub fn new(
        registry: SocketAddr,
        region: RegionId,
        regions: Vec<RegionId>,
        prefix: String,
        random: Random,
    ) -> Self {
        Self {
            registry,
            regions,
            region,
            link: None,
            dials: 0,
            pending: None,
            next_at: None,
            left: 0,
            prefix,
            count: 0,
            random: random.child("operator"),
        }
    }

    /// Whether the operator has nothing to do.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.pending.is_none() && self.left == 0
    }

    fn dial(&mut self, now: Instant, out: &mut Effects) {
        self.dials += 1;
        let (dial, to) = (DialId(self.dials), Some(self.registry));
        out.push(Effect::Dial { dial, to });
        self.next_at.get_or_insert(now + REPEAT);
    }

    /// The policy of a service: all regions, of which one may be closing.
    fn policy(&mut self) -> ObjectValue {
        let roll = self.random.below(self.regions.len() as u64) as usize;
        let closing = self.regions.get(roll).filter(|_| roll > 0);
        let enabled = self.regions.iter().map(RegionId::as_str);
        let policy = [
            ("enabled_regions".to_owned(), ObjectValue::texts(enabled)),
            (
                "closing_regions".to_owned(),
                ObjectValue::texts(closing.map(RegionId::as_str)),
            ),
        ];
        ObjectValue::Table(policy.into())
    }

    fn operation(&mut self) -> WriteOperation {
        let service = format!("cart{}", self.random.below(SERVICES));
        let record = format!("services/{service}");
        let deployment = format!("{record}/deployments/{}", self.region);
        let kind = format!("{record}/resources/Cart");
        let order = format!("//shop/orders/{}", self.random.below(ORDERS));
        let cart = self.random.below(CARTS);
        let cart = format!("//{service}/regions/{}/carts/{cart}", self.region);
        match self.random.below(20) {
            0..=2 => {
                let policy = self.policy();
                create(&record, [("multi_region_policy".to_owned(), policy)].into())
            }
            3..=5 => update(&record, "multi_region_policy", self.policy()),
            6 => {
                let imported = format!("cart{}", self.random.below(SERVICES));
                update(&record, "imported_services", ObjectValue::texts([imported]))
            }
            7 => update(&record, "imported_services", ObjectValue::Null),
            8 if self.random.below(2) == 0 => delete(&record),
            8 => delete(&order),
            9..=11 => create(&deployment, ObjectTable::new()),
            12 if self.random.below(3) == 0 => create(&order, ObjectTable::new()),
            12 => update(&deployment, "is_disabled", ObjectValue::Bool(true)),
            13 => delete(&deployment),
            14..=15 => {
                let patterns = format!("//{service}/regions/{{region}}/carts/{{cart}}");
                let patterns = ObjectValue::texts([patterns]);
                let roll = self.random.below(3) as usize;
                let on_delete = ["block", "cascade", "unset"][roll];
                let reference = [
                    ("field".to_owned(), "order".into()),
                    ("on_delete".to_owned(), on_delete.into()),
                ];
                let reference = ObjectValue::Table(reference.into());
                let body = [
                    ("patterns".to_owned(), patterns),
                    ("references".to_owned(), ObjectValue::List(vec![reference])),
                ];
                create(&kind, body.into())
            }
            16 => delete(&kind),
            17 => create(&cart, ObjectTable::new()),
            18 => create(&cart, [("order".to_owned(), order.as_str().into())].into()),
            _ => delete(&cart),
        }
    }

    fn begin(&mut self) {
        self.left -= 1;
        self.count += 1;
        let operations = vec![self.operation()];
        let request = format!("{}-{}", self.prefix, self.count);
        self.pending = Some((request, WriteBatch { operations }));
    }

    fn send(&self, out: &mut Effects) {
        if let (Some(link), Some((request, batch))) = (self.link, self.pending.clone()) {
            out.send(link, ClientMessage::Administer { request, batch });
        }
    }

    fn on_wake(&mut self, now: Instant, out: &mut Effects) {
        if self.next_at.is_none_or(|at| at > now) {
            return;
        }
        self.next_at = None;
        if self.link.is_none() {
            return self.dial(now, out);
        }
        if self.pending.is_none() && self.left > 0 {
            self.begin();
        }
        if self.pending.is_some() {
            self.send(out);
            self.next_at = Some(now + REPEAT);
        }
    }

    fn on_message(&mut self, now: Instant, message: RegistryMessage, out: &mut Effects) {
        let RegistryMessage::Written { request, result } = message else {
            return;
        };
        // The write is repeated after a while.
        let is_undecided = matches!(
            result,
            Err(WriteRefusal::Unknown
                | WriteRefusal::Opening
                | WriteRefusal::Busy
                | WriteRefusal::Unreachable { .. }
                | WriteRefusal::StoreFull
                | WriteRefusal::StoreFailed)
        );
        if is_undecided || self.pending.take_if(|it| it.0 == request).is_none() {
            return;
        }
        if let Ok(outcome) = result {
            out.report(RegistryFact::Acknowledged { request, outcome });
        }
        if self.left > 0 {
            let pause = self.random.duration_below(PAUSE);
            self.next_at = Some(now + pause + Duration::from_nanos(1));
        }
    }
}

impl Process for OperatorProcess {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start
                | ProcessEvent::Dialed { .. }
                | ProcessEvent::DialFailed { .. }
                | ProcessEvent::Received { .. }
                | ProcessEvent::Closed { .. }
                | ProcessEvent::Command(_)
                | ProcessEvent::Wake
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => self.dial(now, out),
            ProcessEvent::Dialed { dial, link, .. } if dial != DialId(self.dials) => {
                out.push(Effect::Close { link });
            }
            ProcessEvent::Dialed { link, .. } => {
                self.link = Some(link);
                self.send(out);
                self.next_at = Some(now + REPEAT);
            }
            ProcessEvent::Closed { link, .. } if self.link == Some(link) => {
                self.link = None;
                self.next_at = Some(now + REPEAT);
            }
            ProcessEvent::Received { link, message } if self.link == Some(link) => {
                if let Some(message) = message.take::<RegistryMessage>() {
                    self.on_message(now, message, out);
                }
            }
            ProcessEvent::Command(command) => {
                self.left += command.with["count"].as_u64().unwrap_or(1);
                self.next_at.get_or_insert(now + Duration::from_nanos(1));
            }
            ProcessEvent::Wake => self.on_wake(now, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_at
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl ProcessView for OperatorProcess {
    fn state(&self) -> Value {
        json!({ "left": self.left, "pending": self.pending.is_some() })
    }
}
