//! foca (SWIM with suspicion and infection-style dissemination) as a system of the model engine.
//!
//! The nodes use foca's recommended settings for a local network of the mesh's size. An update is a custom broadcast. A
//! node that is declared dead rejoins with the next generation of its identity, as foca's documentation proposes.

use crate::course::MARK;
use core::net::{SocketAddr, SocketAddrV4};
use core::num::NonZeroU32;
use core::time::Duration;
use foca::{
    AccumulatingRuntime, BroadcastHandler, Config, Foca, Identity, Invalidates, OwnedNotification,
    PostcardCodec, Timer,
};
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_sim::mesh::{Published, STEPS, publishing};
use phalanx_sim::model::PORT;
use phalanx_sim::scenario::{Scenario, Vocabulary, Words};
use phalanx_sim::world::{
    Cast, Definition, Effect, Effects, Message, Process, ProcessEvent, ProcessView, Program,
    ReportedEvent, Scene, Start,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Interval at which a node without members contacts the seed again, as an application would.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The identity of a node: its listening address and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwimIdentity {
    address: SocketAddrV4,
    generation: u16,
}

impl Identity for SwimIdentity {
    type Addr = SocketAddrV4;

    fn renew(&self) -> Option<Self> {
        Some(Self {
            generation: self.generation.wrapping_add(1),
            ..*self
        })
    }

    fn addr(&self) -> SocketAddrV4 {
        self.address
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.generation > other.generation
    }
}

/// The key of a custom broadcast: its owner and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    owner: u32,
    number: u32,
}

impl Invalidates for Key {
    fn invalidates(&self, other: &Self) -> bool {
        self.owner == other.owner && self.number > other.number
    }
}

/// Keeps the latest update of each node and reports each update once.
#[derive(Debug, Default)]
struct Updates {
    latest: BTreeMap<u32, u32>,
    /// The owners of new updates, which the node takes from this list.
    fresh: Rc<RefCell<Vec<u32>>>,
}

#[derive(Debug)]
struct Malformed;

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an update without its head")
    }
}

impl core::error::Error for Malformed {}

impl BroadcastHandler<SwimIdentity> for Updates {
    type Key = Key;
    type Error = Malformed;

    fn receive_item(
        &mut self,
        data: &[u8],
        _: Option<&SwimIdentity>,
    ) -> Result<Option<Key>, Malformed> {
        let (head, _) = data.split_first_chunk::<8>().ok_or(Malformed)?;
        let [a, b, c, d, e, f, g, h] = *head;
        let (owner, number) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        if self
            .latest
            .get(&owner)
            .is_some_and(|known| *known >= number)
        {
            return Ok(None);
        }
        self.latest.insert(owner, number);
        self.fresh.borrow_mut().push(owner);
        Ok(Some(Key { owner, number }))
    }
}

/// A datagram of foca.
#[derive(Clone, Debug)]
struct Datagram(Vec<u8>);

impl Message for Datagram {
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn kind(&self) -> &'static str {
        let mark = MARK.as_bytes();
        let carries = self.0.windows(mark.len()).any(|window| window == mark);
        if carries { "update" } else { "datagram" }
    }
}

/// An observation of a node.
#[derive(Debug)]
struct Found {
    word: &'static str,
    about: Option<NodeId>,
}

impl ReportedEvent for Found {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        (self.word, self.about.as_ref())
    }
}

/// One node.
pub struct Swim {
    me: u32,
    published: u32,
    fresh: Rc<RefCell<Vec<u32>>>,
    foca: Foca<SwimIdentity, PostcardCodec, StdRng, Updates>,
    runtime: AccumulatingRuntime<SwimIdentity>,
    timers: BTreeMap<(Instant, u64), Timer<SwimIdentity>>,
    numbered: u64,
    seed: Option<SwimIdentity>,
    ask_at: Instant,
    names: Rc<Names>,
}

/// All nodes of the run.
#[derive(Debug)]
struct Names {
    members: Vec<(SwimIdentity, NodeId)>,
    hosts: BTreeMap<SocketAddrV4, usize>,
}

impl Names {
    fn at(&self, host: usize) -> Option<NodeId> {
        self.members.get(host).map(|(_, id)| id.clone())
    }
}

impl Swim {
    fn publish(&mut self, payload: &str) {
        self.published += 1;
        let mut data = self.me.to_le_bytes().to_vec();
        data.extend(self.published.to_le_bytes());
        data.extend(payload.as_bytes());
        // An update that cannot be published counts as missed.
        drop(self.foca.add_broadcast(&data));
        self.fresh.borrow_mut().clear();
    }

