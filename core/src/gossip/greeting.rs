//! How two nodes agree on one connection.
//!
//! The dialer sends a `Hello`, the acceptor answers `Welcome` or `Refuse`. Connections between one pair are
//! ordered by session, then by the dialer's id; the highest wins on both ends. A dialer always takes a session
//! above all it knows with that peer, so a redial on a fresh connection replaces a stalled one.
//!
//! ```text
//!   dialled ──Hello──► AwaitsWelcome ──Welcome──► Open ──broke, ring edge──► Broken ──redialled──► (replaced)
//!   accepted ─────────► AwaitsHello  ──Hello────► Open
//! ```

use super::dialer::Purpose;
use super::link::{Link, Stage};
use super::message::{
    Frame, Goodbye, Hello, REFERRALS_MAX, Refusal, RefusalReason, VERSION_MAX, VERSION_MIN, Welcome,
};
use super::{
    CloseReason, DialId, Event, Gossip, Input, LinkEnd, LinkId, Message, Output, Phase, Rejection,
    Status, Switch, Timer,
};
use crate::identity::NodeId;
use crate::link::LocalClose;
use crate::time::Duration;
use crate::topology::Handle;
use crate::topology::record::Record;
use std::sync::Arc;

/// A connection whose greeting takes longer is closed.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that found the mesh learns within this time what anybody there knows of its past.
const ECHO_TIME: Duration = Duration::from_secs(2);
/// The most connections that are being greeted at one time, beside the links; more are closed at once.
const GREETINGS_MAX: usize = 1_024;
/// The most steps of reconciliation taken from one message, and waiting on one link.
pub(super) const SYNCS_MAX: usize = 4;

impl Gossip {
    pub(super) fn on_accepted(&mut self, link: LinkId, peer: NodeId) {
        if self.links.len() >= self.context.tuning().links_max + GREETINGS_MAX {
            self.context.out.push(Output::Close { link });
            return;
        }
        self.links
            .insert(link, Link::new(peer, false, self.context.now));
        self.context
            .timers
            .set(Timer::Greeting(link), self.context.after(GREETING_TIMEOUT));
    }

