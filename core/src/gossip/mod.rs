//! Gossip: membership, failure detection and dissemination of one node, eventually consistent.
//!
//! [`Gossip`] is a coordinator of components. Each component owns one part of the state, behind methods. Components do
//! not hold each other, and share only a `Context`. The coordinator passes one component's results to the others: in
//! this file for timers and members, in `input` for connections and messages, in `output` for the data that the node
//! sends, in `deaths` for deaths of members, in `own_id` for the node's own id.
//!
//! | component | decides |
//! |---|---|
//! | `handshake`, `admission` | which connections become links |
//! | `links` | the set of established links |
//! | `dialer`, `bootstrap` | dials in progress and back-off; seed addresses and discovery |
//! | `round_trip` | the round trips to peers, and the timeouts that follow |
//! | `overlay`, `capacity` | which members to keep links to |
//! | `failure_detector` | which silence is evidence, and which members are down |
//! | `unreachable`, `losses` | which live members have no link although they should; which losses are one event |
//! | `address_check` | which addresses of neighbours are wrong |
//! | `newcomers` | which new members are believed, and which are held off the rings |
//! | `members` | the status of each member, and the state kept about it |
//! | `dissemination` | how updates spread along the broadcast tree |
//! | `anti_entropy` | how views that differ become equal |
//! | `self_record` | the node's own record, edge report and phase |
//! | `dispute` | the answer to claims of other nodes to the node's id |
//! | `frame_builder` | the content and time of each message on a link |
//!
//! The state that the components change is [`crate::topology`]. The machine opens no connection and reads no clock: see
//! [`Input`] and [`Output`].
//!
//! Bounds: links `links_max`, members `members_max`, dials [`DIALS_MAX`], addresses of a name [`ADDRESSES_MAX`],
//! requested links [`REQUESTED_MAX`], awaited updates [`MISSING_MAX`](crate::plumtree::MISSING_MAX) with
//! [`ANNOUNCERS_MAX`](crate::plumtree::ANNOUNCERS_MAX) announcers each, remembered changes [`HISTORY_MAX`].
//!
//! Sources: Plumtree (Leitão et al., SRDS 2007) for the broadcast tree and its repair; Rapid (Suresh et al., ATC 2018)
//! for rings of observers; Lifeguard (Dadgar et al., 2018) for local health; SWIM (Das et al., DSN 2002) for suspicion
//! before death.

mod address_check;
mod admission;
mod anti_entropy;
mod bootstrap;
mod capacity;
mod config;
mod context;
mod deaths;
mod dialer;
mod dispute;
mod dissemination;
mod epoch;
mod event;
mod failure_detector;
mod frame_builder;
mod handshake;
mod input;
mod interface;
mod links;
mod losses;
mod measurement;
mod members;
pub mod message;
mod newcomers;
mod output;
mod overlay;
mod own_id;
mod provenance;
mod round_trip;
mod self_record;
mod short_id;
mod streams;
#[cfg(test)]
mod tests;
mod timer;
mod tuning;
mod unreachable;
mod view;

pub use anti_entropy::HISTORY_MAX;
pub use bootstrap::{ADDRESSES_MAX, KEPT_MAX, MYSELF, decode_addresses, encode_addresses};
pub use config::{Config, Tuning};
pub use dialer::{DIALS_MAX, OVERDUE_KEPT};
pub use epoch::{epoch_of_start, may_replace_epoch};
pub use event::{DeathCause, Event, LinkEnd, Rejection};
pub use interface::{ForgetRefusal, Input, Output, SEEDS_MAX};
pub use message::{AgedReport, Message};
pub use overlay::REQUESTED_MAX;
pub use tuning::{TuningConflict, TuningField, TuningKey};
pub use unreachable::NAMED_MAX;
pub use view::{LinkView, MemberView, Phase, Status, UndialableView, UnreachableView};

