//! The inputs of a node, and the events that a host reports.

use super::table::{Detail, occurrences};
use crate::coverage::Occurrence;
use crate::mesh::event::Event;
use phalanx_core::channel::{self, Delivery, DeliveryFailure, Done, Kind, Refusal};
use phalanx_core::gossip::{self, LinkEnd};
use phalanx_core::link::{CloseReason, DialError, ResolutionError};
use phalanx_core::node;
use phalanx_core::revocation;
use phalanx_core::topology::record::ContentError;

/// The occurrence of a node's input; messages have occurrences of their own.
pub(super) fn input(input: &node::Input) -> Option<Occurrence> {
    match input {
        node::Input::Mesh(input) => gossip_input(input),
        node::Input::Channel(input) => channel_input(input),
        node::Input::Receive { .. } => None,
        node::Input::WatchRoutes(_) => Some(WATCH_ROUTES),
        node::Input::Calendar(_) => Some(CALENDAR),
        node::Input::Wake => Some(WAKE),
        node::Input::LoadRevocations(_) => Some(LOAD_REVOCATIONS),
        node::Input::Revoke { .. } => Some(REVOKE),
        node::Input::RevocationsStored { .. } => Some(REVOCATIONS_STORED),
        node::Input::RevocationsNotStored { .. } => Some(REVOCATIONS_NOT_STORED),
        // The simulated daemon has no certificates.
        node::Input::Presented { .. } => None,
    }
}

const WATCH_ROUTES: Occurrence = Occurrence::input("watch-routes");
const WAKE: Occurrence = Occurrence::input("wake");
const CALENDAR: Occurrence = Occurrence::input("calendar");
const LOAD_REVOCATIONS: Occurrence = Occurrence::input("load-revocations");
const REVOKE: Occurrence = Occurrence::input("revoke");
const REVOCATIONS_STORED: Occurrence = Occurrence::input("revocations-stored");
const REVOCATIONS_NOT_STORED: Occurrence = Occurrence::input("revocations-not-stored");

/// The occurrence of an event that a host reports.
pub(super) fn event(event: &Event) -> Option<Occurrence> {
    match event {
        Event::Mesh(event) => gossip_event(event),
        Event::Channel(event) => channel_event(event),
        Event::Sent { .. }
        | Event::Closed(_)
        | Event::Handed(..)
        | Event::Failed(..)
        | Event::RevocationAnswered(..)
        | Event::Answered(..) => application_event(event),
        Event::Revocation(event) => revocation_event(event),
    }
}

pub(super) fn declared() -> Vec<Occurrence> {
    let tables = [
        gossip_inputs(),
        channel_inputs(),
        vec![
            WATCH_ROUTES,
            WAKE,
            CALENDAR,
            LOAD_REVOCATIONS,
            REVOKE,
            REVOCATIONS_STORED,
            REVOCATIONS_NOT_STORED,
        ],
        revocation_events(),
        gossip_events(),
        channel_events(),
        application_events(),
    ];
    tables.concat()
}

// The node passes received messages and wakes on to its machines.
occurrences!(gossip_input, gossip_inputs, gossip::Input {
    input gossip::Input::Start => "start";
    input gossip::Input::Accepted { .. } => "accepted";
    input gossip::Input::Dialed { .. } => "dialed";
    input gossip::Input::DialFailed { reason, .. } => "dial-failed", DialError = reason;
    input gossip::Input::Resolved { addresses: Ok(_), .. } => "resolved";
    input gossip::Input::Resolved { addresses: Err(error), .. } => "unresolved", ResolutionError = error;
    internal gossip::Input::Receive { .. } => "receive";
    internal gossip::Input::Heard { .. } => "heard";
    internal gossip::Input::Exchanging { .. } => "exchanging";
    input gossip::Input::Closed { reason, .. } => "closed", CloseReason = reason;
    input gossip::Input::Stored { .. } => "stored";
    input gossip::Input::StoreFailed { .. } => "store-failed";
    input gossip::Input::Announce(_) => "announce";
    input gossip::Input::Seeds { .. } => "seeds";
    input gossip::Input::EditSeeds { .. } => "edit-seeds";
    input gossip::Input::Discover(_) => "discover";
    input gossip::Input::RequestLink { .. } => "request-link";
    input gossip::Input::Forget { .. } => "forget";
    input gossip::Input::Renew { .. } => "renew";
    input gossip::Input::Leave => "leave";
    internal gossip::Input::Calendar(_) => "calendar";
    internal gossip::Input::Wake => "wake";
});

