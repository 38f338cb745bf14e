//! Revocation of certificates: the list of revoked certificates of one node, its durable copy, its spread and its
//! enforcement.
//!
//! [`Revocations`] is a machine. A revocation is enforced in the step that accepts it: connections whose certificates
//! it concerns are closed. It is forwarded on all links in the same step, and acknowledged to its caller once it is
//! durable on this node. Two nodes exchange their revocations in each handshake before either end processes a record
//! of the other, and compare hashes on one link every [`COMPARE_INTERVAL`].
//!
//! - [`RevocationList`]: merge rules, bound, end.
//! - `links`: connections, their certificates, exchanges with peers.
//! - `storage`: the durable copy.
//!
//! The machine leaves signatures, certificates and the closing of connections to its caller.
//!
//! Bounds: [`REVOCATIONS_MAX`] revocations; those of `links` and `storage`.

mod calendar;
mod entry;
mod interface;
mod links;
mod list;
mod message;
mod storage;
#[cfg(test)]
pub(crate) mod tests;

pub use entry::{
    Fingerprint, FingerprintError, PresentedCertificate, REVOCATION_BYTES_MAX, Revocation,
    RevocationContent, RevocationSignature, RevocationTarget,
};
pub use interface::{Event, Input, Output};
pub use links::EXCHANGE_INTERVAL;
pub use list::{
    AHEAD_SECONDS_MAX, Inserted, KEPT_AFTER_END, REVOCATIONS_MAX, RevocationList, RevocationRefusal,
};
pub use message::{ANSWER_BYTES_MAX, DIGESTS_MAX, Message, WANTED_MAX};
pub use storage::{RevocationRequest, WAITING_MAX, is_revocation_ticket};

use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::sabotage::{Sabotage, Switch};
use crate::time::{Duration, Instant, Wall};
use calendar::ReadCalendar;
use links::{ExchangeStep, RevocationLinks, Speech};
use std::sync::Arc;
use storage::RevocationStorage;

/// Time between two comparisons of hashes; one link is compared each time.
pub const COMPARE_INTERVAL: Duration = Duration::from_secs(30);

/// The revocations of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocations {
    list: RevocationList,
    links: RevocationLinks,
    storage: RevocationStorage,
    calendar: ReadCalendar,
    /// The time of the next comparison; none without revocations.
    compare_at: Option<Instant>,
    sabotage: Sabotage,
}

/// Queries, without side effects.
impl Revocations {
    /// A node without revocations. `wall` is the calendar time.
    #[must_use]
    pub fn new(wall: Wall, now: Instant, sabotage: Sabotage) -> Self {
        Self {
            list: RevocationList::new(),
            links: RevocationLinks::default(),
            storage: RevocationStorage::default(),
            calendar: ReadCalendar::new(wall, now),
            compare_at: None,
            sabotage,
        }
    }

    /// The revocations.
    #[must_use]
    pub const fn list(&self) -> &RevocationList {
        &self.list
    }

    /// Whether all revocations are durable on this node.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.storage.is_durable()
    }

    /// Whether a connection is a link.
    #[must_use]
    pub fn is_open(&self, link: LinkId) -> bool {
        self.links.is_open(link)
    }

    /// Whether the certificate at the other end of a connection is revoked.
    #[must_use]
    pub fn is_revoked(&self, link: LinkId) -> bool {
        let certificate = self.links.certificate(link);
        certificate.is_some_and(|it| self.list.revocation_of(it).is_some())
    }

    /// Whether this machine knows a connection.
    #[must_use]
    pub fn is_connected(&self, link: LinkId) -> bool {
        self.links.certificate(link).is_some()
    }
}

