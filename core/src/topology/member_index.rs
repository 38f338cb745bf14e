//! Member indices: small integers that stand for ids within one view.

/// A member's index in one view; another view assigns other indices.
pub(crate) type MemberIndex = u32;

/// An index in three bytes. A view of ten thousand members holds each index four times, and a simulation holds ten
/// thousand views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Packed([u8; 3]);

impl Packed {
    pub(super) const fn of(member: MemberIndex) -> Self {
        let [low, middle, high, highest] = member.to_le_bytes();
        debug_assert!(highest == 0, "more numbers than there can be");
        Self([low, middle, high])
    }

    pub(super) const fn index(self) -> MemberIndex {
        let [low, middle, high] = self.0;
        MemberIndex::from_le_bytes([low, middle, high, 0])
    }
}
