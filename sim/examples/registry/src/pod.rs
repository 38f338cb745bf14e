//! A pod: a process of a service that registers the service's records and follows the registry. All pods of a run
//! belong to one service, in several versions.

use crate::fact::RegistryFact;
use crate::messages::{ClientMessage, RegistryMessage};
use crate::viewed_set::ViewedSet;
use core::net::SocketAddr;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::random::Random;
use phalanx_core::registry::environment::{
    EnvironmentConfig, Event, Input, Output, ServiceEnvironment,
};
use phalanx_core::registry::query::ObjectScope;
use phalanx_core::registry::watch::{ClientInput, ClientOutput};
use phalanx_core::time::Instant;
use phalanx_sim::world::{DialId, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView};
use serde_json::{Value, json};

/// The service of the pods.
pub const SERVICE: &str = "pods";
/// The filter of the objects that an environment watches.
const WATCHED: &str = "name LIKE \"services/%\" OR name LIKE \"regions/%\"";

/// A pod.
#[derive(Debug)]
pub struct Pod {
    registries: Vec<SocketAddr>,
    environment: ServiceEnvironment,
    set: ViewedSet,
    link: Option<LinkId>,
    dials: u64,
    /// The dial under way.
    dialing: Option<DialId>,
}

impl Pod {
    /// A pod that starts.
    #[must_use]
    pub fn new(registries: Vec<SocketAddr>, config: EnvironmentConfig, random: &Random) -> Self {
        let filter = WATCHED.parse().expect("a valid filter");
        Self {
            registries,
            environment: ServiceEnvironment::new(config, random),
            set: ViewedSet::of(
                SERVICE,
                ObjectScope {
                    filter,
                    ..ObjectScope::default()
                },
            ),
            link: None,
            dials: 0,
            dialing: None,
        }
    }

    /// The environment.
    #[must_use]
    pub const fn environment(&self) -> &ServiceEnvironment {
        &self.environment
    }

    /// The watched objects.
    #[must_use]
    pub const fn set(&self) -> &ViewedSet {
        &self.set
    }

    fn tell(&mut self, now: Instant, input: Input, out: &mut Effects) {
        let mut outputs = Outbox::new();
        self.environment.step(now, input, &mut outputs);
        for output in outputs.drain() {
            match output {
                Output::Watch(order) => self.watch(order, out),
                Output::Write { request, batch } => {
                    self.send(ClientMessage::Register { request, batch }, out);
                }
                Output::Deliver(delivery) => {
                    let set = Box::new(self.set.clone());
                    out.report(RegistryFact::Delivered { set, delivery });
                }
                Output::Report(Event::Ready) => out.report(RegistryFact::Ready),
                Output::Report(Event::Rejected(_)) => {
                    out.report(RegistryFact::Violation("the records of a pod are accepted"));
                }
                Output::Report(Event::Waiting(_) | Event::Watch(_)) => {}
            }
        }
    }

    fn watch(&mut self, order: ClientOutput, out: &mut Effects) {
        match order {
            ClientOutput::Connect => {
                let turn = self.dials as usize % self.registries.len();
                self.dials += 1;
                let (dial, to) = (DialId(self.dials), Some(self.registries[turn]));
                self.dialing = Some(dial);
                out.push(Effect::Dial { dial, to });
            }
            ClientOutput::Open(request) => self.send(ClientMessage::Open(SERVICE, request), out),
            ClientOutput::Grant { bytes } => self.send(ClientMessage::Grant(bytes), out),
            ClientOutput::Disconnect => {
                if let Some(link) = self.link.take() {
                    out.push(Effect::Close { link });
                }
                self.dialing = None;
            }
            // The environment reports these itself.
            ClientOutput::Deliver(_) | ClientOutput::Report(_) => {}
        }
    }

    fn send(&self, message: ClientMessage, out: &mut Effects) {
        if let Some(link) = self.link {
            out.send(link, message);
        }
    }

    fn on_message(&mut self, now: Instant, message: RegistryMessage, out: &mut Effects) {
        let input = match message {
            RegistryMessage::Watch(message) => Input::Watch(ClientInput::Receive(message)),
            RegistryMessage::Refused(refusal) => Input::Watch(ClientInput::Refused(refusal)),
            RegistryMessage::Written { request, result } => Input::Written { request, result },
            RegistryMessage::Read { .. } => return,
        };
        self.tell(now, input, out);
    }

    fn on_closed(&mut self, now: Instant, out: &mut Effects) {
        self.link = None;
        self.dialing = None;
        self.tell(now, Input::Watch(ClientInput::Disconnected), out);
    }
}

impl Process for Pod {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start
                | ProcessEvent::Dialed { .. }
                | ProcessEvent::DialFailed { .. }
                | ProcessEvent::Received { .. }
                | ProcessEvent::Closed { .. }
                | ProcessEvent::Wake
        )
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.report(RegistryFact::Forgot);
                self.tell(now, Input::Start, out);
            }
            ProcessEvent::Dialed { dial, link, .. } if self.dialing != Some(dial) => {
                out.push(Effect::Close { link });
            }
            ProcessEvent::Dialed { link, .. } => {
                self.dialing = None;
                self.link = Some(link);
                self.tell(now, Input::Watch(ClientInput::Connected), out);
            }
            ProcessEvent::DialFailed { dial, .. } if self.dialing == Some(dial) => {
                self.on_closed(now, out);
            }
            ProcessEvent::Closed { link, .. } if self.link == Some(link) => {
                self.on_closed(now, out);
            }
            ProcessEvent::Received { link, message } if self.link == Some(link) => {
                if let Some(message) = message.take::<RegistryMessage>() {
                    self.on_message(now, message, out);
                }
            }
            ProcessEvent::Wake => self.tell(now, Wake.into(), out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.environment.next_deadline()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl ProcessView for Pod {
    fn state(&self) -> Value {
        json!({
            "ready": self.environment.is_ready(),
            "objects": self.environment.objects().count(),
        })
    }
}
