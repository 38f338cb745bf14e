//! Updates of channels for all members.

use super::name::{kind, update_id, version};
use crate::wire::error::{FieldFault, WireError};
use crate::wire::field::{Parsed, all, at_most, each, required};
use crate::wire::proto;
use phalanx_core::channel::message::{
    Body, ENTRIES_MAX, Entry, Item, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX,
};
use phalanx_core::channel::{Kind, Update};
use std::sync::Arc;

fn entry(wire: proto::Write) -> Parsed<Entry> {
    if wire.key.is_empty() {
        return Err(WireError::new("key", FieldFault::Missing));
    }
    at_most("key", wire.key.len(), KEY_BYTES_MAX, "bytes")?;
    let over = wire.over.as_ref().map(version).transpose();
    Ok(Entry {
        key: Arc::from(wire.key),
        over: over.map_err(|error| error.inside("over"))?,
        length: wire.length,
    })
}

/// Parses writes. Their values are consecutive parts of a payload of `payload` bytes.
fn entries(wire: Vec<proto::Write>, payload: usize) -> Parsed<Vec<Entry>> {
    if wire.is_empty() {
        return Err(WireError::new("entries", FieldFault::Missing));
    }
    at_most("entries", wire.len(), ENTRIES_MAX, "writes")?;
    let entries = each("entries", wire, entry)?;
    let pairs = entries.iter().zip(entries.iter().skip(1));
    for (one, next) in pairs {
        if one.key == next.key {
            return Err(WireError::new(
                "entries",
                FieldFault::Twice(next.key.to_string()),
            ));
        }
        if one.key > next.key {
            return Err(WireError::new(
                "entries",
                FieldFault::Unordered(next.key.to_string()),
            ));
        }
    }
    let lengths = entries.iter().filter_map(|entry| entry.length);
    let expected = lengths.map(|length| length as usize).sum();
    if expected != payload {
        let found = payload;
        return Err(WireError::new(
            "payload",
            FieldFault::Length { found, expected },
        ));
    }
    Ok(entries)
}

/// Returns the length of a whole payload: `here` is in this message, and `rest` bytes follow in segments.
pub(super) fn payload_len(here: &[u8], rest: u32) -> Parsed<usize> {
    let whole = here.len().saturating_add(rest as usize);
    at_most("payload", whole, PAYLOAD_BYTES_MAX, "bytes")?;
    Ok(whole)
}

pub(super) fn parse(wire: proto::Broadcast) -> Parsed<Item> {
    let whole = payload_len(&wire.payload, wire.rest)?;
    let id = update_id(&required("id", wire.id)?).map_err(|error| error.inside("id"))?;
    let body = match kind("kind", wire.kind)? {
        Kind::Messages => Body::Message,
        Kind::Map => Body::Entries {
            clock: wire.clock,
            entries: entries(wire.entries, whole)?,
        },
        Kind::Custom => Body::Custom,
    };
    let update = Update {
        id,
        body,
        payload: Arc::from(wire.payload),
    };
    Ok(Item::Update {
        update: Arc::new(update),
        repair: wire.repair,
        remaining: wire.rest,
    })
}

impl From<&Entry> for proto::Write {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.as_ref().to_owned(),
            over: entry.over.as_ref().map(Into::into),
            length: entry.length,
        }
    }
}

pub(super) fn compose(update: &Update, repair: bool, rest: u32) -> proto::Broadcast {
    let (clock, entries) = match &update.body {
        Body::Message | Body::Custom => (0, Vec::new()),
        Body::Entries { clock, entries } => (*clock, all(entries)),
    };
    proto::Broadcast {
        id: Some((&update.id).into()),
        kind: proto::ChannelKind::from(update.body.kind()).into(),
        clock,
        entries,
        repair,
        payload: update.payload.to_vec(),
        rest,
    }
}

/// Any update.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::channel::name::arbitrary::{update_id, version};
    use crate::wire::field::arbitrary::counter;
    use phalanx_core::channel::Update;
    use phalanx_core::channel::Version;
    use phalanx_core::channel::message::{Body, Entry, Item};
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Writes, and the bytes of their values.
    fn entries() -> impl Strategy<Value = (Vec<Entry>, Vec<u8>)> {
        let value = option::of(vec(any::<u8>(), 0..200));
        btree_map("[a-z/]{1,9}", (option::of(version()), value), 1..5).prop_map(|writes| {
            let mut payload = Vec::new();
            let entry =
                |(key, (over, value)): (String, (Option<Version>, Option<Vec<u8>>))| Entry {
                    key: Arc::from(key),
                    over,
                    length: value.map(|value| {
                        payload.extend(&value);
                        u32::try_from(value.len()).unwrap()
                    }),
                };
            let entries = writes.into_iter().map(entry).collect();
            (entries, payload)
        })
    }

    fn body() -> impl Strategy<Value = (Body, Vec<u8>)> {
        let payload = || vec(any::<u8>(), 0..300);
        prop_oneof![
            payload().prop_map(|payload| (Body::Message, payload)),
            payload().prop_map(|payload| (Body::Custom, payload)),
            (counter(), entries()).prop_map(|(clock, (entries, payload))| (
                Body::Entries { clock, entries },
                payload
            )),
        ]
    }

    pub(crate) fn broadcast() -> impl Strategy<Value = Item> {
        let here = any::<prop::sample::Index>();
        (update_id(), body(), any::<bool>(), any::<bool>(), here).prop_map(
            |(id, (body, mut payload), repair, cut, here)| {
                let here = here.index(payload.len() + 1);
                let rest = if cut { payload.len() - here } else { 0 };
                payload.truncate(payload.len() - rest);
                Item::Update {
                    update: Arc::new(Update {
                        id,
                        body,
                        payload: Arc::from(payload),
                    }),
                    repair,
                    remaining: u32::try_from(rest).unwrap(),
                }
            },
        )
    }
}
