//! Provenance: the link on which a value was received by broadcast.

use crate::link::LinkId;

/// The link on which a value was received by broadcast; none for a value received by anti-entropy.
///
/// Holds 31 bits of the link's number, which distinguish the link from all links that exist at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Provenance(Option<core::num::NonZeroU32>);

impl Provenance {
    /// A value received on `link`.
    pub(super) fn link(link: LinkId) -> Self {
        Self(core::num::NonZeroU32::new((link.0 as u32) | 1 << 31))
    }

    /// Whether the value was received by broadcast on a link other than `link`.
    pub(super) fn is_another_than(self, link: LinkId) -> bool {
        self != Self::default() && self != Self::link(link)
    }
}
