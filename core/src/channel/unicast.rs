//! How a message reaches one member, and how its sender learns what came of it.
//!
//! A message is a parcel that names every node it has passed; each passes it on to the next hop of its own view that
//! is not among them. The receiver answers `Delivered`, or `Failed`, and so does a node that knows no way on. The
//! sender keeps the message until it is answered, and sends it again by another way when a node on the way failed, a
//! link it went out on is lost, or no answer comes. The receiver tells copies apart by number: it hands over one.

use super::courier::Pending;
use super::message::{Failure, HOPS_MAX, Parcel, Purpose};
use super::{
    ChannelName, Channels, Delivery, Done, Event, Output, PENDING_BYTES_MAX, PENDING_MAX,
    ROOM_BYTES, Refusal, Rejection, Request, TRACKED_MAX, Timer, check_size,
};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::Outbox;
use crate::sabotage::Switch;
use crate::time::Duration;
use std::sync::Arc;

/// The longest wait for an answer before a message is sent again.
const ANSWER_AFTER_MAX: Duration = Duration::from_secs(2);
/// The wait after a node on the way failed; grows with each failure.
const REROUTE_AFTER: Duration = Duration::from_millis(20);
/// The wait when no way is known, or the receiver is busy.
const BUSY_AFTER: Duration = Duration::from_millis(250);
/// The most numbers one sender has under way from the lowest to the highest.
const SPREAD_MAX: u64 = 4 * PENDING_MAX as u64;

impl Channels {
    pub(super) fn on_send(
        &mut self,
        request: Request,
        to: NodeId,
        channel: ChannelName,
        payload: Arc<[u8]>,
        datagram: bool,
        out: &mut Outbox<Output>,
    ) -> Option<Result<Done, Refusal>> {
        if let Err(refusal) = check_size(&payload) {
            return Some(Err(refusal));
        }
        let me = self.config.id.clone();
        let courier = &mut self.courier;
        let full = courier.pending.len() >= PENDING_MAX
            || courier.bytes >= PENDING_BYTES_MAX
            || courier.last + 1 - courier.floor() >= SPREAD_MAX;
        if full && !datagram && !self.config.sabotage.has(Switch::NoBackPressure) {
            return Some(Err(Refusal::Full));
        }
        courier.last += 1;
        let parcel = Parcel {
            from: me.clone(),
            to,
            epoch: self.config.life,
            number: courier.last,
            floor: courier.floor(),
            purpose: if datagram {
                Purpose::Datagram
            } else {
                Purpose::Message
            },
            channel,
            path: vec![me],
            payload,
        };
        if parcel.to == self.config.id {
            let taken = self.hand_over(&parcel, out);
            let done = if datagram {
                Done::Sent
            } else {
                Done::Delivered
            };
            return Some(taken.map(|()| done).map_err(Refusal::Undelivered));
        }
        let parcel = Arc::new(parcel);
        out.push(Output::Route(Arc::clone(&parcel)));
        if datagram {
            return Some(Ok(Done::Sent));
        }
        let courier = &mut self.courier;
        courier.bytes += parcel.payload.len();
        self.timers.set(
            Timer::Retry(parcel.number),
            self.now + self.config.tuning.answer_after,
        );
        courier.pending.insert(
            parcel.number,
            Pending {
                parcel,
                request,
                give_up: self.now + self.config.tuning.give_up_after,
                attempts: 0,
                shunned: Vec::new(),
                last: Failure::TimedOut,
                via: None,
                out: 0,
            },
        );
        None
    }

    /// A parcel has a link to go out on.
    pub(super) fn on_forward(
        &mut self,
        link: LinkId,
        parcel: &Arc<Parcel>,
        out: &mut Outbox<Output>,
    ) {
        if let Some(pending) = self.own(parcel) {
            pending.via = Some(link);
        }
        let Some(queue) = self.queues.get_mut(&link) else {
            self.on_unroutable(parcel, Failure::RelayLost, out);
            return;
        };
        if queue.push_parcel(parcel) {
            self.dirty.push(link);
            if let Some(pending) = self.own(parcel) {
                pending.out += 1;
            }
        } else {
            self.on_unroutable(parcel, Failure::Busy, out);
        }
    }

    /// The message of this node that a parcel is a copy of.
    fn own(&mut self, parcel: &Parcel) -> Option<&mut Pending> {
        let own = parcel.from == self.config.id && parcel.purpose == Purpose::Message;
        self.courier.pending.get_mut(&parcel.number).filter(|_| own)
    }

