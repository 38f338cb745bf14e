//! Relaying of packets: how a packet goes on, and what its sender is told when it cannot.
//!
//! A packet names every node that it passed; each passes it on to the next hop of its own view that is not among them.
//! The receiver answers `Delivered` or `Failed`, and so does a node that knows no route on. Answers avoid the nodes
//! that the packet was to avoid.

use super::context::Context;
use super::interface::{Event, Output};
use super::message::{Failure, HOPS_MAX, Parcel, Purpose};
use crate::identity::NodeId;
use std::sync::Arc;

/// Whether a packet can come from this neighbour: it passed the packet last, and the sender is on the path.
pub(super) fn is_genuine(me: &NodeId, packet: &Parcel, neighbour: &NodeId) -> bool {
    packet.path.last() == Some(neighbour)
        && packet.from != *me
        && packet.path.contains(&packet.from)
}

/// The packet as this node passes it on; none if it was here before or passed too many nodes.
pub(super) fn forward(me: &NodeId, packet: &Parcel) -> Option<Parcel> {
    if packet.path.contains(me) || packet.path.len() >= HOPS_MAX {
        return None;
    }
    let mut onward = packet.clone();
    onward.path.push(me.clone());
    Some(onward)
}

/// The answer to the sender of a message.
pub(super) fn answer(me: &NodeId, packet: &Parcel, purpose: Purpose) -> Parcel {
    let excluded = packet.path.iter().take_while(|id| **id != packet.from);
    let path = excluded.filter(|id| *id != me).cloned();
    Parcel {
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

/// A packet that is not a pending message of this node cannot go on from here.
pub(super) fn on_unroutable(context: &mut Context, packet: &Parcel, failure: Failure) {
    let me = &context.config.id;
    let is_answer = matches!(packet.purpose, Purpose::Delivered | Purpose::Failed(_));
    if is_answer && packet.from == *me && packet.path.len() > 1 {
        // An excluded node may be on the only route.
        let mut straight = packet.clone();
        straight.path = vec![me.clone()];
        context.out.push(Output::Route(Arc::new(straight)));
        return;
    }
    if packet.purpose != Purpose::Message || packet.from == *me {
        return;
    }
    // The sender asks its own view whether the receiver is known and up; this node's may be behind.
    let failure = if failure == Failure::Busy {
        Failure::Busy
    } else {
        Failure::RelayLost
    };
    let answer = answer(me, packet, Purpose::Failed(failure));
    context.report(Event::RelayFailed {
        from: packet.from.clone(),
        to: packet.to.clone(),
        failure,
    });
    context.out.push(Output::Route(Arc::new(answer)));
}
