//! Delivery of this node's messages to single members: at least once on the network, exactly once to the application.
//!
//! The tracker keeps a message until its receiver answers. The tracker resends a message by another route if a node on
//! the path failed, if the link that carried the last copy is lost, or if no answer arrives in time. The receiver hands
//! one copy to its application (`Dedup`).
//!
//! ```text
//!            link lost, relay failed, no answer
//!   sent ───────────────────────────────────────▶ waiting ──▶ sent ──▶ …
//!     │ Delivered                                    │ gives up, or the failure is final
//!     ▼                                              ▼
//!   done                                           failed
//! ```
//!
//! Bounds: at most [`PENDING_MAX`] messages and [`PENDING_BYTES_MAX`] bytes, above which messages are refused; at most
//! [`EXCLUDED_HOPS_MAX`] excluded hops for each message's route. One more exclusion readmits the oldest hop.

use super::context::{Context, Timer};
use super::interface::{Done, Event, Output, Refusal, Request};
use super::message::{ChannelName, DeliveryFailure, Packet, Purpose};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of unanswered messages of this node.
pub const PENDING_MAX: usize = 1_024;
/// Maximum number of bytes of unanswered messages, above which no further payload is accepted.
pub const PENDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Maximum number of hops excluded from a message's route after failing to forward it.
const EXCLUDED_HOPS_MAX: usize = 6;
/// Maximum number of bytes of a payload of which a copy goes around a link with the receiver. The answer to a larger one
/// may be late because the link is slow, and copies over other links would multiply the load.
const AROUND_BYTES_MAX: usize = 1_024;
/// Maximum wait for an answer before a message is resent, beside the round trip of slow links.
const ANSWER_AFTER_MAX: Duration = Duration::from_secs(2);
/// Wait after a node on the path failed; multiplied by the number of attempts.
const REROUTE_AFTER: Duration = Duration::from_millis(20);
/// Wait if no route is known, or the receiver is busy.
const BUSY_AFTER: Duration = Duration::from_millis(250);
/// Maximum difference between the numbers of two pending messages, because receivers keep a window of numbers.
const NUMBERS_MAX: u64 = 4 * PENDING_MAX as u64;

/// An unanswered message of this node.
#[derive(Clone, Debug, PartialEq)]
struct Pending {
    packet: Arc<Packet>,
    request: Request,
    give_up: Instant,
    attempts: u32,
    /// Nodes that failed to forward the message, oldest first.
    excluded_hops: Vec<NodeId>,
    /// The failure to report if no answer arrives.
    last_failure: DeliveryFailure,
    /// The link on which the last copy was sent.
    link: Option<LinkId>,
    /// Number of copies sent without an answer, one of which may have been delivered.
    copies: u32,
}

impl Pending {
    /// Excludes a node from the routes of further copies.
    fn exclude_hop(&mut self, node: NodeId) {
        if self.excluded_hops.contains(&node) {
            return;
        }
        if self.excluded_hops.len() >= EXCLUDED_HOPS_MAX {
            self.excluded_hops.remove(0);
        }
        self.excluded_hops.push(node);
    }
}

/// The unanswered messages of this node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeliveryTracker {
    /// The number of the latest message.
    last: u64,
    pending: BTreeMap<u64, Pending>,
    /// Bytes of pending payloads.
    bytes: usize,
}

impl DeliveryTracker {
    /// The number of unanswered messages.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// The lowest number that this node may still send or resend.
    fn floor(&self) -> u64 {
        self.pending.keys().next().copied().unwrap_or(self.last)
    }

    /// Numbers the next message or datagram of this node; none if too many messages are pending.
    pub(super) fn next_packet(
        &mut self,
        context: &Context,
        to: NodeId,
        channel: ChannelName,
        payload: Arc<[u8]>,
        purpose: Purpose,
    ) -> Option<Packet> {
        let full = self.pending.len() >= PENDING_MAX
            || self.bytes >= PENDING_BYTES_MAX
            || self.last + 1 - self.floor() >= NUMBERS_MAX;
        if full && purpose == Purpose::Message && !context.has(Switch::NoBackPressure) {
            return None;
        }
        self.last += 1;
        let me = context.config.id.clone();
        Some(Packet {
            from: me.clone(),
            to,
            epoch: context.config.life,
            number: self.last,
            floor: self.floor(),
            purpose,
            channel,
            path: vec![me],
            payload,
        })
    }

