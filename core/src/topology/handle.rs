//! Handles: small integers that stand for ids within one view.

/// A member's handle in one view; another view assigns other handles.
pub(crate) type Handle = u32;

/// A handle in three bytes. A view of ten thousand members holds each handle four times, and a simulation holds ten
/// thousand views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Packed([u8; 3]);

impl Packed {
    pub(super) const fn of(handle: Handle) -> Self {
        let [low, middle, high, highest] = handle.to_le_bytes();
        debug_assert!(highest == 0, "more numbers than there can be");
        Self([low, middle, high])
    }

    pub(super) const fn handle(self) -> Handle {
        let [low, middle, high] = self.0;
        Handle::from_le_bytes([low, middle, high, 0])
    }
}
