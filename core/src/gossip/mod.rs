//! Who is in the mesh, who is alive, and how both become known to everyone.
//!
//! [`Gossip`] decides whom to connect to (`overlay`), how two nodes agree on one connection (`greeting`), how
//! updates spread (`broadcast`), how views that missed something are repaired (`sync`), whose silence proves
//! what (`evidence`), and what the node says of itself (`own`). The state all this moves is
//! [`crate::topology`]. It opens no connection and reads no clock: see [`Input`] and [`Output`].
//!
//! A member's life in one view:
//!
//! ```text
//!   (unknown) ──record──► Alive ──no path──► Suspect ──proof too old──► Down ──forgotten──► (unknown)
//!                           ▲  ▲───path────────┘                         │
//!                           └────────── path, or a newer record ─────────┘
//!   any ──record that leaves──► Left ──newer epoch──► Alive
//! ```
//!
//! Bounds: links `links_max` (and 1 024 being greeted), members `members_max`, announcements wanted [`MISSING_MAX`], announcers of each
//! [`ANNOUNCERS_MAX`], changes remembered for behind neighbours [`HISTORY_MAX`], dials [`DIALS_MAX`], links wanted beside [`WANTED_MAX`].
//!
//! Sources: Plumtree (Leitão et al., SRDS 2007) for the broadcast tree and its repair; Rapid (Suresh et al.,
//! ATC 2018) for rings of observers; Lifeguard (Dadgar et al., 2018) for doubting oneself first; SWIM (Das et
//! al., DSN 2002) for suspicion before death.

mod bootstrap;
mod broadcast;
mod config;
mod dialer;
mod evidence;
mod flush;
mod greeting;
mod interface;
mod link;
mod links;
mod member;
mod memory;
pub mod message;
mod overlay;
mod own;
mod provenance;
mod self_record;
mod sync;
#[cfg(test)]
mod tests;
mod timer;
mod view;

pub use crate::link::{
    Address, AddressError, CloseReason, DialError, DialId, LinkId, LocalClose, Ticket,
};
pub use crate::sabotage::{Sabotage, Switch};
pub use config::{Config, Tuning};
pub use interface::{Event, Input, LinkEnd, Output, Rejection, TARGETS_MAX};
pub use message::Message;
pub use view::{LinkView, MemberView, Phase, Status};

use crate::bounded::DropOldest;
use crate::identity::NodeId;
use crate::machine::{Machine, Outbox};
use crate::paged::Paged;
use crate::random::Random;
use crate::time::Instant;
use crate::topology::publication::{Key, UpdateId};
use crate::topology::record::Record;
use crate::topology::{Handle, Topology};
use bootstrap::Target;
use dialer::Dial;
use link::Link;
use links::Links;
use member::{Life, News};
use provenance::Provenance;
use self_record::Own;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use timer::{Timer, Timers};

/// The most announced updates waited for at one time; more announcements are left to anti-entropy.
pub const MISSING_MAX: usize = 1_024;
/// The most announcers remembered for each.
pub const ANNOUNCERS_MAX: usize = 8;
/// The most changes remembered, to bring a neighbour that is a little behind up to date.
pub const HISTORY_MAX: usize = 256;
/// The most dials under way at one time.
pub const DIALS_MAX: usize = 32;
/// The most links wanted at one time beside those the mesh needs; further wishes are passed over.
pub const WANTED_MAX: usize = 16;

/// An announced update that has not come.
#[derive(Clone, Debug, PartialEq)]
struct Missing {
    id: UpdateId,
    announcers: Vec<LinkId>,
}

/// A suspicion.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Suspicion {
    since: Instant,
    until: Instant,
    /// How often this node stood still meanwhile, and put its judgement off.
    put_off: u8,
}

