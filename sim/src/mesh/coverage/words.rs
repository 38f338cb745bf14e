//! The words of reasons, kinds and parts.

use super::table::{Detail, details};
use phalanx_core::channel::message::Purpose;
use phalanx_core::channel::{self, DeliveryFailure, Kind};
use phalanx_core::gossip::message::{Goodbye, RefusalReason, Sync};
use phalanx_core::gossip::{self, LinkEnd, Phase};
use phalanx_core::link::{CloseReason, DialError, LocalClose, ResolutionError};
use phalanx_core::topology::record::ContentError;

details!(DialError {
    Self::Refused => "refused",
    Self::TimedOut => "timed-out",
    Self::Unreachable => "unreachable",
    Self::Untrusted(_) => "untrusted",
    Self::Protocol(_) => "protocol",
});

details!(ResolutionError {
    Self::TimedOut => "timed-out",
    Self::Failed(_) => "failed",
});

details!(CloseReason {
    Self::Farewell => "farewell",
    Self::Fin => "fin",
    Self::Reset => "reset",
    Self::TimedOut => "timed-out",
    Self::Local(LocalClose::Malformed) => "malformed",
    Self::Local(LocalClose::Overflow) => "overflow",
    Self::Local(LocalClose::Expired) => "expired",
    Self::Local(LocalClose::Untrusted) => "untrusted",
    Self::Local(LocalClose::Revoked) => "revoked",
    Self::Local(LocalClose::GivenUp) => "given-up",
});

details!(LinkEnd {
    Self::Unneeded => "unneeded",
    Self::Superseded => "superseded",
    Self::PeerClosed => "peer-closed",
    Self::PeerLeft => "peer-left",
    Self::Lost => "lost",
    Self::Silent => "silent",
    Self::Protocol => "protocol",
    Self::Expired => "expired",
    Self::Untrusted => "untrusted",
    Self::Revoked => "revoked",
    Self::Leaving => "leaving",
});

details!(Phase {
    Self::Joining => "joining",
    Self::Running => "running",
    Self::Isolated => "isolated",
    Self::Leaving => "leaving",
    Self::Left => "left",
    Self::NameTaken => "name-taken",
});

details!(RefusalReason {
    Self::Busy => "busy",
    Self::Full => "full",
    Self::Superseded => "superseded",
    Self::Myself => "myself",
    Self::WrongMesh => "wrong-mesh",
    Self::Version => "version",
    Self::NameTaken => "name-taken",
    Self::Leaving => "leaving",
});

details!(Goodbye {
    Self::Unneeded => "unneeded",
    Self::Leaving => "leaving",
    Self::Superseded => "superseded",
    Self::NameTaken => "name-taken",
    Self::Protocol => "protocol",
});

details!(Sync {
    Self::Sketch(_) => "sketch",
    Self::Larger(_) => "larger",
    Self::Want(_) => "want",
    Self::Push { .. } => "push",
    Self::Snapshot { .. } => "snapshot",
});

details!(gossip::Rejection {
    Self::BeforeHello => "before-hello",
    Self::SecondHello => "second-hello",
    Self::WrongRecord => "wrong-record",
    Self::VersionNotOffered => "version-not-offered",
    Self::CounterTooHigh => "counter-too-high",
    Self::TooMany => "too-many",
    Self::ForgedReport => "forged-report",
});

details!(ContentError {
    Self::Service(_) => "service",
    Self::Character { .. } => "character",
    Self::TooManyServices => "too-many-services",
    Self::TooMuchMetadata => "too-much-metadata",
    Self::TooLarge => "too-large",
});

details!(channel::Rejection {
    Self::ForgedOrigin => "forged-origin",
    Self::OtherKind => "other-kind",
    Self::TooMany => "too-many",
    Self::BrokenPayload => "broken-payload",
    Self::WindowExceeded => "window-exceeded",
    Self::TooSlow => "too-slow",
    Self::CounterTooHigh => "counter-too-high",
    Self::Malformed => "malformed",
});

details!(Kind {
    Self::Messages => "messages",
    Self::Map => "map",
    Self::Custom => "custom",
});

details!(Purpose {
    Self::Message => "message",
    Self::Datagram => "datagram",
    Self::State => "state",
    Self::Delivered => "delivered",
    Self::Failed(_) => "failed",
});

details!(DeliveryFailure {
    Self::UnknownPeer => "unknown-peer",
    Self::PeerDown => "peer-down",
    Self::NoRoute => "no-route",
    Self::RelayLost => "relay-lost",
    Self::NoSuchChannel => "no-such-channel",
    Self::Busy => "busy",
    Self::TimedOut => "timed-out",
});