use crate::identity::NodeId;
use crate::link::{DialError, LinkId};
use crate::machine::{Machine, Outbox};
use crate::sabotage::Switch;
use crate::size::held;
use crate::time::{Duration, Instant};
use crate::topology::record::Record;
use crate::topology::{MemberIndex, Topology};
use address_check::AddressChecks;
use admission::Admission;
use anti_entropy::AntiEntropy;
use bootstrap::Bootstrap;
use context::Context;
use dialer::Dialer;
use dispute::Dispute;
use dissemination::Dissemination;
use failure_detector::heartbeat::Heartbeat;
use failure_detector::local_health::LocalHealth;
use failure_detector::prober::{PROBES_MAX, Prober};
use failure_detector::refusals::RefusedDials;
use failure_detector::silence::{Consequence, Silence};
use failure_detector::verdict::{self, Evidence, Finding, Verdict};
use frame_builder::FrameBuilder;
use handshake::Handshakes;
use links::Links;
use losses::Losses;
use members::Members;
use newcomers::Newcomers;
use overlay::{Neighbourhood, Overlay};
use round_trip::RoundTrips;
use self_record::SelfRecord;
use short_id::ShortId;
use std::sync::Arc;
use timer::{Timer, Timers};
use unreachable::Unreachable;

/// Maximum number of dials in progress to one silent neighbour. Several dials in parallel avoid a delay when one of
/// them is lost.
const REDIALS_MAX: usize = 3;

/// The gossip machine of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    context: Context,
    self_record: SelfRecord,
    dispute: Dispute,
    members: Members,
    newcomers: Newcomers,
    handshakes: Handshakes,
    admission: Admission,
    links: Links,
    dialer: Dialer,
    round_trips: RoundTrips,
    bootstrap: Bootstrap,
    overlay: Overlay,
    heartbeat: Heartbeat,
    silence: Silence,
    refusals: RefusedDials,
    verdict: Verdict,
    losses: Losses,
    unreachable: Unreachable,
    address_checks: AddressChecks,
    short_id: ShortId,
    local_health: LocalHealth,
    prober: Prober,
    dissemination: Dissemination,
    anti_entropy: AntiEntropy,
    frames: FrameBuilder,
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

