//! The names that a small system needs: `use phalanx_sim::prelude::*;`.
//!
//! A definition in the importing file takes precedence over a name of this list.

pub use crate::adapter::Adapter;
pub use crate::address::{PORT, address};
pub use crate::disk::DiskChange;
pub use crate::invariant::{Invariant, InvariantResult, Report, Seen};
pub use crate::scenario::{Scenario, Vocabulary, Words};
pub use crate::world::{
    Cast, Definition, Effects, Message, Process, ProcessEvent, ProcessView, Program, ReportedEvent,
    Scene, Start, Ticket,
};
pub use core::net::SocketAddr;
pub use core::time::Duration;
pub use phalanx_core::identity::NodeId;
pub use phalanx_core::machine::{Machine, Outbox, Wake};
pub use phalanx_core::random::Random;
pub use phalanx_core::time::Instant;
pub use serde_json::{Value, json};
