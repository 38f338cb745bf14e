//! Handshakes: how two nodes agree on one connection.
//!
//! The dialer sends a `Hello`, and the acceptor answers `Welcome` or `Refuse`. Connections between the same two nodes
//! are ordered by session, then by the dialer's id; the highest wins on both ends. A dialer proposes a session above
//! all sessions it knows with the peer, so a new dial replaces a stalled connection.
//!
//! ```text
//!   dialled ──Hello──► AwaitsWelcome ──Welcome──► (an open link)
//!   accepted ────────► AwaitsHello   ──Hello────► (an open link)
//!   either ──Refuse, a broken protocol, or a timeout──► (closed)
//! ```
//!
//! The revocations of both ends are exchanged between a `Hello` and its answer. While the peer sends them, the time-out
//! begins again, up to [`EXCHANGE_MAX`] after the connection was made.
//!
//! Bounds: [`HANDSHAKES_MAX`] handshakes at one time, beside the links.

use super::bootstrap::MYSELF;
use super::context::Context;
use super::event::Event;
use super::interface::Output;
use super::message::{Hello, Message, Refusal, RefusalReason, VERSION_MAX, VERSION_MIN, Welcome};
use super::timer::Timer;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::size::held;
use crate::sorted::SortedMap;
use crate::time::{Duration, Instant};
use crate::topology::MemberIndex;
use crate::topology::record::Record;
use std::sync::Arc;

/// Time after which a connection in the handshake is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time of a handshake during which revocations are exchanged. A later connection continues the exchange.
const EXCHANGE_MAX: Duration = Duration::from_secs(120);
/// Time after which an accepted connection is closed while few handshakes are in progress: the dialer may be far away.
const ROOMY_TIMEOUT: Duration = Duration::from_secs(15);
/// Number of handshakes in progress from which accepted connections have only [`HANDSHAKE_TIMEOUT`].
const ROOMY_BELOW: usize = HANDSHAKES_MAX / 4;
/// Maximum number of handshakes in progress, in addition to the links. Further connections are closed at once.
const HANDSHAKES_MAX: usize = 1_024;

/// A handshake in progress.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Handshake {
    peer: NodeId,
    /// The peer and the proposed session, if this node dialled the connection.
    proposed: Option<(MemberIndex, u32)>,
    begun: Instant,
    /// Time without progress after which the connection is closed.
    timeout: Duration,
}

impl Handshake {
    pub(super) const fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) const fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// The peer and the proposed session, if this node dialled the connection and awaits a `Welcome`.
    pub(super) const fn proposed(&self) -> Option<(MemberIndex, u32)> {
        self.proposed
    }
}

/// The handshakes of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Handshakes {
    pending: SortedMap<LinkId, Handshake>,
}

impl Handshakes {
    /// A peer connected and must send a `Hello`. The connection is closed if `links` and the handshakes in progress
    /// together reach `links_max` plus [`HANDSHAKES_MAX`].
    pub(super) fn accept(
        &mut self,
        context: &mut Context,
        link: LinkId,
        peer: NodeId,
        links: usize,
    ) {
        if links + self.pending.len() >= context.tuning().links_max + HANDSHAKES_MAX {
            context.out.push(Output::Close { link });
            return;
        }
        let roomy = self.pending.len() < ROOMY_BELOW && !context.has(Switch::FixedTimeouts);
        let timeout = if roomy {
            ROOMY_TIMEOUT
        } else {
            HANDSHAKE_TIMEOUT
        };
        self.begin(context, link, (peer, None), timeout);
    }

    fn begin(
        &mut self,
        context: &mut Context,
        link: LinkId,
        (peer, proposed): (NodeId, Option<(MemberIndex, u32)>),
        timeout: Duration,
    ) {
        let handshake = Handshake {
            peer,
            proposed,
            begun: context.now,
            timeout,
        };
        self.pending.insert(link, handshake);
        let at = context.after(timeout);
        context.timers.set(Timer::Handshake(link), at);
    }

    /// The peer sent a part of its revocations: the time-out begins again. Returns the latest end of the handshake.
    pub(super) fn on_progress(&self, context: &mut Context, link: LinkId) -> Option<Instant> {
        let handshake = self.pending.get(&link)?;
        let latest = handshake.begun + EXCHANGE_MAX;
        let at = context.after(handshake.timeout);
        context.timers.set(Timer::Handshake(link), at.min(latest));
        Some(latest)
    }

    /// The peer of a dialled connection may take this long to answer.
    pub(super) fn allow_answer(&mut self, context: &mut Context, link: LinkId, within: Duration) {
        let pending = self.pending.get_mut(&link);
        if let Some(handshake) = pending.filter(|it| within > it.timeout) {
            handshake.timeout = within;
            let at = context.after(within);
            context.timers.set(Timer::Handshake(link), at);
        }
    }