/// Steps.
impl Gossip {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let self_record = SelfRecord::new(&config);
        let bootstrap = Bootstrap::new(&config);
        let mut context = Context::new(config, seed, now);
        self_record.apply(&mut context);
        Self {
            self_record,
            dispute: Dispute::new(),
            members: Members::new(now),
            newcomers: Newcomers::new(now),
            handshakes: Handshakes::default(),
            admission: Admission::new(&context),
            links: Links::default(),
            dialer: Dialer::default(),
            round_trips: RoundTrips::default(),
            bootstrap,
            overlay: Overlay::default(),
            heartbeat: Heartbeat::new(),
            silence: Silence::default(),
            refusals: RefusedDials::default(),
            verdict: Verdict::default(),
            losses: Losses::default(),
            unreachable: Unreachable::default(),
            address_checks: AddressChecks::default(),
            short_id: ShortId::default(),
            local_health: LocalHealth::new(),
            prober: Prober::new(now),
            dissemination: Dissemination::new(),
            anti_entropy: AntiEntropy::new(now),
            frames: FrameBuilder::default(),
            context,
        }
    }

    fn take(&mut self, input: Input) {
        if self.is_over() {
            self.after_the_end(input);
            self.finish_step();
            return;
        }
        match input {
            Input::Start => self.on_start(),
            Input::Accepted { link, peer } => self.on_accepted(link, peer),
            Input::Dialed { dial, link, peer } => self.on_dialed(dial, link, peer),
            Input::DialFailed { dial, reason } => {
                self.dialer.forget_overdue(dial);
                self.on_dial_failed(dial, &reason);
            }
            Input::Resolved { ticket, addresses } => self.on_resolved(ticket, addresses),
            Input::Receive { link, message } => self.on_receive(link, message),
            Input::Heard { link } => self.on_heard(link),
            Input::Exchanging { link } => self.on_exchanging(link),
            Input::Closed { link, reason } => self.on_closed(link, reason),
            Input::Stored { ticket } => self.on_stored(ticket),
            Input::StoreFailed { ticket } => {
                self.self_record.on_store_failed(&mut self.context, ticket);
            }
            Input::Announce(content) => self.self_record.announce(&mut self.context, content),
            Input::Seeds { addresses, replace } => self.on_seeds(addresses, replace),
            Input::EditSeeds { add, remove } => self.on_edited_seeds(&add, &remove),
            Input::Discover(discovery) => self.on_discover(discovery),
            Input::RequestLink { peer, requested } => self.on_requested(&peer, requested),
            Input::Forget { peer } => self.on_forget_request(&peer, None),
            Input::Renew { link } => self.on_renew(link),
            Input::Calendar(wall) => self.context.set_calendar(wall),
            Input::Leave => self.on_leave(),
            Input::Wake => self.on_wake(),
        }
        self.finish_step();
    }

    fn finish_step(&mut self) {
        if !self.is_over() {
            self.publish();
            self.flush();
        } else if self.self_record.phase() == Phase::Left {
            // Timers that the closed links scheduled are not needed.
            self.context.timers = Timers::new();
        }
    }

    fn on_start(&mut self) {
        if self.bootstrap.len() == 0 {
            self.self_record.start_alone();
        }
        self.heartbeat.start(&mut self.context);
        self.prober.start(&mut self.context);
        self.overlay.start(&mut self.context);
        self.bootstrap.schedule_at_once(&mut self.context);
    }

    fn on_wake(&mut self) {
        let due = self.context.timers.next();
        let late = due.map_or(Duration::ZERO, |due| self.context.now - due);
        self.local_health.on_wake(late);
        if LocalHealth::was_paused(&self.context, late) {
            // This node was paused, so its observations of other members restart.
            self.context.report(Event::Paused { late });
            self.restart_observations();
        }
        while let Some((due, timer)) = self.context.timers.pop_due(self.context.now) {
            self.on_timer(due, timer);
        }
    }

    fn on_timer(&mut self, due: Instant, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.send_heartbeats(due),
            // An isolated node publishes its accusations in the step that ends its isolation.
            Timer::Judge | Timer::Isolation => self.judge(),
            Timer::Suspicion => self.declare_down(),
            Timer::Overlay => self.reconcile_links(),
            Timer::Seeds => self.dial_seeds(),
            Timer::Probe => self.probe(),
            Timer::Maintain => self.maintain(),
            Timer::RandomLink => self.replace_random_link(),
            Timer::LeaveDone => self.finish_leaving(),
            Timer::StoreRetry => self.self_record.store_again(&mut self.context),
            Timer::Flush(link) => self.frames.on_due(link),
            Timer::Silence(link) => self.on_silence_due(link),
            Timer::Refusal(member) => self.on_refusal_due(member),
            Timer::Handshake(link) => self.on_handshake_due(link),
            Timer::Dial(dial) => {
                self.dialer.on_time_out(&mut self.context, dial);
                self.on_dial_failed(dial, &DialError::TimedOut);
            }
            Timer::Graft(key) => self.request_missing(key),
            Timer::Forget(member) => self.forget(member),
            Timer::Dispute => self.settle_claims(),
            // The step publishes; only a node that gave up its id inquires.
            Timer::Publish | Timer::Reclaim => {}
        }
    }

    /// The due timers of a node that gave up its id. The timers of before are kept aside.
    fn on_wake_suspended(&mut self) {
        while let Some((due, timer)) = self.context.timers.pop_due(self.context.now) {
            if timer == Timer::Reclaim {
                self.inquire();
            } else if timer.runs_without_id() {
                self.on_timer(due, timer);
            }
        }
    }
}

/// Silence of links.
impl Gossip {
    /// A message arrived on the link to a member: the member is alive.
    fn on_link_heard(&mut self, link: LinkId, member: MemberIndex) {
        self.check_lateness(link);
        let Some(was_silent) = self.silence.on_received(&mut self.context, link) else {
            return;
        };
        if was_silent {
            self.anti_entropy.forget_hash(link);
        }
        self.local_health.on_heard(&mut self.context);
        let edge = self.self_record.edge(member);
        let accused = edge.is_some_and(|edge| edge.is_down());
        let doubted = matches!(self.status(member), Status::Suspect | Status::Down);
        if accused || doubted && !self.context.has(Switch::NoIndirectConfirmation) {
            self.self_record
                .set_edge(member, false, Some(self.context.now));
        }
    }