    pub(super) fn on_dialed(&mut self, dial: DialId, link: LinkId, peer: NodeId) {
        let Some(attempt) = self.dials.get_mut(&dial) else {
            self.context.out.push(Output::Close { link });
            return;
        };
        let address = attempt.address.clone();
        // The expected member may have been forgotten since the dial began: then any peer is as good.
        if let Some(expected) = attempt
            .expected
            .and_then(|handle| self.context.id_of(handle))
            && expected != peer
        {
            self.context.report(Event::WrongPeer {
                address,
                expected,
                found: peer,
            });
            self.context.out.push(Output::Close { link });
            self.dial_came_to_nothing(dial, "another node answered");
            return;
        }
        let Some(handle) = self.context.topology.intern(&peer) else {
            self.context.out.push(Output::Close { link });
            self.dial_came_to_nothing(dial, "the view is full");
            return;
        };
        let session = self.life(handle).session.saturating_add(1);
        self.life(handle).session = session;
        if let Some(attempt) = self.dials.get_mut(&dial) {
            attempt.link = Some(link);
            attempt.expected = Some(handle);
            attempt.session = session;
        }
        let hello = Hello {
            mesh: self.context.config.mesh.clone(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            session,
            joining: self.context.topology.len() <= 1,
            hash: self.hash(),
            record: Arc::clone(self.record()),
        };
        let mut fresh = Link::new(peer, true, self.context.now);
        fresh.session = session;
        fresh.handle = handle;
        self.links.insert(link, fresh);
        self.context
            .timers
            .set(Timer::Greeting(link), self.context.after(GREETING_TIMEOUT));
        self.context.out.push(Output::Send {
            link,
            message: Message::Hello(hello),
        });
    }

    pub(super) fn on_receive(&mut self, link: LinkId, message: Message) {
        let Some(held) = self.links.get(&link) else {
            return;
        };
        match (message, held.stage) {
            (Message::Hello(hello), Stage::AwaitsHello) => self.on_hello(link, hello),
            (Message::Welcome(welcome), Stage::AwaitsWelcome) => self.on_welcome(link, &welcome),
            (Message::Refuse(refusal), Stage::AwaitsWelcome) => self.on_refused(link, &refusal),
            (Message::Goodbye(goodbye), _) => self.on_goodbye(link, goodbye),
            (Message::Frame(frame), Stage::Open) => self.on_frame(link, frame),
            (_, Stage::Broken) => {}
            (Message::Hello(_) | Message::Welcome(_) | Message::Refuse(_), Stage::Open) => {
                self.close_for_protocol(link, Rejection::SecondHello);
            }
            (
                Message::Hello(_) | Message::Welcome(_) | Message::Refuse(_) | Message::Frame(_),
                Stage::AwaitsHello | Stage::AwaitsWelcome,
            ) => self.close_for_protocol(link, Rejection::BeforeHello),
        }
    }

    /// A message for another machine proves that the peer is alive, and that both ends completed the handshake.
    pub(super) fn on_heard(&mut self, link: LinkId) {
        match self.links.get(&link).map(|held| held.stage) {
            Some(Stage::Open) => self.hear(link),
            Some(Stage::AwaitsHello | Stage::AwaitsWelcome) => {
                self.close_for_protocol(link, Rejection::BeforeHello);
            }
            Some(Stage::Broken) | None => {}
        }
    }

    fn on_frame(&mut self, link: LinkId, frame: Frame) {
        self.hear(link);
        if frame.prune
            && let Some(held) = self.links.get_mut(&link)
        {
            held.eager = false;
        }
        self.on_updates(link, &frame.records, &frame.reports);
        self.on_announced(link, &frame.have);
        self.on_graft(link, &frame.graft);
        self.hear_of_gone(&frame.gone);
        // Each step of a reconciliation may cost a look at the whole view.
        for sync in frame.sync.into_iter().take(SYNCS_MAX) {
            self.on_sync(link, sync);
        }
        if let Some(hash) = frame.hash {
            self.compare(link, hash);
        }
    }

    fn on_hello(&mut self, link: LinkId, hello: Hello) {
        let Some(peer) = self.links.get(&link).map(|held| held.peer.clone()) else {
            return;
        };
        if hello.record.id() != &peer {
            self.close_for_protocol(link, Rejection::WrongRecord);
            return;
        }
        if self.gives_way_to(&peer, &hello.record) {
            self.links.remove(&link);
            self.context.out.push(Output::Close { link });
            self.meet_newer_self(&hello.record, true);
            return;
        }
        if let Some(refusal) = self.reason_to_refuse(&peer, &hello) {
            self.context.timers.cancel(&Timer::Greeting(link));
            self.links.remove(&link);
            self.context.out.push(Output::Send {
                link,
                message: Message::Refuse(refusal),
            });
            self.context.out.push(Output::Close { link });
            return;
        }
        let Some(handle) = self.context.topology.intern(&peer) else {
            self.close_for_protocol(link, Rejection::TooMany);
            return;
        };
        let newer_life = self.is_newer_life(handle, &hello.record);
        if newer_life {
            self.life(handle).session = 0;
        }
        let life = self.life(handle);
        life.session = life.session.max(hello.session);
        if let Some(held) = self.links.get_mut(&link) {
            held.handle = handle;
            held.session = hello.session;
            held.version = hello.version_max.min(VERSION_MAX);
        }
        let welcome = Welcome {
            version: hello.version_max.min(VERSION_MAX),
            session: hello.session,
            hash: self.hash(),
            record: Arc::clone(self.record()),
        };
        self.context.out.push(Output::Send {
            link,
            message: Message::Welcome(welcome),
        });
        let theirs = (&hello.record, hello.hash);
        self.open(link, handle, theirs, hello.joining);
        if hello.joining {
            self.send_snapshot(link, false);
        }
    }

    /// Whether a newer machine under our own id greets us.
    fn gives_way_to(&self, peer: &NodeId, record: &Record) -> bool {
        let (own, theirs) = (self.record().rank(), record.rank());
        peer == &self.context.config.id
            && own.instance != theirs.instance
            && (theirs.epoch, theirs.instance) > (own.epoch, own.instance)
    }

    /// Whether a greeting comes from a later start of a peer than the one we know.
    fn is_newer_life(&self, handle: Handle, record: &Record) -> bool {
        let known = self
            .context
            .topology
            .slot(handle)
            .and_then(|slot| slot.record)
            .map(|r| r.rank());
        known.is_none_or(|rank| {
            (record.rank().epoch, record.rank().instance) > (rank.epoch, rank.instance)
        })
    }

    fn reason_to_refuse(&mut self, peer: &NodeId, hello: &Hello) -> Option<Refusal> {
        let refuse = |reason| Refusal {
            reason,
            session: 0,
            versions: (0, 0),
            others: Vec::new(),
            yours: None,
        };
        if hello.mesh != self.context.config.mesh {
            return Some(refuse(RefusalReason::WrongMesh));
        }
        if hello.version_min > VERSION_MAX || hello.version_max < VERSION_MIN {
            return Some(Refusal {
                versions: (VERSION_MIN, VERSION_MAX),
                ..refuse(RefusalReason::Version)
            });
        }
        if self.phase == Phase::Leaving || self.is_raising() {
            return Some(refuse(RefusalReason::Leaving));
        }
        if peer == &self.context.config.id {
            let own = self.record().rank();
            if hello.record.rank().instance == own.instance {
                return Some(refuse(RefusalReason::Myself));
            }
            // Another machine under our id: it takes a higher epoch or stops; we hear of it through others too.
            return Some(Refusal {
                yours: Some(Arc::clone(self.record())),
                ..refuse(RefusalReason::NameTaken)
            });
        }
        // Also of one that was forgotten: its old record would outrank the new one unseen.
        let slot = self
            .context
            .topology
            .handle(peer)
            .and_then(|handle| self.context.topology.slot(handle));
        if let Some(known) = slot.and_then(|slot| slot.record) {
            let (mine, theirs) = (known.rank(), hello.record.rank());
            if (mine.epoch, mine.instance) > (theirs.epoch, theirs.instance) {
                return Some(Refusal {
                    yours: Some(Arc::clone(known)),
                    ..refuse(RefusalReason::NameTaken)
                });
            }
        }
        self.reason_to_refuse_connection(peer, hello, refuse)
    }

    fn reason_to_refuse_connection(
        &mut self,
        peer: &NodeId,
        hello: &Hello,
        refuse: impl Fn(RefusalReason) -> Refusal,
    ) -> Option<Refusal> {
        let handle = self.context.topology.handle(peer);
        if let Some(handle) = handle
            && !self.is_newer_life(handle, &hello.record)
            && let Some(session) = self.better_session(handle, peer, hello.session)
        {
            return Some(Refusal {
                session,
                ..refuse(RefusalReason::Superseded)
            });
        }
        let known = handle.is_some_and(|handle| {
            self.by_peer.contains_key(&handle)
                || self.context.topology.record(peer).is_some() && !hello.joining
        });
        if self.context.has(Switch::NoReferral) {
            return (!known && !self.take_accept_token()).then(|| refuse(RefusalReason::Busy));
        }
        if !known && !self.take_accept_token() {
            return Some(Refusal {
                others: self.referrals(peer),
                ..refuse(RefusalReason::Busy)
            });
        }
        // The link that this connection is to replace does not count.
        let open = self
            .links
            .values()
            .filter(|link| link.is_open() && Some(link.handle) != handle)
            .count();
        if open >= self.context.tuning().links_max && !self.context.has(Switch::Unbounded) {
            return Some(Refusal {
                others: self.referrals(peer),
                ..refuse(RefusalReason::Full)
            });
        }
        None
    }

    /// The session of a connection with this peer, open or being dialled by us, that beats one of `session`
    /// dialled by the peer.
    fn better_session(&self, handle: Handle, peer: &NodeId, session: u32) -> Option<u32> {
        if self.context.has(Switch::NoTieBreak) {
            return None;
        }
        let me = &self.context.config.id;
        let theirs = (session, core::cmp::Reverse(peer));
        let held = self
            .open_link(handle)
            .filter(|link| !link.silent)
            .map(|link| link.precedence(me));
        let dialed = self
            .dials
            .values()
            .filter(|dial| dial.expected == Some(handle) && dial.link.is_some())
            .map(|dial| (dial.session, core::cmp::Reverse(me)))
            .max();
        if self.context.has(Switch::TieBreakBySide) {
            return dialed.map(|(session, _)| session);
        }
        held.into_iter()
            .chain(dialed)
            .filter(|ours| *ours >= theirs)
            .map(|(session, _)| session)
            .max()
    }

    fn take_accept_token(&mut self) -> bool {
        let tuning = &self.context.config.tuning;
        let interval = crate::time::nanos(tuning.accept_interval).max(1);
        let earned = crate::time::nanos(self.context.now - self.accept_refilled) / interval;
        if earned > 0 {
            let earned_u32 = u32::try_from(earned).unwrap_or(u32::MAX);
            self.accept_tokens = self
                .accept_tokens
                .saturating_add(earned_u32)
                .min(tuning.accept_burst);
            self.accept_refilled += Duration::from_nanos(earned.saturating_mul(interval));
        }
        let taken = self.accept_tokens > 0;
        self.accept_tokens = self.accept_tokens.saturating_sub(1);
        taken
    }

    /// Other members a refused dialer may try: drawn at random.
    fn referrals(&mut self, dialer: &NodeId) -> Vec<core::net::SocketAddr> {
        let mut others = Vec::new();
        for _ in 0..2 * REFERRALS_MAX {
            let Some(handle) = self.context.random_member() else {
                break;
            };
            if others.len() == REFERRALS_MAX {
                break;
            }
            let Some(slot) = self.context.topology.slot(handle) else {
                continue;
            };
            if let Some(address) = slot
                .record
                .as_ref()
                .and_then(|record| record.content().address)
                && slot.id != dialer
                && handle != self.context.me
                && self.status(handle) == Status::Alive
                && !others.contains(&address)
            {
                others.push(address);
            }
        }
        others
    }

    fn on_welcome(&mut self, link: LinkId, welcome: &Welcome) {
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        if welcome.record.id() != &held.peer {
            self.close_for_protocol(link, Rejection::WrongRecord);
            return;
        }
        held.version = welcome.version;
        let handle = held.handle;
        let purpose = self.finish_dial(link);
        let me = &self.context.config.id;
        let beaten = self
            .open_link(handle)
            .filter(|open| !open.silent)
            .is_some_and(|open| {
                self.links
                    .get(&link)
                    .is_some_and(|fresh| open.precedence(me) > fresh.precedence(me))
            });
        if beaten && !self.context.has(Switch::NoTieBreak) {
            self.say_goodbye(link, Goodbye::Superseded);
            return;
        }
        let joining = self.context.topology.len() <= 1;
        let was_random = purpose == Some(Purpose::Renewal)
            && self.open_link(handle).is_some_and(|open| open.random);
        if (was_random || purpose == Some(Purpose::RandomLink))
            && let Some(held) = self.links.get_mut(&link)
        {
            held.random = true;
        }
        let theirs = (&welcome.record, welcome.hash);
        self.open(link, handle, theirs, joining);
    }

    /// Both ends agree: the connection becomes the link to this peer.
    fn open(
        &mut self,
        link: LinkId,
        handle: Handle,
        (record, hash): (&Arc<Record>, u64),
        joining: bool,
    ) {
        self.context.timers.cancel(&Timer::Greeting(link));
        let was_unwell = self.status(handle) != Status::Alive || self.own_edge(handle).is_some();
        let replaced = self
            .by_peer
            .get(&handle)
            .copied()
            .filter(|old| *old != link);
        self.by_peer.insert(handle, link);
        let mut eager = joining
            || !self
                .links
                .values()
                .any(|other| other.eager && other.is_lively());
        // Who heard nobody lacks what was spread meanwhile, and nothing that comes now tells it so.
        let (now, late) = (self.context.now, self.context.tuning().redial_after);
        let was_cut_off = !self
            .links
            .values()
            .any(|other| other.is_lively() && now - other.heard < late);
        let mut unwell = was_unwell;
        let mut synced = None;
        if let Some(old) = replaced
            && let Some(held) = self.links.get(&old)
        {
            eager |= held.eager;
            unwell |= held.silent || held.stage == Stage::Broken;
            synced = held.synced.filter(|_| !unwell);
            if !self.context.has(Switch::NoTieBreak) {
                self.drop_link(old, LinkEnd::Superseded);
            }
        }
        self.links.set_stage(&link, Stage::Open);
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        held.opened = self.context.now;
        held.heard = self.context.now;
        held.eager = eager;
        // What was compared a moment ago on the connection before need not be compared again.
        held.synced = synced;
        let (peer, dialed) = (held.peer.clone(), held.dialed);
        self.listen_at(link, self.context.after(self.context.tuning().redial_after));
        self.context.out.push(Output::LinkOpened { link });
        self.context.report(Event::LinkUp { peer, link, dialed });
        // The neighbour may know no more of our past than we do; whoever does is heard of within this time.
        self.establish(self.context.after(ECHO_TIME));
        let life = self.life(handle);
        life.failures = 0;
        life.failed_until = crate::time::Instant::ZERO;
        if life.status == Status::Alive {
            life.forget_at = None;
        }
        let (applied, key) = self.take_record(record, link);
        self.relay(key, applied, link);
        // A record of a new life resets the sessions: not below the one just opened.
        let session = self.links.get(&link).map_or(0, |held| held.session);
        let life = self.life(handle);
        life.session = life.session.max(session);
        self.hear(link);
        if self.own_edge(handle).is_some_and(|edge| edge.down)
            || self.status(handle) != Status::Alive
        {
            self.set_edge(handle, false, Some(self.context.now));
        }
        let reconciles = was_cut_off || unwell && dialed;
        if reconciles && !joining && hash != self.hash() {
            self.begin_sync(link);
        }
        self.weave_soon();
    }

    fn on_refused(&mut self, link: LinkId, refusal: &Refusal) {
        let Some(held) = self.links.remove(&link) else {
            return;
        };
        self.context.timers.cancel(&Timer::Greeting(link));
        self.context.out.push(Output::Close { link });
        let dial = self.dial_over(link);
        match refusal.reason {
            RefusalReason::Superseded => {
                let life = self.life(held.handle);
                life.session = life.session.max(refusal.session);
            }
            RefusalReason::NameTaken => {
                if let Some(yours) = refusal
                    .yours
                    .as_ref()
                    .filter(|yours| yours.id() == &self.context.config.id)
                {
                    let (own, theirs) = (self.record().rank(), yours.rank());
                    if (theirs.epoch, theirs.instance) > (own.epoch, own.instance)
                        || !self.is_established()
                    {
                        self.meet_newer_self(yours, false);
                    }
                }
                if self.is_over() {
                    return;
                }
            }
            RefusalReason::Busy
            | RefusalReason::Full
            | RefusalReason::Myself
            | RefusalReason::WrongMesh
            | RefusalReason::Version
            | RefusalReason::Leaving => {}
        }
        if let Some(dial) = dial {
            self.dial_refused(dial, refusal);
        }
    }

    fn on_goodbye(&mut self, link: LinkId, goodbye: Goodbye) {
        let end = match goodbye {
            Goodbye::Leaving => LinkEnd::PeerLeft,
            Goodbye::Superseded => LinkEnd::Superseded,
            Goodbye::Surplus | Goodbye::NameTaken | Goodbye::Protocol => LinkEnd::PeerClosed,
        };
        let theirs = self.links.get(&link).is_some_and(|held| !held.dialed);
        self.drop_link(link, end);
        self.weave_soon();
        if goodbye == Goodbye::Surplus && theirs {
            // The neighbour dialled it and does not need it; somebody here may, and then this end dials and keeps it.
            self.dial_wanted();
        }
    }

    pub(super) fn on_closed(&mut self, link: LinkId, reason: CloseReason) {
        let Some(held) = self.links.get_mut(&link) else {
            return;
        };
        match held.stage {
            Stage::Broken => {}
            Stage::AwaitsHello => {
                self.links.remove(&link);
                self.context.timers.cancel(&Timer::Greeting(link));
            }
            Stage::AwaitsWelcome => {
                self.links.remove(&link);
                self.context.timers.cancel(&Timer::Greeting(link));
                if let Some(dial) = self.dial_over(link) {
                    self.dial_came_to_nothing(dial, "the connection closed during the greeting");
                }
            }
            Stage::Open => {
                let (handle, peer) = (held.handle, held.peer.clone());
                if self.is_renewing(handle) {
                    // The peer took the new connection, and its answer is on the way.
                    self.context.report(Event::LinkDown {
                        peer,
                        link,
                        reason: LinkEnd::Superseded,
                    });
                    self.remove_link(link);
                    self.weave_soon();
                    return;
                }
                let end = match reason {
                    CloseReason::Local(LocalClose::Malformed) => LinkEnd::Protocol,
                    CloseReason::Local(LocalClose::Expired) => LinkEnd::Expired,
                    CloseReason::Local(LocalClose::Untrusted) => LinkEnd::Untrusted,
                    CloseReason::Local(LocalClose::Overflow | LocalClose::GivenUp)
                    | CloseReason::Farewell
                    | CloseReason::Fin
                    | CloseReason::Reset
                    | CloseReason::TimedOut => LinkEnd::Lost,
                };
                self.context.report(Event::LinkDown {
                    peer,
                    link,
                    reason: end,
                });
                let evidence = self.context.topology.is_ring_edge(self.context.me, handle)
                    && self.status(handle) != Status::Left;
                if evidence {
                    self.links.set_stage(&link, Stage::Broken);
                    let held = self.links.get_mut(&link);
                    if held.is_some_and(|held| core::mem::take(&mut held.eager)) {
                        self.mend_tree();
                    }
                    self.listen_at(link, self.context.after(Duration::from_millis(1)));
                } else {
                    self.remove_link(link);
                }
                self.weave_soon();
            }
        }
    }

    pub(super) fn give_up_greeting(&mut self, link: LinkId) {
        let Some(held) = self.links.get(&link) else {
            return;
        };
        if held.is_open() || held.stage == Stage::Broken {
            return;
        }
        self.links.remove(&link);
        self.context.out.push(Output::Close { link });
        if let Some(dial) = self.dial_over(link) {
            self.dial_came_to_nothing(dial, "no answer to the greeting");
        }
    }

    fn close_for_protocol(&mut self, link: LinkId, reason: Rejection) {
        self.report_rejected(link, reason);
        let dial = self.dial_over(link);
        self.say_goodbye(link, Goodbye::Protocol);
        if let Some(dial) = dial {
            self.dial_came_to_nothing(dial, "it broke the protocol");
        }
    }

    /// Ends a link in order, from our side.
    pub(super) fn say_goodbye(&mut self, link: LinkId, goodbye: Goodbye) {
        let end = match goodbye {
            Goodbye::Surplus => LinkEnd::Surplus,
            Goodbye::Superseded => LinkEnd::Superseded,
            Goodbye::Protocol => LinkEnd::Protocol,
            Goodbye::Leaving | Goodbye::NameTaken => LinkEnd::Leaving,
        };
        if self
            .links
            .get(&link)
            .is_some_and(|held| held.stage != Stage::Broken)
        {
            self.context.out.push(Output::Send {
                link,
                message: Message::Goodbye(goodbye),
            });
        }
        self.drop_link(link, end);
    }

    /// Removes a link, open or not, and closes the connection if there is one.
    pub(super) fn drop_link(&mut self, link: LinkId, end: LinkEnd) {
        let Some(held) = self.links.get(&link) else {
            return;
        };
        if held.stage != Stage::Broken {
            self.context.out.push(Output::Close { link });
        }
        if held.is_open() {
            self.context.report(Event::LinkDown {
                peer: held.peer.clone(),
                link,
                reason: end,
            });
        }
        self.remove_link(link);
    }

    /// Forgets a link; a vouch that rested on it goes with it.
    fn remove_link(&mut self, link: LinkId) {
        let Some(held) = self.links.remove(&link) else {
            return;
        };
        for timer in [
            Timer::Greeting(link),
            Timer::Silence(link),
            Timer::Flush(link),
        ] {
            self.context.timers.cancel(&timer);
        }
        if held.proven.is_some() {
            let life = self.life(held.handle);
            life.heard = life.heard.max(held.proven);
        }
        if self.by_peer.get(&held.handle) == Some(&link) {
            self.by_peer.remove(&held.handle);
            if held.eager && held.is_open() {
                self.mend_tree();
            }
            if self.own_edge(held.handle).is_some_and(|edge| !edge.down) {
                self.set_edge(held.handle, true, Some(held.heard));
            }
        }
    }

    pub(super) fn end_all_links(&mut self, goodbye: Goodbye) {
        let open: Vec<LinkId> = self.links.keys().copied().collect();
        if goodbye == Goodbye::Leaving {
            self.publish_own();
            self.flush_now();
        }
        for link in open {
            self.say_goodbye(link, goodbye);
        }
        self.dials.clear();
    }

    /// The peer of a link, unless the link closed.
    pub(super) fn peer_of(&self, link: LinkId) -> Option<NodeId> {
        self.links.get(&link).map(|held| held.peer.clone())
    }

    /// After the node left or gave its id up: whoever connects is sent away, everything else is ignored.
    pub(super) fn step_after_the_end(&mut self, input: Input) {
        match input {
            Input::Accepted { link, .. } | Input::Dialed { link, .. } => {
                self.context.out.push(Output::Close { link })
            }
            Input::Leave if self.phase == Phase::NameTaken => {
                self.phase = Phase::Left;
                self.context.out.push(Output::Left);
            }
            Input::Start
            | Input::DialFailed { .. }
            | Input::Receive { .. }
            | Input::Heard { .. }
            | Input::Closed { .. }
            | Input::Stored { .. }
            | Input::StoreFailed { .. }
            | Input::Announce(_)
            | Input::Targets { .. }
            | Input::EditTargets { .. }
            | Input::Discover(_)
            | Input::Want { .. }
            | Input::Renew { .. }
            | Input::Leave
            | Input::Wake => {}
        }
    }
}
