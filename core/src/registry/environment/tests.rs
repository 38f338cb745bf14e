//! Tests of environments: several processes and a registry, with immediate delivery.

use super::address::{AddressReason, NoAddress, ServiceAddress};
use super::relevance::{is_relevant, relevant_services};
use super::*;
use crate::registry::object::ObjectDraft;
use crate::registry::sequencer::{self, Sequencer, WriteId, WriteRequest};
use crate::registry::value::{ObjectTable, ObjectValue};
use crate::registry::volatile_store::VolatileStore;
use crate::registry::watch::WatchId;
use crate::registry::write::{RegistryCaller, WriteOperation};
use crate::time::Wall;
use std::collections::BTreeMap;

/// A registry with its store, and processes.
struct World {
    now: Instant,
    registry: Sequencer,
    store: VolatileStore,
    processes: Vec<ServiceEnvironment>,
    events: Vec<Vec<Event>>,
    /// The requests of the processes, by the numbers of their writes.
    requests: BTreeMap<u64, (usize, String)>,
    /// Number of writes that reached the registry.
    writes: u64,
    /// Whether the processes reach the registry.
    is_connected: bool,
    /// Whether answers to writes are lost.
    loses_answers: bool,
}

fn table(fields: &[(&str, ObjectValue)]) -> ObjectTable {
    let fields = fields.iter();
    fields
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

fn config(service: &str, version: &str) -> EnvironmentConfig {
    EnvironmentConfig::new(service, "eu".parse().unwrap(), version).unwrap()
}

impl World {
    /// A registry with region `eu`.
    fn new() -> Self {
        let mut world = Self::without_regions();
        let region = ObjectDraft::new("regions/eu".parse().unwrap(), ObjectTable::new());
        world.administer(WriteOperation::Create(region));
        world
    }

    fn without_regions() -> Self {
        let config = sequencer::Config::new("eu".parse().unwrap(), 1);
        let mut world = Self {
            now: Instant::from_millis(1),
            registry: Sequencer::new(config),
            store: VolatileStore::default(),
            processes: Vec::new(),
            events: Vec::new(),
            requests: BTreeMap::new(),
            writes: 0,
            is_connected: true,
            loses_answers: false,
        };
        world.registry(sequencer::Input::Start);
        world
    }

    fn administer(&mut self, operation: WriteOperation) {
        let caller = RegistryCaller::Administrator;
        self.write(caller, None, vec![operation]);
    }

    fn write(
        &mut self,
        caller: RegistryCaller,
        request: Option<String>,
        operations: Vec<WriteOperation>,
    ) {
        self.writes += 1;
        let write = WriteRequest {
            write: WriteId(self.writes),
            caller,
            request,
            batch: WriteBatch { operations },
            time: Wall(0),
            copies: None,
            is_routed: false,
        };
        self.registry(sequencer::Input::Write(Box::new(write)));
    }

    fn registry(&mut self, input: sequencer::Input) {
        let mut out = Outbox::new();
        self.registry.step(self.now, input, &mut out);
        let outputs: Vec<_> = out.drain().collect();
        for output in outputs {
            match output {
                sequencer::Output::OpenStore { incarnation } => {
                    let image = Box::new(self.store.open(incarnation));
                    self.registry(sequencer::Input::Opened(image));
                }
                sequencer::Output::Commit { ticket, group } => {
                    self.store.commit(&group).unwrap();
                    self.registry(sequencer::Input::Committed { ticket });
                }
                sequencer::Output::Answer { write, result } => {
                    let request = self.requests.remove(&write.0);
                    if let Some((process, request)) = request.filter(|_| !self.loses_answers) {
                        self.tell(process, Input::Written { request, result });
                    }
                }
                sequencer::Output::WatchOpened { .. } | sequencer::Output::Report(_) => {}
                sequencer::Output::Feed { .. }
                | sequencer::Output::FeedEnded { .. }
                | sequencer::Output::Link { .. }
                | sequencer::Output::Route { .. } => panic!("there is one region"),
                sequencer::Output::Watch { watch, message } => {
                    let input = ClientInput::Receive(message);
                    self.tell(watch.0 as usize, Input::Watch(input));
                }
            }
        }
    }

    fn start(&mut self, config: EnvironmentConfig) -> usize {
        let process = self.processes.len();
        let random = Random::from_seed(process as u64);
        self.processes
            .push(ServiceEnvironment::new(config, &random));
        self.events.push(Vec::new());
        self.tell(process, Input::Start);
        process
    }

    fn caller(&self, process: usize) -> RegistryCaller {
        let service = self.processes[process].config().service();
        RegistryCaller::Service(service.id().to_owned())
    }

    fn tell(&mut self, process: usize, input: Input) {
        let mut out = Outbox::new();
        self.processes[process].step(self.now, input, &mut out);
        let outputs: Vec<_> = out.drain().collect();
        let watch = WatchId(process as u64);
        for output in outputs {
            match output {
                Output::Watch(ClientOutput::Connect) => {
                    let connected = if self.is_connected {
                        ClientInput::Connected
                    } else {
                        ClientInput::Disconnected
                    };
                    self.tell(process, Input::Watch(connected));
                }
                Output::Watch(ClientOutput::Open(request)) => {
                    self.registry(sequencer::Input::OpenWatch {
                        watch,
                        caller: self.caller(process),
                        request: Box::new(request),
                    });
                }
                Output::Watch(ClientOutput::Grant { bytes }) => {
                    self.registry(sequencer::Input::GrantWatch { watch, bytes });
                }
                Output::Watch(_) | Output::Deliver(_) => {}
                Output::Write { request, batch } => {
                    let number = self.writes + 1;
                    self.requests.insert(number, (process, request.clone()));
                    let caller = self.caller(process);
                    self.write(caller, Some(request), batch.operations);
                }
                Output::Report(event) => self.events[process].push(event),
            }
        }
    }

    fn cut(&mut self) {
        self.is_connected = false;
        for process in 0..self.processes.len() {
            self.tell(process, Input::Watch(ClientInput::Disconnected));
        }
    }

    /// Lets time pass.
    fn sleep(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += Duration::from_millis(50);
            if self
                .registry
                .next_deadline()
                .is_some_and(|at| at <= self.now)
            {
                self.registry(sequencer::Input::Wake);
            }
            for process in 0..self.processes.len() {
                let deadline = self.processes[process].next_deadline();
                if deadline.is_some_and(|at| at <= self.now) {
                    self.tell(process, Input::Wake);
                }
            }
        }
    }

    fn object(&self, name: &str) -> Object {
        let object = self.registry.get(&name.parse().unwrap());
        Object::clone(object.unwrap())
    }
}

