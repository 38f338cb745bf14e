//! Relaying of packets: whether a packet is forwarded, and the failure reported to its sender if not.
//!
//! A packet lists every node that it passed; each node forwards the packet to the first hop of a route, in its own
//! view, that avoids these nodes. The receiver answers `Delivered` or `Failed`; a node that has no further route
//! answers `Failed`. Answers avoid the same nodes that the packet was to avoid.

use super::context::Context;
use super::interface::{Event, Output};
use super::message::{DeliveryFailure, HOPS_MAX, Packet, Purpose};
use crate::identity::NodeId;
use std::sync::Arc;

/// Whether a packet can come from this neighbour: the neighbour must be the last node on the path, and the sender must
/// be on the path.
pub(super) fn is_genuine(me: &NodeId, packet: &Packet, neighbour: &NodeId) -> bool {
    packet.path.last() == Some(neighbour)
        && packet.from != *me
        && packet.path.contains(&packet.from)
}

/// The packet as this node forwards it; none if the packet already passed this node, or passed too many nodes.
pub(super) fn forward(me: &NodeId, packet: &Packet) -> Option<Packet> {
    if packet.path.contains(me) || packet.path.len() >= HOPS_MAX {
        return None;
    }
    let mut onward = packet.clone();
    onward.path.push(me.clone());
    Some(onward)
}

/// The answer to the sender of a message.
pub(super) fn answer(me: &NodeId, packet: &Packet, purpose: Purpose) -> Packet {
    let excluded = packet.path.iter().take_while(|id| **id != packet.from);
    let path = excluded.filter(|id| *id != me).cloned();
    Packet {
        from: me.clone(),
        to: packet.from.clone(),
        epoch: packet.epoch,
        number: packet.number,
        floor: 0,
        purpose,
        channel: packet.channel.clone(),
        path: path.chain([me.clone()]).collect(),
        payload: Arc::from([]),
    }
}

/// This node cannot forward a packet that is not a pending message of its own.
pub(super) fn on_unroutable(context: &mut Context, packet: &Packet, failure: DeliveryFailure) {
    let me = &context.config.id;
    let is_answer = matches!(packet.purpose, Purpose::Delivered | Purpose::Failed(_));
    if is_answer && packet.from == *me && packet.path.len() > 1 {
        // An excluded node may be on the only remaining route, so the packet is tried without exclusions.
        let mut straight = packet.clone();
        straight.path = vec![me.clone()];
        context.out.push(Output::Route(Arc::new(straight)));
        return;
    }
    if packet.purpose != Purpose::Message || packet.from == *me {
        return;
    }
    // The sender checks in its own view whether the receiver is known and up, because this node's view may be outdated.
    let failure = if failure == DeliveryFailure::Busy {
        DeliveryFailure::Busy
    } else {
        DeliveryFailure::RelayLost
    };
    let answer = answer(me, packet, Purpose::Failed(failure));
    context.report(Event::RelayFailed {
        from: packet.from.clone(),
        to: packet.to.clone(),
        failure,
    });
    context.out.push(Output::Route(Arc::new(answer)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{context, id, packet, take_outputs};

    #[test]
    fn a_packet_comes_from_the_neighbour_that_passed_it_last() {
        let me = id("me");
        let genuine = |path: &[&str], neighbour| relay_is_genuine(&me, path, &id(neighbour));
        assert!(genuine(&["a", "b"], "b"));
        assert!(!genuine(&["a", "b"], "a"));
        assert!(!genuine(&["me", "b"], "b"), "own messages do not come back");
        let mut hidden = packet("c", &["a", "b"], 1, 0);
        hidden.path.remove(0);
        assert!(
            !is_genuine(&me, &hidden, &id("b")),
            "the sender is not on the path"
        );
    }

    fn relay_is_genuine(me: &NodeId, path: &[&str], neighbour: &NodeId) -> bool {
        is_genuine(me, &packet("c", path, 1, 0), neighbour)
    }

    #[test]
    fn a_packet_passes_each_node_once_and_a_bounded_number_of_them() {
        let me = id("me");
        let onward = forward(&me, &packet("c", &["a", "b"], 1, 0)).unwrap();
        assert_eq!(onward.path, [id("a"), id("b"), me.clone()]);
        assert_eq!(forward(&me, &onward), None);
        let mut long = packet("c", &["a"], 1, 0);
        long.path = (0..HOPS_MAX).map(|hop| id(&format!("n{hop}"))).collect();
        assert_eq!(forward(&me, &long), None);
    }

    #[test]
    fn an_answer_avoids_the_nodes_that_its_message_was_to_avoid() {
        let message = packet("me", &["x", "a", "b"], 7, 5);
        let message = Packet {
            from: id("a"),
            ..message
        };
        let answer = answer(&id("me"), &message, Purpose::Delivered);
        assert_eq!(answer.path, [id("x"), id("me")]);
        assert_eq!((answer.to, answer.number), (id("a"), 7));
        assert!(answer.payload.is_empty());
    }

    #[test]
    fn the_sender_of_a_message_without_a_route_is_notified() {
        let mut context = context();
        let message = packet("c", &["a", "b"], 7, 5);
        on_unroutable(&mut context, &message, DeliveryFailure::NoRoute);
        let failure = DeliveryFailure::RelayLost;
        let answer = answer(&id("me"), &message, Purpose::Failed(failure));
        let report = Event::RelayFailed {
            from: id("a"),
            to: id("c"),
            failure,
        };
        let expected = [Output::Report(report), Output::Route(Arc::new(answer))];
        assert_eq!(take_outputs(&mut context), expected);
    }

    #[test]
    fn an_answer_without_a_route_is_sent_without_exclusions_once() {
        let mut context = context();
        let message = packet("me", &["x", "a"], 7, 5);
        let message = Packet {
            from: id("a"),
            ..message
        };
        let answer = answer(&id("me"), &message, Purpose::Delivered);
        on_unroutable(&mut context, &answer, DeliveryFailure::NoRoute);
        let [Output::Route(straight)] = &take_outputs(&mut context)[..] else {
            panic!("the answer is sent again");
        };
        assert_eq!(straight.path, [id("me")]);
        on_unroutable(&mut context, straight, DeliveryFailure::NoRoute);
        assert!(take_outputs(&mut context).is_empty());
    }
}