    fn wake(&mut self, now: Instant) {
        while let Some(entry) = self
            .timers
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let timer = entry.remove();
            // foca returns an error for the timers of an earlier generation; the error is ignored.
            drop(self.foca.handle_timer(timer, &mut self.runtime));
        }
        if self.ask_at <= now {
            self.ask_at = Instant::FAR_FUTURE;
            if let Some(seed) = self.seed.filter(|_| self.foca.num_members() == 0) {
                drop(self.foca.announce(seed, &mut self.runtime));
                self.ask_at = now + ASK_AGAIN;
            }
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Effects) {
        while let Some((to, data)) = self.runtime.to_send() {
            out.datagram(SocketAddr::V4(to.address), Datagram(data.to_vec()));
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.numbered += 1;
            self.timers.insert((now + after, self.numbered), timer);
        }
        while let Some(notice) = self.runtime.to_notify() {
            let (word, about) = match notice {
                OwnedNotification::MemberUp(member) => ("peer-up", member),
                OwnedNotification::MemberDown(member) => ("peer-down", member),
                _ => continue,
            };
            let host = self.names.hosts.get(&about.address);
            let about = host.and_then(|host| self.names.at(*host));
            out.report(Found { word, about });
        }
        for owner in self.fresh.borrow_mut().drain(..) {
            out.report(Found {
                word: "peer-updated",
                about: self.names.at(owner as usize),
            });
        }
    }
}

impl Process for Swim {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Start | ProcessEvent::Wake | ProcessEvent::Datagram { .. } => true,
            ProcessEvent::Command(command) => {
                let published = Published::read(&command.with);
                published.is_ok_and(|published| !published.metadata.is_empty())
            }
            _ => false,
        }
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.push(Effect::Listen { port: PORT });
                self.ask_at = now;
            }
            ProcessEvent::Datagram { message, .. } => {
                if let Some(Datagram(data)) = message.take() {
                    // foca returns an error for malformed and outdated datagrams; the error is ignored.
                    drop(self.foca.handle_data(&data, &mut self.runtime));
                }
            }
            ProcessEvent::Command(command) => {
                let published = Published::read(&command.with).unwrap_or_default();
                if let Some(payload) = published.metadata.values().next() {
                    self.publish(payload);
                }
            }
            _ => {}
        }
        self.wake(now);
        self.drain(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let ask = (self.ask_at < Instant::FAR_FUTURE).then_some(self.ask_at);
        timer.into_iter().chain(ask).min()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

impl ProcessView for Swim {
    fn digest(&self) -> u64 {
        self.foca.num_members() as u64
    }

    fn state(&self) -> Value {
        json!({ "members": self.foca.num_members() })
    }
}

/// A mesh of foca nodes.
pub struct Swims {
    names: Rc<Names>,
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4, String> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => Err(format!("{address} is not of IPv4")),
    }
}

/// foca as a system: each host runs a node.
pub static FOCA: Definition = Definition {
    name: "foca",
    command: "phalanx-sim-peers",
    vocabulary: || {
        let words = Words {
            program: "foca",
            events: vec!["peer-up", "peer-down", "peer-updated"],
            // foca's nodes publish in the same steps as the nodes of the mesh.
            steps: &STEPS,
            planning: Some(publishing),
            ..Words::default()
        };
        Vocabulary::of("foca", [words])
    },
    build: |scenario, _| Ok(Cast::everywhere(Swims::new(scenario)?, scenario)),
    recoverable: |_, _, _| Ok(()),
};

impl Swims {
    fn new(scenario: &Scenario) -> Result<Self, String> {
        let mut names = Names {
            members: Vec::new(),
            hosts: BTreeMap::new(),
        };
        for (index, host) in scenario.hosts.iter().enumerate() {
            let member = SwimIdentity {
                address: v4(phalanx_sim::model::address(index))?,
                generation: 0,
            };
            names.hosts.insert(member.address, index);
            names.members.push((member, host.id.clone()));
        }
        Ok(Self {
            names: Rc::new(names),
        })
    }
}

impl Program for Swims {
    fn name(&self) -> &'static str {
        "foca"
    }

    fn start(&mut self, mut start: Start<'_>) -> Box<dyn Process> {
        let members = &self.names.members;
        let size = u32::try_from(start.scenario.hosts.len()).ok();
        let size = size.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let fresh = Rc::default();
        let updates = Updates {
            latest: BTreeMap::new(),
            fresh: Rc::clone(&fresh),
        };
        Box::new(Swim {
            me: u32::try_from(start.host).unwrap_or(u32::MAX),
            published: 0,
            fresh,
            foca: Foca::with_custom_broadcast(
                members[start.host].0,
                Config::new_lan(size),
                StdRng::seed_from_u64(start.random.next_u64()),
                PostcardCodec,
                updates,
            ),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            numbered: 0,
            seed: (start.host > 0).then(|| members[0].0),
            ask_at: Instant::FAR_FUTURE,
            names: Rc::clone(&self.names),
        })
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        let others = scene.of::<Swim>().count().saturating_sub(1);
        let mut nodes = scene.of::<Swim>();
        match nodes.find(|(_, node)| node.foca.num_members() != others) {
            None => Ok(()),
            Some((host, _)) => Err(format!("{} knows too few or too many", scene.name(host))),
        }
    }
}
