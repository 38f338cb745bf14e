//! The message about channels: credit, and a list of items.

use super::name::update_id;
use super::{broadcast, packet, reconciliation};
use crate::wire::error::WireError;
use crate::wire::field::{Parsed, all, each, required};
use crate::wire::proto::{self, data_item};
use phalanx_core::channel::Data;
use phalanx_core::channel::message::Item;
use std::sync::Arc;

fn item(wire: proto::DataItem) -> Parsed<Item> {
    let inside = |name: &'static str| move |error: WireError| error.inside(name);
    match required("item", wire.item)? {
        data_item::Item::Have(id) => update_id(&id).map(Item::Have).map_err(inside("have")),
        data_item::Item::Graft(id) => update_id(&id).map(Item::Graft).map_err(inside("graft")),
        data_item::Item::Broadcast(wire) => broadcast::parse(wire).map_err(inside("broadcast")),
        data_item::Item::Parcel(wire) => packet::parse(wire).map_err(inside("parcel")),
        data_item::Item::Rest(bytes) => Ok(Item::Segment(Arc::from(bytes))),
        data_item::Item::Digest(wire) => reconciliation::digest(&wire).map_err(inside("digest")),
        data_item::Item::Sketch(wire) => reconciliation::sketch(wire).map_err(inside("sketch")),
        data_item::Item::Larger(wire) => reconciliation::larger(&wire).map_err(inside("larger")),
        data_item::Item::Want(wire) => reconciliation::want(wire).map_err(inside("want")),
    }
}

pub(crate) fn parse(wire: proto::Data) -> Parsed<Data> {
    Ok(Data {
        credit: wire.credit,
        prune: wire.prune,
        items: each("items", wire.items, item)?,
    })
}

impl From<&Item> for proto::DataItem {
    fn from(item: &Item) -> Self {
        let item = match item {
            Item::Have(id) => data_item::Item::Have(id.into()),
            Item::Graft(id) => data_item::Item::Graft(id.into()),
            Item::Update {
                update,
                repair,
                remaining,
            } => data_item::Item::Broadcast(broadcast::compose(update, *repair, *remaining)),
            Item::Packet { packet, remaining } => {
                data_item::Item::Parcel(packet::compose(packet, *remaining))
            }
            Item::Segment(bytes) => data_item::Item::Rest(bytes.to_vec()),
            Item::Digest {
                channel,
                kind,
                hash,
            } => data_item::Item::Digest(proto::ChannelDigest {
                channel: channel.as_str().to_owned(),
                kind: proto::ChannelKind::from(*kind).into(),
                hash: *hash,
            }),
            Item::Sketch {
                channel,
                kind,
                cells,
            } => data_item::Item::Sketch(proto::ChannelSketch {
                channel: channel.as_str().to_owned(),
                kind: proto::ChannelKind::from(*kind).into(),
                cells: all(cells),
            }),
            Item::Larger { channel, cells } => data_item::Item::Larger(proto::ChannelLarger {
                channel: channel.as_str().to_owned(),
                cells: *cells,
            }),
            Item::Want { channel, digests } => data_item::Item::Want(proto::ChannelWant {
                channel: channel.as_str().to_owned(),
                digests: digests.clone(),
            }),
        };
        Self { item: Some(item) }
    }
}

impl From<&Data> for proto::Data {
    fn from(data: &Data) -> Self {
        Self {
            credit: data.credit,
            prune: data.prune,
            items: all(&data.items),
        }
    }
}

/// Any message about channels.
#[cfg(test)]
pub(crate) mod arbitrary {
    use crate::wire::channel::broadcast::arbitrary::broadcast;
    use crate::wire::channel::name::arbitrary::update_id;
    use crate::wire::channel::packet::arbitrary::parcel;
    use crate::wire::channel::reconciliation::arbitrary::step;
    use phalanx_core::channel::Data;
    use phalanx_core::channel::message::Item;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn item() -> impl Strategy<Value = Item> {
        prop_oneof![
            1 => update_id().prop_map(Item::Have),
            1 => update_id().prop_map(Item::Graft),
            1 => broadcast(),
            1 => parcel(),
            1 => vec(any::<u8>(), 0..300).prop_map(|bytes| Item::Segment(Arc::from(bytes))),
            4 => step(),
        ]
    }

    pub(crate) fn data() -> impl Strategy<Value = Data> {
        let credit = prop_oneof![Just(0), any::<u32>()];
        (credit, any::<bool>(), vec(item(), 0..5)).prop_map(|(credit, prune, items)| Data {
            credit,
            prune,
            items,
        })
    }
}
