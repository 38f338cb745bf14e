//! Messages between the overlays at the two ends of a link.
//!
//! Bounds: [`CONTROL_BYTES_MAX`] for a control message, [`WINDOW`] control messages that the receiver has not consumed,
//! [`REASON_BYTES_MAX`] for the reason of a failure.

use super::offer::Offer;
use crate::identity::only_shows;
use std::sync::Arc;

/// Maximum length of one control message, in bytes.
pub const CONTROL_BYTES_MAX: usize = 8 * 1024;
/// Maximum number of control messages of one data path that the receiver has not consumed.
pub const WINDOW: u32 = 32;
/// Maximum length of the reason of a failure, in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// One message of an overlay, or of the node on the overlay's behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The sender's overlay, sent with the handshake of the link.
    Offer(Offer),
    /// The sender's data path is prepared.
    Ready,
    /// A message for the receiver's data path.
    Control(Control),
    /// The sender consumed this many more control messages.
    Credit(u32),
    /// The sender's data path works.
    Established,
    /// The sender's data path ended; holds the reason.
    Failed(String),
}

/// A message from one data path to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The kind of the message, in the overlay's own terms.
    pub kind: u8,
    /// The content of the message.
    pub payload: Arc<[u8]>,
}

/// Cuts a reason to [`REASON_BYTES_MAX`] and replaces control characters by spaces.
pub(super) fn reason(text: &str) -> String {
    let mut reason = String::new();
    for character in text.chars() {
        if reason.len() + character.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        reason.push(if only_shows(character) {
            character
        } else {
            ' '
        });
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters_and_loses_its_control_characters() {
        let reason = reason(&"ä\n".repeat(200));
        assert_eq!(reason.len(), REASON_BYTES_MAX - 1);
        assert!(reason.starts_with("ä ä "), "{reason:?}");
    }
}
