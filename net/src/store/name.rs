//! Names and the size of items.

use core::fmt;

/// The largest item, in bytes, unless its name states another size.
pub const ITEM_BYTES_MAX: usize = 4 << 20;

/// The name of an item, which is also the name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName {
    name: &'static str,
    bytes_max: usize,
}

impl ItemName {
    /// A name of lower-case letters, digits, `-` and `_`.
    ///
    /// # Panics
    /// If `name` is empty, has another character, or is `lock`, the name of the file that holds the directory.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::sized(name, ITEM_BYTES_MAX)
    }

    /// The same, for an item of at most `bytes_max` bytes.
    ///
    /// # Panics
    /// See [`new`](Self::new).
    #[must_use]
    pub const fn sized(name: &'static str, bytes_max: usize) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "the name is empty");
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'),
                "a name has a-z, 0-9, - and _"
            );
            at += 1;
        }
        assert!(
            !matches!(bytes, b"lock"),
            "lock is the name of the lock file"
        );
        Self { name, bytes_max }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// The largest item of this name, in bytes.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        self.bytes_max
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
