//! The last message on a link.

use super::error::{FieldFault, WireError};
use super::field::Parsed;
use super::proto::{self, goodbye};
use phalanx_core::gossip::message::Goodbye;

pub(super) fn parse(wire: proto::Goodbye) -> Parsed<Goodbye> {
    let unknown = || WireError::new("reason", FieldFault::UnknownNumber(wire.reason));
    Ok(
        match goodbye::Reason::try_from(wire.reason).map_err(|_| unknown())? {
            goodbye::Reason::Unspecified => return Err(unknown()),
            goodbye::Reason::Surplus => Goodbye::Unneeded,
            goodbye::Reason::Leaving => Goodbye::Leaving,
            goodbye::Reason::Superseded => Goodbye::Superseded,
            goodbye::Reason::NameTaken => Goodbye::NameTaken,
            goodbye::Reason::Protocol => Goodbye::Protocol,
        },
    )
}

impl From<Goodbye> for proto::Goodbye {
    fn from(goodbye: Goodbye) -> Self {
        let reason = match goodbye {
            Goodbye::Unneeded => goodbye::Reason::Surplus,
            Goodbye::Leaving => goodbye::Reason::Leaving,
            Goodbye::Superseded => goodbye::Reason::Superseded,
            Goodbye::NameTaken => goodbye::Reason::NameTaken,
            Goodbye::Protocol => goodbye::Reason::Protocol,
        };
        Self {
            reason: reason.into(),
        }
    }
}

/// Any goodbye.
#[cfg(test)]
pub(super) mod arbitrary {
    use phalanx_core::gossip::message::Goodbye;
    use proptest::prelude::*;

    pub(crate) fn goodbye() -> impl Strategy<Value = Goodbye> {
        prop::sample::select(vec![
            Goodbye::Unneeded,
            Goodbye::Leaving,
            Goodbye::Superseded,
            Goodbye::NameTaken,
            Goodbye::Protocol,
        ])
    }
}
