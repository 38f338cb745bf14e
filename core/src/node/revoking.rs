//! Revocations: exchange before a handshake, and the end of connections with revoked certificates.

use super::Node;
use super::interface::Output;
use super::message::Message;
use crate::gossip;
use crate::gossip::message::{Hello, VERSION_REVOCATIONS};
use crate::link::{CloseReason, DialError, LinkId, LocalClose};
use crate::machine::{Machine as _, Outbox};
use crate::revocation::{self, Revocations};
use crate::time::Instant;

/// Queries, without side effects.
impl Node {
    /// The revocations of the node, read-only.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }
}

/// Steps.
impl Node {
    pub(super) fn step_revocations(
        &mut self,
        now: Instant,
        input: revocation::Input,
        out: &mut Outbox<Output>,
    ) {
        let mut outputs = Outbox::new();
        self.revocations.step(now, input, &mut outputs);
        for output in outputs.drain() {
            self.perform_revocation_output(now, output, out);
        }
    }

    fn perform_revocation_output(
        &mut self,
        now: Instant,
        output: revocation::Output,
        out: &mut Outbox<Output>,
    ) {
        match output {
            revocation::Output::Send { link, message } => {
                let message = Message::Revocation(message);
                out.push(Output::Send { link, message });
            }
            revocation::Output::Close { link, revoked } => self.end(now, link, revoked, out),
            revocation::Output::Exchanged { link } => {
                if let Some(hello) = self.held_hellos.take(link) {
                    let message = gossip::Message::Hello(hello);
                    self.step_mesh(now, gossip::Input::Receive { link, message }, out);
                }
            }
            revocation::Output::Enforce(revocation) => {
                out.push(Output::EnforceRevocation(revocation));
            }
            revocation::Output::Store {
                ticket,
                revocations,
            } => out.push(Output::StoreRevocations {
                ticket,
                revocations,
            }),
            revocation::Output::Answer { request, result } => {
                out.push(Output::RevocationAnswer { request, result });
            }
            revocation::Output::Report(event) => out.push(Output::ReportRevocation(event)),
        }
    }

    /// Ends a connection at once.
    fn end(&mut self, now: Instant, link: LinkId, revoked: bool, out: &mut Outbox<Output>) {
        self.held_hellos.take(link);
        out.push(Output::Close { link });
        let reason = CloseReason::Local(if revoked {
            LocalClose::Revoked
        } else {
            LocalClose::Malformed
        });
        self.step_mesh(now, gossip::Input::Closed { link, reason }, out);
    }

    /// A message of the mesh. A `Hello` waits until the revocations of both ends are exchanged.
    pub(super) fn receive_mesh(
        &mut self,
        now: Instant,
        link: LinkId,
        message: gossip::Message,
        out: &mut Outbox<Output>,
    ) {
        match message {
            gossip::Message::Hello(hello)
                if hello.version_max >= VERSION_REVOCATIONS
                    && self.revocations.is_connected(link)
                    && !self.revocations.is_open(link) =>
            {
                self.hold(now, link, hello, out);
            }
            gossip::Message::Hello(hello) => {
                if hello.version_max < VERSION_REVOCATIONS {
                    self.step_revocations(now, revocation::Input::OldVersion { link }, out);
                }
                let message = gossip::Message::Hello(hello);
                self.step_mesh(now, gossip::Input::Receive { link, message }, out);
            }
            gossip::Message::Welcome(welcome) => {
                let input = if welcome.version >= VERSION_REVOCATIONS {
                    revocation::Input::Greeted { link, hash: None }
                } else {
                    revocation::Input::OldVersion { link }
                };
                self.step_revocations(now, input, out);
                let message = gossip::Message::Welcome(welcome);
                self.step_mesh(now, gossip::Input::Receive { link, message }, out);
            }
            message @ (gossip::Message::Refuse(_)
            | gossip::Message::Goodbye(_)
            | gossip::Message::Frame(_)) => {
                self.step_mesh(now, gossip::Input::Receive { link, message }, out);
            }
        }
    }

