//! Descriptions of events for operators: text, log level and subject.
//!
//! Levels follow the consequence: `error`, the node stopped; `warn`, an operator should act;
//! `info`, a state change that operators want to see; `debug`, frequent events.

use super::unreachable;
use crate::link::{Notice, TransportEvent};
use crate::printable::printable;
use phalanx_core::channel;
use phalanx_core::gossip::message::{VERSION_MAX, VERSION_MIN};
use phalanx_core::gossip::{DeathCause, Event, LinkEnd, Rejection};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::revocation;
use phalanx_core::time::Duration;
use std::net::SocketAddr;
use tracing::Level;

/// Maximum number of bytes of an event's text.
const TEXT_BYTES_MAX: usize = 512;

/// The description of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The log level.
    pub level: Level,
    /// The event's name: one word, stable, for filters.
    pub kind: &'static str,
    /// The other node that the event is about; `None` if the event is about this node.
    pub subject: Option<NodeId>,
    /// The event's text, without control characters.
    pub text: String,
}

impl Description {
    /// Writes the description to the log.
    pub fn log(&self) {
        let (kind, text) = (self.kind, &self.text);
        let peer = self.subject.as_ref().map(NodeId::as_str);
        match self.level {
            Level::ERROR => tracing::error!(event = kind, peer, "{text}"),
            Level::WARN => tracing::warn!(event = kind, peer, "{text}"),
            Level::INFO => tracing::info!(event = kind, peer, "{text}"),
            Level::DEBUG => tracing::debug!(event = kind, peer, "{text}"),
            Level::TRACE => tracing::trace!(event = kind, peer, "{text}"),
        }
    }
}

/// Describes an event of the mesh.
#[must_use]
pub fn describe(event: &Event) -> Description {
    Description {
        level: level(event),
        kind: event.word(),
        subject: event.subject().cloned(),
        text: printable(text(event), TEXT_BYTES_MAX),
    }
}

/// Describes a notice of the node.
#[must_use]
pub fn describe_notice(notice: &Notice) -> Description {
    match notice {
        Notice::Mesh(event) => describe(event),
        Notice::Channel(event) => describe_channel(event),
        Notice::Revocation(event) => describe_revocation(event),
        Notice::RoutesChanged => Description {
            level: Level::DEBUG,
            kind: "routes-changed",
            subject: None,
            text: "the routes to some members changed".to_owned(),
        },
        Notice::Transport(event) => describe_transport(event),
    }
}

const fn death(cause: DeathCause) -> &'static str {
    match cause {
        DeathCause::Silent => "no node hears it",
        DeathCause::Refused => "its process is gone, and its host refuses connections",
    }
}

