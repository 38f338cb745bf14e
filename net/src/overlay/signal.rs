//! What the overlays at both ends of a link say to each other.
//!
//! Bounds: [`CONTROL_BYTES_MAX`] a control message, [`WINDOW`] of them that the other end has not taken;
//! [`REASON_BYTES_MAX`] of a reason.

use super::Offer;
use bytes::Bytes;
use phalanx_core::identity::only_shows;

/// The most bytes of one control message.
pub const CONTROL_BYTES_MAX: usize = 8 * 1024;
/// The most control messages of one data path that are on the way and not taken by the other end.
pub const WINDOW: u32 = 32;
/// The most bytes of the reason of a failure.
pub const REASON_BYTES_MAX: usize = 256;

/// One thing that an overlay says, or the node for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Which overlay the sender has; beside the greeting.
    Offer(Offer),
    /// The sender's data path is prepared.
    Ready,
    /// For the other data path.
    Control(Control),
    /// So many more control messages were taken.
    Taken(u32),
    /// The sender's data path works.
    Established,
    /// The sender's data path is over.
    Failed(String),
}

/// A message from one data path to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// What kind of message, in the overlay's own terms.
    pub kind: u8,
    /// What it says.
    pub payload: Bytes,
}

/// A reason as it may be said: cut, and without characters that command a terminal.
pub(super) fn reason(text: &str) -> String {
    let mut said = String::new();
    for character in text.chars() {
        if said.len() + character.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        said.push(if only_shows(character) {
            character
        } else {
            ' '
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters_and_only_shows() {
        let said = reason(&"ä\n".repeat(200));
        assert_eq!(said.len(), REASON_BYTES_MAX - 1);
        assert!(said.starts_with("ä ä "), "{said:?}");
    }
}
