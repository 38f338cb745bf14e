//! The applications on one host: turns each order of the scenario into requests to the daemon.
//!
//! The applications behave the same on every engine. The applications number their messages, so that receivers can
//! distinguish them, and draw the values that the scenario does not specify. Each request is an [`AppRequest`]. The
//! engine performs the request and returns the answer.

use super::event::{AwaitedAnswer, Event};
use super::opening::ChannelOpening;
use super::workload::{AppCommand, BYTES_MIN, Receivers, Written};
use crate::scenario::Scenario;
use core::time::Duration;
use phalanx_core::channel::{ChannelName, Expected, Options, Transaction, Write};
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use std::sync::Arc;

/// The applications on one host, for one lifetime of its process.
#[derive(Clone, Debug)]
pub struct HostApplications {
    host: usize,
    life: u32,
    /// The ids of all hosts, by host index.
    ids: Arc<[NodeId]>,
    random: Random,
    /// The number of messages and values created in this lifetime.
    count: u64,
    /// The host index plus the number of round-robin sends so far; the sum determines the receiver.
    turn: usize,
}

/// A request of an application to its daemon.
#[derive(Debug)]
pub enum AppRequest {
    /// Opens a channel.
    Open {
        /// The name of the channel.
        channel: ChannelName,
        /// The options of the channel.
        options: Options,
        /// The time that the application takes to consume each message sent to it.
        takes: Duration,
    },
    /// Closes a channel.
    Close(ChannelName),
    /// Broadcasts a message.
    Publish {
        /// The channel.
        channel: ChannelName,
        /// The number in the payload: see [`payload`].
        number: u64,
        /// The length of the payload, in bytes.
        bytes: usize,
    },
    /// Sends a message to one member.
    Send {
        /// The channel.
        channel: ChannelName,
        /// The receiver.
        to: NodeId,
        /// The number in the payload: see [`payload`].
        number: u64,
        /// The length of the payload, in bytes.
        bytes: usize,
        /// The message is sent at most once and is not acknowledged.
        datagram: bool,
    },
    /// Compares and writes keys of a map.
    Transact {
        /// The channel of the map.
        channel: ChannelName,
        /// The comparisons and writes.
        transaction: Transaction,
    },
}

/// Builds the payload with this number. The payload has at least `BYTES_MIN` bytes.
#[must_use]
pub fn payload(number: u64, bytes: usize) -> Arc<[u8]> {
    let mut payload = vec![0x5a; bytes.max(BYTES_MIN)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload.into()
}

/// Returns the number that a payload carries.
pub(super) fn number_in(payload: &[u8]) -> Option<u64> {
    let first: [u8; 8] = payload.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(first))
}

impl AppRequest {
    /// The request to open a channel.
    #[must_use]
    pub fn open(channel: ChannelName, opening: &ChannelOpening) -> Self {
        let mut options = Options::of(opening.kind);
        options.interval = opening.interval.unwrap_or(options.interval);
        options.room = opening.room.unwrap_or(options.room);
        Self::Open {
            channel,
            options,
            takes: opening.takes,
        }
    }

    /// The event that is reported when the request is made.
    #[must_use]
    pub fn reported(&self) -> Option<Event> {
        match self {
            Self::Close(channel) => Some(Event::Closed(channel.clone())),
            Self::Send {
                to,
                number,
                datagram,
                ..
            } => Some(Event::Sent {
                number: *number,
                to: to.clone(),
                datagram: *datagram,
            }),
            Self::Open { .. } | Self::Publish { .. } | Self::Transact { .. } => None,
        }
    }

    /// The request as its answer refers to it; none for a close, which has no answer.
    #[must_use]
    pub fn asked(&self) -> Option<AwaitedAnswer> {
        match self {
            Self::Open { channel, .. } => Some(AwaitedAnswer::Open(channel.clone())),
            Self::Close(_) => None,
            Self::Publish { channel, .. } => Some(AwaitedAnswer::Publish(channel.clone())),
            Self::Send { to, number, .. } => Some(AwaitedAnswer::Send(*number, to.clone())),
            Self::Transact { channel, .. } => Some(AwaitedAnswer::Write(channel.clone())),
        }
    }
}