/// The gossip machine of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    config: Config,
    now: Instant,
    random: Random,
    phase: Phase,
    me: Handle,
    own: Own,
    topology: Topology,
    /// By handle.
    news: Paged<News>,
    /// Provenance of the reports received by broadcast.
    report_provenance: BTreeMap<Handle, Provenance>,
    /// Of those that are not just alive, and those this node dealt with.
    lives: BTreeMap<Handle, Life>,
    links: Links,
    by_peer: BTreeMap<Handle, LinkId>,
    dials: BTreeMap<DialId, Dial>,
    dials_made: u64,
    targets: Vec<Target>,
    /// To whom a link is wanted that the rings do not ask for.
    wanted: BTreeSet<Handle>,
    timers: Timers,
    missing: BTreeMap<Key, Missing>,
    suspects: BTreeMap<Handle, Suspicion>,
    limbo: BTreeSet<Handle>,
    /// When this node would first probe, had it anybody to probe.
    first_probe: Instant,
    probing: bool,
    /// Where in limbo the next probe begins to look; drawn anew whenever limbo was empty.
    probe_from: Option<Handle>,
    /// Edges of the rings that were not there when last looked over.
    unlinked: BTreeSet<Handle>,
    history: DropOldest<(u64, Key)>,
    changed: Instant,
    isolated_since: Option<Instant>,
    /// No proof of life counts as older than this: set when we were paused.
    judge_floor: Instant,
    /// How late our timers lately were: an overloaded node reads old news, and doubts it.
    lag: core::time::Duration,
    accept_tokens: u32,
    accept_refilled: Instant,
    heartbeat_last: LinkId,
    /// Links that may have something to send; some twice.
    dirty: Vec<LinkId>,
}

