//! The ends of handshakes, which no event reports: from the connection to the link, the refusal or the close.

use super::table::{Detail, details};
use crate::coverage::{Notes, Occurrence};
use crate::mesh::event::Event;
use crate::world::{Effect, LinkId, ProcessEvent};
use phalanx_core::gossip;
use phalanx_core::node::Message;
use std::collections::BTreeSet;

/// The end of a handshake at one of its two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HandshakeEnd {
    /// The connection became a link.
    Linked,
    /// This node refused the peer.
    Refused,
    /// The peer refused this node.
    RefusedByPeer,
    /// This node said goodbye.
    Goodbye,
    /// This node closed the connection without a message.
    #[default]
    Closed,
    /// No answer arrived in time.
    TimedOut,
    /// The connection ended, or the peer closed it.
    Lost,
}

details!(HandshakeEnd {
    Self::Linked => "linked",
    Self::Refused => "refused",
    Self::RefusedByPeer => "refused-by-peer",
    Self::Goodbye => "goodbye",
    Self::Closed => "closed",
    Self::TimedOut => "timed-out",
    Self::Lost => "lost",
});

pub(super) fn declared() -> Vec<Occurrence> {
    let ends = HandshakeEnd::ALL.iter().copied();
    ends.map(|end| Occurrence::transition("handshake").with(end))
        .collect()
}

/// The handshakes of one process.
#[derive(Debug, Default)]
pub(super) struct ObservedHandshakes {
    /// The connections in the handshake.
    pending: BTreeSet<LinkId>,
    /// The end of a handshake that the current step closes without a message.
    close: HandshakeEnd,
}

impl ObservedHandshakes {
    /// Follows an event that the process is about to handle.
    pub(super) fn on_event(&mut self, event: &ProcessEvent, notes: &mut Notes) {
        self.close = HandshakeEnd::Closed;
        match event {
            ProcessEvent::Accepted { link, .. } | ProcessEvent::Dialed { link, .. } => {
                self.pending.insert(*link);
            }
            ProcessEvent::Closed { link, .. } => self.ends(*link, HandshakeEnd::Lost, notes),
            ProcessEvent::Received { message, .. } => {
                if let Some(Message::Mesh(gossip::Message::Refuse(_))) = message.of() {
                    self.close = HandshakeEnd::RefusedByPeer;
                }
            }
            ProcessEvent::Wake => self.close = HandshakeEnd::TimedOut,
            ProcessEvent::Start
            | ProcessEvent::ListenFailed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Invoked(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Signal { .. }
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Query(_)
            | ProcessEvent::Leave
            | ProcessEvent::Certificate(_)
            | ProcessEvent::Command(_) => {}
        }
    }

    /// Follows an effect of the step.
    pub(super) fn on_effect(&mut self, effect: &Effect, notes: &mut Notes) {
        if let Effect::Close { link } = effect {
            self.ends(*link, self.close, notes);
        } else if let Effect::Send { link, message } = effect {
            match message.of() {
                Some(Message::Mesh(gossip::Message::Refuse(_))) => {
                    self.ends(*link, HandshakeEnd::Refused, notes);
                }
                Some(Message::Mesh(gossip::Message::Goodbye(_))) => {
                    self.ends(*link, HandshakeEnd::Goodbye, notes);
                }
                Some(_) | None => {}
            }
        } else if let Effect::Report(event) = effect
            && let Some(Event::Mesh(gossip::Event::LinkUp { link, .. })) = event.of()
        {
            self.ends(*link, HandshakeEnd::Linked, notes);
        }
    }

    /// Notes the end of a connection's handshake, if it was still in progress.
    fn ends(&mut self, link: LinkId, end: HandshakeEnd, notes: &mut Notes) {
        if self.pending.remove(&link) {
            notes.note(Occurrence::transition("handshake").with(end.detail()));
        }
    }
}