// The node itself makes the inputs about links, messages and routes from its other inputs.
occurrences!(channel_input, channel_inputs, channel::Input {
    internal channel::Input::Neighbours(_) => "neighbours";
    internal channel::Input::Receive { .. } => "receive";
    internal channel::Input::Forward { .. } => "forward";
    internal channel::Input::Unroutable { .. } => "unroutable";
    input channel::Input::Open { .. } => "open-channel";
    input channel::Input::Close { .. } => "close-channel";
    input channel::Input::Publish { .. } => "publish";
    input channel::Input::Transact { .. } => "transact";
    input channel::Input::Once { .. } => "once";
    input channel::Input::Send { datagram: false, .. } => "send" / "message";
    input channel::Input::Send { datagram: true, .. } => "send" / "datagram";
    input channel::Input::Consumed { .. } => "consumed";
    internal channel::Input::Calendar(_) => "calendar";
    internal channel::Input::Pace(_) => "pace";
    internal channel::Input::Wake => "wake";
});

occurrences!(gossip_event, gossip_events, gossip::Event {
    transition gossip::Event::PeerUp { .. } => "peer-up";
    transition gossip::Event::PeerSuspected { .. } => "peer-suspected";
    transition gossip::Event::PeerCleared { .. } => "peer-cleared";
    transition gossip::Event::PeerDown { .. } => "peer-down";
    transition gossip::Event::PeersDown { .. } => "peers-down";
    transition gossip::Event::Unreachable { .. } => "unreachable";
    transition gossip::Event::AddressUndialable(_) => "address-undialable";
    transition gossip::Event::PeerLeft { .. } => "peer-left";
    transition gossip::Event::PeerUpdated { .. } => "peer-updated";
    transition gossip::Event::PeerForgotten { .. } => "peer-forgotten";
    transition gossip::Event::LinkUp { dialed: false, .. } => "link-up" / "accepted";
    transition gossip::Event::LinkUp { dialed: true, .. } => "link-up" / "dialed";
    transition gossip::Event::LinkDown { reason, .. } => "link-down", LinkEnd = reason;
    transition gossip::Event::DialFailed { .. } => "dial-failed";
    transition gossip::Event::DialedMyself { .. } => "dialed-myself";
    refusal gossip::Event::WrongPeer { .. } => "wrong-peer";
    transition gossip::Event::Isolated => "isolated";
    transition gossip::Event::Rejoined => "rejoined";
    transition gossip::Event::NameTaken { .. } => "name-taken";
    transition gossip::Event::NameResumed { .. } => "name-resumed";
    transition gossip::Event::DuplicateId { .. } => "duplicate-id";
    transition gossip::Event::Refuted { .. } => "refuted";
    transition gossip::Event::ShortIdChanged { .. } => "short-id-changed";
    refusal gossip::Event::VersionRefused { .. } => "version-refused";
    transition gossip::Event::Guarded { .. } => "guarded";
    transition gossip::Event::GuardEnded { .. } => "guard-ended";
    refusal gossip::Event::Rejected { reason, .. } => "rejected", gossip::Rejection = reason;
    refusal gossip::Event::AnnounceRejected { why } => "announce-rejected", ContentError = why;
    transition gossip::Event::Paused { .. } => "paused";
});