impl Gossip {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut topology = Topology::new(config.tuning.members_max.max(2), config.sabotage);
        let own = Own::new(&config);
        let me = topology
            .intern(&config.id)
            .expect("an empty view has room for its own node");
        topology.set_centre(me);
        topology.apply_record(own.record());
        let targets = config.targets.iter().cloned().map(Target::new).collect();
        let mut news = Paged::new();
        news.push(News::new(now));
        Self {
            random: Random::from_seed(seed).child("gossip"),
            phase: Phase::Joining,
            me,
            own,
            topology,
            news,
            report_provenance: BTreeMap::new(),
            lives: BTreeMap::new(),
            links: Links::new(),
            by_peer: BTreeMap::new(),
            dials: BTreeMap::new(),
            dials_made: 0,
            targets,
            wanted: BTreeSet::new(),
            timers: Timers::new(),
            missing: BTreeMap::new(),
            suspects: BTreeMap::new(),
            limbo: BTreeSet::new(),
            first_probe: now,
            probing: false,
            probe_from: None,
            unlinked: BTreeSet::new(),
            history: DropOldest::new(HISTORY_MAX),
            changed: now,
            isolated_since: None,
            judge_floor: Instant::ZERO,
            lag: core::time::Duration::ZERO,
            accept_tokens: config.tuning.accept_burst,
            accept_refilled: now,
            heartbeat_last: LinkId(0),
            dirty: Vec::new(),
            now,
            config,
        }
    }

    fn on_start(&mut self) {
        if self.targets.is_empty() {
            self.phase = Phase::Running;
        }
        let tuning = &self.config.tuning;
        let heartbeat = self.random.duration_below(tuning.heartbeat_spacing);
        let probe = self
            .random
            .duration_below(core::time::Duration::from_secs(1));
        let random_link =
            tuning.random_link_interval + self.random.duration_below(tuning.random_link_interval);
        self.timers.set(Timer::Heartbeat, self.after(heartbeat));
        self.first_probe = self.after(core::time::Duration::from_millis(1) + probe);
        self.timers.set(Timer::RandomLink, self.after(random_link));
        self.timers
            .set(Timer::Maintain, self.after(config::MAINTAIN_INTERVAL));
        self.timers.set(
            Timer::Targets,
            self.after(core::time::Duration::from_nanos(1)),
        );
    }

    fn after(&self, duration: core::time::Duration) -> Instant {
        self.now + duration
    }

    fn on_wake(&mut self, out: &mut Outbox<Output>) {
        let late = self
            .timers
            .next()
            .map_or(core::time::Duration::ZERO, |due| self.now - due);
        self.note_lateness(late);
        if let Some(due) = self.timers.next()
            && self.now - due > self.config.tuning.pause_threshold
            && !self.config.sabotage.has(Switch::NoPauseGuard)
        {
            self.forgive_own_pause(self.now - due, out);
        }
        while let Some((due, timer)) = self.timers.pop_due(self.now) {
            self.on_timer(due, timer, out);
        }
    }

    fn on_timer(&mut self, due: Instant, timer: Timer, out: &mut Outbox<Output>) {
        match timer {
            Timer::Heartbeat => self.beat(due),
            Timer::Judge => self.judge(out),
            Timer::Suspicion => self.declare_down(out),
            Timer::Isolation => self.accuse_silent(out),
            Timer::Overlay => self.weave(out),
            Timer::Targets => self.dial_targets(out),
            Timer::Probe => self.probe_limbo(out),
            Timer::Maintain => self.maintain(out),
            Timer::RandomLink => self.replace_random_link(out),
            Timer::LeaveDone => self.finish_leaving(out),
            Timer::StoreRetry => self.store_again(out),
            Timer::Flush(link) => {
                self.dirty.push(link);
            }
            Timer::Silence(link) => self.listen_closely(link, out),
            Timer::Greeting(link) => self.give_up_greeting(link, out),
            Timer::Dial(dial) => self.on_dial_failed(dial, &DialError::TimedOut, out),
            Timer::Graft(key) => self.ask_next_announcer(key),
            Timer::Forget(handle) => self.forget(handle, out),
        }
    }

    /// When and how the latest came from a member.
    fn news(&mut self, handle: Handle) -> &mut News {
        let plain = News::new(self.now);
        self.news.reach(handle as usize, plain)
    }

    /// What is kept of a member beside its record and news, to be changed.
    fn life(&mut self, handle: Handle) -> &mut Life {
        self.lives.entry(handle).or_insert(Life::PLAIN)
    }

    fn life_of(&self, handle: Handle) -> &Life {
        self.lives.get(&handle).unwrap_or(&Life::PLAIN)
    }

    /// Nothing is known of a member any more.
    fn start_anew(&mut self, handle: Handle) {
        *self.news(handle) = News::new(self.now);
        self.report_provenance.remove(&handle);
        self.lives.remove(&handle);
        self.topology.set_well(handle, true);
    }

    fn status(&self, handle: Handle) -> Status {
        if self.topology.is_well(handle) {
            return Status::Alive;
        }
        self.life_of(handle).status
    }

    /// When this node last heard a member on a link of its own.
    fn last_heard(&self, handle: Handle) -> Option<Instant> {
        let links = self.links.values().filter(|link| link.handle == handle);
        let proven = links.filter_map(|link| link.proven).max();
        proven.max(self.life_of(handle).heard)
    }

    /// Every change of a member's status goes through here: readers tell by the view's revision.
    fn set_status(&mut self, handle: Handle, status: Status) {
        // Of a member that just lives nothing is kept.
        if status != Status::Alive || self.lives.contains_key(&handle) {
            self.life(handle).status = status;
        }
        self.topology.set_well(handle, status == Status::Alive);
        if matches!(status, Status::Down | Status::Left) {
            self.target_is_gone(handle);
        }
    }

    /// The id of a member, unless its place in the view was freed.
    fn id_of(&self, handle: Handle) -> Option<NodeId> {
        self.topology.id_at(handle).cloned()
    }

    /// Reports an event about a member, unless its place in the view was freed.
    fn report_of(
        &self,
        handle: Handle,
        event: impl FnOnce(NodeId) -> Event,
        out: &mut Outbox<Output>,
    ) {
        if let Some(id) = self.id_of(handle) {
            out.push(Output::Report(event(id)));
        }
    }

    /// Reports that a message of a neighbour was rejected, unless the link closed meanwhile.
    fn report_rejected(&self, link: LinkId, reason: Rejection, out: &mut Outbox<Output>) {
        if let Some(from) = self.peer_of(link) {
            out.push(Output::Report(Event::Rejected { from, reason }));
        }
    }

    /// The open link to a member.
    fn open_link(&self, handle: Handle) -> Option<&Link> {
        self.links
            .get(self.by_peer.get(&handle)?)
            .filter(|link| link.is_open())
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Left | Phase::NameTaken)
    }
}