    /// A parcel cannot go on from here.
    pub(super) fn on_unroutable(
        &mut self,
        parcel: &Arc<Parcel>,
        failure: Failure,
        out: &mut Outbox<Output>,
    ) {
        if self.own(parcel).is_some() {
            self.fail(parcel.number, None, failure, out);
            return;
        }
        let answer = matches!(parcel.purpose, Purpose::Delivered | Purpose::Failed(_));
        if answer && parcel.from == self.config.id && parcel.path.len() > 1 {
            // An answer: whoever is to be led around may be the only way after all.
            let mut straight = Parcel::clone(parcel);
            straight.path = vec![self.config.id.clone()];
            out.push(Output::Route(Arc::new(straight)));
            return;
        }
        if parcel.purpose != Purpose::Message || parcel.from == self.config.id {
            return;
        }
        // The sender asks its own view who is there; another's may be behind.
        let failure = if failure == Failure::Busy {
            Failure::Busy
        } else {
            Failure::RelayLost
        };
        let (from, to) = (parcel.from.clone(), parcel.to.clone());
        out.push(Output::Report(Event::RelayFailed { from, to, failure }));
        self.answer(parcel, Purpose::Failed(failure), out);
    }

    /// A copy of a message failed, at `at` or here.
    fn fail(
        &mut self,
        number: u64,
        at: Option<NodeId>,
        failure: Failure,
        out: &mut Outbox<Output>,
    ) {
        let Some(pending) = self.courier.pending.get_mut(&number) else {
            return;
        };
        pending.last = failure;
        pending.via = None;
        // Whoever failed a copy of it names itself.
        pending.out = pending.out.saturating_sub(u32::from(at.is_some()));
        let wait = match failure {
            Failure::UnknownPeer | Failure::PeerDown | Failure::NoSuchChannel => {
                self.finish(number, Err(Refusal::Undelivered(failure)), out);
                return;
            }
            Failure::Busy => BUSY_AFTER,
            Failure::NoRoute if pending.shunned.is_empty() => BUSY_AFTER,
            // Whoever failed it may be the only way after all.
            Failure::NoRoute => {
                pending.shunned.clear();
                REROUTE_AFTER
            }
            Failure::RelayLost | Failure::TimedOut => {
                if let Some(at) = at.filter(|at| *at != pending.parcel.to) {
                    pending.shun(at);
                }
                REROUTE_AFTER * pending.attempts.clamp(1, 16)
            }
        };
        let to = pending.parcel.to.clone();
        let at = (self.now + wait).min(pending.give_up.max(self.now));
        self.timers.set(Timer::Retry(number), at);
        out.push(Output::Report(Event::Rerouted { to, failure }));
    }

    /// It is time to send a message again, or to give it up.
    pub(super) fn retry(&mut self, number: u64, out: &mut Outbox<Output>) {
        let Some(pending) = self.courier.pending.get_mut(&number) else {
            return;
        };
        if pending.give_up <= self.now {
            let failure = pending.last;
            self.finish(number, Err(Refusal::Undelivered(failure)), out);
            return;
        }
        if self.config.sabotage.has(Switch::NoResend) {
            self.timers.set(Timer::Retry(number), pending.give_up);
            return;
        }
        pending.attempts += 1;
        // Nothing was heard of the last copy: by another way, if there is one.
        let silent = pending.via.take().and_then(|link| self.queues.get(&link));
        if let Some(silent) = silent.filter(|queue| queue.peer != pending.parcel.to) {
            pending.shun(silent.peer.clone());
        }
        let wait = (self.config.tuning.answer_after * (1 << pending.attempts.min(4)))
            .min(ANSWER_AFTER_MAX);
        let at = (self.now + wait).min(pending.give_up);
        let mut parcel = Parcel::clone(&pending.parcel);
        parcel.path = pending
            .shunned
            .iter()
            .cloned()
            .chain([parcel.from.clone()])
            .collect();
        out.push(Output::Route(Arc::new(parcel)));
        self.timers.set(Timer::Retry(number), at);
    }

    /// What went out on a lost link goes out again.
    pub(super) fn resend_over(&mut self, link: LinkId) {
        for (number, pending) in &mut self.courier.pending {
            if pending.via == Some(link) {
                pending.via = None;
                pending.last = Failure::RelayLost;
                self.timers
                    .set(Timer::Retry(*number), self.now + REROUTE_AFTER);
            }
        }
    }

    fn finish(&mut self, number: u64, result: Result<Done, Refusal>, out: &mut Outbox<Output>) {
        let Some(pending) = self.courier.pending.remove(&number) else {
            return;
        };
        self.courier.bytes -= pending.parcel.payload.len();
        self.timers.cancel(&Timer::Retry(number));
        let doubtful = matches!(result, Err(Refusal::Undelivered(_))) && pending.out > 0;
        let result = if doubtful {
            Err(Refusal::Undelivered(Failure::TimedOut))
        } else {
            result
        };
        let request = pending.request;
        out.push(Output::Answer { request, result });
    }

