//! The kinds of events that nodes report, as words.

use phalanx_core::gossip::{Event, Message};
use phalanx_core::identity::NodeId;

/// What a node reported, without the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventKind {
    /// `peer-up`
    PeerUp,
    /// `peer-suspected`
    PeerSuspected,
    /// `peer-cleared`
    PeerCleared,
    /// `peer-down`
    PeerDown,
    /// `peer-left`
    PeerLeft,
    /// `peer-updated`
    PeerUpdated,
    /// `peer-forgotten`
    PeerForgotten,
    /// `link-up`
    LinkUp,
    /// `link-down`
    LinkDown,
    /// `dial-failed`
    DialFailed,
    /// `dialed-myself`
    DialedMyself,
    /// `wrong-peer`
    WrongPeer,
    /// `isolated`
    Isolated,
    /// `rejoined`
    Rejoined,
    /// `name-taken`
    NameTaken,
    /// `refuted`
    Refuted,
    /// `rejected`
    Rejected,
    /// `announce-rejected`
    AnnounceRejected,
    /// `paused`
    Paused,
}

impl EventKind {
    /// Every kind and its word.
    pub(super) const ALL: &'static [(Self, &'static str)] = &[
        (Self::PeerUp, "peer-up"),
        (Self::PeerSuspected, "peer-suspected"),
        (Self::PeerCleared, "peer-cleared"),
        (Self::PeerDown, "peer-down"),
        (Self::PeerLeft, "peer-left"),
        (Self::PeerUpdated, "peer-updated"),
        (Self::PeerForgotten, "peer-forgotten"),
        (Self::LinkUp, "link-up"),
        (Self::LinkDown, "link-down"),
        (Self::DialFailed, "dial-failed"),
        (Self::DialedMyself, "dialed-myself"),
        (Self::WrongPeer, "wrong-peer"),
        (Self::Isolated, "isolated"),
        (Self::Rejoined, "rejoined"),
        (Self::NameTaken, "name-taken"),
        (Self::Refuted, "refuted"),
        (Self::Rejected, "rejected"),
        (Self::AnnounceRejected, "announce-rejected"),
        (Self::Paused, "paused"),
    ];

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, _)| *kind == self);
        known.map_or("unnamed", |(_, word)| word)
    }

    /// The kind of an event, and whom it is about.
    pub(super) const fn of(event: &Event) -> (Self, Option<&NodeId>) {
        match event {
            Event::PeerUp { id, .. } => (Self::PeerUp, Some(id)),
            Event::PeerSuspected { id } => (Self::PeerSuspected, Some(id)),
            Event::PeerCleared { id } => (Self::PeerCleared, Some(id)),
            Event::PeerDown { id } => (Self::PeerDown, Some(id)),
            Event::PeerLeft { id } => (Self::PeerLeft, Some(id)),
            Event::PeerUpdated { id } => (Self::PeerUpdated, Some(id)),
            Event::PeerForgotten { id } => (Self::PeerForgotten, Some(id)),
            Event::LinkUp { peer, .. } => (Self::LinkUp, Some(peer)),
            Event::LinkDown { peer, .. } => (Self::LinkDown, Some(peer)),
            Event::DialFailed { .. } => (Self::DialFailed, None),
            Event::DialedMyself { .. } => (Self::DialedMyself, None),
            Event::WrongPeer { found, .. } => (Self::WrongPeer, Some(found)),
            Event::Isolated => (Self::Isolated, None),
            Event::Rejoined => (Self::Rejoined, None),
            Event::NameTaken { .. } => (Self::NameTaken, None),
            Event::Refuted { from } => (Self::Refuted, Some(from)),
            Event::Rejected { from, .. } => (Self::Rejected, Some(from)),
            Event::AnnounceRejected { .. } => (Self::AnnounceRejected, None),
            Event::Paused { .. } => (Self::Paused, None),
        }
    }
}

/// What a message carries, in the word for its weightiest part.
pub(super) fn content(message: &Message) -> &'static str {
    let Message::Frame(frame) = message else {
        return super::word(message);
    };
    let parts = [
        ("sync", !frame.sync.is_empty()),
        ("records", !frame.records.is_empty()),
        ("reports", !frame.reports.is_empty()),
        ("graft", !frame.graft.is_empty()),
        ("have", !frame.have.is_empty()),
        ("prune", frame.prune),
        ("hash", frame.hash.is_some()),
    ];
    let found = parts.iter().find(|(_, there)| *there);
    found.map_or("heartbeat", |(word, _)| word)
}
