//! The stored form of the addresses that a node keeps for its next start.
//!
//! ```text
//! phalanx addresses 1
//! 10.0.0.1:7400
//! 0123456789abcdef         the check sum of the lines above
//! ```

use super::kept::KEPT_MAX;
use crate::random::hash_bytes;
use core::net::SocketAddr;

/// The first line.
const HEAD: &str = "phalanx addresses 1";

/// The text of addresses: a head, one line an address, and a check sum.
#[must_use]
pub fn encode_addresses(addresses: &[SocketAddr]) -> Vec<u8> {
    let lines = addresses.iter().map(|address| format!("{address}\n"));
    let text = format!("{HEAD}\n{}", lines.collect::<String>());
    let check = hash_bytes(text.as_bytes());
    format!("{text}{check:016x}\n").into_bytes()
}

/// The addresses of a text, at most [`KEPT_MAX`].
///
/// # Errors
/// The first difference from what [`encode_addresses`] makes.
pub fn decode_addresses(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let found = str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let lines: Vec<&str> = found.lines().collect();
    let [HEAD, addresses @ .., _] = &lines[..] else {
        return Err(format!("line 1 is not {HEAD:?}"));
    };
    if addresses.len() > KEPT_MAX {
        return Err(format!("it holds more than {KEPT_MAX} addresses"));
    }
    let parsed = addresses.iter().enumerate().map(|(at, line)| {
        let address = line.parse::<SocketAddr>();
        address.map_err(|_| format!("line {}, {line:?}, is not an address", at + 2))
    });
    let parsed: Vec<SocketAddr> = parsed.collect::<Result<_, _>>()?;
    if bytes != encode_addresses(&parsed) {
        return Err("the last line, the check sum, does not fit".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_they_were_written() {
        let addresses = ["10.0.0.1:7400", "[2001:db8::1]:7400"].map(|text| text.parse().unwrap());
        for count in 0..=addresses.len() {
            let some = &addresses[..count];
            assert_eq!(decode_addresses(&encode_addresses(some)).unwrap(), some);
        }
    }

    #[test]
    fn a_damaged_text_is_refused_with_the_first_difference() {
        let good = encode_addresses(&["10.0.0.1:7400".parse().unwrap()]);
        let text = String::from_utf8(good).unwrap();
        for (damaged, why) in [
            (String::new(), "line 1 is not"),
            (text.replace("addresses 1", "addresses 2"), "line 1 is not"),
            (text.replace("10.0.0.1", "10.0.0.x"), "line 2"),
            (text.replace("10.0.0.1", "10.0.0.2"), "the check sum"),
            (text[..text.len() - 2].to_owned(), "the check sum"),
        ] {
            let found = decode_addresses(damaged.as_bytes()).unwrap_err();
            assert!(found.contains(why), "{damaged:?}: {found}");
        }
        assert_eq!(decode_addresses(&[0xff]).unwrap_err(), "it is not text");
        let many = vec!["10.0.0.1:7400".parse().unwrap(); KEPT_MAX + 1];
        assert!(
            decode_addresses(&encode_addresses(&many))
                .unwrap_err()
                .contains("more than 64")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_addresses(&bytes).is_ok();
        }
    }
}