/// Steps.
impl Revocations {
    fn take(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Load(revocations) => {
                for revocation in &revocations {
                    self.list.restore(revocation);
                    out.push(Output::Enforce(Arc::clone(revocation)));
                }
            }
            Input::Presented { link, certificate } => self.links.present(link, certificate),
            Input::Connected { link, peer } => {
                self.links.connect(link, peer);
                self.close_revoked(out);
            }
            Input::Greeted { link, hash } => self.on_greeted(now, link, hash, out),
            Input::OldVersion { link } => self.links.set_speaks(link, false),
            Input::Opened { link } => self.links.set_open(link),
            Input::Closed { link } => self.links.remove(link),
            Input::Receive { link, message } => self.on_message(now, link, message, out),
            Input::Revoke {
                request,
                revocation,
            } => self.on_revoke(now, request, &revocation, out),
            Input::Stored { ticket } => self.storage.on_stored(now, ticket, self.list.len()),
            Input::StoreFailed { ticket } => self.storage.on_failed(now, ticket),
            Input::Calendar(wall) => self.calendar.set(wall, now),
            Input::Wake => self.on_wake(now, out),
        }
    }

    fn on_greeted(
        &mut self,
        now: Instant,
        link: LinkId,
        hash: Option<u64>,
        out: &mut Outbox<Output>,
    ) {
        self.links.set_speaks(link, true);
        let exchanges = !self.sabotage.has(Switch::NoRevocationExchange);
        match hash {
            Some(hash) if hash != self.list.hash() && exchanges => {
                let step = self.links.begin(link, &self.list, now);
                perform(link, step, out);
            }
            Some(_) => out.push(Output::Exchanged { link }),
            None => {}
        }
    }

    fn on_message(
        &mut self,
        now: Instant,
        link: LinkId,
        message: Message,
        out: &mut Outbox<Output>,
    ) {
        match self.links.speaks(link) {
            Speech::Unconnected => return,
            // A connection carries what its version has, also if the peer has a newer one.
            Speech::No => return self.break_off(link, out),
            Speech::Unknown => self.links.set_speaks(link, true),
            Speech::Yes => {}
        }
        let exchanges = !self.sabotage.has(Switch::NoRevocationExchange);
        let step = match message {
            Message::Digest(hash) if hash != self.list.hash() && exchanges => {
                self.links.begin(link, &self.list, now)
            }
            Message::Digest(_) => return,
            Message::Have { digests, last } => {
                let listed = (digests, last);
                match self.links.on_have(link, &self.list, now, listed) {
                    Ok(step) => step,
                    Err(links::TooManyListed) => return self.break_off(link, out),
                }
            }
            Message::Want(wanted) => {
                let messages = RevocationLinks::on_want(&self.list, &wanted);
                let complete = false;
                ExchangeStep { messages, complete }
            }
            Message::Entries { revocations, last } => {
                self.on_entries(now, link, &revocations, out);
                if !last {
                    return;
                }
                self.links.on_answered(link, &self.list)
            }
            Message::Done => self.links.on_done(link, &self.list),
        };
        perform(link, step, out);
    }

    /// Closes a connection whose peer breaks the protocol.
    fn break_off(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        self.links.remove(link);
        let revoked = false;
        out.push(Output::Close { link, revoked });
    }

    fn on_entries(
        &mut self,
        now: Instant,
        link: LinkId,
        revocations: &[Arc<Revocation>],
        out: &mut Outbox<Output>,
    ) {
        let from = self.links.certificate(link).map(|it| it.id.clone());
        let mut new = Vec::new();
        for revocation in revocations {
            let target = revocation.content.target.clone();
            match self.insert(now, revocation, out) {
                Inserted::New { .. } => {
                    new.push(Arc::clone(revocation));
                    let from = from.clone();
                    out.push(Output::Report(Event::Revoked { target, from }));
                }
                Inserted::Held => {}
                Inserted::Refused(reason) => {
                    if let Some(from) = from.clone() {
                        let refused = Event::Refused {
                            target,
                            from,
                            reason,
                        };
                        out.push(Output::Report(refused));
                    }
                }
            }
        }
        self.on_new(now, &new, Some(link), out);
    }

    fn on_revoke(
        &mut self,
        now: Instant,
        request: RevocationRequest,
        revocation: &Arc<Revocation>,
        out: &mut Outbox<Output>,
    ) {
        let refuse = |reason| Output::Answer {
            request,
            result: Err(reason),
        };
        if !self.storage.has_room() {
            out.push(refuse(RevocationRefusal::Busy));
            return;
        }
        match self.insert(now, revocation, out) {
            Inserted::Refused(reason) => out.push(refuse(reason)),
            Inserted::Held => {
                self.storage.wait(request);
            }
            Inserted::New { .. } => {
                let (target, from) = (revocation.content.target.clone(), None);
                out.push(Output::Report(Event::Revoked { target, from }));
                self.on_new(now, &[Arc::clone(revocation)], None, out);
                self.storage.wait(request);
            }
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        revocation: &Arc<Revocation>,
        out: &mut Outbox<Output>,
    ) -> Inserted {
        let inserted = self.list.insert(revocation, self.calendar.estimate(now));
        if let Inserted::New { dropped } = &inserted {
            out.push(Output::Enforce(Arc::clone(revocation)));
            if let Some(dropped) = dropped {
                let target = dropped.content.target.clone();
                out.push(Output::Report(Event::Dropped { target }));
            }
        }
        inserted
    }

    /// New revocations are enforced, stored and forwarded.
    fn on_new(
        &mut self,
        now: Instant,
        new: &[Arc<Revocation>],
        from: Option<LinkId>,
        out: &mut Outbox<Output>,
    ) {
        if new.is_empty() {
            return;
        }
        self.storage.on_changed();
        self.close_revoked(out);
        self.compare_at.get_or_insert(now + COMPARE_INTERVAL);
        for link in self.links.others(from) {
            for message in Message::entries(new, false) {
                out.push(Output::Send { link, message });
            }
        }
    }

    /// Closes the connections whose certificates are revoked.
    fn close_revoked(&mut self, out: &mut Outbox<Output>) {
        if self.list.is_empty() || self.sabotage.has(Switch::KeepsRevokedLinks) {
            return;
        }
        for link in self.links.revoked(&self.list) {
            if let Some(certificate) = self.links.certificate(link) {
                let peer = certificate.id.clone();
                out.push(Output::Report(Event::Closed { peer }));
            }
            self.links.remove(link);
            let revoked = true;
            out.push(Output::Close { link, revoked });
        }
    }

    fn on_wake(&mut self, now: Instant, out: &mut Outbox<Output>) {
        self.storage.on_wake(now);
        if self.compare_at.is_some_and(|at| at <= now) {
            self.compare_at = Some(now + COMPARE_INTERVAL);
            if let Some(link) = self.links.next_to_compare() {
                let message = Message::Digest(self.list.hash());
                out.push(Output::Send { link, message });
            }
        }
    }

    /// Removes ended revocations, orders the durable copy, and answers the callers that waited for it.
    fn finish_step(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.list.remove_ended(self.calendar.estimate(now)) {
            self.storage.on_changed();
        }
        if self.list.is_empty() {
            self.compare_at = None;
        } else {
            self.compare_at.get_or_insert(now + COMPARE_INTERVAL);
        }
        if let Some(ticket) = self.storage.order(now) {
            let revocations = self.list.iter().cloned().collect();
            out.push(Output::Store {
                ticket,
                revocations,
            });
        }
        let early = self.sabotage.has(Switch::AcknowledgesUnstored);
        for request in self.storage.take_durable(early) {
            let result = Ok(());
            out.push(Output::Answer { request, result });
        }
    }
}

fn perform(link: LinkId, step: ExchangeStep, out: &mut Outbox<Output>) {
    for message in step.messages {
        out.push(Output::Send { link, message });
    }
    if step.complete {
        out.push(Output::Exchanged { link });
    }
}

impl Machine for Revocations {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        self.take(now, input, out);
        self.finish_step(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.compare_at, self.storage.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
