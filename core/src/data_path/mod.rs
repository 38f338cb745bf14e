//! An embedder's own data paths beside the links: their set-up, flow control and end.
//!
//! [`DataPaths`] is the machine of one node that has an overlay. For each link, the machine decides when a data path is
//! prepared and stopped, which signals the two ends exchange, and how many control messages may be in flight; of
//! several links with one peer, it decides which carries the data path. The machine leaves the traffic of a data path
//! to the overlay, and the calls into the overlay and the transport of signals to its caller.
//!
//! ```text
//! this end                          the other end
//! handshake + Offer -------------> handshake + Offer        LinkUp: Prepare, at both ends
//! Ready             <------------> Ready                    both prepared: Confirm
//! Control           <------------> Control                  Deliver, in order, one at a time
//! Established       <------------> Established              both report that it works
//! ```
//!
//! - `paths`: which link with a peer carries the data path.
//! - `session`: the set-up of one data path, and the rules for the peer.
//! - `window`: flow control of control messages.
//!
//! A data path that fails stays failed until its link is replaced. The machine has no timers: it waits for the overlay
//! and for the peer as long as the link lives.
//!
//! Bounds: one entry for each link, with [`WINDOW`] control messages in each direction; the gossip machine bounds the
//! number of links.

mod interface;
mod offer;
mod paths;
mod session;
mod signal;
#[cfg(test)]
mod tests;
mod violation;
mod window;

pub use interface::{Input, Output, PathEvent, PathState, SendError};
pub use offer::{FEATURE_BYTES_MAX, FEATURES_MAX, Offer, OfferError};
pub use signal::{CONTROL_BYTES_MAX, Control, REASON_BYTES_MAX, Signal, WINDOW};
pub use violation::Violation;

use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::time::Instant;
use paths::Paths;
use session::{Session, SessionEnd, Transition};
use std::collections::BTreeMap;
use window::Window;

/// The data paths of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPaths {
    /// This node's offer.
    offer: Offer,
    paths: Paths,
    endpoints: BTreeMap<LinkId, Endpoint>,
}

/// This end of one link's data path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    session: Session,
    window: Window,
}

impl Endpoint {
    fn end(&mut self, ending: SessionEnd) {
        self.session.end(ending);
        self.window.close();
    }

    fn receive(&mut self, signal: Signal, ours: &Offer) -> Result<(), Violation> {
        if let Signal::Offer(offer) = signal {
            return self.session.on_offer(offer);
        }
        self.session.expects_signals(ours)?;
        match signal {
            Signal::Offer(_) => Err(Violation::SecondOffer),
            Signal::Ready => self.session.on_ready(),
            Signal::Control(control) => {
                self.session.expects_control()?;
                self.window.on_control(control)
            }
            Signal::Credit(count) => self.window.on_credit(count),
            Signal::Established => self.session.on_established(),
            Signal::Failed(reason) => {
                self.session.on_failed(reason);
                self.window.close();
                Ok(())
            }
        }
    }

    /// Orders every step that is possible on a link whose data path runs.
    fn advance(&mut self, link: LinkId, peer: &NodeId, ours: &Offer, out: &mut Outbox<Output>) {
        while let Some(transition) = self.session.next(ours) {
            out.push(match transition {
                Transition::Prepare(offer) => Output::Prepare { link, offer },
                Transition::Send(signal) => Output::Send { link, signal },
                Transition::Confirm => Output::Confirm { link },
                Transition::Established => Output::Report(PathEvent::Up {
                    peer: peer.clone(),
                    link,
                }),
            });
        }
        if self.session.may_send() {
            while let Some(control) = self.window.next_outgoing() {
                let signal = Signal::Control(control);
                out.push(Output::Send { link, signal });
            }
            if let Some(count) = self.window.take_credit() {
                let signal = Signal::Credit(count);
                out.push(Output::Send { link, signal });
            }
        }
        if self.session.may_deliver()
            && let Some(control) = self.window.next_delivery()
        {
            out.push(Output::Deliver { link, control });
        }
    }

    /// The event that reports the end to users.
    fn end_event(&self, link: LinkId, peer: &NodeId) -> Option<PathEvent> {
        let peer = peer.clone();
        match self.session.ending()? {
            SessionEnd::Unfit(reason) => {
                let reason = reason.clone();
                Some(PathEvent::Unfit { peer, link, reason })
            }
            SessionEnd::LinkClosed if !self.session.was_established() => None,
            SessionEnd::Failed(_) | SessionEnd::FailedAtPeer(_) | SessionEnd::LinkClosed => {
                let state = self.session.state();
                let reason = state.reason().unwrap_or_default().to_owned();
                Some(PathEvent::Down { peer, link, reason })
            }
        }
    }
}

impl DataPaths {
    /// The machine of a node whose overlay has this offer.
    #[must_use]
    pub const fn new(offer: Offer) -> Self {
        Self {
            offer,
            paths: Paths::new(),
            endpoints: BTreeMap::new(),
        }
    }

    /// This node's offer.
    #[must_use]
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether a link is known: it opened, and either it has not closed or its data path has not stopped.
    #[must_use]
    pub fn knows(&self, link: LinkId) -> bool {
        self.endpoints.contains_key(&link)
    }

