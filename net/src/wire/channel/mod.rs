//! Messages about channels.
//!
//! - `data`: the message, a list of items.
//! - `broadcast`: an update of a channel for all members.
//! - `parcel`: a message to one member.
//! - `reconciliation`: digests, sketches and requests of anti-entropy.
//! - `name`: the names, kinds and versions in these messages.

pub(super) mod broadcast;
pub(super) mod data;
pub(super) mod name;
pub(super) mod packet;
pub(super) mod reconciliation;