    /// Stores a message that is sent for the first time.
    pub(super) fn track(&mut self, context: &mut Context, request: Request, packet: Arc<Packet>) {
        self.bytes += packet.payload.len();
        let retry_at = context.now + context.tuning().answer_after + path_time(context);
        context.timers.set(Timer::Retry(packet.number), retry_at);
        self.pending.insert(
            packet.number,
            Pending {
                packet,
                request,
                give_up: context.now + context.tuning().give_up_after,
                attempts: 0,
                excluded_hops: Vec::new(),
                last_failure: DeliveryFailure::TimedOut,
                link: None,
                copies: 0,
            },
        );
    }

    /// Whether a packet is a copy of a pending message.
    pub(super) fn is_pending(&self, context: &Context, packet: &Packet) -> bool {
        is_own(context, packet) && self.pending.contains_key(&packet.number)
    }

    /// A copy of a pending message was passed to a link.
    pub(super) fn note_link(&mut self, context: &Context, packet: &Packet, link: LinkId) {
        if let Some(pending) = self.pending.get_mut(&packet.number)
            && is_own(context, packet)
        {
            pending.link = Some(link);
        }
    }

    /// A link accepted a copy of a pending message.
    pub(super) fn note_copy(&mut self, context: &Context, packet: &Packet) {
        if let Some(pending) = self.pending.get_mut(&packet.number)
            && is_own(context, packet)
        {
            pending.copies += 1;
        }
    }

    /// The receiver handed a message to its application.
    pub(super) fn on_delivered(&mut self, context: &mut Context, answer: &Packet) {
        let pending = self.pending.get(&answer.number);
        if pending.is_some_and(|pending| pending.packet.to == answer.from) {
            self.finish(context, answer.number, Ok(Done::Delivered));
        }
    }

    /// A copy of a message failed, at the node `failed_at` or at this node.
    pub(super) fn on_failed(
        &mut self,
        context: &mut Context,
        number: u64,
        failed_at: Option<NodeId>,
        failure: DeliveryFailure,
    ) {
        let Some(pending) = self.pending.get_mut(&number) else {
            return;
        };
        pending.last_failure = failure;
        pending.link = None;
        pending.copies = pending
            .copies
            .saturating_sub(u32::from(failed_at.is_some()));
        let wait = match failure {
            DeliveryFailure::UnknownPeer
            | DeliveryFailure::PeerDown
            | DeliveryFailure::NoSuchChannel => {
                self.finish(context, number, Err(Refusal::Undelivered(failure)));
                return;
            }
            DeliveryFailure::Busy => BUSY_AFTER,
            DeliveryFailure::NoRoute if pending.excluded_hops.is_empty() => BUSY_AFTER,
            // An excluded hop may be on the only remaining route, so all hops are readmitted.
            DeliveryFailure::NoRoute => {
                pending.excluded_hops.clear();
                REROUTE_AFTER
            }
            DeliveryFailure::RelayLost | DeliveryFailure::TimedOut => {
                if let Some(hop) = failed_at.filter(|hop| *hop != pending.packet.to) {
                    pending.exclude_hop(hop);
                }
                REROUTE_AFTER * pending.attempts.clamp(1, 16)
            }
        };
        let to = pending.packet.to.clone();
        let at = (context.now + wait).min(pending.give_up.max(context.now));
        context.timers.set(Timer::Retry(number), at);
        context.report(Event::Rerouted { to, failure });
    }

    /// Resends a message, or fails it. `peer_of` returns the neighbour on a link.
    pub(super) fn retry(
        &mut self,
        context: &mut Context,
        number: u64,
        peer_of: impl Fn(LinkId) -> Option<NodeId>,
    ) {
        let Some(pending) = self.pending.get_mut(&number) else {
            return;
        };
        if pending.give_up <= context.now {
            let failure = pending.last_failure;
            self.finish(context, number, Err(Refusal::Undelivered(failure)));
            return;
        }
        if context.has(Switch::NoResend) {
            context.timers.set(Timer::Retry(number), pending.give_up);
            return;
        }
        pending.attempts += 1;
        // The first hop of an unanswered copy is excluded. If this is the receiver itself, its link may carry nothing to
        // it, and the copy goes around the link.
        let silent = pending.link.take().and_then(peer_of);
        let is_small = pending.packet.payload.len() <= AROUND_BYTES_MAX;
        if let Some(silent) = silent.filter(|peer| is_small || *peer != pending.packet.to) {
            pending.exclude_hop(silent);
        }
        let wait =
            (context.tuning().answer_after * (1 << pending.attempts.min(4))).min(ANSWER_AFTER_MAX);
        let at = (context.now + wait + path_time(context)).min(pending.give_up);
        let mut packet = Packet::clone(&pending.packet);
        packet.path = pending
            .excluded_hops
            .iter()
            .cloned()
            .chain([packet.from.clone()])
            .collect();
        context.out.push(Output::Route(Arc::new(packet)));
        context.timers.set(Timer::Retry(number), at);
    }

