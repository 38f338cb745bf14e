//! Data paths of an embedder's own between linked nodes, set up over their authenticated links.
//!
//! Start with [`DataPathProvider`] and [`DataPath`], which the embedder implements, and [`OverlayLink`], which it receives. An
//! overlay is part of the [`Settings`](crate::transport::Settings) of a node; the example `tunnel` is an overlay over
//! UDP. The node sends its neighbours the overlay's [`Offer`] in the handshake, has the overlay prepare a data path on
//! each link whose other end has an overlay of the same name, carries control messages between the two ends, and shows
//! the state of the data paths. The traffic of a data path is the overlay's own and does not pass through the mesh.
//!
//! ```text
//! this end                          the other end
//! Hello + offer  -----------------> Welcome + offer         link up: prepare is called, on both ends
//! ready          <----------------> ready                   both prepared: confirm is called
//! control ...    <----------------> control ...             DataPath::control, in order
//! established    <----------------> established             both say that it works: established
//! ```
//!
//! A link that replaces another one (after a renewed certificate, a simultaneous dial or a stalled connection) has a data
//! path of its own, with a new key: the old data path is stopped before the new one is prepared. A data path that fails
//! stays failed until its link is replaced; the link stays, unless the overlay gives it up.
//!
//! Which link carries a data path, its set-up and its flow control are decided by the machine in
//! [`core::data_path`](phalanx_core::data_path); this module makes the calls into the overlay and carries signals.
//!
//! Bounds: [`offer`](Offer), [`CONTROL_BYTES_MAX`], [`WINDOW`], [`REASON_BYTES_MAX`], [`ATTRIBUTES_MAX`]. A peer that
//! breaks the protocol is named in an event, and its link is closed. A node without an overlay sends no signals and
//! ignores offers.

mod key;
mod link;
mod path_driver;
mod path_task;

pub(crate) use key::{Keys, LinkConnection};
pub(crate) use path_driver::{PathDriver, SharedPath};

pub use key::{ConnectionId, SessionKey};
pub use link::{End, OverlayLink};
pub use phalanx_core::data_path::{
    CONTROL_BYTES_MAX, Control, FEATURE_BYTES_MAX, FEATURES_MAX, Offer, OfferError, PathState,
    REASON_BYTES_MAX, SendError, Signal, Violation, WINDOW,
};

use bytes::Bytes;
use phalanx_core::identity::{NODE_ID_BYTES_MAX, NodeId, only_shows};
use phalanx_core::link::LinkId;
use std::collections::BTreeMap;

/// Maximum number of attributes of a data path, or of diagnostics of an overlay, that are shown.
pub const ATTRIBUTES_MAX: usize = 32;
/// Maximum length of one attribute or diagnostic, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// A provider of data paths.
///
/// The node calls the methods of an overlay and of its data paths on its own tasks, so they must return soon and spawn
/// long work. A panic ends the data path and not the link.
pub trait DataPathProvider: Send + Sync + 'static {
    /// The overlay's name and features, sent to every neighbour. Called once, when the node starts.
    fn offer(&self) -> Offer;

    /// Prepares a data path on a link whose other end offered an overlay of the same name. The data path stays passive
    /// until [`DataPath::confirm`]; control messages may be sent on the [`OverlayLink`] before that.
    ///
    /// # Errors
    /// The reason why there is no data path, for instance because the other end lacks a feature. The other end is sent the reason;
    /// the link stays.
    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared>;

    /// Facts about the overlay for people, shown in the status.
    fn diagnostics(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// One link's data path, at this end.
pub trait DataPath: Send + Sync + 'static {
    /// Both ends are prepared, so the data path may begin. Called once, before any control message.
    fn confirm(&self);

    /// A control message of the other end. Messages come in the order in which they were sent, and the next one when this
    /// call has returned; the other end may send at most [`WINDOW`] messages ahead.
    fn control(&self, kind: u8, payload: Bytes);

    /// Facts about the data path for people, shown in the status. May be called while another call runs, and after
    /// [`stop`](Self::stop).
    fn attributes(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The data path ended: it failed at either end, or its link closed. Called once, and the last call but for
    /// [`attributes`](Self::attributes).
    fn stop(&self);
}

/// The reason why an overlay prepared no data path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unprepared(String);

impl Unprepared {
    /// An error with this reason, in words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<std::io::Error> for Unprepared {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// A node's overlay and its data paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayStatus {
    /// The offer that neighbours are sent.
    pub offer: Offer,
    /// The overlay's diagnostics.
    pub diagnostics: BTreeMap<String, String>,
    /// The data path of each link whose peer sent its handshake message, by link.
    pub paths: Vec<PathStatus>,
}

/// One link's data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// The link.
    pub link: LinkId,
    /// The neighbour.
    pub peer: NodeId,
    /// The id of the connection, equal at both ends.
    pub connection: ConnectionId,
    /// The state of the data path.
    pub state: PathState,
    /// The neighbour's offer.
    pub offer: Option<Offer>,
    /// The data path's attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Bounds facts for people in number and length, and removes control characters.
fn shown(facts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let cut = |text: &str, most| {
        let shows = text.chars().filter(|it| only_shows(*it));
        let mut bytes = 0;
        let fits = shows.take_while(|it| {
            bytes += it.len_utf8();
            bytes <= most
        });
        fits.collect::<String>()
    };
    let entries = facts.iter().take(ATTRIBUTES_MAX);
    entries
        .map(|(key, value)| (cut(key, NODE_ID_BYTES_MAX), cut(value, ATTRIBUTE_BYTES_MAX)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_for_people_are_bounded_and_lose_their_control_characters() {
        let many = (0..100).map(|at| (format!("{at:03}\x1b"), "ü".repeat(500)));
        let facts = shown(many.collect());
        assert_eq!(facts.len(), ATTRIBUTES_MAX);
        assert_eq!(facts["000"].len(), ATTRIBUTE_BYTES_MAX);
    }
}
