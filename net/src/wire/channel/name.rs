//! Names, kinds and versions of channels and their updates.

use crate::wire::error::{FieldFault, WireError};
use crate::wire::field::{Parsed, id};
use crate::wire::proto;
use phalanx_core::channel::{ChannelName, Kind, UpdateId, Version};

/// Parses a channel's name.
///
/// # Errors
/// If the text is not a valid name.
pub fn channel(path: &str, text: &str) -> Result<ChannelName, WireError> {
    ChannelName::new(text).map_err(|error| WireError::new(path, FieldFault::Name(error)))
}

/// Parses a kind of channel.
///
/// # Errors
/// If no kind has this number.
pub fn kind(path: &str, number: i32) -> Result<Kind, WireError> {
    let unknown = || WireError::new(path, FieldFault::UnknownNumber(number));
    Ok(
        match proto::ChannelKind::try_from(number).map_err(|_| unknown())? {
            proto::ChannelKind::Unspecified => return Err(unknown()),
            proto::ChannelKind::Messages => Kind::Messages,
            proto::ChannelKind::Map => Kind::Map,
            proto::ChannelKind::Custom => Kind::Custom,
        },
    )
}

/// Parses a version.
///
/// # Errors
/// The first field that is out of bounds.
pub fn version(wire: &proto::Version) -> Result<Version, WireError> {
    Ok(Version {
        clock: wire.clock,
        origin: id("origin", &wire.origin)?,
        epoch: wire.epoch,
        sequence: wire.sequence,
    })
}

pub(super) fn update_id(wire: &proto::BroadcastId) -> Parsed<UpdateId> {
    Ok(UpdateId {
        channel: channel("channel", &wire.channel)?,
        origin: id("origin", &wire.origin)?,
        epoch: wire.epoch,
        sequence: wire.sequence,
    })
}

impl From<Kind> for proto::ChannelKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Messages => Self::Messages,
            Kind::Map => Self::Map,
            Kind::Custom => Self::Custom,
        }
    }
}

impl From<&Version> for proto::Version {
    fn from(version: &Version) -> Self {
        Self {
            clock: version.clock,
            origin: version.origin.as_str().to_owned(),
            epoch: version.epoch,
            sequence: version.sequence,
        }
    }
}

impl From<&UpdateId> for proto::BroadcastId {
    fn from(id: &UpdateId) -> Self {
        Self {
            channel: id.channel.as_str().to_owned(),
            origin: id.origin.as_str().to_owned(),
            epoch: id.epoch,
            sequence: id.sequence,
        }
    }
}

/// Any name, kind and version.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{counter, hash, id};
    use phalanx_core::channel::{ChannelName, Kind, UpdateId, Version};
    use proptest::prelude::*;

    pub(crate) fn name() -> impl Strategy<Value = ChannelName> {
        id().prop_map(|id| ChannelName::new(id.as_str()).unwrap())
    }

    pub(crate) fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![Kind::Messages, Kind::Map, Kind::Custom])
    }

    pub(crate) fn update_id() -> impl Strategy<Value = UpdateId> {
        (name(), id(), hash(), counter()).prop_map(|(channel, origin, epoch, sequence)| UpdateId {
            channel,
            origin,
            epoch,
            sequence,
        })
    }

    pub(crate) fn version() -> impl Strategy<Value = Version> {
        (counter(), id(), hash(), counter()).prop_map(|(clock, origin, epoch, sequence)| Version {
            clock,
            origin,
            epoch,
            sequence,
        })
    }
}
