//! Converts deliveries on a channel into events, and refusals into gRPC statuses.

use crate::channel::{Error, Received, Retained};
use crate::wire::proto::{self, channel_event};
use phalanx_core::channel::{Delivery, DeliveryFailure, Refusal, Update, Version};
use std::collections::VecDeque;
use std::sync::Arc;
use tonic::{Code, Status};

pub(super) fn refused(error: Error) -> Status {
    let refusal = match error {
        Error::Stopped(stopped) => return Status::unavailable(stopped.to_string()),
        Error::Refused(refusal) => refusal,
    };
    let code = match &refusal {
        Refusal::AlreadyOpen => Code::AlreadyExists,
        Refusal::NotOpen | Refusal::OtherKind(_) | Refusal::WrongKind(_) => {
            Code::FailedPrecondition
        }
        Refusal::TooManyChannels | Refusal::Full => Code::ResourceExhausted,
        Refusal::CounterTooHigh => Code::Unavailable,
        Refusal::TooLarge(_)
        | Refusal::BadKey(_)
        | Refusal::BadTransaction
        | Refusal::BadInterval(_)
        | Refusal::Malformed(_) => Code::InvalidArgument,
        Refusal::Undelivered(failure) => match failure {
            DeliveryFailure::UnknownPeer => Code::NotFound,
            DeliveryFailure::PeerDown
            | DeliveryFailure::NoRoute
            | DeliveryFailure::NoSuchChannel => Code::FailedPrecondition,
            DeliveryFailure::RelayLost => Code::Aborted,
            DeliveryFailure::Busy => Code::ResourceExhausted,
            DeliveryFailure::TimedOut => Code::DeadlineExceeded,
        },
    };
    Status::new(code, refusal.to_string())
}

fn event(event: channel_event::Event) -> proto::ChannelEvent {
    proto::ChannelEvent { event: Some(event) }
}

pub(super) fn subscribed(node: &str) -> proto::ChannelEvent {
    let node = node.to_owned();
    event(channel_event::Event::Subscribed(proto::Subscribed { node }))
}

fn broadcast_event(update: &Update) -> proto::ChannelEvent {
    event(channel_event::Event::Broadcast(proto::Heard {
        id: Some((&update.id).into()),
        payload: update.payload.to_vec(),
        retained: true,
    }))
}

fn changed(
    key: &Arc<str>,
    value: Option<&Arc<[u8]>>,
    version: &Version,
    retained: bool,
) -> proto::ChannelEvent {
    event(channel_event::Event::Changed(proto::Changed {
        key: key.as_ref().to_owned(),
        value: value.map(|value| value.to_vec()),
        version: Some(version.into()),
        retained,
    }))
}

/// Retained data that has not been sent to the subscriber yet.
#[derive(Debug)]
pub(super) enum History {
    Messages(VecDeque<Arc<Update>>),
    Values(VecDeque<(Arc<str>, phalanx_core::channel::MapEntry)>),
}

impl History {
    pub(super) const fn nothing() -> Self {
        Self::Messages(VecDeque::new())
    }
}

impl From<Retained> for History {
    fn from(retained: Retained) -> Self {
        match retained {
            Retained::Messages(updates) => Self::Messages(updates.into()),
            Retained::Values(values) => Self::Values(values.into()),
            // The application holds its state itself.
            Retained::State(_) => Self::nothing(),
        }
    }
}

impl Iterator for History {
    type Item = proto::ChannelEvent;

    fn next(&mut self) -> Option<proto::ChannelEvent> {
        match self {
            Self::Messages(updates) => updates.pop_front().map(|update| broadcast_event(&update)),
            Self::Values(values) => {
                let (key, held) = values.pop_front()?;
                Some(changed(&key, held.value.as_ref(), &held.version, true))
            }
        }
    }
}

pub(super) fn received(received: Received) -> proto::ChannelEvent {
    let delivery = match received {
        Received::Lagged { missed } => {
            return event(channel_event::Event::Lagged(proto::Lagged { missed }));
        }
        Received::Delivery(delivery) => delivery,
    };
    match delivery {
        Delivery::Message {
            from,
            payload,
            datagram,
        } => event(channel_event::Event::Message(proto::Received {
            from: from.to_string(),
            payload: payload.to_vec(),
            datagram,
        })),
        Delivery::Broadcast { id, payload } => {
            event(channel_event::Event::Broadcast(proto::Heard {
                id: Some((&id).into()),
                payload: payload.to_vec(),
                retained: false,
            }))
        }
        Delivery::Missed {
            origin,
            epoch,
            first,
            last,
            restarted,
        } => event(channel_event::Event::Missed(proto::Missed {
            origin: origin.to_string(),
            epoch,
            first,
            last,
            restarted,
        })),
        Delivery::Changed {
            key,
            value,
            version,
        } => changed(&key, value.as_ref(), &version, false),
        Delivery::Conflict { key, lost, won } => {
            event(channel_event::Event::Conflict(proto::Conflict {
                key: key.as_ref().to_owned(),
                lost: Some((&lost).into()),
                won: Some((&won).into()),
            }))
        }
    }
}
