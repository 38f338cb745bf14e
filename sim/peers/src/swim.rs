//! foca (SWIM with suspicion and infection-style dissemination) as a system of the model engine.
//!
//! Its nodes run the settings that it recommends for a local network of the mesh's size. An update is a custom
//! broadcast. A node that is declared dead comes back under its next generation, as foca's documentation proposes.

use crate::course::MARK;
use core::net::{SocketAddr, SocketAddrV4};
use core::num::NonZeroU32;
use core::time::Duration;
use foca::{
    AccumulatingRuntime, BroadcastHandler, Config, Foca, Identity, Invalidates, OwnedNotification,
    PostcardCodec, Timer,
};
use phalanx_core::identity::NodeId;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::time::Instant;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::system::{Effect, Happening, Start, System, Taken, Vocabulary};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A node that is alone asks the seed again so often: what an application would do.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Who a node is: where it listens, and the how manieth life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    address: SocketAddrV4,
    generation: u16,
}

impl Identity for Member {
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

/// The key of a custom broadcast: whose, and which.
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

/// Keeps the latest update of each node; tells once of each.
#[derive(Debug, Default)]
struct Updates {
    latest: BTreeMap<u32, u32>,
    /// Whose came; the node takes it from here.
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

impl BroadcastHandler<Member> for Updates {
    type Key = Key;
    type Error = Malformed;

    fn receive_item(&mut self, data: &[u8], _: Option<&Member>) -> Result<Option<Key>, Malformed> {
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

/// What can happen to a node.
#[derive(Debug)]
pub enum Input {
    /// The process runs.
    Start,
    /// A datagram arrived.
    Receive(Vec<u8>),
    /// It publishes this.
    Publish(String),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What a node orders.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Send(SocketAddr, Vec<u8>),
    /// Tell people.
    Report(Event),
}

/// What a node found out.
#[derive(Debug)]
pub struct Event {
    word: &'static str,
    about: Option<NodeId>,
}

/// One node.
pub struct Swim {
    me: u32,
    published: u32,
    fresh: Rc<RefCell<Vec<u32>>>,
    foca: Foca<Member, PostcardCodec, StdRng, Updates>,
    runtime: AccumulatingRuntime<Member>,
    timers: BTreeMap<(Instant, u64), Timer<Member>>,
    numbered: u64,
    seed: Option<Member>,
    ask_at: Instant,
    names: Rc<Names>,
}

/// All nodes there are.
#[derive(Debug)]
struct Names {
    members: Vec<(Member, NodeId)>,
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
        // What cannot be published is not, and counts as missed.
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
            // Timers of an earlier life of its own are refused: nothing is to be done about them.
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

    fn drain(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while let Some((to, data)) = self.runtime.to_send() {
            out.push(Output::Send(SocketAddr::V4(to.address), data.to_vec()));
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
            out.push(Output::Report(Event { word, about }));
        }
        for owner in self.fresh.borrow_mut().drain(..) {
            out.push(Output::Report(Event {
                word: "peer-updated",
                about: self.names.at(owner as usize),
            }));
        }
    }
}

impl Machine for Swim {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Start => self.ask_at = now,
            Input::Receive(data) => drop(self.foca.handle_data(&data, &mut self.runtime)),
            Input::Publish(payload) => self.publish(&payload),
            Input::Wake => {}
        }
        self.wake(now);
        self.drain(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let ask = (self.ask_at < Instant::FAR_FUTURE).then_some(self.ask_at);
        timer.into_iter().chain(ask).min()
    }
}

/// A mesh of them.
pub struct Swims {
    names: Rc<Names>,
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4, String> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => Err(format!("{address} is not of IPv4")),
    }
}

impl System for Swims {
    type Machine = Swim;
    type Message = Vec<u8>;
    type Event = Event;
    type View = Swim;

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            name: "foca",
            events: vec!["peer-up", "peer-down", "peer-updated"],
            ..Vocabulary::default()
        }
    }

    fn new(scenario: &Scenario, _: &[String]) -> Result<Self, String> {
        let mut names = Names {
            members: Vec::new(),
            hosts: BTreeMap::new(),
        };
        for (index, host) in scenario.hosts.iter().enumerate() {
            let member = Member {
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

    fn start(&mut self, mut start: Start<'_>) -> Swim {
        let members = &self.names.members;
        let size = u32::try_from(start.scenario.hosts.len()).ok();
        let size = size.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        let fresh = Rc::default();
        let updates = Updates {
            latest: BTreeMap::new(),
            fresh: Rc::clone(&fresh),
        };
        Swim {
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
        }
    }

    fn happen(&mut self, _: &Swim, what: Happening<'_, Vec<u8>>) -> Option<Input> {
        match what {
            Happening::Start => Some(Input::Start),
            Happening::Datagram { message, .. } => Some(Input::Receive(message)),
            Happening::Announce { metadata, .. } => {
                metadata.values().next().cloned().map(Input::Publish)
            }
            _ => None,
        }
    }

    fn perform(&mut self, output: Output) -> Effect<Self> {
        match output {
            Output::Send(to, message) => Effect::Datagram { to, message },
            Output::Report(event) => Effect::Report(event),
        }
    }

    fn describe(&mut self, input: &Input, bytes: usize) -> Taken {
        match input {
            Input::Start => Taken::of("start"),
            Input::Receive(data) => {
                let mark = MARK.as_bytes();
                let carries = data.windows(mark.len()).any(|window| window == mark);
                let word = if carries { "update" } else { "datagram" };
                Taken::message(word, bytes)
            }
            Input::Publish(_) => Taken::of("publish"),
            Input::Wake => Taken::of("wake"),
        }
    }

    fn size(message: &Vec<u8>) -> usize {
        message.len()
    }

    fn view(machine: &Swim) -> &Swim {
        machine
    }

    fn digest(node: &Swim) -> u64 {
        node.foca.num_members() as u64
    }

    fn state(node: &Swim) -> Value {
        json!({ "members": node.foca.num_members() })
    }

    fn event(event: &Event) -> (&'static str, Option<&NodeId>) {
        (event.word, event.about.as_ref())
    }

    fn settled(scene: &phalanx_sim::world::Scene<'_, Self>) -> Result<(), String> {
        let others = scene.nodes().count().saturating_sub(1);
        let mut nodes = scene.nodes();
        match nodes.find(|(_, node)| node.foca.num_members() != others) {
            None => Ok(()),
            Some((host, _)) => Err(format!("{} knows too few or too many", scene.name(host))),
        }
    }
}