    /// The links that are open, by id.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        let links = self.endpoints.keys().copied();
        links.filter(|link| !self.paths.is_closed(*link))
    }

    /// The state of a link's data path.
    #[must_use]
    pub fn state(&self, link: LinkId) -> Option<PathState> {
        self.endpoints.get(&link).map(|it| it.session.state())
    }

    /// The offer of a link's peer.
    #[must_use]
    pub fn offer_of(&self, link: LinkId) -> Option<&Offer> {
        self.endpoints.get(&link)?.session.offer()
    }

    /// Whether the local data path may send a control message of this length.
    ///
    /// # Errors
    /// Returns the reason why the message is refused. The state does not change.
    pub fn admits(&self, link: LinkId, bytes: usize) -> Result<(), SendError> {
        match self.endpoints.get(&link) {
            Some(endpoint) => endpoint.window.admits(bytes),
            None => Err(SendError::Over),
        }
    }

    /// Whether one more control message fits into the window.
    #[must_use]
    pub fn has_room(&self, link: LinkId) -> bool {
        let endpoint = self.endpoints.get(&link);
        endpoint.is_some_and(|it| it.window.has_room())
    }

    /// Whether a link's data path ended.
    #[must_use]
    pub fn is_over(&self, link: LinkId) -> bool {
        let endpoint = self.endpoints.get(&link);
        endpoint.is_none_or(|it| it.session.ending().is_some())
    }

    fn on_link_opened(&mut self, link: LinkId, peer: NodeId) {
        if self.paths.open(link, peer) {
            let endpoint = Endpoint {
                session: Session::new(),
                window: Window::default(),
            };
            self.endpoints.insert(link, endpoint);
        }
    }

    fn on_link_up(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        self.paths.up(link);
        self.advance(link, out);
    }

    fn on_link_closed(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        if self.paths.close(link) {
            self.endpoints.remove(&link);
            return;
        }
        self.change(link, out, |it| it.end(SessionEnd::LinkClosed));
    }

    /// A link that is closing may still deliver signals, which are ignored.
    fn on_receive(&mut self, link: LinkId, signal: Signal, out: &mut Outbox<Output>) {
        let Some(endpoint) = self.endpoints.get_mut(&link) else {
            return;
        };
        if let Err(violation) = endpoint.receive(signal, &self.offer) {
            out.push(Output::Reject { link, violation });
        }
        self.advance(link, out);
    }

    fn on_send(&mut self, link: LinkId, control: Control, out: &mut Outbox<Output>) {
        if self.admits(link, control.payload.len()).is_ok() {
            self.change(link, out, |it| it.window.push(control));
        }
    }

    fn on_fail(&mut self, link: LinkId, reason: String, with_link: bool, out: &mut Outbox<Output>) {
        self.change(link, out, |it| it.end(SessionEnd::Failed(reason)));
        if with_link && self.paths.give_up(link) {
            out.push(Output::CloseLink { link });
        }
    }

    fn on_stopped(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        let Some((endpoint, peer)) = self.endpoints.get(&link).zip(self.paths.peer(link)) else {
            return;
        };
        let event = endpoint.end_event(link, peer);
        let Some(aftermath) = self.paths.stopped(link) else {
            return;
        };
        if let Some(event) = event {
            out.push(Output::Report(event));
        }
        if aftermath.closes {
            out.push(Output::CloseLink { link });
        }
        if aftermath.gone {
            self.endpoints.remove(&link);
        }
        if let Some(successor) = aftermath.successor {
            self.advance(successor, out);
        }
    }

    /// Changes one end and orders the steps that follow from the change.
    fn change(
        &mut self,
        link: LinkId,
        out: &mut Outbox<Output>,
        change: impl FnOnce(&mut Endpoint),
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(&link) {
            change(endpoint);
            self.advance(link, out);
        }
    }

    fn advance(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        if !self.paths.is_running(link) {
            return;
        }
        let Some(endpoint) = self.endpoints.get_mut(&link) else {
            return;
        };
        if let Some(peer) = self.paths.peer(link) {
            endpoint.advance(link, peer, &self.offer, out);
        }
        if endpoint.session.ending().is_some() && self.paths.stop(link) {
            out.push(Output::Stop { link });
        }
    }
}

impl Machine for DataPaths {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, _now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::LinkOpened { link, peer } => self.on_link_opened(link, peer),
            Input::LinkUp { link } => self.on_link_up(link, out),
            Input::LinkClosed { link } => self.on_link_closed(link, out),
            Input::Receive { link, signal } => self.on_receive(link, signal, out),
            Input::Prepared { link } => self.change(link, out, |it| it.session.on_prepared()),
            Input::Delivered { link } => self.change(link, out, |it| it.window.on_delivered()),
            Input::Stopped { link } => self.on_stopped(link, out),
            Input::Send { link, control } => self.on_send(link, control, out),
            Input::Works { link } => self.change(link, out, |it| it.session.on_works()),
            Input::Fail {
                link,
                reason,
                with_link,
            } => self.on_fail(link, reason, with_link, out),
            Input::Wake => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}
