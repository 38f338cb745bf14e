//! Digests, sketches and requests of channels' anti-entropy.

use super::name::{channel, kind};
use crate::wire::cell;
use crate::wire::field::{Parsed, at_most};
use crate::wire::proto;
use phalanx_core::channel::message::{Item, WANT_MAX};

pub(super) fn digest(wire: &proto::ChannelDigest) -> Parsed<Item> {
    Ok(Item::Digest {
        channel: channel("channel", &wire.channel)?,
        kind: kind("kind", wire.kind)?,
        hash: wire.hash,
    })
}

pub(super) fn sketch(wire: proto::ChannelSketch) -> Parsed<Item> {
    Ok(Item::Sketch {
        channel: channel("channel", &wire.channel)?,
        kind: kind("kind", wire.kind)?,
        cells: wire.cells.into_iter().map(cell::parse).collect(),
    })
}

pub(super) fn larger(wire: &proto::ChannelLarger) -> Parsed<Item> {
    Ok(Item::Larger {
        channel: channel("channel", &wire.channel)?,
        cells: wire.cells,
    })
}

pub(super) fn want(wire: proto::ChannelWant) -> Parsed<Item> {
    at_most("digests", wire.digests.len(), WANT_MAX, "digests")?;
    Ok(Item::Want {
        channel: channel("channel", &wire.channel)?,
        digests: wire.digests,
    })
}

/// Any step of anti-entropy.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::cell::arbitrary::cell;
    use crate::wire::channel::name::arbitrary::{kind, name};
    use crate::wire::field::arbitrary::hash;
    use phalanx_core::channel::message::Item;
    use proptest::collection::vec;
    use proptest::prelude::*;

    pub(crate) fn step() -> impl Strategy<Value = Item> {
        prop_oneof![
            (name(), kind(), hash()).prop_map(|(channel, kind, hash)| Item::Digest {
                channel,
                kind,
                hash
            }),
            (name(), kind(), vec(cell(), 0..6)).prop_map(|(channel, kind, cells)| Item::Sketch {
                channel,
                kind,
                cells
            }),
            (name(), prop_oneof![Just(0), any::<u32>()])
                .prop_map(|(channel, cells)| Item::Larger { channel, cells }),
            (name(), vec(any::<u64>(), 0..6))
                .prop_map(|(channel, digests)| Item::Want { channel, digests }),
        ]
    }
}