fn list(object: &Object, field: &str) -> Vec<String> {
    object.texts(field).map(str::to_owned).collect()
}

fn regions(service: &Object) -> ObjectValue {
    let policy = service.body["multi_region_policy"].as_table().unwrap();
    policy["enabled_regions"].clone()
}

#[test]
fn the_watched_scope_is_a_filter_on_the_four_kinds() {
    let filter: crate::registry::query::ObjectFilter = WATCHED.parse().unwrap();
    let holds = |name: &str| {
        let object = crate::registry::object::tests::object(name, ObjectTable::new());
        filter.matches(&object)
    };
    assert!(holds("regions/eu") && holds("services/a") && holds("services/a/resources/B"));
    assert!(!holds("//a/orders/1"));
}

#[test]
fn a_process_is_ready_once_its_records_stand() {
    let mut world = World::new();
    let mut config = config("shop", "v1");
    config.service_fields = table(&[("display_name", "Shop".into())]);
    let patterns = table(&[("patterns", ObjectValue::texts(["//shop/orders/{order}"]))]);
    let config = config.with_kind("Order", patterns).unwrap();
    let process = world.start(config);
    assert!(world.processes[process].is_ready());
    assert!(world.events[process].contains(&Event::Ready));
    let service = world.object("services/shop");
    assert_eq!(service.text("display_name"), "Shop");
    assert_eq!(list(&service, "all_versions"), ["v1"]);
    assert_eq!(regions(&service), ObjectValue::texts(["eu"]));
    assert_eq!(
        world
            .object("services/shop/deployments/eu")
            .text("current_version"),
        "v1"
    );
    world.object("services/shop/resources/Order");
    let own = world.processes[process].own_service().unwrap();
    assert_eq!(**own, service);
    assert_eq!(
        world.writes, 3,
        "the region, the service with its kind, and the deployment"
    );
}