const fn level(event: &Event) -> Level {
    match event {
        Event::NameTaken { .. } | Event::DuplicateId { .. } => Level::ERROR,
        // The losses of several members have one line of their own.
        Event::PeerDown { joint: true, .. } => Level::DEBUG,
        Event::PeerDown { .. }
        | Event::PeersDown { .. }
        | Event::Unreachable { .. }
        | Event::AddressUndialable(_)
        | Event::VersionRefused { .. }
        | Event::WrongPeer { .. }
        | Event::Isolated
        | Event::Guarded { .. }
        | Event::Rejected { .. }
        | Event::AnnounceRejected { .. }
        | Event::Paused { .. } => Level::WARN,
        Event::PeerUp { .. }
        | Event::PeerLeft { .. }
        | Event::PeerForgotten { .. }
        | Event::DialFailed { .. }
        | Event::DialedMyself { .. }
        | Event::Rejoined
        | Event::NameResumed { .. }
        | Event::ShortIdChanged { .. }
        | Event::GuardEnded { .. }
        | Event::Refuted { .. } => Level::INFO,
        Event::PeerSuspected { .. }
        | Event::PeerCleared { .. }
        | Event::PeerUpdated { .. }
        | Event::LinkUp { .. }
        | Event::LinkDown { .. } => Level::DEBUG,
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::PeerUp { id, epoch } => format!("{id} is up (epoch {epoch})"),
        Event::PeerSuspected { id } => format!("{id} is suspect: no path leads to it"),
        Event::PeerCleared { id } => format!("{id} is reachable again"),
        Event::PeerDown { id, cause, .. } => format!("{id} is down: {}", death(*cause)),
        Event::PeersDown {
            named,
            count,
            alive,
        } => unreachable::peers_down(named, *count, *alive),
        Event::Unreachable { named, count } => unreachable::pairs(named, *count),
        Event::AddressUndialable(view) => unreachable::undialable(view),
        Event::ShortIdChanged { from, to } => short_id_changed(*from, *to),
        Event::VersionRefused { peer, versions } => version_refused(peer, *versions),
        Event::PeerLeft { id } => format!("{id} left the mesh"),
        Event::PeerUpdated { id } => format!("{id} updated its record"),
        Event::PeerForgotten { id } => {
            format!("{id} is forgotten: it was down or had left")
        }
        Event::LinkUp { peer, dialed, .. } => {
            let dialer = if *dialed { "this node" } else { "the peer" };
            format!("linked to {peer}, dialled by {dialer}")
        }
        Event::LinkDown { peer, reason, .. } => {
            format!("the link to {peer} ended: {}", end(*reason))
        }
        Event::DialFailed {
            address,
            reason,
            retry_in,
        } => dial_failed(address, reason, *retry_in),
        Event::DialedMyself { address } => {
            format!("the address {address} leads to this node itself")
        }
        Event::WrongPeer {
            address,
            expected,
            found,
        } => {
            format!("{address} belongs to {found}, but {expected} was expected there")
        }
        Event::Isolated => ISOLATED.to_owned(),
        Event::Rejoined => "a neighbour responds again".to_owned(),
        Event::NameTaken { epoch, .. } => name_taken(*epoch),
        Event::NameResumed { epoch } => name_resumed(*epoch),
        Event::DuplicateId {
            relay,
            epoch,
            address,
            ..
        } => duplicate_id(relay.as_ref(), *epoch, *address),
        Event::Refuted { from } => {
            format!(
                "{from} relayed a record of this node that this node did not publish; overridden by a newer one"
            )
        }
        Event::Guarded { from } => guarded(from.as_ref()),
        Event::GuardEnded { refused } => guard_ended(*refused),
        Event::Rejected { from, reason } => {
            format!("a message from {from} was rejected: {}", rejection(*reason))
        }
        Event::AnnounceRejected { why } => {
            format!("the new record of this node was rejected: {why}")
        }
        Event::Paused { late } => format!("this process did not run for {} ms", late.as_millis()),
    }
}

const ISOLATED: &str = "no neighbour responds: this node or its network may have failed; members are declared down if this lasts";

fn short_id_changed(from: Option<u16>, to: Option<u16>) -> String {
    format!(
        "the short id of this node is {}, it was {}",
        short_id(to),
        short_id(from)
    )
}

fn version_refused(peer: &NodeId, (least, most): (u32, u32)) -> String {
    format!(
        "the link that {peer} asked for is refused: {peer} speaks protocol versions {least} to {most}, this node \
         {VERSION_MIN} to {VERSION_MAX}"
    )
}

fn name_taken(epoch: u64) -> String {
    format!(
        "another node with a newer epoch ({epoch}) proved this node's id; this node waits until that node is gone; \
         change the id of one of them"
    )
}

fn guarded(from: Option<&NodeId>) -> String {
    let from = from.map_or("a neighbour", NodeId::as_str);
    format!(
        "too many new members are known by hearsay only, the last one by {from}: further ones are refused unless known \
         members have links with them; if they are not expected, a member invents them"
    )
}

fn guard_ended(refused: u64) -> String {
    format!(
        "new members are believed again; {refused} records were refused since the start of this node"
    )
}

fn name_resumed(epoch: u64) -> String {
    format!("the other node with this node's id is gone; this node resumes with epoch {epoch}")
}

fn short_id(number: Option<u16>) -> String {
    number.map_or_else(
        || "none, because all are taken".to_owned(),
        |number| format!("#{number:03x}"),
    )
}

fn dial_failed(address: &Address, reason: &str, retry_in: Option<Duration>) -> String {
    match retry_in {
        Some(wait) => format!(
            "cannot reach {address}: {reason}; next attempt in {} ms",
            wait.as_millis()
        ),
        None => format!("cannot reach {address}: {reason}"),
    }
}

