//! The applications of this node that have a channel open, and the number of messages that each accepts.
//!
//! Each channel has at most one application. The application sets its receive window: the maximum number of messages
//! that are handed over and not yet consumed. Above the window, or above [`ROOM_BYTES`], messages are refused as
//! [`DeliveryFailure::Busy`], and their senders retry.

use super::interface::ROOM_BYTES;
use super::message::{ChannelName, DeliveryFailure};
use std::collections::BTreeMap;

/// The receive window of one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReceiveWindow {
    messages_max: u32,
    /// Messages that are handed over and not yet consumed.
    messages: u32,
    bytes: usize,
}

/// The open channels of this node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Applications {
    opened: BTreeMap<ChannelName, ReceiveWindow>,
}

impl Applications {
    /// Whether an application has the channel open.
    pub(super) fn has_open(&self, channel: &ChannelName) -> bool {
        self.opened.contains_key(channel)
    }

    /// An application opens a channel, with a receive window of `messages_max` messages.
    pub(super) fn open(&mut self, channel: &ChannelName, messages_max: u32) {
        let window = ReceiveWindow {
            messages_max,
            messages: 0,
            bytes: 0,
        };
        self.opened.insert(channel.clone(), window);
    }

    /// The application closes its channel.
    pub(super) fn close(&mut self, channel: &ChannelName) {
        self.opened.remove(channel);
    }

    /// Reserves room for a message of `bytes` bytes.
    ///
    /// # Errors
    /// Returns [`DeliveryFailure::NoSuchChannel`] if no application accepts messages on the channel, and
    /// [`DeliveryFailure::Busy`] if the application's window is full. The state is then unchanged.
    pub(super) fn accept(
        &mut self,
        channel: &ChannelName,
        bytes: usize,
    ) -> Result<(), DeliveryFailure> {
        let window = self
            .opened
            .get_mut(channel)
            .filter(|window| window.messages_max > 0)
            .ok_or(DeliveryFailure::NoSuchChannel)?;
        let bytes = window.bytes + bytes;
        if window.messages >= window.messages_max || bytes > ROOM_BYTES {
            return Err(DeliveryFailure::Busy);
        }
        window.messages += 1;
        window.bytes = bytes;
        Ok(())
    }

    /// The application consumed messages.
    pub(super) fn note_consumed(&mut self, channel: &ChannelName, messages: u32, bytes: usize) {
        if let Some(window) = self.opened.get_mut(channel) {
            window.messages = window.messages.saturating_sub(messages);
            window.bytes = window.bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::channel;

    #[test]
    fn an_application_accepts_messages_until_its_window_is_full() {
        let (mut applications, chat) = (Applications::default(), channel("chat"));
        assert_eq!(
            applications.accept(&chat, 1),
            Err(DeliveryFailure::NoSuchChannel)
        );
        applications.open(&chat, 2);
        assert!(applications.has_open(&chat));
        assert_eq!(applications.accept(&chat, 1), Ok(()));
        assert_eq!(applications.accept(&chat, 1), Ok(()));
        assert_eq!(applications.accept(&chat, 1), Err(DeliveryFailure::Busy));
        applications.note_consumed(&chat, 1, 1);
        assert_eq!(applications.accept(&chat, 1), Ok(()));
    }

    #[test]
    fn the_bytes_of_a_window_are_bounded_and_a_refused_message_takes_none() {
        let (mut applications, chat) = (Applications::default(), channel("chat"));
        applications.open(&chat, u32::MAX);
        assert_eq!(applications.accept(&chat, ROOM_BYTES - 1), Ok(()));
        assert_eq!(applications.accept(&chat, 2), Err(DeliveryFailure::Busy));
        assert_eq!(applications.accept(&chat, 1), Ok(()));
    }

    #[test]
    fn an_application_without_a_window_accepts_no_messages() {
        let (mut applications, chat) = (Applications::default(), channel("chat"));
        applications.open(&chat, 0);
        assert_eq!(
            applications.accept(&chat, 0),
            Err(DeliveryFailure::NoSuchChannel)
        );
        applications.close(&chat);
        assert!(!applications.has_open(&chat));
        applications.note_consumed(&chat, 1, 1);
    }
}
