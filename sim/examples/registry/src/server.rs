//! The process of a registry: the sequencer, its store, and links to clients.

use crate::archive::SharedArchive;
use crate::client::SHOP;
use crate::disk_store::{DiskStore, StoreEvent};
use crate::fact::RegistryFact;
use crate::links::RegionLinks;
use crate::messages::{ClientMessage, RegistryMessage, ToCopy, ToOwner};
use crate::pod::SERVICE;
use crate::shared_store::SharedStore;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::object::ObjectDraft;
use phalanx_core::registry::replica::{FeedRefusal, ReplicaEvent};
use phalanx_core::registry::sequencer::{
    Config, Event, Input, Output, Sequencer, WriteId, WriteRequest,
};
use phalanx_core::registry::store::{CommitGroup, StoreFailure};
use phalanx_core::registry::value::{ObjectTable, ObjectValue};
use phalanx_core::registry::watch::WatchId;
use phalanx_core::registry::write::{CopiesWanted, RegistryCaller, WriteBatch, WriteOperation};
use phalanx_core::time::{Duration, Instant, Wall};
use phalanx_sim::address::PORT;
use phalanx_sim::disk::DiskError;
use phalanx_sim::world::{Effects, LinkId, Message, Process, ProcessEvent, ProcessView, Ticket};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The number of the write that creates the kind of the workload.
const SETUP: WriteId = WriteId(0);

/// Time for which a client waits for copies.
const COPIES_TIMEOUT: Duration = Duration::from_millis(500);

/// The store of a registry.
pub enum ServerStore {
    /// On the host's own disk.
    Own(DiskStore),
    /// In the database of several registries.
    Shared(SharedStore),
}

/// A registry.
pub struct RegistryServer {
    machine: Sequencer,
    store: ServerStore,
    archive: SharedArchive,
    region: RegionId,
    is_primary: bool,
    links: RegionLinks,
    /// Whether the registry has stopped, because a backup takes the place of its store.
    has_stopped: bool,
    /// The writes that wait for an answer.
    writes: BTreeMap<WriteId, (LinkId, String)>,
    next_write: u64,
    wall: Wall,
}