occurrences!(channel_event, channel_events, channel::Event {
    transition channel::Event::Learnt { kind, .. } => "channel-learnt", Kind = kind;
    refusal channel::Event::Rejected { reason, .. } => "channel-rejected", channel::Rejection = reason;
    transition channel::Event::Rerouted { failure, .. } => "rerouted", DeliveryFailure = failure;
    refusal channel::Event::RelayFailed { failure, .. } => "relay-failed", DeliveryFailure = failure;
    transition channel::Event::Deferred { .. } => "payload-deferred";
    transition channel::Event::Dropped { .. } => "broadcast-dropped";
});

occurrences!(revocation_event, revocation_events, revocation::Event {
    transition revocation::Event::Revoked { .. } => "certificate-revoked";
    refusal revocation::Event::Refused { .. } => "revocation-refused";
    transition revocation::Event::Dropped { .. } => "revocation-dropped";
    transition revocation::Event::Closed { .. } => "revoked-peer-closed";
});

// The failed delivery of a message has an event of its own before the answer.
occurrences!(application_event, application_events, Event {
    internal Event::Mesh(_) => "mesh";
    internal Event::Channel(_) => "channel";
    internal Event::Revocation(_) => "revocation";
    transition Event::RevocationAnswered(_, Ok(())) => "revocation-acknowledged";
    refusal Event::RevocationAnswered(_, Err(_)) => "revocation-rejected";
    transition Event::Sent { datagram: false, .. } => "sent" / "message";
    transition Event::Sent { datagram: true, .. } => "sent" / "datagram";
    transition Event::Closed(_) => "closed";
    transition Event::Handed(_, Delivery::Message { datagram: false, .. }) => "received" / "message";
    transition Event::Handed(_, Delivery::Message { datagram: true, .. }) => "received" / "datagram";
    transition Event::Handed(_, Delivery::Broadcast { .. }) => "broadcast-received";
    transition Event::Handed(_, Delivery::Missed { restarted: false, .. }) => "messages-missed" / "counted";
    transition Event::Handed(_, Delivery::Missed { restarted: true, .. }) => "messages-missed" / "after-restart";
    transition Event::Handed(_, Delivery::Changed { .. }) => "changed";
    transition Event::Handed(_, Delivery::Conflict { .. }) => "conflict";
    refusal Event::Failed(_, failure) => "undelivered", DeliveryFailure = failure;
    transition Event::Answered(_, Ok(Done::Opened)) => "opened";
    transition Event::Answered(_, Ok(Done::Published(_))) => "published";
    transition Event::Answered(_, Ok(Done::Unchanged)) => "unchanged";
    transition Event::Answered(_, Ok(Done::Committed(_))) => "written";
    transition Event::Answered(_, Ok(Done::Differs(_))) => "differs";
    transition Event::Answered(_, Ok(Done::Delivered)) => "delivered";
    internal Event::Answered(_, Ok(Done::Sent)) => "sent";
    refusal Event::Answered(_, Err(Refusal::AlreadyOpen)) => "refused" / "already-open";
    refusal Event::Answered(_, Err(Refusal::NotOpen)) => "refused" / "not-open";
    refusal Event::Answered(_, Err(Refusal::OtherKind(_))) => "refused" / "other-kind";
    refusal Event::Answered(_, Err(Refusal::WrongKind(_))) => "refused" / "wrong-kind";
    refusal Event::Answered(_, Err(Refusal::TooManyChannels)) => "refused" / "too-many-channels";
    refusal Event::Answered(_, Err(Refusal::TooLarge(_))) => "refused" / "too-large";
    refusal Event::Answered(_, Err(Refusal::Full)) => "refused" / "full";
    refusal Event::Answered(_, Err(Refusal::BadKey(_))) => "refused" / "bad-key";
    refusal Event::Answered(_, Err(Refusal::BadTransaction)) => "refused" / "bad-transaction";
    refusal Event::Answered(_, Err(Refusal::BadInterval(_))) => "refused" / "bad-interval";
    refusal Event::Answered(_, Err(Refusal::Malformed(_))) => "refused" / "malformed";
    refusal Event::Answered(_, Err(Refusal::CounterTooHigh)) => "refused" / "counter-too-high";
    internal Event::Answered(_, Err(Refusal::Undelivered(_))) => "undelivered";
});