    /// A neighbour passed a parcel to us.
    pub(super) fn on_parcel(
        &mut self,
        link: LinkId,
        parcel: &Arc<Parcel>,
        out: &mut Outbox<Output>,
    ) {
        let me = &self.config.id;
        let peer = self.queues.get(&link).map(|queue| &queue.peer);
        if parcel.path.last() != peer || parcel.from == *me || !parcel.path.contains(&parcel.from) {
            self.reject(link, Rejection::ForgedOrigin, out);
            return;
        }
        if parcel.to == *me {
            self.on_arrived(link, parcel, out);
            return;
        }
        // It has been here: whoever sent it on did not see.
        if parcel.path.contains(me) || parcel.path.len() >= HOPS_MAX {
            self.on_unroutable(parcel, Failure::RelayLost, out);
            return;
        }
        let mut onward = Parcel::clone(parcel);
        onward.path.push(me.clone());
        out.push(Output::Route(Arc::new(onward)));
    }

    fn on_arrived(&mut self, link: LinkId, parcel: &Parcel, out: &mut Outbox<Output>) {
        let answered = matches!(parcel.purpose, Purpose::Delivered | Purpose::Failed(_));
        if answered && parcel.epoch != self.config.life {
            return;
        }
        match parcel.purpose {
            Purpose::Delivered => {
                let pending = self.courier.pending.get(&parcel.number);
                if pending.is_some_and(|pending| pending.parcel.to == parcel.from) {
                    self.finish(parcel.number, Ok(Done::Delivered), out);
                }
            }
            Purpose::Failed(failure) => {
                self.fail(parcel.number, Some(parcel.from.clone()), failure, out)
            }
            Purpose::State => self.on_state(parcel, out),
            Purpose::Datagram => {
                // Nobody waits to hear that it was not taken.
                let _taken = self.hand_over(parcel, out).is_ok();
            }
            Purpose::Message => self.on_message(link, parcel, out),
        }
    }

    fn on_message(&mut self, link: LinkId, parcel: &Parcel, out: &mut Outbox<Output>) {
        let courier = &mut self.courier;
        if !courier.received.contains_key(&parcel.from) && courier.received.len() >= TRACKED_MAX {
            self.reject(link, Rejection::TooMany, out);
            return;
        }
        let seen = courier.received.entry(parcel.from.clone()).or_default();
        let again = self.config.sabotage.has(Switch::RepeatsMessages);
        if seen.has(parcel.epoch, parcel.number) && !again {
            self.answer(parcel, Purpose::Delivered, out);
            return;
        }
        if let Err(failure) = self.hand_over(parcel, out) {
            let early = self.sabotaged(Switch::AnswersEarly);
            let purpose = if early {
                Purpose::Delivered
            } else {
                Purpose::Failed(failure)
            };
            self.answer(parcel, purpose, out);
            return;
        }
        if let Some(seen) = self.courier.received.get_mut(&parcel.from) {
            seen.raise(parcel.epoch, parcel.floor);
            seen.note(parcel.epoch, parcel.number);
        }
        self.answer(parcel, Purpose::Delivered, out);
    }

    /// Hands a message or datagram to the application.
    fn hand_over(&mut self, parcel: &Parcel, out: &mut Outbox<Output>) -> Result<(), Failure> {
        let held = self.channels.get_mut(&parcel.channel);
        let opened = held
            .and_then(|held| held.opened.as_mut())
            .filter(|opened| opened.room > 0)
            .ok_or(Failure::NoSuchChannel)?;
        let bytes = opened.outstanding_bytes + parcel.payload.len();
        if opened.outstanding >= opened.room || bytes > ROOM_BYTES {
            return Err(Failure::Busy);
        }
        opened.outstanding += 1;
        opened.outstanding_bytes = bytes;
        out.push(Output::Deliver {
            channel: parcel.channel.clone(),
            delivery: Delivery::Message {
                from: parcel.from.clone(),
                payload: Arc::clone(&parcel.payload),
                datagram: parcel.purpose == Purpose::Datagram,
            },
        });
        Ok(())
    }

    /// Tells the sender of a message what became of it: around those that the message was led around.
    fn answer(&self, parcel: &Parcel, purpose: Purpose, out: &mut Outbox<Output>) {
        let me = self.config.id.clone();
        let shunned = parcel.path.iter().take_while(|id| **id != parcel.from);
        let path = shunned.filter(|id| **id != me).cloned();
        let path = path.chain([me.clone()]).collect();
        out.push(Output::Route(Arc::new(Parcel {
            from: me.clone(),
            to: parcel.from.clone(),
            epoch: parcel.epoch,
            number: parcel.number,
            floor: 0,
            purpose,
            channel: parcel.channel.clone(),
            path,
            payload: Arc::from([]),
        })));
    }
}