    fn hold(&mut self, now: Instant, link: LinkId, hello: Hello, out: &mut Outbox<Output>) {
        let hash = Some(hello.revocations);
        // A second message breaks the protocol, which ends the connection by the time-out of the handshake.
        if self.held_hellos.hold(link, hello) {
            self.step_revocations(now, revocation::Input::Greeted { link, hash }, out);
        }
    }

    /// A message about revocations. On a link, the message proves that the peer is alive; before, the handshake makes
    /// progress.
    pub(super) fn receive_revocation_message(
        &mut self,
        now: Instant,
        link: LinkId,
        message: revocation::Message,
        out: &mut Outbox<Output>,
    ) {
        let input = if self.revocations.is_open(link) {
            gossip::Input::Heard { link }
        } else {
            gossip::Input::Exchanging { link }
        };
        self.step_mesh(now, input, out);
        self.step_revocations(now, revocation::Input::Receive { link, message }, out);
    }

    /// An input of the mesh. A connection whose certificate is revoked is closed, and the mesh does not use it.
    pub(super) fn step_mesh_about_connection(
        &mut self,
        now: Instant,
        input: gossip::Input,
        out: &mut Outbox<Output>,
    ) {
        let connected = match &input {
            gossip::Input::Accepted { link, peer } => Some((*link, peer.clone(), None)),
            gossip::Input::Dialed { dial, link, peer } => Some((*link, peer.clone(), Some(*dial))),
            gossip::Input::Closed { link, .. } => {
                let link = *link;
                self.held_hellos.take(link);
                self.step_revocations(now, revocation::Input::Closed { link }, out);
                None
            }
            gossip::Input::Start
            | gossip::Input::DialFailed { .. }
            | gossip::Input::Resolved { .. }
            | gossip::Input::Receive { .. }
            | gossip::Input::Heard { .. }
            | gossip::Input::Exchanging { .. }
            | gossip::Input::Stored { .. }
            | gossip::Input::StoreFailed { .. }
            | gossip::Input::Announce(_)
            | gossip::Input::Seeds { .. }
            | gossip::Input::EditSeeds { .. }
            | gossip::Input::Discover(_)
            | gossip::Input::RequestLink { .. }
            | gossip::Input::Forget { .. }
            | gossip::Input::Renew { .. }
            | gossip::Input::Calendar(_)
            | gossip::Input::Leave
            | gossip::Input::Wake => None,
        };
        let Some((link, peer, dial)) = connected else {
            self.step_mesh(now, input, out);
            return;
        };
        self.step_revocations(now, revocation::Input::Connected { link, peer }, out);
        if self.revocations.is_connected(link) {
            self.step_mesh(now, input, out);
        } else if let Some(dial) = dial {
            let reason = DialError::Untrusted("its certificate is revoked".to_owned());
            self.step_mesh(now, gossip::Input::DialFailed { dial, reason }, out);
        }
    }

    /// An output of the mesh: the dialer's first message gets the hash of the revocations, and the revocations follow
    /// the life of connections.
    pub(super) fn note_mesh_output(
        &mut self,
        now: Instant,
        output: &mut gossip::Output,
        out: &mut Outbox<Output>,
    ) {
        match output {
            gossip::Output::Send {
                message: gossip::Message::Hello(hello),
                ..
            } => hello.revocations = self.revocations.list().hash(),
            gossip::Output::LinkOpened { link, .. } => {
                let link = *link;
                self.step_revocations(now, revocation::Input::Opened { link }, out);
            }
            gossip::Output::Close { link } => {
                let link = *link;
                self.held_hellos.take(link);
                self.step_revocations(now, revocation::Input::Closed { link }, out);
            }
            gossip::Output::Send { .. }
            | gossip::Output::Dial { .. }
            | gossip::Output::CancelDial { .. }
            | gossip::Output::Resolve { .. }
            | gossip::Output::Store { .. }
            | gossip::Output::KeepAddresses { .. }
            | gossip::Output::Left
            | gossip::Output::Report(_) => {}
        }
    }
}