    /// This node connected to a peer: sends a `Hello` with the node's `own` record that proposes a session. `linked`:
    /// the node has a link that is not silent.
    pub(super) fn send_hello(
        &mut self,
        context: &mut Context,
        link: LinkId,
        peer: NodeId,
        proposed: (MemberIndex, u32),
        own: &Arc<Record>,
        linked: bool,
    ) {
        let joining = context.topology.len() <= 1;
        let hello = Hello {
            mesh: context.config.mesh.clone(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            session: proposed.1,
            joining,
            alone: !joining && !linked,
            hash: context.topology.hash(),
            record: Arc::clone(own),
            // The node adds the hash.
            revocations: 0,
        };
        self.begin(context, link, (peer, Some(proposed)), HANDSHAKE_TIMEOUT);
        context.out.push(Output::Send {
            link,
            message: Message::Hello(hello),
        });
    }

    /// Accepts a `Hello`.
    pub(super) fn welcome(context: &mut Context, link: LinkId, hello: &Hello, own: &Arc<Record>) {
        let welcome = Welcome {
            version: version(hello),
            session: hello.session,
            hash: context.topology.hash(),
            record: Arc::clone(own),
        };
        context.out.push(Output::Send {
            link,
            message: Message::Welcome(welcome),
        });
    }

    /// Refuses a `Hello`, and closes the connection.
    pub(super) fn refuse(&mut self, context: &mut Context, link: LinkId, refusal: Refusal) {
        self.end(context, link);
        context.out.push(Output::Send {
            link,
            message: Message::Refuse(refusal),
        });
        context.out.push(Output::Close { link });
    }

    /// Ends a handshake, whose connection has become a link or is closed.
    pub(super) fn end(&mut self, context: &mut Context, link: LinkId) -> Option<Handshake> {
        let handshake = self.pending.remove(&link)?;
        context.timers.cancel(&Timer::Handshake(link));
        Some(handshake)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Handshake> {
        self.pending.get(&link)
    }

    /// Whether a handshake that this node dialled is in progress with a member.
    pub(super) fn is_greeting(&self, member: MemberIndex) -> bool {
        let mut proposed = self.pending.values().filter_map(Handshake::proposed);
        proposed.any(|(peer, _)| peer == member)
    }

    pub(super) const fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = LinkId> {
        self.pending.keys().copied()
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        held::<(LinkId, Handshake)>(self.pending.len())
    }
}

/// The protocol version of a link for this `Hello`.
pub(super) fn version(hello: &Hello) -> u32 {
    hello.version_max.min(VERSION_MAX)
}

/// Whether this node offers a protocol version.
pub(super) fn is_offered(version: u32) -> bool {
    (VERSION_MIN..=VERSION_MAX).contains(&version)
}

/// Reports a refusal because the two ends have no protocol version in common.
pub(super) fn report_version(
    context: &mut Context,
    peer: &NodeId,
    hello: &Hello,
    refusal: &Refusal,
) {
    if refusal.reason == RefusalReason::Version {
        context.report(Event::VersionRefused {
            peer: peer.clone(),
            versions: (hello.version_min, hello.version_max),
        });
    }
}

/// A refusal with only a reason.
pub(super) const fn refusal(reason: RefusalReason) -> Refusal {
    Refusal {
        reason,
        session: 0,
        versions: (0, 0),
        others: Vec::new(),
        yours: None,
        gone: false,
    }
}

/// The reason to refuse a `Hello`, if its sender's data gives one. `own` is this node's record. A node that is
/// `closing` refuses every `Hello`.
pub(super) fn objection(
    context: &Context,
    peer: &NodeId,
    hello: &Hello,
    own: &Arc<Record>,
    closing: bool,
) -> Option<Refusal> {
    if hello.mesh != context.config.mesh {
        return Some(refusal(RefusalReason::WrongMesh));
    }
    if hello.version_min > VERSION_MAX || hello.version_max < VERSION_MIN {
        return Some(Refusal {
            versions: (VERSION_MIN, VERSION_MAX),
            ..refusal(RefusalReason::Version)
        });
    }
    if closing {
        return Some(refusal(RefusalReason::Leaving));
    }
    if peer == own.id() {
        if hello.record.rank().instance == own.rank().instance {
            return Some(refusal(RefusalReason::Myself));
        }
        // Another machine uses this node's id; the other machine takes a higher epoch or stops. This node learns of the
        // outcome from other nodes.
        return Some(Refusal {
            yours: Some(Arc::clone(own)),
            ..refusal(RefusalReason::NameTaken)
        });
    }
    // The record of a forgotten member counts too, because it would silently outrank the new record.
    let slot = context.topology.index_of(peer);
    let known = slot.and_then(|member| context.topology.slot(member)?.record)?;
    let (held, theirs) = (known.rank(), hello.record.rank());
    ((held.epoch, held.instance) > (theirs.epoch, theirs.instance)).then(|| Refusal {
        yours: Some(Arc::clone(known)),
        ..refusal(RefusalReason::NameTaken)
    })
}

/// The reason why a `Hello` of this node was refused, as shown to users.
pub(super) fn explain(context: &Context, refusal: &Refusal) -> String {
    match refusal.reason {
        RefusalReason::Busy => "is busy; it named other members".to_owned(),
        RefusalReason::Full => "has all the links it may have".to_owned(),
        RefusalReason::Superseded => "is connected to us another way".to_owned(),
        RefusalReason::Myself => MYSELF.to_owned(),
        RefusalReason::WrongMesh => {
            format!("belongs to another mesh than {:?}", context.config.mesh)
        }
        RefusalReason::Version => {
            let (oldest, newest) = refusal.versions;
            format!(
                "speaks protocol versions {oldest} to {newest}, this node {VERSION_MIN} to {VERSION_MAX}"
            )
        }
        RefusalReason::NameTaken => {
            format!("knows a newer machine under the id {}", context.config.id)
        }
        RefusalReason::Leaving => "is leaving the mesh".to_owned(),
    }
}

/// Whether the peer is a newer machine with this node's id; `own` is this node's record.
pub(super) fn is_successor(peer: &NodeId, record: &Record, own: &Record) -> bool {
    let (held, theirs) = (own.rank(), record.rank());
    peer == own.id()
        && held.instance != theirs.instance
        && (theirs.epoch, theirs.instance) > (held.epoch, held.instance)
}

/// Whether a record is of a later start of a member than the record in this view.
pub(super) fn is_later_start(context: &Context, member: MemberIndex, record: &Record) -> bool {
    let slot = context.topology.slot(member);
    let known = slot.and_then(|slot| slot.record).map(|held| held.rank());
    let theirs = record.rank();
    known.is_none_or(|held| (theirs.epoch, theirs.instance) > (held.epoch, held.instance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::tests::context::{context, id, learn};
    use crate::topology::record::Rank;

    fn own(context: &Context) -> Arc<Record> {
        Arc::clone(context.topology.record(&id(0)).unwrap())
    }

    fn hello(index: usize, rank: Rank) -> Hello {
        Hello {
            mesh: "test".into(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            session: 1,
            joining: false,
            alone: false,
            hash: 0,
            record: Arc::new(Record::new(id(index), rank, Default::default())),
            revocations: 0,
        }
    }

    fn reason(context: &Context, index: usize, hello: &Hello) -> Option<RefusalReason> {
        let refusal = objection(context, &id(index), hello, &own(context), false);
        refusal.map(|refusal| refusal.reason)
    }

    #[test]
    fn a_hello_is_refused_for_mesh_version_id_and_an_outdated_start() {
        let mut context = context();
        learn(&mut context, 1);
        let rank = own(&context).rank();
        assert_eq!(reason(&context, 1, &hello(1, rank)), None);
        let mesh = Hello {
            mesh: "other".into(),
            ..hello(1, rank)
        };
        assert_eq!(reason(&context, 1, &mesh), Some(RefusalReason::WrongMesh));
        let version = Hello {
            version_min: VERSION_MAX + 1,
            ..hello(1, rank)
        };
        assert_eq!(reason(&context, 1, &version), Some(RefusalReason::Version));
        assert_eq!(
            reason(&context, 0, &hello(0, rank)),
            Some(RefusalReason::Myself)
        );
        let other = Rank {
            instance: 9,
            ..rank
        };
        assert_eq!(
            reason(&context, 0, &hello(0, other)),
            Some(RefusalReason::NameTaken)
        );
        let outdated = Rank { epoch: 0, ..rank };
        assert_eq!(
            reason(&context, 1, &hello(1, outdated)),
            Some(RefusalReason::NameTaken)
        );
        let closing = objection(&context, &id(1), &hello(1, rank), &own(&context), true);
        assert_eq!(closing.unwrap().reason, RefusalReason::Leaving);
    }

    #[test]
    fn a_newer_machine_under_the_own_id_is_a_successor() {
        let context = context();
        let own = own(&context);
        let rank = own.rank();
        let newer = Rank {
            instance: 9,
            ..rank
        };
        assert!(is_successor(&id(0), &hello(0, newer).record, &own));
        assert!(!is_successor(&id(1), &hello(1, newer).record, &own));
        assert!(!is_successor(&id(0), &hello(0, rank).record, &own));
    }

    #[test]
    fn a_handshake_times_out_and_handshakes_are_bounded() {
        let (mut context, mut handshakes) = (context(), Handshakes::default());
        let most = context.tuning().links_max + HANDSHAKES_MAX;
        for link in 0..most as u64 + 5 {
            handshakes.accept(&mut context, LinkId(link), id(1), 0);
        }
        assert_eq!((handshakes.len(), context.out.len()), (most, 5));
        let at = context.after(HANDSHAKE_TIMEOUT);
        assert_eq!(context.timers.next(), Some(at));
        for link in 0..most as u64 {
            assert!(handshakes.end(&mut context, LinkId(link)).is_some());
        }
        assert_eq!(context.timers.next(), None);
    }
}