impl RegistryServer {
    /// A registry that starts with this store.
    #[must_use]
    pub fn new(
        config: Config,
        store: ServerStore,
        links: RegionLinks,
        archive: SharedArchive,
        wall: Wall,
    ) -> Self {
        Self {
            region: config.region.clone(),
            is_primary: config.region == config.primary,
            links,
            machine: Sequencer::new(config),
            store,
            archive,
            has_stopped: false,
            writes: BTreeMap::new(),
            next_write: SETUP.0 + 1,
            wall,
        }
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Sequencer {
        &self.machine
    }

    fn step(&mut self, now: Instant, input: Input, out: &mut Effects) {
        let mut outputs = Outbox::new();
        self.machine.step(now, input, &mut outputs);
        for output in outputs.drain() {
            match output {
                Output::OpenStore { incarnation } => match &mut self.store {
                    ServerStore::Own(store) => store.open(incarnation, out),
                    ServerStore::Shared(store) => store.open(now, incarnation),
                },
                Output::Commit { ticket, group } => match &mut self.store {
                    ServerStore::Own(store) => store.commit(ticket, group, out),
                    ServerStore::Shared(store) => store.commit(now, ticket, group),
                },
                Output::Answer { write, result } => {
                    let own = self.links.answer(write, result, out);
                    if let (Some(result), Some((link, request))) = (own, self.writes.remove(&write))
                    {
                        out.send(link, RegistryMessage::Written { request, result });
                    }
                }
                Output::Link { region, order } => self.links.perform(&region, order, out),
                Output::Route { owner, write } => self.links.route(&owner, write, out),
                Output::Feed { follower, message } => {
                    out.send(LinkId(follower.0), ToCopy::Feed(message));
                }
                Output::FeedEnded { follower, refusal } => {
                    out.send(LinkId(follower.0), ToCopy::Refused(refusal));
                }
                Output::WatchOpened { watch, result } => {
                    if let Err(refusal) = result {
                        out.send(LinkId(watch.0), RegistryMessage::Refused(refusal));
                    }
                }
                Output::Watch { watch, message } => {
                    out.send(LinkId(watch.0), RegistryMessage::Watch(message));
                }
                Output::Report(event) => self.report(&event, out),
            }
        }
    }

    fn report(&self, event: &Event, out: &mut Effects) {
        match event {
            Event::Serving { head, epoch } => {
                let log = self.machine.log();
                let entries: Vec<_> = log.after(log.floor()).cloned().collect();
                let restored = self.archive.borrow_mut().begin_restored(&self.region);
                self.archive.borrow_mut().extend(&self.region, &entries);
                let (head, epoch, log) = (*head, epoch.number, entries);
                out.report(RegistryFact::Serving {
                    region: self.region.clone(),
                    head,
                    epoch,
                    log,
                    restored,
                });
            }
            Event::CommitFailed { .. } | Event::OpenFailed(_) => {
                out.report(RegistryFact::CommitFailed);
            }
            Event::WatchReset { .. } => out.report(RegistryFact::Reset),
            Event::Deposed => out.report(RegistryFact::Deposed),
            // The stores of the simulation have one process each.
            Event::Standby { .. } => {}
            Event::Copy { event, .. } => match event {
                ReplicaEvent::Following => out.report(RegistryFact::Following),
                ReplicaEvent::Lost => out.report(RegistryFact::LostOwner),
                ReplicaEvent::TookSnapshot { .. } => out.report(RegistryFact::TookSnapshot),
                ReplicaEvent::Refused(FeedRefusal::Opening) => {}
                ReplicaEvent::Gap { .. }
                | ReplicaEvent::Diverged { .. }
                | ReplicaEvent::Refused(_)
                | ReplicaEvent::Violation(_) => {
                    out.report(RegistryFact::Violation("a feed without gaps"));
                }
            },
            Event::FollowerRefused { .. } => out.report(RegistryFact::FollowerRefused),
            Event::RegionTaken => out.report(RegistryFact::RegionTaken),
            Event::HistoryLost { .. } => {
                out.report(RegistryFact::Violation("the only registry of its store"));
            }
        }
    }

    fn on_store(&mut self, now: Instant, event: StoreEvent, out: &mut Effects) {
        match event {
            StoreEvent::Opened(image) => {
                self.step(now, Input::Opened(image), out);
                if self.is_primary && self.machine.objects().is_empty() {
                    self.set_up(now, out);
                }
            }
            StoreEvent::OpenFailed(failure) => self.step(now, Input::OpenFailed(failure), out),
            StoreEvent::Committed(ticket, group) => {
                self.report_durable(group, out);
                self.step(now, Input::Committed { ticket }, out);
            }
            StoreEvent::Lost(ticket, group) => {
                self.report_durable(group, out);
                let failure = StoreFailure::Failed;
                self.step(now, Input::CommitFailed { ticket, failure }, out);
            }
            StoreEvent::Failed(ticket, failure) => {
                self.step(now, Input::CommitFailed { ticket, failure }, out);
            }
        }
    }

    /// Reports the content of a group that is durable.
    fn report_durable(&self, group: CommitGroup, out: &mut Effects) {
        let mut archive = self.archive.borrow_mut();
        archive.extend(&self.region, &group.entries);
        for update in &group.copies {
            archive.copy(&self.region, &update.region, update.position.at.sequence);
        }
        if !group.entries.is_empty() {
            out.report(RegistryFact::Committed {
                region: self.region.clone(),
                entries: group.entries,
            });
        }
        if let ServerStore::Own(store) = &self.store {
            for update in group.copies {
                let objects = store.content().state().objects().iter();
                let copied = objects.filter(|it| it.metadata.owning_region == update.region);
                out.report(RegistryFact::Copied {
                    objects: copied.cloned().collect(),
                    owner: update.region,
                    sequence: update.position.at.sequence,
                });
            }
        }
    }

    /// Creates the service and the kind that the workload writes.
    fn set_up(&mut self, now: Instant, out: &mut Effects) {
        let create = |name: &str, body: ObjectTable| {
            let name = name.parse().expect("a valid name");
            WriteOperation::Create(ObjectDraft::new(name, body))
        };
        let patterns = ObjectValue::texts([
            "//shop/orders/{order}",
            "//shop/regions/{region}/orders/{order}",
        ]);
        let operations = vec![
            create("regions/eu", ObjectTable::new()),
            create("services/shop", ObjectTable::new()),
            create(
                "services/shop/resources/Order",
                [("patterns".to_owned(), patterns)].into(),
            ),
        ];
        let write = WriteRequest {
            write: SETUP,
            caller: RegistryCaller::Administrator,
            request: Some("set-up".to_owned()),
            batch: WriteBatch { operations },
            time: self.wall,
            copies: None,
            is_routed: false,
        };
        self.step(now, Input::Write(Box::new(write)), out);
    }

    fn write(
        &mut self,
        now: Instant,
        link: LinkId,
        service: &str,
        request: &str,
        batch: &WriteBatch,
    ) -> WriteRequest {
        let write = WriteId(self.next_write);
        self.next_write += 1;
        self.writes.insert(write, (link, request.to_owned()));
        WriteRequest {
            write,
            caller: RegistryCaller::Service(service.to_owned()),
            request: Some(request.to_owned()),
            batch: batch.clone(),
            time: Wall(self.wall.0 + now.as_millis() / 1_000),
            copies: None,
            is_routed: false,
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        link: LinkId,
        message: &ClientMessage,
        out: &mut Effects,
    ) {
        let watch = WatchId(link.0);
        match message {
            ClientMessage::Write {
                request,
                batch,
                copies,
            } => {
                let mut write = self.write(now, link, SHOP, request, batch);
                let (count, timeout) = (*copies, COPIES_TIMEOUT);
                write.copies = Some(CopiesWanted { count, timeout });
                self.step(now, Input::Write(Box::new(write)), out);
            }
            ClientMessage::Register { request, batch } => {
                let write = self.write(now, link, SERVICE, request, batch);
                self.step(now, Input::Write(Box::new(write)), out);
            }
            ClientMessage::Administer { request, batch } => {
                let mut write = self.write(now, link, SERVICE, request, batch);
                write.caller = RegistryCaller::Administrator;
                self.step(now, Input::Write(Box::new(write)), out);
            }
            ClientMessage::Read { request, name } => {
                let is_readable = self.machine.is_readable();
                let found = is_readable.then(|| self.machine.get(name).cloned());
                let request = request.clone();
                out.send(link, RegistryMessage::Read { request, found });
            }
            ClientMessage::Open(service, request) => {
                let open = Input::OpenWatch {
                    watch,
                    caller: RegistryCaller::Service((*service).to_owned()),
                    request: Box::new(request.clone()),
                };
                self.step(now, open, out);
            }
            ClientMessage::Grant(bytes) => {
                let bytes = *bytes;
                self.step(now, Input::GrantWatch { watch, bytes }, out);
            }
        }
    }

    fn on_written(
        &mut self,
        now: Instant,
        ticket: Ticket,
        result: Result<(), DiskError>,
        out: &mut Effects,
    ) {
        let event = match &mut self.store {
            ServerStore::Own(store) => store.on_written(ticket, result),
            ServerStore::Shared(_) => None,
        };
        if let Some(event) = event {
            self.on_store(now, event, out);
        }
    }

    fn on_wake(&mut self, now: Instant, out: &mut Effects) {
        if let ServerStore::Shared(store) = &mut self.store
            && let Some(event) = store.on_wake(now)
        {
            self.on_store(now, event, out);
        }
        if self.machine.next_deadline().is_some_and(|at| at <= now) {
            self.step(now, Wake.into(), out);
        }
    }

    /// A message of the registry of another region.
    fn on_region_message(
        &mut self,
        now: Instant,
        link: LinkId,
        message: &Rc<dyn Message>,
        out: &mut Effects,
    ) {
        if let Some(message) = message.of::<ToCopy>() {
            if let Some(input) = self.links.of_owner(link, message) {
                self.step(now, input, out);
            }
        } else if let Some(message) = message.of::<ToOwner>() {
            let own = WriteId(self.next_write);
            self.next_write += 1;
            let input = self.links.of_copy(link, message, own);
            self.step(now, input, out);
        }
    }

    fn on_command(&mut self, word: &str, out: &mut Effects) {
        let ServerStore::Own(store) = &mut self.store else {
            return;
        };
        match word {
            "back-up" => store.back_up(out),
            "restore-backup" => self.has_stopped = store.restore(out),
            _ => store.lose_next(),
        }
    }
}

impl Process for RegistryServer {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start
                | ProcessEvent::Accepted { .. }
                | ProcessEvent::Dialed { .. }
                | ProcessEvent::DialFailed { .. }
                | ProcessEvent::Received { .. }
                | ProcessEvent::Closed { .. }
                | ProcessEvent::Written { .. }
                | ProcessEvent::WriteFailed { .. }
                | ProcessEvent::Command(_)
                | ProcessEvent::Wake
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        if self.has_stopped {
            return;
        }
        match event {
            ProcessEvent::Start => {
                out.listen(PORT);
                self.step(now, Input::Start, out);
            }
            ProcessEvent::Received { link, message } => {
                if let Some(message) = message.of::<ClientMessage>() {
                    self.on_message(now, link, message, out);
                } else {
                    self.on_region_message(now, link, &message, out);
                }
            }
            ProcessEvent::Dialed { dial, link, .. } => {
                if let Some(input) = self.links.on_dialed(dial, Some(link), out) {
                    self.step(now, input, out);
                }
            }
            ProcessEvent::DialFailed { dial, .. } => {
                if let Some(input) = self.links.on_dialed(dial, None, out) {
                    self.step(now, input, out);
                }
            }
            ProcessEvent::Closed { link, .. } => {
                self.writes.retain(|_, (of, _)| *of != link);
                let watch = WatchId(link.0);
                self.step(now, Input::CloseWatch { watch }, out);
                let input = self.links.on_closed(link);
                self.step(now, input, out);
            }
            ProcessEvent::Written { ticket } => self.on_written(now, ticket, Ok(()), out),
            ProcessEvent::WriteFailed { ticket, reason } => {
                self.on_written(now, ticket, Err(reason), out);
            }
            ProcessEvent::Command(command) => self.on_command(&command.name, out),
            ProcessEvent::Wake => self.on_wake(now, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.has_stopped {
            return None;
        }
        let store = match &self.store {
            ServerStore::Own(_) => None,
            ServerStore::Shared(store) => store.next_deadline(),
        };
        [self.machine.next_deadline(), store]
            .into_iter()
            .flatten()
            .min()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl ProcessView for RegistryServer {
    fn state(&self) -> Value {
        json!({
            "serving": self.machine.is_serving(),
            "epoch": self.machine.epoch().number,
            "head": self.machine.log().head(),
            "floor": self.machine.log().floor(),
            "objects": self.machine.objects().len(),
            "watches": self.machine.watches(),
        })
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        match name {
            "writes-in-flight" => Some(self.writes.len() as u64),
            "log-floor" => Some(self.machine.log().floor()),
            _ => None,
        }
    }
}
