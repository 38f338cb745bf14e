//! Formats of flags and of output: versions, pairs, payloads.

use core::fmt;
use core::str::FromStr;
use phalanx_core::identity::NodeId;
use phalanx_net::wire::proto;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A key and its value: `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` has no '='; write KEY=VALUE"))?;
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// The version of a write: `CLOCK.EPOCH.SEQUENCE@NODE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapVersion(pub(crate) proto::Version);

impl fmt::Display for MapVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto::Version {
            clock,
            origin,
            epoch,
            sequence,
        } = &self.0;
        write!(f, "{clock}.{epoch}.{sequence}@{origin}")
    }
}

impl FromStr for MapVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a valid version; copy one from `phalanx kv list`: 3.17.2@n1")
        };
        let (numbers, origin) = text.split_once('@').ok_or_else(wrong)?;
        let numbers: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
        let Ok([clock, epoch, sequence]) = numbers.as_deref() else {
            return Err(wrong());
        };
        let origin = NodeId::new(origin).map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self(proto::Version {
            clock: *clock,
            origin: origin.to_string(),
            epoch: *epoch,
            sequence: *sequence,
        }))
    }
}

impl Serialize for MapVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Converts the version of a reply; each reply of a node has a version.
pub(super) fn version(wire: Option<proto::Version>) -> MapVersion {
    MapVersion(wire.unwrap_or_default())
}

/// Formats bytes for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| format!("({} bytes, not valid UTF-8)", bytes.len()),
        |text| text.trim_end_matches('\n').to_owned(),
    )
}

/// Maximum number of characters of a value in a table.
const CELL_CHARACTERS_MAX: usize = 64;

/// Formats bytes for a cell of a table: a long value is cut, and its size is added.
pub(super) fn cut(bytes: &[u8]) -> String {
    let text = shown(bytes);
    match text.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

/// Formats bytes for programs: `{"text": …}`, or `{"hex": …}` if they are not valid UTF-8.
pub(super) fn programs(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(
        |_| {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                // Writing to a string cannot fail.
                let _fine = write!(hex, "{byte:02x}").is_ok();
            }
            json!({ "hex": hex })
        },
        |text| json!({ "text": text }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_is_shown() {
        let shown = "3.7516192769.2@n1";
        let version: MapVersion = shown.parse().unwrap();
        assert_eq!(version.to_string(), shown);
        for wrong in [
            "",
            "3",
            "3.1@n1",
            "3.1.2",
            "3.1.x@n1",
            "3.1.2@N 1",
            "1.2.3.4@n",
        ] {
            assert!(wrong.parse::<MapVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pair_is_split_at_the_first_equals_sign() {
        let pair: Pair = "a=b=c".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("a", "b=c"));
        assert!("a".parse::<Pair>().is_err());
    }

    #[test]
    fn a_long_value_is_cut_in_tables() {
        assert_eq!(cut("é".repeat(64).as_bytes()), "é".repeat(64));
        let cut = cut("é".repeat(1_000).as_bytes());
        assert_eq!(cut, format!("{}… (2000 bytes)", "é".repeat(64)));
    }

    #[test]
    fn bytes_that_are_not_valid_utf_8_are_shown_by_their_number() {
        assert_eq!(shown(b"two\nlines\n"), "two\nlines");
        assert_eq!(shown(&[0xff, 0]), "(2 bytes, not valid UTF-8)");
        assert_eq!(programs(b"x"), json!({ "text": "x" }));
        assert_eq!(programs(&[0xff, 0]), json!({ "hex": "ff00" }));
    }
}