#[test]
fn a_second_process_writes_nothing_and_starts_from_the_copy() {
    let mut world = World::new();
    world.start(config("shop", "v1"));
    let writes = world.writes;
    let second = world.start(config("shop", "v1"));
    assert!(world.processes[second].is_ready());
    assert_eq!(world.writes, writes);
    world.cut();
    world.sleep(Duration::from_secs(5));
    let process = &world.processes[second];
    assert!(process.is_ready() && process.age(world.now) >= Some(Duration::from_secs(5)));
    assert!(process.own_deployment().is_some());
}

#[test]
fn processes_of_two_versions_converge_and_the_newest_decides_the_fields() {
    let mut world = World::new();
    let with = |version: &str, name: &str| {
        let mut config = config("shop", version);
        config.service_fields = table(&[("display_name", name.into())]);
        config
    };
    world.start(with("v9", "old"));
    world.start(with("v10", "new"));
    world.start(with("v9", "old"));
    world.sleep(Duration::from_secs(30));
    let service = world.object("services/shop");
    assert_eq!(list(&service, "all_versions"), ["v10", "v9"]);
    assert_eq!(service.text("display_name"), "new");
    assert_eq!(
        world
            .object("services/shop/deployments/eu")
            .text("current_version"),
        "v10"
    );
    let generation = service.metadata.generation;
    world.sleep(Duration::from_secs(30));
    assert_eq!(
        world.object("services/shop").metadata.generation,
        generation
    );
    assert!(world.processes.iter().all(ServiceEnvironment::is_ready));
}

#[test]
fn a_process_says_what_it_waits_for_and_goes_on_when_it_is_there() {
    let mut world = World::without_regions();
    let process = world.start(config("shop", "v1"));
    assert!(!world.processes[process].is_ready());
    let refusal = world.processes[process].waits_for().unwrap().to_string();
    assert_eq!(
        refusal,
        "services/shop: needs regions/eu, which does not exist"
    );
    world.sleep(Duration::from_secs(60));
    assert!(!world.processes[process].is_ready());
    let region = ObjectDraft::new("regions/eu".parse().unwrap(), ObjectTable::new());
    world.administer(WriteOperation::Create(region));
    world.sleep(Duration::from_secs(16));
    assert!(world.processes[process].is_ready());
    assert_eq!(world.processes[process].waits_for(), None);
}

#[test]
fn a_refusal_for_good_is_not_tried_again() {
    let mut world = World::new();
    let mut config = config("shop", "v1");
    config.service_fields = table(&[("colour", "red".into())]);
    let process = world.start(config);
    let rejected = |event: &Event| matches!(event, Event::Rejected(WriteRefusal::Kind(..)));
    assert!(world.events[process].iter().any(rejected));
    let writes = world.writes;
    world.sleep(Duration::from_secs(60));
    assert_eq!(world.writes, writes);
}

#[test]
fn a_write_whose_answer_is_lost_is_repeated_and_stands_once() {
    let mut world = World::new();
    world.loses_answers = true;
    let process = world.start(config("shop", "v1"));
    assert!(!world.processes[process].is_ready());
    world.loses_answers = false;
    world.sleep(Duration::from_secs(3));
    assert!(world.processes[process].is_ready());
    assert_eq!(world.object("services/shop").metadata.generation, 1);
}

#[test]
fn a_client_registers_nothing() {
    let mut world = World::new();
    let mut config = config("shop", "v1");
    config.registers = false;
    let process = world.start(config);
    assert!(world.processes[process].is_ready());
    assert_eq!(world.writes, 1, "the region alone");
}

/// A process of a service that uses others.
fn user(service: &str, used: &[&str]) -> EnvironmentConfig {
    let mut config = config(service, "v1");
    config.service_fields = table(&[("used_services", ObjectValue::texts(used))]);
    config
}

