//! Messages about revoked certificates, and single revocations.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, all, at_most, each, id, required};
use super::proto::{self, revocation_message};
use phalanx_core::revocation::{
    DIGESTS_MAX, Fingerprint, Message, REVOCATION_BYTES_MAX, Revocation, RevocationContent,
    RevocationSignature, RevocationTarget, WANTED_MAX,
};
use phalanx_core::size::Encoded as _;
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use std::sync::Arc;

pub(super) fn parse(wire: proto::RevocationMessage) -> Parsed<Message> {
    use revocation_message::Message as Wire;
    Ok(match required("message", wire.message)? {
        Wire::Digest(hash) => Message::Digest(hash),
        Wire::Have(proto::RevocationsHeld { digests, last }) => {
            at_most("have.digests", digests.len(), DIGESTS_MAX, "digests")?;
            Message::Have { digests, last }
        }
        Wire::Want(proto::RevocationsWanted { digests }) => {
            at_most("want.digests", digests.len(), WANTED_MAX, "digests")?;
            Message::Want(digests)
        }
        Wire::Entries(proto::RevocationEntries { revocations, last }) => {
            let parsed = each("revocations", revocations, revocation);
            let parsed = parsed.map_err(|error| error.inside("entries"))?;
            let revocations = parsed.into_iter().map(Arc::new).collect();
            Message::Entries { revocations, last }
        }
        Wire::Done(proto::RevocationsDone {}) => Message::Done,
    })
}

/// Parses a revocation.
///
/// # Errors
/// If a field is missing or out of bounds.
pub fn revocation(wire: proto::Revocation) -> Result<Revocation, WireError> {
    let target = if wire.fingerprint.is_empty() {
        let role = match (wire.admin, wire.service) {
            (false, false) => CertificateRole::Node,
            (true, false) => CertificateRole::Admin,
            (false, true) => CertificateRole::Service,
            (true, true) => return Err(WireError::new("service", FieldFault::BesideAdmin)),
        };
        RevocationTarget::Holder(role, id("id", &wire.id)?)
    } else {
        let length = wire.fingerprint.len();
        let fingerprint = wire.fingerprint.try_into().map_err(|_| {
            let (found, expected) = (length, 32);
            WireError::new("fingerprint", FieldFault::BytesLength { found, expected })
        })?;
        if wire.admin || wire.service || !wire.id.is_empty() || wire.begun_before != 0 {
            return Err(WireError::new("id", FieldFault::BesideFingerprint));
        }
        RevocationTarget::Certificate(Fingerprint(fingerprint))
    };
    let scheme = u16::try_from(wire.scheme)
        .map_err(|_| WireError::new("scheme", FieldFault::TooHigh(wire.scheme, u16::MAX.into())))?;
    let parsed = Revocation {
        content: RevocationContent {
            target,
            begun_before: Wall(wire.begun_before),
            ends: Wall(wire.ends),
            signed: Wall(wire.signed),
        },
        signature: RevocationSignature {
            scheme,
            bytes: wire.signature,
            chain: wire.chain.into(),
        },
    };
    at_most(
        "revocation",
        parsed.encoded_len(),
        REVOCATION_BYTES_MAX,
        "bytes",
    )?;
    Ok(parsed)
}

impl From<&Revocation> for proto::Revocation {
    fn from(revocation: &Revocation) -> Self {
        let Revocation { content, signature } = revocation;
        let (fingerprint, role, id) = match &content.target {
            RevocationTarget::Certificate(fingerprint) => {
                (fingerprint.0.to_vec(), None, String::new())
            }
            RevocationTarget::Holder(role, id) => (Vec::new(), Some(*role), id.as_str().to_owned()),
        };
        Self {
            fingerprint,
            admin: role == Some(CertificateRole::Admin),
            service: role == Some(CertificateRole::Service),
            id,
            begun_before: content.begun_before.0,
            ends: content.ends.0,
            signed: content.signed.0,
            scheme: signature.scheme.into(),
            signature: signature.bytes.clone(),
            chain: signature.chain.to_vec(),
        }
    }
}

impl From<&Arc<Revocation>> for proto::Revocation {
    fn from(revocation: &Arc<Revocation>) -> Self {
        revocation.as_ref().into()
    }
}

impl From<&Message> for proto::RevocationMessage {
    fn from(message: &Message) -> Self {
        use revocation_message::Message as Wire;
        let message = match message {
            Message::Digest(hash) => Wire::Digest(*hash),
            Message::Have { digests, last } => Wire::Have(proto::RevocationsHeld {
                digests: digests.clone(),
                last: *last,
            }),
            Message::Want(digests) => Wire::Want(proto::RevocationsWanted {
                digests: digests.clone(),
            }),
            Message::Entries { revocations, last } => Wire::Entries(proto::RevocationEntries {
                revocations: all(revocations),
                last: *last,
            }),
            Message::Done => Wire::Done(proto::RevocationsDone {}),
        };
        Self {
            message: Some(message),
        }
    }
}

/// Any message about revocations.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::{counter, hash, id};
    use phalanx_core::revocation::{
        Fingerprint, Message, Revocation, RevocationContent, RevocationSignature, RevocationTarget,
    };
    use phalanx_core::subject::CertificateRole;
    use phalanx_core::time::Wall;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    pub(crate) fn revocation() -> impl Strategy<Value = Revocation> {
        let role = prop_oneof![
            Just(CertificateRole::Node),
            Just(CertificateRole::Admin),
            Just(CertificateRole::Service),
        ];
        let target = prop_oneof![
            any::<[u8; 32]>()
                .prop_map(|it| (RevocationTarget::Certificate(Fingerprint(it)), Wall(0))),
            (role, id(), counter())
                .prop_map(|(role, id, before)| (RevocationTarget::Holder(role, id), Wall(before))),
        ];
        let signature = (
            any::<u16>(),
            vec(any::<u8>(), 0..80),
            vec(vec(any::<u8>(), 0..40), 0..3),
        );
        (target, counter(), counter(), signature).prop_map(
            |((target, begun_before), ends, signed, (scheme, bytes, chain))| Revocation {
                content: RevocationContent {
                    target,
                    begun_before,
                    ends: Wall(ends),
                    signed: Wall(signed),
                },
                signature: RevocationSignature {
                    scheme,
                    bytes,
                    chain: chain.into(),
                },
            },
        )
    }

    pub(crate) fn about_revocations() -> impl Strategy<Value = Message> {
        let digests = || vec(hash(), 0..20);
        let entries = (vec(revocation().prop_map(Arc::new), 0..5), any::<bool>());
        prop_oneof![
            hash().prop_map(Message::Digest),
            (digests(), any::<bool>()).prop_map(|(digests, last)| Message::Have { digests, last }),
            digests().prop_map(Message::Want),
            entries.prop_map(|(revocations, last)| Message::Entries { revocations, last }),
            Just(Message::Done),
        ]
    }
}
