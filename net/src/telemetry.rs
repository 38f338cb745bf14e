//! What people are told: events in words, and how much each matters.
//!
//! Levels go by consequence: `error`, the node stopped; `warn`, somebody should look; `info`, a change of state
//! an operator wants to read; `debug`, what happens all the time.

use crate::transport::{self, Notice};
use phalanx_core::channel;
use phalanx_core::gossip::{Event, LinkEnd, Rejection};
use phalanx_core::identity::NodeId;
use std::str::FromStr;
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is no log format; use \"text\" or \"json\""),
        }
    }
}

/// Which log lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
        let parses = EnvFilter::builder().parse(text).is_ok();
        // A word that is no level would be taken for the name of a module, and silence everything else.
        let levels = text
            .split(',')
            .all(|part| part.contains('=') || known(part.trim()));
        if parses && levels && !text.is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err("is no log level; use error, warn, info, debug or trace, or MODULE=LEVEL, separated by commas".to_owned())
        }
    }
}

/// Begins to write log lines to standard error.
///
/// # Errors
/// When another subscriber is set already.
pub fn start(
    format: Format,
    filter: &Filter,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::builder().parse(&filter.0)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A reader of the log that goes away must not end the daemon: the default prints, and panics.
        .log_internal_errors(false)
        .with_target(false);
    match format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    }
}

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How much it matters.
    pub level: Level,
    /// What happened, as one word: stable, for filters.
    pub kind: &'static str,
    /// The other node it is about; none if it is about this node.
    pub subject: Option<NodeId>,
    /// What happened, in words.
    pub text: String,
}

impl Told {
    /// Writes it to the log.
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

/// An event of the mesh in words.
#[must_use]
pub fn tell(event: &Event) -> Told {
    Told {
        level: level(event),
        kind: event.word(),
        subject: event.subject().cloned(),
        text: text(event),
    }
}

/// A notice of the node in words.
#[must_use]
pub fn tell_notice(notice: &Notice) -> Told {
    match notice {
        Notice::Mesh(event) => tell(event),
        Notice::Channel(event) => tell_channel(event),
        Notice::RoutesChanged => Told {
            level: Level::DEBUG,
            kind: "routes-changed",
            subject: None,
            text: "other ways lead to some members".to_owned(),
        },
        Notice::Transport(event) => tell_transport(event),
    }
}

const fn level(event: &Event) -> Level {
    match event {
        Event::NameTaken { .. } => Level::ERROR,
        Event::PeerDown { .. }
        | Event::DialedMyself { .. }
        | Event::WrongPeer { .. }
        | Event::Isolated
        | Event::Rejected { .. }
        | Event::AnnounceRejected { .. }
        | Event::Paused { .. } => Level::WARN,
        Event::PeerUp { .. }
        | Event::PeerLeft { .. }
        | Event::PeerForgotten { .. }
        | Event::DialFailed { .. }
        | Event::Rejoined
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
        Event::PeerSuspected { id } => format!("no path leads to {id} for now"),
        Event::PeerCleared { id } => format!("a path leads to {id} again"),
        Event::PeerDown { id } => format!("{id} is down"),
        Event::PeerLeft { id } => format!("{id} left the mesh"),
        Event::PeerUpdated { id } => format!("{id} published news about itself"),
        Event::PeerForgotten { id } => format!("{id} was gone for long and is forgotten"),
        Event::LinkUp {
            peer, dialed: true, ..
        } => format!("linked to {peer}, dialled by us"),
        Event::LinkUp {
            peer,
            dialed: false,
            ..
        } => format!("linked to {peer}, dialled by it"),
        Event::LinkDown { peer, reason, .. } => {
            format!("the link to {peer} ended: {}", end(*reason))
        }
        Event::DialFailed {
            address,
            reason,
            retry_in: Some(wait),
        } => {
            format!(
                "cannot reach {address}: {reason}; next try in {} ms",
                wait.as_millis()
            )
        }
        Event::DialFailed {
            address,
            reason,
            retry_in: None,
        } => format!("cannot reach {address}: {reason}"),
        Event::DialedMyself { address } => {
            format!("{address} is this node itself; remove it from the targets")
        }
        Event::WrongPeer {
            address,
            expected,
            found,
        } => {
            format!("{found} answers at {address}, where {expected} should be")
        }
        Event::Isolated => "no neighbour answers: nobody is judged until one does".to_owned(),
        Event::Rejoined => "a neighbour answers again".to_owned(),
        Event::NameTaken { epoch, .. } => {
            format!(
                "another, newer machine (epoch {epoch}) has this node's id; give one of the two another id"
            )
        }
        Event::Refuted { from } => {
            format!("{from} spread something about this node that it did not say; corrected")
        }
        Event::Rejected { from, reason } => format!(
            "something {from} sent was not taken: {}",
            rejection(*reason)
        ),
        Event::AnnounceRejected { why } => {
            format!("what this node should say of itself is refused: {why}")
        }
        Event::Paused { late } => format!("this process did not run for {} ms", late.as_millis()),
    }
}

/// How a link ended, in words.
#[must_use]
pub const fn end(reason: LinkEnd) -> &'static str {
    match reason {
        LinkEnd::Surplus => "not needed",
        LinkEnd::Superseded => "another connection won",
        LinkEnd::PeerClosed => "closed by the peer",
        LinkEnd::PeerLeft => "the peer left",
        LinkEnd::Lost => "the connection broke",
        LinkEnd::Silent => "nothing was heard for long",
        LinkEnd::Protocol => "the peer broke the protocol",
        LinkEnd::Expired => "one of the two certificates expires",
        LinkEnd::Untrusted => "a certificate of the two is trusted no longer",
        LinkEnd::Leaving => "this node leaves",
    }
}

