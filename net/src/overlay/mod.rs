//! A data path of your own between each two linked nodes, set up over their authenticated link.
//!
//! Start with [`Overlay`] and [`DataPath`], which you write, and [`OverlayLink`], which you are given. An overlay goes
//! into [`Settings`](crate::transport::Settings); the example `tunnel` is one over UDP. The node tells its neighbours
//! the overlay's [`Offer`] in the greeting, has it prepare a data path on each link whose other end has an overlay of the
//! same name, carries control messages between the two ends, and shows how far they are. What moves on a data path,
//! and how, is the overlay's affair: nothing of it passes the mesh.
//!
//! ```text
//! this end                          the other end
//! Hello + offer  -----------------> Welcome + offer         link up: prepare is called, on both ends
//! ready          <----------------> ready                   both prepared: confirm is called
//! control ...    <----------------> control ...             DataPath::control, in order
//! established    <----------------> established             both say that it works: established
//! ```
//!
//! A link that takes another's place (a renewed certificate, two dials at once, a connection that stalled) brings a
//! data path of its own, with a new key: the old one is stopped first, and only then is the new one prepared. A data
//! path that fails stays failed until its link is replaced; the link stays, unless the overlay asks for its end.
//!
//! Which link carries a data path, its set-up and its flow control are decided by the machine in
//! [`core::data_path`](phalanx_core::data_path); this module makes the calls into the overlay and carries signals.
//!
//! Bounds: [`offer`](Offer), [`CONTROL_BYTES_MAX`], [`WINDOW`], [`REASON_BYTES_MAX`], [`ATTRIBUTES_MAX`]. A peer that
//! breaks the protocol is named in an event, and its link is closed. A node without an overlay sends no signals and
//! ignores offers.

mod key;
mod link;
mod path_task;
mod paths;

pub(crate) use key::{Keys, Wire};
pub(crate) use paths::{Paths, Shared};

pub use key::{ConnectionId, SessionKey};
pub use link::{End, OverlayLink};
pub use phalanx_core::data_path::{
    CONTROL_BYTES_MAX, Control, FEATURE_BYTES_MAX, FEATURES_MAX, Offer, OfferError, PathState,
    REASON_BYTES_MAX, SendError, Signal, Violation, WINDOW,
};

use bytes::Bytes;
use phalanx_core::gossip::LinkId;
use phalanx_core::identity::{NODE_ID_BYTES_MAX, NodeId, only_shows};
use std::collections::BTreeMap;

/// The most attributes of a data path, or diagnostics of an overlay, that are shown.
pub const ATTRIBUTES_MAX: usize = 32;
/// The most bytes of one of them.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// What makes data paths.
///
/// Its methods, and those of its data paths, are called on the node's tasks and must return soon: what takes long is
/// spawned. A panic costs the data path, not the link.
pub trait Overlay: Send + Sync + 'static {
    /// Its name and features, told to every neighbour. Asked for once, when the node starts.
    fn offer(&self) -> Offer;

    /// Prepares a data path on a link whose other end offered an overlay of the same name. It stays passive until
    /// [`DataPath::confirm`]. What may be sent and asked of the link meanwhile is with [`OverlayLink`].
    ///
    /// # Errors
    /// Why there is none, for instance because the other end lacks a feature; the other end is told, the link stays.
    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared>;

    /// What people want to know of it, for the status.
    fn diagnostics(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// One link's data path, at this end.
pub trait DataPath: Send + Sync + 'static {
    /// Both ends are prepared: it may begin. Once, and before any control message.
    fn confirm(&self);

    /// A message of the other data path, in the order in which they were sent. The next one comes when this returns,
    /// and the other end may send only so many that were not taken.
    fn control(&self, kind: u8, payload: Bytes);

    /// What people want to know of it, for the status. Somebody may ask while another call runs, and still when it is over.
    fn attributes(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// It is over: because it failed here or at the other end, or because its link ended. Once, and the last call but for [`attributes`](Self::attributes).
    fn stop(&self);
}

/// Why an overlay prepared no data path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unprepared(String);

impl Unprepared {
    /// With this reason, in words.
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
    /// What it tells its neighbours.
    pub offer: Offer,
    /// What it tells people.
    pub diagnostics: BTreeMap<String, String>,
    /// One for each link on which both ends have greeted, by link.
    pub paths: Vec<PathStatus>,
}

/// One link's data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// The link.
    pub link: LinkId,
    /// The neighbour.
    pub peer: NodeId,
    /// The same at both ends.
    pub connection: ConnectionId,
    /// How far it is.
    pub state: PathState,
    /// What the neighbour offered.
    pub offer: Option<Offer>,
    /// What the data path tells people.
    pub attributes: BTreeMap<String, String>,
}

/// What people are shown: what is too much or too long is cut, and only what shows stays.
fn shown(told: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let cut = |text: &str, most| {
        let shows = text.chars().filter(|it| only_shows(*it));
        let mut bytes = 0;
        let fits = shows.take_while(|it| {
            bytes += it.len_utf8();
            bytes <= most
        });
        fits.collect::<String>()
    };
    let entries = told.iter().take(ATTRIBUTES_MAX);
    entries
        .map(|(key, value)| (cut(key, NODE_ID_BYTES_MAX), cut(value, ATTRIBUTE_BYTES_MAX)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_and_only_shows() {
        let many = (0..100).map(|at| (format!("{at:03}\x1b"), "ü".repeat(500)));
        let told = shown(many.collect());
        assert_eq!(told.len(), ATTRIBUTES_MAX);
        assert_eq!(told["000"].len(), ATTRIBUTE_BYTES_MAX);
    }
}