    /// The silence of a link is due for a check.
    fn on_silence_due(&mut self, link: LinkId) {
        let Some(held) = self.links.get(link) else {
            return;
        };
        let (member, broken) = (held.member(), !held.is_open());
        match self.silence.on_due(&mut self.context, link, broken) {
            Consequence::None => {}
            Consequence::Silent { redial, newly } => {
                let redials = redial && !self.context.has(Switch::NoRedial);
                if redials && self.dialer.attempts(member) < REDIALS_MAX {
                    self.dial_member(dialer::DialPurpose::Redial, member);
                }
                if newly {
                    self.on_link_silent(link, member);
                }
            }
            Consequence::GivenUp => {
                let until = self.context.after(self.context.tuning().dial_failed_for);
                self.dialer.back_off_until(member, until);
                self.drop_link(link, LinkEnd::Silent);
                self.overlay.schedule(&mut self.context);
            }
        }
    }

    fn on_link_silent(&mut self, link: LinkId, member: MemberIndex) {
        if self.dissemination.make_lazy(link) {
            self.flood();
        }
        self.overlay.schedule(&mut self.context);
        if !self.has_live_link() {
            self.local_health.on_isolated(&mut self.context);
        }
        let topology = &self.context.topology;
        if self.self_record.edge(member).is_some() || topology.is_ring_edge(self.context.me, member)
        {
            // A message that is still under way may prove life until the end of the allowance.
            let heard = self.silence.heard(link);
            let heard = heard.map(|heard| heard + self.silence.allowance(link));
            self.self_record.set_edge(member, true, heard);
        }
    }

    /// An eager link was removed: the next update floods from this node.
    fn flood(&mut self) {
        let (links, silence) = (&self.links, &self.silence);
        self.dissemination
            .flood(|link| links.is_open(link) && !silence.is_silent(link));
    }

    /// The open links in order of their numbers, and whether each is alive (not silent).
    fn iter_links(&self) -> impl Iterator<Item = (LinkId, &links::Link, bool)> {
        let both = self.links.iter().zip(self.silence.iter());
        let open = both.filter(|((_, link), _)| link.is_open());
        open.map(|((id, link), (other, silent))| {
            debug_assert_eq!(id, other, "the links are in another order");
            (id, link, !silent)
        })
    }

    fn is_link_alive(&self, link: LinkId) -> bool {
        self.links.is_open(link) && !self.silence.is_silent(link)
    }

    /// Whether any link is open and not silent.
    fn has_live_link(&self) -> bool {
        self.iter_links().any(|(_, _, alive)| alive)
    }
}

/// The status of members.
impl Gossip {
    fn status(&self, member: MemberIndex) -> Status {
        self.members.status(&self.context, member)
    }

    /// The only place where a member's status changes. Readers notice a change by the view's revision.
    fn set_status(&mut self, member: MemberIndex, status: Status) {
        self.members.set_status(member, status);
        verdict::set_alive(&mut self.context, member, status == Status::Alive);
        let gone = matches!(status, Status::Down | Status::Left);
        if gone
            && self.bootstrap.len() > 0
            && let Some(peer) = self.context.id_of(member)
        {
            self.bootstrap.on_member_gone(&mut self.context, &peer);
        }
    }

    /// Computes which members are reachable, and suspects, clears and revives members accordingly.
    fn judge(&mut self) {
        self.check_accused();
        let mut newly_suspect = Vec::new();
        let vouches = |member| self.newcomers.may_vouch(member);
        let findings = self
            .verdict
            .judge(&mut self.context, &self.members, vouches);
        for (member, finding) in findings {
            match finding {
                Finding::Reached => {
                    self.announce_lost(member);
                    self.members.on_reached(member);
                }
                Finding::Cleared => self.on_cleared(member),
                Finding::Found => self.on_found(member),
                Finding::Unreached(evidence) => {
                    if self.on_unreached(member, evidence) {
                        newly_suspect.push((member, evidence.last_heard));
                    }
                }
            }
        }
        for (member, last_heard) in newly_suspect {
            self.publish_evidence(member, last_heard);
        }
        self.verdict.schedule_first(&mut self.context);
    }

