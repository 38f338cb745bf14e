//! A context for tests of one component: a node that knows only itself, and any further members that the test adds.

use crate::gossip::config::Config;
use crate::gossip::context::Context;
use crate::gossip::{Event, Output};
use crate::identity::NodeId;
use crate::time::Instant;
use crate::topology::MemberIndex;
use crate::topology::record::{Content, Rank, Record};
use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The id `m0`, `m1`, ...
pub(crate) fn id(index: usize) -> NodeId {
    NodeId::new(&format!("m{index}")).unwrap()
}

pub(crate) fn address(index: usize) -> SocketAddr {
    let [.., high, low] = index.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 7_000))
}

/// A context of the node `m0` that knows only itself, one hour after the zero of its clock.
pub(crate) fn context() -> Context {
    let config = Config::new(id(0), "test", 1, 1, Content::default(), Vec::new());
    let mut context = Context::new(config, 1, Instant::from_millis(3_600_000));
    learn(&mut context, 0);
    context
}

/// Adds the record of a dialable member to the view.
pub(crate) fn learn(context: &mut Context, index: usize) -> MemberIndex {
    let rank = Rank {
        epoch: 1,
        instance: 1,
        version: 1,
        ..Rank::default()
    };
    let content = Content {
        address: Some(address(index)),
        ..Content::default()
    };
    let record = Record::new(id(index), rank, content);
    context.topology.apply_record(&Arc::new(record));
    context.topology.index_of(&id(index)).unwrap()
}

/// The events reported since the last call.
pub(crate) fn events(context: &mut Context) -> Vec<Event> {
    let reports = context.out.drain().filter_map(|output| match output {
        Output::Report(event) => Some(event),
        Output::Dial { .. }
        | Output::CancelDial { .. }
        | Output::Resolve { .. }
        | Output::Send { .. }
        | Output::Close { .. }
        | Output::LinkOpened { .. }
        | Output::Store { .. }
        | Output::KeepAddresses { .. }
        | Output::Left => None,
    });
    reports.collect()
}

#[test]
fn a_random_member_has_a_record() {
    let mut context = context();
    context.topology.intern(&id(1)).unwrap();
    let known = learn(&mut context, 2);
    for _ in 0..50 {
        let drawn = context
            .topology
            .random_member(&mut context.random.admission);
        assert!(drawn.is_none_or(|drawn| [context.me, known].contains(&drawn)));
    }
}
