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
mod context;
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
use crate::time::Instant;
use crate::topology::publication::{Key, UpdateId};
use crate::topology::record::Record;
use crate::topology::{Handle, Topology};
use bootstrap::Target;
use context::Context;
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
    context: Context,
    phase: Phase,
    own: Own,
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
        let own = Own::new(&config);
        let targets = config.targets.iter().cloned().map(Target::new).collect();
        let accept_tokens = config.tuning.accept_burst;
        let mut context = Context::new(config, seed, now);
        context.topology.apply_record(own.record());
        let mut news = Paged::new();
        news.push(News::new(now));
        Self {
            context,
            phase: Phase::Joining,
            own,
            news,
            report_provenance: BTreeMap::new(),
            lives: BTreeMap::new(),
            links: Links::new(),
            by_peer: BTreeMap::new(),
            dials: BTreeMap::new(),
            dials_made: 0,
            targets,
            wanted: BTreeSet::new(),
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
            accept_tokens,
            accept_refilled: now,
            heartbeat_last: LinkId(0),
            dirty: Vec::new(),
        }
    }

    fn on_start(&mut self) {
        if self.targets.is_empty() {
            self.phase = Phase::Running;
        }
        let tuning = &self.context.config.tuning;
        let heartbeat = self.context.random.duration_below(tuning.heartbeat_spacing);
        let probe = self
            .context
            .random
            .duration_below(core::time::Duration::from_secs(1));
        let random_link = tuning.random_link_interval
            + self
                .context
                .random
                .duration_below(tuning.random_link_interval);
        self.context
            .timers
            .set(Timer::Heartbeat, self.context.after(heartbeat));
        self.first_probe = self
            .context
            .after(core::time::Duration::from_millis(1) + probe);
        self.context
            .timers
            .set(Timer::RandomLink, self.context.after(random_link));
        self.context.timers.set(
            Timer::Maintain,
            self.context.after(config::MAINTAIN_INTERVAL),
        );
        self.context.timers.set(
            Timer::Targets,
            self.context.after(core::time::Duration::from_nanos(1)),
        );
    }

    fn on_wake(&mut self) {
        let late = self
            .context
            .timers
            .next()
            .map_or(core::time::Duration::ZERO, |due| self.context.now - due);
        self.note_lateness(late);
        if let Some(due) = self.context.timers.next()
            && self.context.now - due > self.context.tuning().pause_threshold
            && !self.context.has(Switch::NoPauseGuard)
        {
            self.forgive_own_pause(self.context.now - due);
        }
        while let Some((due, timer)) = self.context.timers.pop_due(self.context.now) {
            self.on_timer(due, timer);
        }
    }

    fn on_timer(&mut self, due: Instant, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.beat(due),
            Timer::Judge => self.judge(),
            Timer::Suspicion => self.declare_down(),
            Timer::Isolation => self.accuse_silent(),
            Timer::Overlay => self.weave(),
            Timer::Targets => self.dial_targets(),
            Timer::Probe => self.probe_limbo(),
            Timer::Maintain => self.maintain(),
            Timer::RandomLink => self.replace_random_link(),
            Timer::LeaveDone => self.finish_leaving(),
            Timer::StoreRetry => self.store_again(),
            Timer::Flush(link) => {
                self.dirty.push(link);
            }
            Timer::Silence(link) => self.listen_closely(link),
            Timer::Greeting(link) => self.give_up_greeting(link),
            Timer::Dial(dial) => self.on_dial_failed(dial, &DialError::TimedOut),
            Timer::Graft(key) => self.ask_next_announcer(key),
            Timer::Forget(handle) => self.forget(handle),
        }
    }

    /// When and how the latest came from a member.
    fn news(&mut self, handle: Handle) -> &mut News {
        let plain = News::new(self.context.now);
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
        *self.news(handle) = News::new(self.context.now);
        self.report_provenance.remove(&handle);
        self.lives.remove(&handle);
        self.context.topology.set_well(handle, true);
    }

    fn status(&self, handle: Handle) -> Status {
        if self.context.topology.is_well(handle) {
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
        self.context
            .topology
            .set_well(handle, status == Status::Alive);
        if matches!(status, Status::Down | Status::Left) {
            self.target_is_gone(handle);
        }
    }

    /// Reports that a message of a neighbour was rejected, unless the link closed meanwhile.
    fn report_rejected(&mut self, link: LinkId, reason: Rejection) {
        if let Some(from) = self.peer_of(link) {
            self.context.report(Event::Rejected { from, reason });
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

/// Steps.
impl Gossip {
    fn take(&mut self, input: Input) {
        if self.is_over() {
            self.step_after_the_end(input);
            return;
        }
        match input {
            Input::Start => self.on_start(),
            Input::Accepted { link, peer } => self.on_accepted(link, peer),
            Input::Dialed { dial, link, peer } => self.on_dialed(dial, link, peer),
            Input::DialFailed { dial, reason } => self.on_dial_failed(dial, &reason),
            Input::Receive { link, message } => self.on_receive(link, message),
            Input::Heard { link } => self.on_heard(link),
            Input::Closed { link, reason } => self.on_closed(link, reason),
            Input::Stored { ticket } => self.on_stored(ticket),
            Input::StoreFailed { ticket } => self.on_store_failed(ticket),
            Input::Announce(content) => self.on_announce(content),
            Input::Targets { targets, replace } => self.on_targets(targets, replace),
            Input::EditTargets { add, remove } => self.on_edit_targets(add, &remove),
            Input::Discover(discovery) => self.on_discover(discovery),
            Input::Want { peer, wanted } => self.on_want(&peer, wanted),
            Input::Renew { link } => self.on_renew(link),
            Input::Leave => self.on_leave(),
            Input::Wake => self.on_wake(),
        }
        self.publish_own();
        self.flush();
        if self.is_over() {
            // What closing the links wanted done next is moot.
            self.context.timers = Timers::new();
        }
    }
}

/// Reading. None of these changes anything.
impl Gossip {
    /// The node's id.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.context.config.id
    }

    /// The node's own place in its view.
    pub(crate) const fn me(&self) -> Handle {
        self.context.me
    }

    /// The node's settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.context.config
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
        self.context.topology.hash()
    }

    /// The node's view as data.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.context.topology
    }

    /// Everyone this node knows, itself included, in id order. O(n).
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        self.context
            .topology
            .handles()
            .filter_map(|handle| self.member_at(handle))
    }

    /// One member.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<MemberView> {
        self.member_at(self.context.topology.handle(id)?)
    }

    fn member_at(&self, handle: Handle) -> Option<MemberView> {
        let slot = self.context.topology.slot(handle)?;
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
                ring: self
                    .context
                    .topology
                    .is_ring_edge(self.context.me, link.handle),
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
            .context
            .topology
            .handle(id)
            .filter(|handle| self.context.topology.is_known(*handle))?;
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
        self.context.topology.providers(name, version)
    }

    /// Every service served by a node that is alive: name, version, providers. In order.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &[NodeId])> + '_ {
        self.context.topology.services()
    }
}

impl Machine for Gossip {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        assert!(now >= self.context.now, "time went backwards");
        self.context.now = now;
        core::mem::swap(&mut self.context.out, out);
        self.take(input);
        core::mem::swap(&mut self.context.out, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let next = self.context.timers.next();
        if self.context.has(Switch::DeadlineStays) {
            return next.map(|_| self.context.now);
        }
        next
    }
}
