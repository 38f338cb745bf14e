//! The acceptor's answer that refuses a link.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, address, address_bytes, at_most};
use super::proto::refuse;
use super::{proto, record};
use phalanx_core::gossip::message::{REFERRALS_MAX, Refusal, RefusalReason};

pub(super) fn parse(wire: proto::Refuse) -> Parsed<Refusal> {
    at_most("others", wire.others.len(), REFERRALS_MAX, "addresses")?;
    let unknown = || WireError::new("reason", FieldFault::UnknownNumber(wire.reason));
    let reason = match refuse::Reason::try_from(wire.reason).map_err(|_| unknown())? {
        refuse::Reason::Unspecified => return Err(unknown()),
        refuse::Reason::Busy => RefusalReason::Busy,
        refuse::Reason::Full => RefusalReason::Full,
        refuse::Reason::Superseded => RefusalReason::Superseded,
        refuse::Reason::Myself => RefusalReason::Myself,
        refuse::Reason::WrongMesh => RefusalReason::WrongMesh,
        refuse::Reason::Version => RefusalReason::Version,
        refuse::Reason::NameTaken => RefusalReason::NameTaken,
        refuse::Reason::Leaving => RefusalReason::Leaving,
    };
    let others = wire
        .others
        .iter()
        .map(|bytes| address("others", bytes))
        .collect::<Parsed<_>>()?;
    let yours = wire
        .yours
        .map(record::shared)
        .transpose()
        .map_err(|error| error.inside("yours"))?;
    Ok(Refusal {
        reason,
        session: wire.session,
        versions: (wire.version_min, wire.version_max),
        others,
        yours,
        gone: wire.gone,
    })
}

impl From<RefusalReason> for refuse::Reason {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Busy => Self::Busy,
            RefusalReason::Full => Self::Full,
            RefusalReason::Superseded => Self::Superseded,
            RefusalReason::Myself => Self::Myself,
            RefusalReason::WrongMesh => Self::WrongMesh,
            RefusalReason::Version => Self::Version,
            RefusalReason::NameTaken => Self::NameTaken,
            RefusalReason::Leaving => Self::Leaving,
        }
    }
}

impl From<&Refusal> for proto::Refuse {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: refuse::Reason::from(refusal.reason).into(),
            session: refusal.session,
            version_min: refusal.versions.0,
            version_max: refusal.versions.1,
            others: refusal.others.iter().copied().map(address_bytes).collect(),
            yours: refusal.yours.as_deref().map(Into::into),
            gone: refusal.gone,
        }
    }
}

/// Any refusal.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::address;
    use crate::wire::record::arbitrary::record;
    use phalanx_core::gossip::message::{REFERRALS_MAX, Refusal, RefusalReason};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
        let reason = prop::sample::select(vec![
            RefusalReason::Busy,
            RefusalReason::Full,
            RefusalReason::Superseded,
            RefusalReason::Myself,
            RefusalReason::WrongMesh,
            RefusalReason::Version,
            RefusalReason::NameTaken,
            RefusalReason::Leaving,
        ]);
        let versions = (0_u32..300, 0_u32..300);
        let others = vec(address(), 0..=REFERRALS_MAX);
        (
            reason,
            0_u32..9,
            versions,
            others,
            option::of(record()),
            any::<bool>(),
        )
            .prop_map(|(reason, session, versions, others, yours, gone)| Refusal {
                reason,
                session,
                versions,
                others,
                yours,
                gone,
            })
    }
}
