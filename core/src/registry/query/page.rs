//! Page tokens: the position after which the next page begins.
//!
//! A token is bound to its query (selector, filter and order); with another query it is an error. The page size may
//! change. A token is a position in the order and not a number of objects, so objects that are created or deleted
//! between two pages shift no other object.

use super::order::SortPosition;
use crate::random::hash_bytes;
use crate::registry::value::{Number, ObjectTable, ObjectValue};
use core::fmt;

/// The version of the format of tokens.
const VERSION: u8 = 1;
/// Maximum length of a token, in characters.
const TOKEN_CHARACTERS_MAX: usize = 8_192;

/// A page token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// The hash of the query.
    pub query: u64,
    /// The position of the last object of the page.
    pub after: SortPosition,
}

/// Reason why a page token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTokenError {
    /// The text is not a token that a registry returned.
    Malformed,
    /// The token belongs to a query with another selector, filter or order.
    OtherQuery,
}

impl fmt::Display for PageTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the page token is damaged; begin with the first page",
            Self::OtherQuery => {
                "the page token belongs to a list with another name, filter or order; repeat that list, or begin \
                 with the first page"
            }
        })
    }
}

impl core::error::Error for PageTokenError {}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.query.to_be_bytes());
        bytes.push(self.after.keys.len() as u8);
        for key in &self.after.keys {
            put_key(&mut bytes, key);
        }
        put_text(&mut bytes, &self.after.name);
        bytes.extend(hash_bytes(&bytes).to_be_bytes());
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_key(bytes: &mut Vec<u8>, key: &ObjectValue) {
    match key {
        ObjectValue::Null => bytes.push(0),
        ObjectValue::Bool(value) => bytes.push(1 + u8::from(*value)),
        ObjectValue::Number(number) => {
            bytes.push(3);
            bytes.extend(number.to_bits().to_be_bytes());
        }
        ObjectValue::Text(text) => {
            bytes.push(4);
            put_text(bytes, text);
        }
        ObjectValue::List(_) => bytes.push(5),
        ObjectValue::Table(_) => bytes.push(6),
    }
}

impl core::str::FromStr for PageToken {
    type Err = PageTokenError;

    fn from_str(text: &str) -> Result<Self, PageTokenError> {
        read(text).ok_or(PageTokenError::Malformed)
    }
}

fn read(text: &str) -> Option<PageToken> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.len() > TOKEN_CHARACTERS_MAX || !text.len().is_multiple_of(2) || !is_hex {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect();
    let bytes = bytes?;
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    if hash_bytes(content).to_be_bytes() != hash {
        return None;
    }
    let mut rest = content.strip_prefix(&[VERSION])?;
    let query = u64::from_be_bytes(*take(&mut rest)?);
    let [count] = *take(&mut rest)?;
    let keys: Option<Vec<_>> = (0..count).map(|_| take_key(&mut rest)).collect();
    let keys = keys?;
    let name = take_text(&mut rest)?;
    let after = SortPosition { keys, name };
    rest.is_empty().then_some(PageToken { query, after })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(*take(rest)?));
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

fn take_key(rest: &mut &[u8]) -> Option<ObjectValue> {
    let [tag] = *take(rest)?;
    Some(match tag {
        0 => ObjectValue::Null,
        1 => ObjectValue::Bool(false),
        2 => ObjectValue::Bool(true),
        3 => ObjectValue::Number(Number::from_bits(u64::from_be_bytes(*take(rest)?))),
        4 => ObjectValue::Text(take_text(rest)?),
        5 => ObjectValue::List(Vec::new()),
        6 => ObjectValue::Table(ObjectTable::new()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::any_object;
    use crate::registry::query::order::tests::any_order;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_back(it in any_object(), order in any_order(), query in any::<u64>()) {
            let after = order.position(&it);
            let token = PageToken { query, after };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn a_changed_token_is_refused(it in any_object(), at in any::<prop::sample::Index>()) {
            let after = any_position(&it);
            let text = PageToken { query: 7, after }.to_string();
            let at = at.index(text.len());
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            let changed = text[..at].to_owned() + other + &text[at + 1..];
            prop_assert_eq!(changed.parse::<PageToken>(), Err(PageTokenError::Malformed));
            prop_assert_eq!(text[..at].parse::<PageToken>(), Err(PageTokenError::Malformed));
        }

        #[test]
        fn reading_never_panics(text in "[0-9a-fé]{0,80}") {
            drop(text.parse::<PageToken>());
        }
    }

    fn any_position(it: &crate::registry::object::Object) -> SortPosition {
        "a,b desc"
            .parse::<super::super::SortOrder>()
            .unwrap()
            .position(it)
    }
}
