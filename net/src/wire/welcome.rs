//! The acceptor's answer that establishes a link.

use super::field::Parsed;
use super::{proto, record};
use phalanx_core::gossip::message::Welcome;

pub(super) fn parse(wire: proto::Welcome) -> Parsed<Welcome> {
    Ok(Welcome {
        version: wire.version,
        session: wire.session,
        hash: wire.hash,
        record: record::own(wire.record)?,
    })
}

impl From<&Welcome> for proto::Welcome {
    fn from(welcome: &Welcome) -> Self {
        Self {
            version: welcome.version,
            session: welcome.session,
            hash: welcome.hash,
            record: Some(welcome.record.as_ref().into()),
        }
    }
}

/// Any welcome.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{hash, number};
    use crate::wire::record::arbitrary::record;
    use phalanx_core::gossip::message::Welcome;
    use proptest::prelude::*;

    pub(crate) fn welcome() -> impl Strategy<Value = Welcome> {
        (number(), number(), hash(), record()).prop_map(|(version, session, hash, record)| {
            Welcome {
                version,
                session,
                hash,
                record,
            }
        })
    }
}
