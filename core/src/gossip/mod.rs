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

mod admission;
mod bootstrap;
mod broadcast;
mod config;
mod context;
mod dialer;
mod evidence;
mod failure_detector;
mod flush;
mod greeting;
mod interface;
mod link;
mod links;
mod members;
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
pub use dialer::DIALS_MAX;
pub use interface::{Event, Input, LinkEnd, Output, Rejection};
pub use message::Message;
pub use view::{LinkView, MemberView, Phase, Status};

use crate::bounded::DropOldest;
use crate::identity::NodeId;
use crate::machine::{Machine, Outbox};
use crate::paged::Paged;
use crate::time::{Duration, Instant};
use crate::topology::publication::{Key, UpdateId};
use crate::topology::record::Record;
use crate::topology::{Handle, Topology};
use admission::Admission;
use bootstrap::Bootstrap;
use context::Context;
use dialer::Dialer;
use failure_detector::heartbeat::Heartbeat;
use failure_detector::local_health::LocalHealth;
use failure_detector::prober::Prober;
use failure_detector::verdict::{self, Verdict};
use link::Link;
use links::Links;
use members::Members;
use provenance::Provenance;
use self_record::SelfRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use timer::{Timer, Timers};

/// The most announced updates waited for at one time; more announcements are left to anti-entropy.
pub const MISSING_MAX: usize = 1_024;
/// The most announcers remembered for each.
pub const ANNOUNCERS_MAX: usize = 8;
/// The most changes remembered, to bring a neighbour that is a little behind up to date.
pub const HISTORY_MAX: usize = 256;
/// The most links wanted at one time beside those the mesh needs; further wishes are passed over.
pub const WANTED_MAX: usize = 16;

/// An announced update that has not come.
#[derive(Clone, Debug, PartialEq)]
struct Missing {
    id: UpdateId,
    announcers: Vec<LinkId>,
}

/// The gossip machine of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    context: Context,
    self_record: SelfRecord,
    /// Provenance of the records received by broadcast, by handle.
    record_provenance: Paged<Provenance>,
    /// Provenance of the reports received by broadcast.
    report_provenance: BTreeMap<Handle, Provenance>,
    members: Members,
    verdict: Verdict,
    links: Links,
    by_peer: BTreeMap<Handle, LinkId>,
    admission: Admission,
    dialer: Dialer,
    bootstrap: Bootstrap,
    heartbeat: Heartbeat,
    local_health: LocalHealth,
    prober: Prober,
    /// To whom a link is wanted that the rings do not ask for.
    wanted: BTreeSet<Handle>,
    missing: BTreeMap<Key, Missing>,
    /// Edges of the rings that were not there when last looked over.
    unlinked: BTreeSet<Handle>,
    history: DropOldest<(u64, Key)>,
    changed: Instant,
    /// Links that may have something to send; some twice.
    dirty: Vec<LinkId>,
}

impl Gossip {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let self_record = SelfRecord::new(&config);
        let bootstrap = Bootstrap::new(&config);
        let mut context = Context::new(config, seed, now);
        context.topology.apply_record(self_record.record());
        Self {
            self_record,
            record_provenance: Paged::new(),
            report_provenance: BTreeMap::new(),
            members: Members::new(now),
            verdict: Verdict::default(),
            links: Links::new(),
            by_peer: BTreeMap::new(),
            admission: Admission::new(&context),
            dialer: Dialer::default(),
            bootstrap,
            heartbeat: Heartbeat::new(),
            local_health: LocalHealth::new(),
            prober: Prober::new(now),
            wanted: BTreeSet::new(),
            missing: BTreeMap::new(),
            unlinked: BTreeSet::new(),
            history: DropOldest::new(HISTORY_MAX),
            changed: now,
            dirty: Vec::new(),
            context,
        }
    }

    fn on_start(&mut self) {
        if self.bootstrap.len() == 0 {
            self.self_record.start_alone();
        }
        self.heartbeat.start(&mut self.context);
        self.prober.start(&mut self.context);
        let interval = self.context.tuning().random_link_interval;
        let random_link = interval + self.context.random.duration_below(interval);
        let at = self.context.after(random_link);
        self.context.timers.set(Timer::RandomLink, at);
        let at = self.context.after(config::MAINTAIN_INTERVAL);
        self.context.timers.set(Timer::Maintain, at);
        self.bootstrap.schedule_at_once(&mut self.context);
    }

    fn on_wake(&mut self) {
        let due = self.context.timers.next();
        let late = due.map_or(Duration::ZERO, |due| self.context.now - due);
        self.local_health.on_wake(late);
        if LocalHealth::was_paused(&self.context, late) {
            self.forgive_own_pause(late);
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
            Timer::Seeds => self.dial_seeds(),
            Timer::Probe => self.probe(),
            Timer::Maintain => self.maintain(),
            Timer::RandomLink => self.replace_random_link(),
            Timer::LeaveDone => self.finish_leaving(),
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

    fn status(&self, handle: Handle) -> Status {
        self.members.status(&self.context, handle)
    }

    /// When this node last heard a member on a link of its own.
    fn last_heard(&self, handle: Handle) -> Option<Instant> {
        let links = self.links.values().filter(|link| link.handle == handle);
        let proven = links.filter_map(|link| link.proven).max();
        proven.max(self.members.heard(handle))
    }

    /// Every change of a member's status goes through here: readers tell by the view's revision.
    fn set_status(&mut self, handle: Handle, status: Status) {
        self.members.set_status(handle, status);
        verdict::set_alive(&mut self.context, handle, status == Status::Alive);
        if matches!(status, Status::Down | Status::Left) {
            self.on_member_gone(handle);
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
        self.self_record.is_over()
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
            Input::Announce(content) => self.self_record.announce(&mut self.context, content),
            Input::Targets { targets, replace } => self.on_seeds(targets, replace),
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
        self.self_record.record()
    }

    /// Where the node is in its own life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.self_record.phase() {
            Phase::Running if self.local_health.is_isolated() => Phase::Isolated,
            phase => phase,
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
        self.bootstrap.views()
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