    /// A link is lost: messages whose last copy was sent on it are resent.
    pub(super) fn on_link_lost(&mut self, context: &mut Context, link: LinkId) {
        for (number, pending) in &mut self.pending {
            if pending.link == Some(link) {
                pending.link = None;
                pending.last_failure = DeliveryFailure::RelayLost;
                context
                    .timers
                    .set(Timer::Retry(*number), context.now + REROUTE_AFTER);
            }
        }
    }

    fn finish(&mut self, context: &mut Context, number: u64, result: Result<Done, Refusal>) {
        let Some(pending) = self.pending.remove(&number) else {
            return;
        };
        self.bytes -= pending.packet.payload.len();
        context.timers.cancel(&Timer::Retry(number));
        let may_be_delivered = matches!(result, Err(Refusal::Undelivered(_))) && pending.copies > 0;
        let result = if may_be_delivered {
            Err(Refusal::Undelivered(DeliveryFailure::TimedOut))
        } else {
            result
        };
        let request = pending.request;
        context.out.push(Output::Answer { request, result });
    }
}

/// The time that an answer takes longer than in a fast mesh, over a path of two slow links.
fn path_time(context: &Context) -> Duration {
    context.pace() * 2
}

fn is_own(context: &Context, packet: &Packet) -> bool {
    packet.from == context.config.id && packet.purpose == Purpose::Message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Tuning;
    use crate::channel::relay::answer;
    use crate::channel::tests::sample::{channel, context, id, take_outputs};

    const REQUEST: Request = Request(5);

    /// A tracker with one message to `c`, and that message.
    fn sent(context: &mut Context) -> (DeliveryTracker, Arc<Packet>) {
        let mut delivery = DeliveryTracker::default();
        let packet = next(context, &mut delivery).unwrap();
        let packet = Arc::new(packet);
        delivery.track(context, REQUEST, Arc::clone(&packet));
        (delivery, packet)
    }

    fn next(context: &Context, delivery: &mut DeliveryTracker) -> Option<Packet> {
        let (to, on) = (id("c"), channel("chat"));
        delivery.next_packet(context, to, on, Arc::from([0; 9]), Purpose::Message)
    }

    fn due(context: &Context) -> Duration {
        context.timers.of(&Timer::Retry(1)).unwrap() - context.now
    }

    fn retry(context: &mut Context, delivery: &mut DeliveryTracker) -> Vec<Output> {
        context.now = context.timers.of(&Timer::Retry(1)).unwrap();
        delivery.retry(context, 1, |link| {
            Some(id(if link == LinkId(2) { "b" } else { "d" }))
        });
        take_outputs(context)
    }

    fn answered(result: Result<Done, Refusal>) -> Vec<Output> {
        let request = REQUEST;
        vec![Output::Answer { request, result }]
    }

    #[test]
    fn a_delivered_message_is_answered_once() {
        let mut context = context();
        let (mut delivery, packet) = sent(&mut context);
        let from_another = Packet {
            from: id("x"),
            ..answer(&id("c"), &packet, Purpose::Delivered)
        };
        delivery.on_delivered(&mut context, &from_another);
        assert_eq!(delivery.len(), 1, "only the receiver answers");
        let answer = answer(&id("c"), &packet, Purpose::Delivered);
        delivery.on_delivered(&mut context, &answer);
        delivery.on_delivered(&mut context, &answer);
        assert_eq!(take_outputs(&mut context), answered(Ok(Done::Delivered)));
        assert_eq!((delivery.len(), delivery.bytes), (0, 0));
        assert_eq!(context.timers.of(&Timer::Retry(1)), None);
    }

    #[test]
    fn a_message_without_an_answer_is_sent_around_its_first_hop_ever_more_rarely() {
        let mut context = context();
        let (mut delivery, packet) = sent(&mut context);
        delivery.note_link(&context, &packet, LinkId(2));
        assert_eq!(due(&context), Tuning::default().answer_after);
        let again = retry(&mut context, &mut delivery);
        let [Output::Route(again)] = &again[..] else {
            panic!("{again:?}");
        };
        assert_eq!(again.path, [id("b"), id("me")], "`b` is excluded");
        assert_eq!(due(&context), ANSWER_AFTER_MAX);
    }

    #[test]
    fn a_message_without_an_answer_from_a_neighbour_is_sent_around_their_link() {
        let mut context = context();
        let (mut delivery, packet) = sent(&mut context);
        delivery.note_link(&context, &packet, LinkId(3));
        context.now = context.timers.of(&Timer::Retry(1)).unwrap();
        delivery.retry(&mut context, 1, |_| Some(id("c")));
        let again = take_outputs(&mut context);
        let [Output::Route(again)] = &again[..] else {
            panic!("{again:?}");
        };
        assert_eq!(again.path, [id("c"), id("me")]);
    }

    #[test]
    fn a_message_that_may_be_delivered_is_given_up_as_timed_out() {
        let mut context = context();
        let (mut delivery, packet) = sent(&mut context);
        delivery.note_copy(&context, &packet);
        delivery.on_failed(&mut context, 1, None, DeliveryFailure::NoRoute);
        let mut last = take_outputs(&mut context);
        for _ in 0..100 {
            if delivery.len() == 0 {
                break;
            }
            last = retry(&mut context, &mut delivery);
        }
        assert_eq!(
            last,
            answered(Err(Refusal::Undelivered(DeliveryFailure::TimedOut)))
        );
        assert_eq!(
            context.now,
            Instant::from_millis(1_000) + Tuning::default().give_up_after
        );
    }

    #[test]
    fn a_final_failure_is_answered_at_once() {
        for failure in [
            DeliveryFailure::UnknownPeer,
            DeliveryFailure::PeerDown,
            DeliveryFailure::NoSuchChannel,
        ] {
            let mut context = context();
            let (mut delivery, _) = sent(&mut context);
            delivery.on_failed(&mut context, 1, None, failure);
            let expected = answered(Err(Refusal::Undelivered(failure)));
            assert_eq!(take_outputs(&mut context), expected);
        }
    }

    #[test]
    fn a_hop_that_failed_a_message_is_excluded_until_no_route_is_left() {
        let mut context = context();
        let (mut delivery, _) = sent(&mut context);
        for hop in ["r1", "r2", "r1"] {
            delivery.on_failed(&mut context, 1, Some(id(hop)), DeliveryFailure::RelayLost);
        }
        assert_eq!(delivery.pending[&1].excluded_hops, [id("r1"), id("r2")]);
        assert_eq!(due(&context), REROUTE_AFTER);
        for hop in 0..9 {
            let hop = Some(id(&format!("h{hop}")));
            delivery.on_failed(&mut context, 1, hop, DeliveryFailure::RelayLost);
        }
        assert_eq!(delivery.pending[&1].excluded_hops.len(), EXCLUDED_HOPS_MAX);
        delivery.on_failed(&mut context, 1, None, DeliveryFailure::NoRoute);
        assert!(delivery.pending[&1].excluded_hops.is_empty());
        delivery.on_failed(&mut context, 1, None, DeliveryFailure::NoRoute);
        assert_eq!(due(&context), BUSY_AFTER);
    }

    #[test]
    fn messages_on_a_lost_link_are_sent_again_soon() {
        let mut context = context();
        let (mut delivery, packet) = sent(&mut context);
        delivery.note_link(&context, &packet, LinkId(2));
        delivery.on_link_lost(&mut context, LinkId(3));
        assert_eq!(due(&context), Tuning::default().answer_after);
        delivery.on_link_lost(&mut context, LinkId(2));
        assert_eq!(due(&context), REROUTE_AFTER);
    }

    #[test]
    fn messages_under_way_are_bounded_and_datagrams_are_not() {
        let (mut context, mut delivery) = (context(), DeliveryTracker::default());
        for _ in 0..PENDING_MAX {
            let packet = next(&context, &mut delivery).unwrap();
            assert_eq!(packet.floor, 1);
            delivery.track(&mut context, REQUEST, Arc::new(packet));
        }
        assert_eq!(next(&context, &mut delivery), None);
        let (to, on) = (id("c"), channel("chat"));
        let datagram = delivery.next_packet(&context, to, on, Arc::from([]), Purpose::Datagram);
        assert!(datagram.is_some_and(|it| !delivery.is_pending(&context, &it)));
    }
}
