//! Addresses: the members that publish them, and the delays between dials to them.

use crate::gossip::context::Context;
use crate::identity::NodeId;
use crate::time::Duration;
use core::net::SocketAddr;

/// A random part of a delay, from the stream of bootstrap: less than `max`.
pub(super) fn jitter_below(context: &mut Context, max: Duration) -> Duration {
    context.random.bootstrap.duration_below(max)
}

/// The delay before an address is dialled again after this number of earlier failures: it grows by half each time;
/// jitter scales it by 0.5 to 1.5.
pub(super) fn retry_wait(context: &mut Context, failures: u32) -> Duration {
    let (min, max) = (context.tuning().retry_min, context.tuning().retry_max);
    let mut wait = min;
    for _ in 0..failures.min(32) {
        wait = (wait + wait / 2).min(max);
    }
    wait / 2 + jitter_below(context, wait)
}

/// Whether the member is known and alive.
pub(super) fn is_alive(context: &Context, peer: &NodeId) -> bool {
    let topology = &context.topology;
    let member = topology.index_of(peer);
    member.is_some_and(|it| topology.is_known(it) && topology.is_alive(it))
}

/// The member that is alive and publishes the address, if there is one.
pub(super) fn live_member_at(context: &Context, address: SocketAddr) -> Option<NodeId> {
    let mut records = context.topology.records();
    let there = records.find(|record| {
        record.content().address == Some(address)
            && *record.id() != context.config.id
            && is_alive(context, record.id())
    });
    there.map(|record| record.id().clone())
}