fn duplicate_id(relay: Option<&NodeId>, epoch: u64, address: Option<SocketAddr>) -> String {
    let relay = relay.map_or("a neighbour", NodeId::as_str);
    let place = match address {
        Some(address) => format!("the address {address}, where no node proves the id"),
        None => "no address".to_owned(),
    };
    format!(
        "another node uses this node's id, or records are forged: {relay} relayed a record with epoch {epoch} and \
         {place}; this node keeps its id; give one of the two nodes another id"
    )
}

/// Returns the reason for the end of a link, as text.
#[must_use]
pub const fn end(reason: LinkEnd) -> &'static str {
    match reason {
        LinkEnd::Unneeded => "not needed",
        LinkEnd::Superseded => "another connection with the peer replaced it",
        LinkEnd::PeerClosed => "closed by the peer",
        LinkEnd::PeerLeft => "the peer left",
        LinkEnd::Lost => "the connection was lost",
        LinkEnd::Silent => "nothing was received for too long",
        LinkEnd::Protocol => "the peer broke the protocol",
        LinkEnd::Expired => "one of the two certificates is about to expire",
        LinkEnd::Untrusted => "one of the two certificates is not trusted any more",
        LinkEnd::Revoked => "the peer's certificate is revoked",
        LinkEnd::Leaving => "this node leaves the mesh, or gave up its id",
    }
}

const fn rejection(reason: Rejection) -> &'static str {
    match reason {
        Rejection::BeforeHello => "it arrived before the handshake",
        Rejection::SecondHello => "a second handshake",
        Rejection::WrongRecord => "the record in the handshake belongs to another node",
        Rejection::VersionNotOffered => "it chose a protocol version that this node did not offer",
        Rejection::CounterTooHigh => "a counter above the allowed maximum",
        Rejection::TooMany => "it exceeds a limit",
        Rejection::ForgedReport => "a report in the name of this node",
    }
}

fn describe_channel(event: &channel::Event) -> Description {
    use channel::Event;
    let (level, text) = match event {
        Event::Learnt { channel, kind } => (
            Level::INFO,
            format!("learnt of the channel {channel} for {kind}"),
        ),
        Event::Rejected { from, reason } => (
            Level::WARN,
            format!(
                "a message from {from} on a channel was rejected: {}",
                channel_rejection(*reason)
            ),
        ),
        Event::Rerouted { to, failure } => (
            Level::DEBUG,
            format!("a message to {to} takes another route: {failure}"),
        ),
        Event::RelayFailed { from, to, failure } => (
            Level::DEBUG,
            format!("a message from {from} to {to} cannot be relayed: {failure}"),
        ),
        Event::Deferred { from, bytes } => (
            Level::DEBUG,
            format!("a payload of {bytes} bytes from {from} waits for room"),
        ),
        Event::Dropped { peer, channel } => (
            Level::DEBUG,
            format!("{peer} reads too slowly; broadcasts on {channel} reach it by anti-entropy"),
        ),
    };
    Description {
        level,
        kind: event.word(),
        subject: event.subject().cloned(),
        text: printable(text, TEXT_BYTES_MAX),
    }
}

const fn channel_rejection(reason: channel::Rejection) -> &'static str {
    match reason {
        channel::Rejection::ForgedOrigin => "it is in the name of another node",
        channel::Rejection::OtherKind => "the channel has another kind",
        channel::Rejection::TooMany => "too many channels or origins",
        channel::Rejection::BrokenPayload => "a malformed or too large payload",
        channel::Rejection::WindowExceeded => {
            "a payload that waited for room exceeded the window of its link"
        }
        channel::Rejection::TooSlow => {
            "a payload arrived too slowly while others waited for its room"
        }
        channel::Rejection::CounterTooHigh => "a counter above the allowed maximum",
        channel::Rejection::Malformed => "the application cannot merge it",
    }
}

fn describe_revocation(event: &revocation::Event) -> Description {
    use revocation::Event;
    let (level, text) = match event {
        Event::Revoked { target, from: None } => {
            (Level::WARN, format!("{target} were revoked at this node"))
        }
        Event::Revoked {
            target,
            from: Some(from),
        } => (
            Level::WARN,
            format!("{target} were revoked, as {from} reports"),
        ),
        Event::Refused {
            target,
            from,
            reason,
        } => (
            Level::WARN,
            format!("the revocation of {target} from {from} is not accepted: {reason}"),
        ),
        Event::Dropped { target } => (
            Level::WARN,
            format!(
                "the revocation of {target} was dropped: the list is full of others that end later"
            ),
        ),
        Event::Closed { peer } => (
            Level::WARN,
            format!("a connection of {peer} was closed: its certificate is revoked"),
        ),
    };
    Description {
        level,
        kind: event.word(),
        subject: event.subject().cloned(),
        text: printable(text, TEXT_BYTES_MAX),
    }
}