impl HostApplications {
    /// The ids that all applications of a run share.
    #[must_use]
    pub fn ids(scenario: &Scenario) -> Arc<[NodeId]> {
        scenario.hosts.iter().map(|host| host.id.clone()).collect()
    }

    /// The applications of one host; `ids` are the ids of all hosts, and `random` draws the values that orders do not
    /// specify.
    #[must_use]
    pub const fn new(ids: Arc<[NodeId]>, host: usize, life: u32, random: Random) -> Self {
        Self {
            host,
            life,
            ids,
            random,
            count: 0,
            turn: host,
        }
    }

    /// Returns a number that is unique in the run.
    fn number(&mut self) -> u64 {
        self.count += 1;
        let host = self.host as u64 + 1;
        host << 44 | u64::from(self.life & 0xfff) << 32 | self.count
    }

    /// The random stream for values that an order does not specify.
    pub(super) const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Translates an order into requests to the daemon.
    pub fn acts(&mut self, order: AppCommand) -> Vec<AppRequest> {
        match order {
            AppCommand::Open(channel, opening) => vec![AppRequest::open(channel, &opening)],
            AppCommand::Close(channel) => vec![AppRequest::Close(channel)],
            AppCommand::Publish(channel, bytes) => vec![AppRequest::Publish {
                channel,
                number: self.number(),
                bytes,
            }],
            AppCommand::Send {
                channel,
                to,
                bytes,
                datagram,
            } => {
                let targets = self.targets(&to).into_iter();
                let send = |to| AppRequest::Send {
                    channel: channel.clone(),
                    to,
                    number: self.number(),
                    bytes,
                    datagram,
                };
                targets.map(send).collect()
            }
            AppCommand::Write {
                channel,
                key,
                expects,
                value,
            } => vec![self.write(channel, key, expects, value)],
            // The daemon performs these orders itself.
            AppCommand::Forge(_) | AppCommand::Announce(_) | AppCommand::Revoke(_) => Vec::new(),
        }
    }

    fn targets(&mut self, target: &Receivers) -> Vec<NodeId> {
        let (ids, me) = (Arc::clone(&self.ids), self.host);
        let others: Vec<NodeId> = ids.iter().filter(|id| **id != ids[me]).cloned().collect();
        match target {
            Receivers::Id(id) => NodeId::new(id).into_iter().collect(),
            Receivers::Others => others,
            Receivers::Any => self.random.pick(&others).cloned().into_iter().collect(),
            Receivers::Each => {
                self.turn += 1;
                let turn = self.turn.checked_rem(others.len()).unwrap_or_default();
                others.get(turn).cloned().into_iter().collect()
            }
        }
    }

    fn write(
        &mut self,
        channel: ChannelName,
        (key, keys): (String, Option<u64>),
        expects: Option<Option<Arc<[u8]>>>,
        value: Written,
    ) -> AppRequest {
        let number = self.number();
        let key: Arc<str> = match keys {
            Some(keys) => format!("{key}{}", self.random.below(keys)).into(),
            None => key.into(),
        };
        let value: Option<Arc<[u8]>> = match value {
            Written::Nothing => None,
            Written::This(text) => Some(Arc::from(text.into_bytes())),
            Written::Numbered => Some(Arc::from(format!("{number:x}").into_bytes())),
        };
        let expected = |old: Option<Arc<[u8]>>| old.map_or(Expected::Absent, Expected::Value);
        let compare = expects.map(|old| (Arc::clone(&key), expected(old)));
        AppRequest::Transact {
            channel,
            transaction: Transaction {
                compare: compare.into_iter().collect(),
                write: vec![Write { key, value }],
            },
        }
    }
}