    /// No path leads to a member. Returns whether the member is newly suspect.
    fn on_unreached(&mut self, member: MemberIndex, evidence: Evidence) -> bool {
        let fresh = self.members.last_update(&self.context, member);
        let times = (fresh, self.local_health.resumed());
        let slow = self.round_trips.grace(&self.context);
        let newly = self
            .verdict
            .suspect(&self.context, member, evidence, times, slow);
        if newly {
            self.set_status(member, Status::Suspect);
            self.context
                .report_of(member, |id| Event::PeerSuspected { id });
        }
        newly
    }

    /// Publishes this node's evidence about a new suspect: either that this node hears the suspect, or the time at
    /// which it last heard the suspect, if this is later than `reported` by the suspect's ring neighbours. Silence of a
    /// link outside the rings is not evidence, but a message on such a link proves life.
    fn publish_evidence(&mut self, member: MemberIndex, reported: Option<Instant>) {
        let open = self.links.open_to(member);
        if let Some(heard) =
            open.and_then(|(link, _)| self.silence.heard_recently(&self.context, link))
        {
            if !self.context.has(Switch::NoIndirectConfirmation) {
                self.members.refresh(&self.context, member, heard);
                self.self_record.set_edge(member, false, Some(heard));
            }
            return;
        }
        // Evidence older than `down_after` does not postpone a verdict.
        let (now, down_after) = (self.context.now, self.context.tuning().down_after);
        let heard = self.last_heard(member);
        let heard = heard.filter(|heard| now - *heard < down_after);
        if heard > reported && self.self_record.edge(member).is_none() {
            self.self_record.set_edge(member, true, heard);
        }
    }

    fn on_cleared(&mut self, member: MemberIndex) {
        self.verdict.acquit(member);
        self.end_refusals(member);
        self.set_status(member, Status::Alive);
        self.members.on_reached(member);
        self.context
            .report_of(member, |id| Event::PeerCleared { id });
    }

    fn on_found(&mut self, member: MemberIndex) {
        self.newcomers.on_returned(self.context.now, member);
        self.set_status(member, Status::Alive);
        if self.members.on_found(&mut self.context, member) {
            self.verdict.schedule(&mut self.context);
        }
        self.dialer.reset_back_off(member);
        self.end_refusals(member);
        verdict::set_listed(&mut self.context, member, true);
        let record = self.context.topology.known_record(member);
        let epoch = record.map_or(0, |record| record.rank().epoch);
        self.context
            .report_of(member, |id| Event::PeerUp { id, epoch });
        self.overlay.schedule(&mut self.context);
    }

    /// Dials members that are down, and forgotten members that neighbours know.
    fn probe(&mut self) {
        let down = self.prober.on_due(&mut self.context, self.members.down());
        let shown = self.members.take_shown(&self.context, PROBES_MAX);
        for member in down.into_iter().chain(shown) {
            let waits = self.dialer.is_misdirected(&self.context, member);
            if !waits && !self.dialer.is_dialing(member) {
                self.dial_member(dialer::DialPurpose::Probe, member);
            }
        }
        if self.members.is_any_shown() {
            self.prober.begin(&mut self.context);
        }
    }

    fn is_over(&self) -> bool {
        self.self_record.is_over()
    }
}

/// Queries, without side effects.
impl Gossip {
    /// The node's id.
    #[must_use]
    pub const fn id(&self) -> &NodeId {
        &self.context.config.id
    }

    /// The node's own index in its view.
    pub(crate) const fn me(&self) -> MemberIndex {
        self.context.me
    }

