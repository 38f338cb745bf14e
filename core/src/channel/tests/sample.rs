//! Sample state and messages of channels, for tests of components.

use crate::channel::context::Context;
use crate::channel::message::{Body, ChannelName, Entry, Packet, Purpose, Update, UpdateId};
use crate::channel::{Config, Output, Tuning};
use crate::identity::NodeId;
use crate::time::{Instant, Wall};
use std::sync::Arc;

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(crate) fn config(name: &str) -> Config {
    let mut config = Config::new(id(name), 1, 7, Tuning::default());
    config.started = Wall(1_700_000_000);
    config
}

/// The context of node `me`, one second after its start.
pub(crate) fn context() -> Context {
    Context::new(config("me"), 1, Instant::from_millis(1_000))
}

/// Takes the outputs of the components called before.
pub(crate) fn take_outputs(context: &mut Context) -> Vec<Output> {
    context.out.drain().collect()
}

/// The name of a broadcast, in epoch 1.
pub(crate) fn update_id(on: &str, origin: &str, sequence: u64) -> UpdateId {
    UpdateId {
        channel: channel(on),
        origin: id(origin),
        epoch: 1,
        sequence,
    }
}

/// A message of `bytes` bytes on the channel `chat`, in epoch 1.
pub(crate) fn message(origin: &str, sequence: u64, bytes: usize) -> Arc<Update> {
    Arc::new(Update {
        id: update_id("chat", origin, sequence),
        body: Body::Message,
        payload: vec![sequence as u8; bytes].into(),
    })
}

/// A write of `bytes` bytes to each key on the channel `kv`, by node `a`.
pub(crate) fn write(sequence: u64, keys: &[&str], bytes: usize) -> Arc<Update> {
    entries(sequence, keys, Some(bytes))
}

/// A deletion of a key on the channel `kv`, by node `a`.
pub(crate) fn deletion(sequence: u64, key: &str) -> Arc<Update> {
    entries(sequence, &[key], None)
}

fn entries(sequence: u64, keys: &[&str], bytes: Option<usize>) -> Arc<Update> {
    let entry = |key: &&str| Entry {
        key: Arc::from(*key),
        over: None,
        length: bytes.map(|bytes| bytes as u32),
    };
    Arc::new(Update {
        id: update_id("kv", "a", sequence),
        body: Body::Entries {
            clock: sequence,
            entries: keys.iter().map(entry).collect(),
        },
        payload: vec![7; keys.len() * bytes.unwrap_or(0)].into(),
    })
}

/// A message of `bytes` bytes to one member that passed the nodes in `path`, starting with its sender.
pub(crate) fn packet(to: &str, path: &[&str], number: u64, bytes: usize) -> Packet {
    Packet {
        from: id(path[0]),
        to: id(to),
        epoch: 1,
        number,
        floor: 0,
        purpose: Purpose::Message,
        channel: channel("chat"),
        path: path.iter().map(|name| id(name)).collect(),
        payload: vec![0; bytes].into(),
    }
}
