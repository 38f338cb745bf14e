//! Live members that a node should have a link with and has none: as `--json` prints them, and for people.

use super::reply::Edge;
use crate::failure::CommandError;
use crate::screen::{Paint, Screen, Table, TableCell, span};
use phalanx_core::topology::EdgeFailure;
use phalanx_net::wire::{failure, proto};
use serde::{Deserialize, Serialize};

/// A live member that the node should have a link with and has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnreachablePeer {
    pub(crate) peer: String,
    /// The address that the member advertises; empty if it accepts no connections.
    pub(crate) address: String,
    /// The node's reason, as a word; empty if no reason is known.
    pub(crate) own: String,
    /// The reason that the member reports; empty if it reports none.
    pub(crate) theirs: String,
    /// Milliseconds since either end last heard the other; `None` if no contact is known.
    pub(crate) last_contact_ms: Option<u64>,
    /// Milliseconds since the node first saw the two without a link, or the wrong address.
    pub(crate) lasted_ms: u64,
    /// Whether the two have a link, which the end with the wrong address dialled.
    pub(crate) linked: bool,
}

/// The members that cannot reach the address that the node advertises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UndialableAddress {
    pub(crate) address: String,
    /// Some of the members: at most five.
    pub(crate) by: Vec<String>,
    pub(crate) count: u32,
    /// The reason that the first of the members reports, as a word.
    pub(crate) reason: String,
    pub(crate) last_contact_ms: Option<u64>,
}

/// The word of a reason; empty for none.
pub(super) fn failure_word(number: i32) -> String {
    failure(number).map_or_else(String::new, |failure| failure.word().to_owned())
}

/// The text for people of a reason's word.
pub(super) fn failure_text(word: &str) -> String {
    let mut known = EdgeFailure::ALL.into_iter();
    let found = known.find(|(.., name)| *name == word);
    found.map_or_else(|| word.to_owned(), |(failure, ..)| failure.to_string())
}

impl From<proto::UnreachablePeer> for UnreachablePeer {
    fn from(pair: proto::UnreachablePeer) -> Self {
        Self {
            peer: pair.peer,
            address: pair.address,
            own: failure_word(pair.own),
            theirs: failure_word(pair.theirs),
            last_contact_ms: pair.last_contact_ms,
            lasted_ms: pair.lasted_ms,
            linked: pair.linked,
        }
    }
}

impl From<proto::UndialableAddress> for UndialableAddress {
    fn from(own: proto::UndialableAddress) -> Self {
        Self {
            address: own.address,
            by: own.by,
            count: own.count,
            reason: failure_word(own.failure),
            last_contact_ms: own.last_contact_ms,
        }
    }
}

fn contact(last_contact_ms: Option<u64>) -> String {
    last_contact_ms.map_or_else(|| "not known".to_owned(), |ms| format!("{} ago", span(ms)))
}

/// The reasons of both ends.
fn reason(pair: &UnreachablePeer) -> String {
    let (own, theirs) = (failure_text(&pair.own), failure_text(&pair.theirs));
    match (own.as_str(), theirs.as_str()) {
        ("", "") => "no reason is known".to_owned(),
        (own, "") => own.to_owned(),
        ("", theirs) => format!("it reports: {theirs}"),
        (own, theirs) if own == theirs => format!("{own} (both ways)"),
        (own, theirs) => format!("{own}; it reports: {theirs}"),
    }
}

/// Prints the live members that the node should have a link with and has none.
pub(super) fn pairs(screen: &Screen, pairs: &[UnreachablePeer]) -> Result<(), CommandError> {
    if pairs.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = Table::new(&["cannot reach", "address", "link", "last contact", "reason"])
        .optional(&["address"]);
    for pair in pairs {
        table.row(vec![
            TableCell::new(&pair.peer).paint(Paint::Bold),
            TableCell::new(if pair.address.is_empty() {
                "-"
            } else {
                &pair.address
            }),
            TableCell::new(if pair.linked { "in" } else { "none" }),
            TableCell::new(contact(pair.last_contact_ms)),
            TableCell::new(reason(pair)).paint(Paint::Warn),
        ]);
    }
    screen.table(&table)
}

/// Returns the facts about members that cannot reach the address that the node advertises.
pub(super) fn address(own: &UndialableAddress) -> [(&'static str, TableCell); 2] {
    let mut by = own.by.join(", ");
    let more = (own.count as usize).saturating_sub(own.by.len());
    if more > 0 {
        by += &format!(" and {more} more");
    }
    let (address, reason) = (&own.address, failure_text(&own.reason));
    let last = contact(own.last_contact_ms);
    [
        (
            "undialable",
            TableCell::new(format!("{address} cannot be dialled by {by}")).paint(Paint::Bad),
        ),
        (
            "",
            TableCell::new(format!("{reason}; last contact {last}")).paint(Paint::Bad),
        ),
    ]
}

/// An edge as text. The report of an edge in contact is not repeated while the contact lasts, so its age is not that of
/// the contact.
pub(super) fn edge_text(edge: &Edge) -> String {
    let peer = &edge.peer;
    let age = edge.age_ms.map(|age| format!("{} ago", span(age)));
    if !edge.down {
        let reported = age.map_or_else(String::new, |age| format!(" (reported {age})"));
        return format!("in contact with {peer}{reported}");
    }
    let reason = match edge.reason.as_str() {
        "" => String::new(),
        word => format!(": {}", failure_text(word)),
    };
    let contact = age.unwrap_or_else(|| "not known".to_owned());
    format!("no contact with {peer}{reason} (last contact {contact})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(own: &str, theirs: &str) -> UnreachablePeer {
        UnreachablePeer {
            peer: "n3".to_owned(),
            address: "10.0.0.3:7000".to_owned(),
            own: own.to_owned(),
            theirs: theirs.to_owned(),
            last_contact_ms: None,
            lasted_ms: 20_000,
            linked: false,
        }
    }

    #[test]
    fn the_reasons_of_both_ends_are_shown() {
        let text = |own: &str, theirs: &str| reason(&pair(own, theirs));
        assert_eq!(text("refused", ""), "connection refused");
        assert_eq!(text("refused", "refused"), "connection refused (both ways)");
        assert_eq!(text("", "timed-out"), "it reports: no answer in time");
        assert_eq!(text("", ""), "no reason is known");
        assert_eq!(contact(None), "not known");
    }

    #[test]
    fn the_age_of_a_report_is_not_that_of_the_contact() {
        let text = |down, age_ms, reason: &str| {
            edge_text(&Edge {
                peer: "n3".to_owned(),
                down,
                age_ms,
                reason: reason.to_owned(),
            })
        };
        assert_eq!(
            text(false, Some(96_000), ""),
            "in contact with n3 (reported 1m 36s ago)"
        );
        assert_eq!(text(false, None, ""), "in contact with n3");
        assert_eq!(
            text(true, Some(96_000), "refused"),
            "no contact with n3: connection refused (last contact 1m 36s ago)"
        );
        assert_eq!(
            text(true, None, ""),
            "no contact with n3 (last contact not known)"
        );
    }

    #[test]
    fn every_reason_of_the_protocol_has_a_word_and_a_text() {
        for (failure, number, word) in EdgeFailure::ALL {
            assert_eq!(failure_word(i32::try_from(number).unwrap()), word);
            assert_eq!(failure_text(word), failure.to_string());
        }
        assert_eq!(failure_word(99), "");
    }
}