    /// The settings that the node was started with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.context.config
    }

    /// The number of records of unknown members that this node refused, because too many members are not proven.
    #[must_use]
    pub const fn records_refused(&self) -> u64 {
        self.newcomers.refused()
    }

    /// The number of dials that a timeout ended since the start of the node.
    #[must_use]
    pub const fn dials_timed_out(&self) -> u64 {
        self.dialer.timed_out()
    }

    /// The node's own record.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        self.self_record.record()
    }

    /// The phase of the node's life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        let phase = self.self_record.phase();
        if matches!(phase, Phase::Running) && self.local_health.is_isolated() {
            return Phase::Isolated;
        }
        phase
    }

    /// The highest epoch, incarnation or version that this node accepted in its latest step.
    #[must_use]
    pub fn counter_max(&self) -> u64 {
        self.context.counter_max()
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

    /// All members that this node knows, including itself, in id order. O(n).
    pub fn members(&self) -> impl Iterator<Item = MemberView> + '_ {
        self.context
            .topology
            .indices()
            .filter_map(|member| self.member_at(member))
    }

    /// One member of the view.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<MemberView> {
        self.member_at(self.context.topology.index_of(id)?)
    }

    fn member_at(&self, member: MemberIndex) -> Option<MemberView> {
        let slot = self.context.topology.slot(member)?;
        if slot.retired {
            return None;
        }
        Some(MemberView {
            record: Arc::clone(slot.record?),
            status: self.status(member),
            report: slot
                .report
                .map(|stored| AgedReport::of(stored, self.context.now)),
            updated: self.members.updated(&self.context, member),
        })
    }

    /// The established links, in order of their numbers. `now` is only used for durations.
    pub fn links(&self, now: Instant) -> impl Iterator<Item = LinkView> + '_ {
        self.iter_links().map(move |(id, link, alive)| LinkView {
            link: id,
            peer: link.peer().clone(),
            dialed: link.is_dialed(),
            eager: self.dissemination.is_eager(id),
            ring: self
                .context
                .topology
                .is_ring_edge(self.context.me, link.member()),
            silent: !alive,
            quiet: now.since(self.silence.heard(id).unwrap_or(now)),
            round_trip: self.round_trips.smoothed(id),
            silent_after: self.context.tuning().silent_after + self.silence.allowance(id),
            session: link.session(),
            version: link.version(),
        })
    }

    /// The live members that this node should have a link with and has none, for [`NAMED_MAX`] members in an event.
    #[must_use]
    pub fn unreachable(&self) -> Vec<UnreachableView> {
        self.unreachable.views(&self.context)
    }

    /// The members that cannot reach the address that this node advertises; none if there are none.
    #[must_use]
    pub fn undialable(&self) -> Option<UndialableView> {
        self.unreachable.undialable(&self.context)
    }

    /// The open links in order of their numbers, with their peers, and whether each is alive (not silent).
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = (LinkId, &NodeId, bool)> + '_ {
        let over = self.is_over();
        let open = self.iter_links().filter(move |_| !over);
        open.map(|(id, link, alive)| (id, link.peer(), alive))
    }

    /// The status of a member in this view; none if no member of this id is known.
    pub(crate) fn status_of(&self, id: &NodeId) -> Option<Status> {
        let member = self
            .context
            .topology
            .index_of(id)
            .filter(|member| self.context.topology.is_known(*member))?;
        Some(self.status(member))
    }

    /// The peer and the session of each established link.
    pub fn sessions(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        let open = self.links.iter_open();
        open.map(|(_, link)| (link.peer(), link.session()))
    }

    /// The number of connections the machine holds: links, open or not, and handshakes.
    #[must_use]
    pub const fn link_count(&self) -> usize {
        self.links.len() + self.handshakes.len()
    }

    /// Whether the node dials members that it learnt from other members: the configuration's choice, or the latest
    /// [`Input::Discover`].
    #[must_use]
    pub const fn discovers(&self) -> bool {
        self.bootstrap.discovers()
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

    /// Bytes of the machine's whole state; data shared with other nodes of the process is counted in full. The size is
    /// computed from the entries, without spare capacity, so that the value is the same on every computer.
    #[must_use]
    pub fn memory(&self) -> usize {
        held::<Self>(1)
            + self.context.topology.memory()
            // Each timer is kept in two orders.
            + held::<(Instant, Timer)>(2 * self.context.timers.len())
            + self.self_record.memory()
            + self.dispute.memory()
            + self.members.memory()
            + self.newcomers.memory()
            + self.handshakes.memory()
            + self.links.memory()
            + self.dialer.memory()
            + self.round_trips.memory()
            + self.bootstrap.memory()
            + self.overlay.memory()
            + self.silence.memory()
            + self.refusals.memory()
            + self.verdict.memory()
            + self.losses.memory()
            + self.unreachable.memory()
            + self.address_checks.memory()
            + self.dissemination.memory()
            + self.anti_entropy.memory()
            + self.frames.memory()
    }
}
