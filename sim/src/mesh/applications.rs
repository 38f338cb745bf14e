//! The applications on one host: what each order of the scenario comes to, whoever carries it out.
//!
//! Every engine has the same applications do the same: they number what they send, so that it can be told apart where
//! it arrives, and draw what the scenario leaves open. What they ask for is an [`Act`]; how it is carried out, and how
//! its answer comes back, is the engine's.

use super::event::{Asked, Event};
use super::opening::Opening;
use super::workload::{BYTES_MIN, Order, Target, Written};
use crate::scenario::Scenario;
use core::time::Duration;
use phalanx_core::channel::{ChannelName, Expected, Options, Transaction, Write};
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use std::sync::Arc;

/// The applications on one host, in one life of its process.
#[derive(Clone, Debug)]
pub struct Applications {
    host: usize,
    life: u32,
    /// The ids of all hosts, in their order.
    ids: Arc<[NodeId]>,
    random: Random,
    /// Messages and values made so far.
    count: u64,
    /// Whose turn it is to be sent to.
    turn: usize,
}

/// Something that an application asks of its daemon.
#[derive(Debug)]
pub enum Act {
    /// Opens a channel.
    Open {
        /// Its name.
        channel: ChannelName,
        /// How.
        options: Options,
        /// How long it takes for each message sent to it.
        takes: Duration,
    },
    /// Closes it.
    Close(ChannelName),
    /// Broadcasts.
    Publish {
        /// On which channel.
        channel: ChannelName,
        /// What: see [`payload`].
        number: u64,
        /// So many bytes.
        bytes: usize,
    },
    /// Sends to one member.
    Send {
        /// On which channel.
        channel: ChannelName,
        /// To whom.
        to: NodeId,
        /// What: see [`payload`].
        number: u64,
        /// So many bytes.
        bytes: usize,
        /// Once, without an answer.
        datagram: bool,
    },
    /// Compares and writes in a map.
    Transact {
        /// In which.
        channel: ChannelName,
        /// What.
        transaction: Transaction,
    },
}

/// The payload of this number.
#[must_use]
pub fn payload(number: u64, bytes: usize) -> Arc<[u8]> {
    let mut payload = vec![0x5a; bytes.max(BYTES_MIN)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload.into()
}

/// The number that a payload carries.
pub(super) fn number_in(payload: &[u8]) -> Option<u64> {
    let first: [u8; 8] = payload.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(first))
}

impl Act {
    /// The opening of a channel.
    #[must_use]
    pub fn open(channel: ChannelName, opening: &Opening) -> Self {
        let mut options = Options::of(opening.kind);
        options.interval = opening.interval.unwrap_or(options.interval);
        options.room = opening.room.unwrap_or(options.room);
        Self::Open {
            channel,
            options,
            takes: opening.takes,
        }
    }

    /// What is reported when it is done.
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

    /// What is answered; nothing answers a closing.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        match self {
            Self::Open { channel, .. } => Some(Asked::Open(channel.clone())),
            Self::Close(_) => None,
            Self::Publish { channel, .. } => Some(Asked::Publish(channel.clone())),
            Self::Send { to, number, .. } => Some(Asked::Send(*number, to.clone())),
            Self::Transact { channel, .. } => Some(Asked::Write(channel.clone())),
        }
    }
}

impl Applications {
    /// The ids that all applications of a run share.
    #[must_use]
    pub fn ids(scenario: &Scenario) -> Arc<[NodeId]> {
        scenario.hosts.iter().map(|host| host.id.clone()).collect()
    }

    /// Those of a host, among hosts of these ids; `random` draws what they leave open.
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

    /// A number that no other thing of the run has.
    fn number(&mut self) -> u64 {
        self.count += 1;
        let host = self.host as u64 + 1;
        host << 44 | u64::from(self.life & 0xfff) << 32 | self.count
    }

    /// Draws what an order leaves open.
    pub(super) const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// What an order comes to.
    pub fn acts(&mut self, order: Order) -> Vec<Act> {
        match order {
            Order::Open(channel, opening) => vec![Act::open(channel, &opening)],
            Order::Close(channel) => vec![Act::Close(channel)],
            Order::Publish(channel, bytes) => vec![Act::Publish {
                channel,
                number: self.number(),
                bytes,
            }],
            Order::Send {
                channel,
                to,
                bytes,
                datagram,
            } => {
                let targets = self.targets(&to).into_iter();
                let send = |to| Act::Send {
                    channel: channel.clone(),
                    to,
                    number: self.number(),
                    bytes,
                    datagram,
                };
                targets.map(send).collect()
            }
            Order::Write {
                channel,
                key,
                expects,
                value,
            } => vec![self.write(channel, key, expects, value)],
            // The daemon does these.
            Order::Lie(_) | Order::Announce(_) => Vec::new(),
        }
    }

    fn targets(&mut self, target: &Target) -> Vec<NodeId> {
        let (ids, me) = (Arc::clone(&self.ids), self.host);
        let others: Vec<NodeId> = ids.iter().filter(|id| **id != ids[me]).cloned().collect();
        match target {
            Target::Id(id) => NodeId::new(id).into_iter().collect(),
            Target::Others => others,
            Target::Any => self.random.pick(&others).cloned().into_iter().collect(),
            Target::Each => {
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
    ) -> Act {
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
        Act::Transact {
            channel,
            transaction: Transaction {
                compare: compare.into_iter().collect(),
                write: vec![Write { key, value }],
            },
        }
    }
}