fn describe_transport(event: &TransportEvent) -> Description {
    let level = match event {
        TransportEvent::ConnectionDropped { .. } => Level::DEBUG,
        TransportEvent::HandshakeFailed { .. }
        | TransportEvent::Suppressed { .. }
        | TransportEvent::LinkDenied { .. }
        | TransportEvent::Unencrypted { .. }
        | TransportEvent::DataPathUp { .. }
        | TransportEvent::DataPathUnfit { .. } => Level::INFO,
        TransportEvent::Malformed { .. }
        | TransportEvent::MessageRefused { .. }
        | TransportEvent::DataPathDown { .. }
        | TransportEvent::AcceptFailed { .. }
        | TransportEvent::RenewalFailed { .. }
        | TransportEvent::CalendarStepped { .. }
        | TransportEvent::RevocationUnverified { .. }
        | TransportEvent::StoreFailed { .. } => Level::WARN,
        TransportEvent::CertificateExpired { .. }
        | TransportEvent::OwnCertificateRevoked
        | TransportEvent::TaskEnded { .. } => Level::ERROR,
    };
    Description {
        level,
        kind: event.kind(),
        subject: event.peer().cloned(),
        text: printable(event, TEXT_BYTES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_claim_only_what_the_event_establishes() {
        let id = NodeId::new("a").unwrap();
        let text = |event: Event| describe(&event).text;
        // A member is forgotten on request too, at any time.
        let forgotten = text(Event::PeerForgotten { id });
        assert_eq!(forgotten, "a is forgotten: it was down or had left");
        // Not every dialled address is a seed address.
        let address = Address::Socket(([10, 0, 0, 1], 7_000).into());
        let myself = text(Event::DialedMyself { address });
        assert_eq!(
            myself,
            "the address 10.0.0.1:7000 leads to this node itself"
        );
        // Members are declared down after a while, so the text promises no suspension of verdicts.
        let isolated = text(Event::Isolated);
        assert!(
            isolated.contains("are declared down if this lasts"),
            "{isolated}"
        );
        // A node that gives up its id closes its links as well.
        assert!(end(LinkEnd::Leaving).contains("gave up its id"));
    }

    #[test]
    fn the_losses_of_several_members_are_one_warning() {
        let id = NodeId::new("a").unwrap();
        let level = |joint| {
            describe(&Event::PeerDown {
                id: id.clone(),
                cause: DeathCause::Silent,
                joint,
            })
            .level
        };
        assert_eq!((level(false), level(true)), (Level::WARN, Level::DEBUG));
        let together = describe(&Event::PeersDown {
            named: vec![id.clone()],
            count: 7,
            alive: 3,
        });
        assert_eq!((together.level, together.kind), (Level::WARN, "peers-down"));
        assert!(
            together
                .text
                .starts_with("7 members are down: a and 6 more; 3 are alive")
        );
    }

    #[test]
    fn fatal_events_are_errors_and_frequent_events_are_debug() {
        let id = NodeId::new("a").unwrap();
        let taken = describe(&Event::NameTaken {
            epoch: 7,
            instance: 1,
        });
        assert_eq!(
            (taken.level, taken.kind, taken.subject.as_ref()),
            (Level::ERROR, "name-taken", None)
        );
        assert!(
            taken.text.contains("change the id of one of them"),
            "{}",
            taken.text
        );
        let duplicate = describe(&Event::DuplicateId {
            relay: Some(id.clone()),
            epoch: 9,
            instance: 1,
            address: None,
        });
        assert_eq!(duplicate.level, Level::ERROR);
        assert!(
            duplicate.text.contains("a relayed a record with epoch 9"),
            "{}",
            duplicate.text
        );
        let down = describe(&Event::PeerDown {
            id: id.clone(),
            cause: DeathCause::Refused,
            joint: false,
        });
        assert_eq!(
            (down.level, down.subject.as_ref()),
            (Level::WARN, Some(&id))
        );
        assert_eq!(describe(&Event::PeerSuspected { id }).level, Level::DEBUG);
    }
}