const fn rejection(reason: Rejection) -> &'static str {
    match reason {
        Rejection::BeforeHello => "it came before the greeting",
        Rejection::SecondHello => "a second greeting",
        Rejection::WrongRecord => "the record in the greeting is somebody else's",
        Rejection::CounterTooHigh => "a counter above the allowed maximum",
        Rejection::TooMany => "more than is allowed",
        Rejection::ForgedReport => "a report in our name",
    }
}

fn tell_channel(event: &channel::Event) -> Told {
    use channel::Event;
    let (level, text) = match event {
        Event::Learnt { channel, kind } => (
            Level::INFO,
            format!("heard of the channel {channel}, of {kind}"),
        ),
        Event::Rejected { from, reason } => (
            Level::WARN,
            format!(
                "something {from} sent on a channel was not taken: {}",
                channel_rejection(*reason)
            ),
        ),
        Event::Rerouted { to, failure } => (
            Level::DEBUG,
            format!("a message to {to} goes another way: {failure}"),
        ),
        Event::RelayFailed { from, to, failure } => (
            Level::DEBUG,
            format!("a message from {from} to {to} cannot be passed on: {failure}"),
        ),
        Event::Dropped { peer, channel } => (
            Level::DEBUG,
            format!("{peer} reads too slowly: broadcasts on {channel} reach it by comparison"),
        ),
    };
    Told {
        level,
        kind: event.word(),
        subject: event.subject().cloned(),
        text,
    }
}

const fn channel_rejection(reason: channel::Rejection) -> &'static str {
    match reason {
        channel::Rejection::ForgedOrigin => "it is in another's name",
        channel::Rejection::OtherKind => "the channel is of another kind",
        channel::Rejection::TooMany => "more channels or origins than are kept",
        channel::Rejection::BrokenPayload => "a payload that is broken or too large",
        channel::Rejection::CounterTooHigh => "a counter above the allowed maximum",
        channel::Rejection::Malformed => "the application cannot merge it",
    }
}

fn tell_transport(event: &transport::Event) -> Told {
    let (level, kind, subject) = match event {
        transport::Event::ConnectionDropped { .. } => (Level::DEBUG, "connection-dropped", None),
        transport::Event::HandshakeFailed { .. } => (Level::INFO, "handshake-failed", None),
        transport::Event::MoreTurnedAway { .. } => (Level::WARN, "more-turned-away", None),
        transport::Event::LinkDenied { .. } => (Level::INFO, "link-denied", None),
        transport::Event::Malformed { peer, .. } => (Level::WARN, "malformed", Some(peer)),
        transport::Event::Unencrypted { peer, .. } => (Level::INFO, "link-unencrypted", Some(peer)),
        transport::Event::DataPathUp { peer, .. } => (Level::INFO, "data-path-up", Some(peer)),
        transport::Event::DataPathDown { peer, .. } => (Level::WARN, "data-path-down", Some(peer)),
        transport::Event::DataPathUnfit { peer, .. } => {
            (Level::INFO, "data-path-unfit", Some(peer))
        }
        transport::Event::AcceptFailed { .. } => (Level::WARN, "accept-failed", None),
        transport::Event::RenewalFailed { .. } => (Level::WARN, "renewal-failed", None),
        transport::Event::CalendarStepped { .. } => (Level::WARN, "clock-set", None),
        transport::Event::StoreFailed { .. } => (Level::WARN, "store-failed", None),
    };
    Told {
        level,
        kind,
        subject: subject.cloned(),
        text: event.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_levels_and_refuses_other_words() {
        for good in ["info", "debug", "warn,phalanx_net=trace", "off"] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,loud", "phalanx_net=loud"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
    }

    #[test]
    fn what_stops_the_node_is_an_error_and_what_goes_on_all_the_time_is_not_shown() {
        let id = NodeId::new("a").unwrap();
        let taken = tell(&Event::NameTaken {
            epoch: 7,
            instance: 1,
        });
        assert_eq!(
            (taken.level, taken.kind, taken.subject.as_ref()),
            (Level::ERROR, "name-taken", None)
        );
        assert!(
            taken.text.contains("give one of the two another id"),
            "{}",
            taken.text
        );
        let down = tell(&Event::PeerDown { id: id.clone() });
        assert_eq!(
            (down.level, down.subject.as_ref()),
            (Level::WARN, Some(&id))
        );
        assert_eq!(tell(&Event::PeerSuspected { id }).level, Level::DEBUG);
    }
}