#[test]
fn a_service_is_reached_at_the_nearest_address() {
    let mut world = World::new();
    let mut near = user("shop", &["cart"]);
    near.deployment_fields = table(&[("local_network_id", "n1".into())]);
    let mut cart = config("cart", "v1");
    let labelled = ObjectValue::Table(table(&[("admin", "admin.cart.test".into())]));
    cart.service_fields = table(&[
        ("global_domain", "cart.test".into()),
        ("labelled_domains", labelled),
    ]);
    cart.deployment_fields = table(&[
        ("public_domain", "cart-eu.test".into()),
        ("private_domain", "10.0.0.7".into()),
        ("local_network_id", "n1".into()),
    ]);
    let near = world.start(near);
    let far = world.start(user("pay", &["cart", "shop"]));
    let owner = world.start(cart);
    let address = |world: &World, process: usize, label| {
        let found = world.processes[process].address("cart", label);
        found.map(|ServiceAddress { domain, reason }| (domain, reason))
    };
    let at = |domain: &str, reason| Ok((domain.to_owned(), reason));
    assert_eq!(
        address(&world, near, Some("admin")),
        at("admin.cart.test", AddressReason::Label)
    );
    assert_eq!(
        address(&world, near, Some("other")),
        Err(NoAddress::UnknownLabel)
    );
    assert_eq!(
        address(&world, near, None),
        at("10.0.0.7", AddressReason::Private)
    );
    assert_eq!(
        address(&world, far, None),
        at("cart-eu.test", AddressReason::Public)
    );
    assert_eq!(
        world.processes[far].address("none", None),
        Err(NoAddress::UnknownService)
    );
    assert_eq!(
        world.processes[far].address("shop", None),
        Err(NoAddress::NoDomain)
    );
    let set = |world: &mut World, fields: &[(&str, ObjectValue)]| {
        let name = "services/cart/deployments/eu".parse().unwrap();
        world.administer(WriteOperation::Update {
            draft: ObjectDraft::new(name, table(fields)),
            mask: "public_domain,private_domain,is_disabled".parse().unwrap(),
            condition: crate::registry::write::Precondition::default(),
            allow_missing: false,
        });
    };
    world.processes.truncate(owner);
    world.registry(sequencer::Input::CloseWatch {
        watch: WatchId(owner as u64),
    });
    set(&mut world, &[]);
    assert_eq!(
        address(&world, far, None),
        at("eu.cart.test", AddressReason::Regional)
    );
    set(&mut world, &[("is_disabled", ObjectValue::Bool(true))]);
    assert_eq!(
        address(&world, near, None),
        at("cart.test", AddressReason::Global)
    );
}

#[test]
fn relevant_services_are_those_that_a_service_names_and_those_that_name_it() {
    let service = |id: &str, imports: &[&str], uses: &[&str]| {
        let body = table(&[
            ("imported_services", ObjectValue::texts(imports)),
            ("used_services", ObjectValue::texts(uses)),
        ]);
        Arc::new(crate::registry::object::tests::object(
            &format!("services/{id}"),
            body,
        ))
    };
    let all = [
        service("shop", &["iam"], &["mail"]),
        service("cart", &["shop", "iam"], &[]),
        service("report", &[], &["shop"]),
        service("neighbour", &["iam"], &[]),
    ];
    let relevant = relevant_services("shop", all.iter());
    let expected = ["cart", "iam", "mail", "report", "shop"].map(str::to_owned);
    assert_eq!(relevant, expected.into());
    let concerns = |name: &str| is_relevant(&name.parse().unwrap(), &relevant);
    assert!(concerns("regions/eu") && concerns("services/cart/deployments/eu"));
    assert!(concerns("//iam/users/u") && !concerns("services/neighbour"));
}

#[test]
fn versions_are_compared_by_their_numbers() {
    for (older, newer) in [
        ("v9", "v10"),
        ("1.2.9", "1.10"),
        ("v1", "v1.1"),
        ("v1alpha", "v1beta"),
    ] {
        assert!(compare_versions(older, newer).is_lt(), "{older} {newer}");
        assert!(compare_versions(newer, older).is_gt());
    }
    assert!(compare_versions("v1", "v1").is_eq());
}
