//! Properties of the codec: round trips, sizes, and the handling of malformed bytes.

mod bounds;
mod data_path;
mod whole_view;

use super::packet::arbitrary::message;
use super::{decode, encode};
use phalanx_core::size::Encoded as _;
use phalanx_core::size::FRAME_BYTES_MAX;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_message_survives_the_wire(message in message()) {
        let bytes = encode(&message);
        prop_assume!(bytes.len() <= FRAME_BYTES_MAX);
        prop_assert_eq!(decode(&bytes), Ok(message));
    }

    #[test]
    fn core_knows_the_encoded_size_of_every_message(message in message()) {
        prop_assert_eq!(message.encoded_len(), encode(&message).len());
    }

    #[test]
    fn a_truncated_message_is_an_error(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&message);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn random_bytes_are_an_error_or_a_message_that_survives(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn a_damaged_message_is_an_error_or_a_message_that_survives(
        message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }
}
