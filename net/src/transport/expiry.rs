//! The expiry of a connection's certificates: in words, and as a time to wait for.

use crate::clock;
use crate::identity::iso_8601;
use phalanx_core::credentials::Expiry;
use tokio::time;

/// Describes for operators why a connection ends, or is not opened.
pub(crate) fn in_words(expiry: Expiry) -> String {
    format!(
        "one of the two certificates expires at {}; issue a new one",
        iso_8601(expiry.not_after())
    )
}

/// Waits until a connection must end. The calendar is read from time to time, because it may be set.
pub(crate) async fn comes(expiry: Expiry) {
    while let Some(wait) = expiry.until_end(clock::wall()) {
        time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::credentials::Validity;
    use phalanx_core::time::Wall;

    #[tokio::test]
    async fn it_comes_after_the_last_second_of_the_certificate() {
        let validity = Validity {
            not_before: Wall(0),
            not_after: Wall(clock::wall().0 + 1),
        };
        let expiry = Expiry::first_of(validity, Validity::days(clock::wall(), 1));
        comes(expiry).await;
        assert!(clock::wall() > validity.not_after);
    }
}