/// Reading. None of these changes anything.
impl Gossip {
    /// The node's id.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.config.id
    }

    /// The node's own place in its view.
    pub(crate) const fn me(&self) -> Handle {
        self.me
    }

    /// The node's settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The node's own record as it stands.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        self.own.record()
    }

    /// Where the node is in its own life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        if matches!(self.phase, Phase::Running) && self.isolated_since.is_some() {
            Phase::Isolated
        } else {
            self.phase
        }
    }

    /// Set hash of the view: equal on two nodes with equal views.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.topology.hash()
    }

    /// The node's view as data.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Everyone this node knows, itself included, in id order. O(n).
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        self.topology
            .handles()
            .filter_map(|handle| self.member_at(handle))
    }

    /// One member.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<MemberView> {
        self.member_at(self.topology.handle(id)?)
    }

    fn member_at(&self, handle: Handle) -> Option<MemberView> {
        let slot = self.topology.slot(handle)?;
        if slot.retired {
            return None;
        }
        Some(MemberView {
            record: Arc::clone(slot.record?),
            status: self.status(handle),
            report: slot.report.map(|standing| Arc::clone(&standing.report)),
        })
    }

    /// The established links, in order of their numbers. `now` is only for the durations.
    pub fn links(&self, now: Instant) -> impl Iterator<Item = LinkView> + '_ {
        self.links
            .iter()
            .filter(|(_, link)| link.is_open())
            .map(move |(id, link)| LinkView {
                link: *id,
                peer: link.peer.clone(),
                dialed: link.dialed,
                eager: link.eager,
                ring: self.topology.is_ring_edge(self.me, link.handle),
                silent: link.silent,
                quiet: now.since(link.heard),
                session: link.session,
                version: link.version,
            })
    }

    /// The open links and to whom they lead, in order of their numbers, and whether something was heard on each lately.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = (LinkId, &NodeId, bool)> + '_ {
        let open = self
            .links
            .iter()
            .filter(|(_, link)| link.is_open() && !self.is_over());
        open.map(|(id, link)| (*id, &link.peer, link.is_lively()))
    }

    /// What a member is in this view; none if nobody of this name is known.
    pub(crate) fn status_of(&self, id: &NodeId) -> Option<Status> {
        let handle = self
            .topology
            .handle(id)
            .filter(|handle| self.topology.is_known(*handle))?;
        Some(self.status(handle))
    }

    /// The peer and the session of each established link.
    pub fn sessions(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        let open = self.links.values().filter(|link| link.is_open());
        open.map(|link| (&link.peer, link.session))
    }

    /// The number of links the machine holds, open or not.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// The addresses the node was told to dial, with what came of it: the peer found there, or the last failure.
    pub fn targets(&self) -> impl Iterator<Item = (&Address, Option<&NodeId>, Option<&str>)> + '_ {
        self.targets.iter().map(Target::view)
    }

    /// The nodes that are alive (or suspect) and serve `name` in `version`, or in any version; in id order.
    #[must_use]
    pub fn providers(&self, name: &str, version: Option<&str>) -> Vec<NodeId> {
        self.topology.providers(name, version)
    }

    /// Every service served by a node that is alive: name, version, providers. In order.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &[NodeId])> + '_ {
        self.topology.services()
    }
}

impl Machine for Gossip {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        assert!(now >= self.now, "time went backwards");
        self.now = now;
        if self.is_over() {
            self.step_after_the_end(input, out);
            return;
        }
        match input {
            Input::Start => self.on_start(),
            Input::Accepted { link, peer } => self.on_accepted(link, peer, out),
            Input::Dialed { dial, link, peer } => self.on_dialed(dial, link, peer, out),
            Input::DialFailed { dial, reason } => self.on_dial_failed(dial, &reason, out),
            Input::Receive { link, message } => self.on_receive(link, message, out),
            Input::Heard { link } => self.on_heard(link, out),
            Input::Closed { link, reason } => self.on_closed(link, reason, out),
            Input::Stored { ticket } => self.on_stored(ticket),
            Input::StoreFailed { ticket } => self.on_store_failed(ticket),
            Input::Announce(content) => self.on_announce(content, out),
            Input::Targets { targets, replace } => self.on_targets(targets, replace),
            Input::EditTargets { add, remove } => self.on_edit_targets(add, &remove),
            Input::Discover(discovery) => self.on_discover(discovery),
            Input::Want { peer, wanted } => self.on_want(&peer, wanted, out),
            Input::Renew { link } => self.on_renew(link, out),
            Input::Leave => self.on_leave(out),
            Input::Wake => self.on_wake(out),
        }
        self.publish_own();
        self.flush(out);
        if self.is_over() {
            // What closing the links wanted done next is moot.
            self.timers = Timers::new();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let next = self.timers.next();
        if self.config.sabotage.has(Switch::DeadlineStays) {
            return next.map(|_| self.now);
        }
        next
    }
}
