//! The dialer's first message.

use super::error::{FieldFault, WireError};
use super::field::Parsed;
use super::{proto, record};
use phalanx_core::gossip::message::Hello;
use phalanx_core::identity::check_name;

pub(super) fn parse(wire: proto::Hello) -> Parsed<Hello> {
    check_name(&wire.mesh).map_err(|error| WireError::new("mesh", FieldFault::Name(error)))?;
    Ok(Hello {
        mesh: wire.mesh,
        version_min: wire.version_min,
        version_max: wire.version_max,
        session: wire.session,
        joining: wire.joining,
        alone: wire.alone,
        hash: wire.hash,
        record: record::own(wire.record)?,
        revocations: wire.revocations,
    })
}

impl From<&Hello> for proto::Hello {
    fn from(hello: &Hello) -> Self {
        Self {
            mesh: hello.mesh.clone(),
            version_min: hello.version_min,
            version_max: hello.version_max,
            session: hello.session,
            joining: hello.joining,
            alone: hello.alone,
            hash: hello.hash,
            record: Some(hello.record.as_ref().into()),
            revocations: hello.revocations,
        }
    }
}

/// Any hello.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{hash, id, number};
    use crate::wire::record::arbitrary::record;
    use phalanx_core::gossip::message::Hello;
    use proptest::prelude::*;

    pub(crate) fn hello() -> impl Strategy<Value = Hello> {
        let versions = (number(), number());
        let flags = (any::<bool>(), any::<bool>());
        let hashes = (hash(), hash());
        (id(), versions, number(), flags, hashes, record()).prop_map(
            |(
                mesh,
                (version_min, version_max),
                session,
                (joining, alone),
                (hash, revocations),
                record,
            )| {
                Hello {
                    mesh: mesh.as_str().to_owned(),
                    version_min,
                    version_max,
                    session,
                    joining,
                    alone,
                    hash,
                    record,
                    revocations,
                }
            },
        )
    }
}
