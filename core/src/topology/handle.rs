//! Numbers of members: small integers that stand for ids within one view.

/// A member's place in one view; another view numbers otherwise.
pub(crate) type Handle = u32;

/// A member's number in three bytes: a view of ten thousand holds each four times, and a simulation ten thousand views.
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
