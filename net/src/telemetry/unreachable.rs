//! Texts about members that are lost together, and about live members without a link.

use phalanx_core::gossip::{UndialableView, UnreachableView};
use phalanx_core::identity::NodeId;
use phalanx_core::topology::EdgeFailure;
use std::time::Duration;

/// Several members are lost at about the same time.
pub(super) fn peers_down(named: &[NodeId], count: usize, alive: usize) -> String {
    let names = names(named, count);
    if count == 1 {
        return format!("{names} is down");
    }
    if alive <= 1 {
        return format!(
            "{count} members are down: {names}; only this node is alive in its view: it is cut off, the others do not \
             accept its certificate, or all other hosts failed; check the network and the certificate of this node"
        );
    }
    format!(
        "{count} members are down: {names}; {alive} are alive: the other hosts failed, or the network is split"
    )
}

/// Live members that this node should have a link with have none.
pub(super) fn pairs(named: &[UnreachableView], count: usize) -> String {
    if let [pair] = named {
        let peer = &pair.peer;
        let state = if pair.linked {
            format!("the link with {peer} cannot be made from both ends")
        } else {
            format!("no link with {peer}, which is alive")
        };
        let (reason, contact) = (reason(pair), ago(pair.last_contact));
        return format!("{state}: {reason}; last contact {contact}");
    }
    let pair = |pair: &UnreachableView| {
        let own = pair.own.or(pair.theirs);
        let reason = own.map_or_else(|| "no reason is known".to_owned(), |own| own.to_string());
        format!(
            "{} ({reason}; last contact {})",
            pair.peer,
            ago(pair.last_contact)
        )
    };
    let named_pairs: Vec<String> = named.iter().map(pair).collect();
    let more = more(named.len(), count);
    format!(
        "{count} live members cannot be reached directly: {}{more}",
        named_pairs.join(", ")
    )
}

/// Members cannot reach the address that this node advertises.
pub(super) fn undialable(view: &UndialableView) -> String {
    format!(
        "the advertised address of this node, {}, cannot be dialled by {}: {}; last contact {}; check `advertise` and \
         the network",
        view.address,
        names(&view.by, view.count),
        view.failure,
        ago(view.last_contact)
    )
}

/// The reasons of both ends.
fn reason(pair: &UnreachableView) -> String {
    let peer = &pair.peer;
    let own = pair.own.map(|own| match (own, pair.address) {
        (EdgeFailure::Silent, _) | (_, None) => format!("this node reports: {own}"),
        (_, Some(address)) => format!("this node cannot dial {address}: {own}"),
    });
    let theirs = pair.theirs.map(|theirs| {
        if theirs.is_of_address() {
            format!("{peer} cannot dial this node: {theirs}")
        } else {
            format!("{peer} reports: {theirs}")
        }
    });
    match (own, theirs) {
        (Some(own), Some(theirs)) => format!("{own}; {theirs}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "no reason is known".to_owned(),
    }
}

fn names(named: &[NodeId], count: usize) -> String {
    let names: Vec<&str> = named.iter().map(NodeId::as_str).collect();
    format!("{}{}", names.join(", "), more(named.len(), count))
}

fn more(named: usize, count: usize) -> String {
    match count.saturating_sub(named) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

fn ago(contact: Option<Duration>) -> String {
    contact.map_or_else(
        || "not known".to_owned(),
        |contact| format!("{} s ago", contact.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: usize) -> NodeId {
        NodeId::new(&format!("n{index}")).unwrap()
    }

    fn pair(index: usize) -> UnreachableView {
        UnreachableView {
            peer: id(index),
            address: Some(([10, 0, 0, 3], 7_000).into()),
            own: Some(EdgeFailure::Refused),
            theirs: None,
            linked: false,
            last_contact: Some(Duration::from_secs(12)),
            lasted: Duration::from_secs(20),
        }
    }

    #[test]
    fn a_pair_has_its_reasons_and_its_last_contact() {
        assert_eq!(
            pairs(&[pair(3)], 1),
            "no link with n3, which is alive: this node cannot dial 10.0.0.3:7000: connection refused; last contact \
             12 s ago"
        );
        let inward = UnreachableView {
            own: None,
            theirs: Some(EdgeFailure::TimedOut),
            last_contact: None,
            ..pair(3)
        };
        assert_eq!(
            pairs(&[inward], 1),
            "no link with n3, which is alive: n3 cannot dial this node: no answer in time; last contact not known"
        );
    }

    #[test]
    fn a_wrong_address_beside_a_link_is_not_a_missing_link() {
        let linked = UnreachableView {
            linked: true,
            last_contact: Some(Duration::ZERO),
            ..pair(3)
        };
        assert_eq!(
            pairs(&[linked], 1),
            "the link with n3 cannot be made from both ends: this node cannot dial 10.0.0.3:7000: connection refused; \
             last contact 0 s ago"
        );
    }

    #[test]
    fn several_members_are_one_line_with_five_names_and_the_count() {
        let named: Vec<_> = (1..=5).map(pair).collect();
        let text = pairs(&named, 9);
        assert!(text.starts_with("9 live members cannot"), "{text}");
        assert!(text.ends_with("n5 (connection refused; last contact 12 s ago) and 4 more"));
        assert!(text.len() < 450, "{}", text.len());
        let named: Vec<_> = (1..=5).map(id).collect();
        assert_eq!(
            peers_down(&named, 8, 6),
            "8 members are down: n1, n2, n3, n4, n5 and 3 more; 6 are alive: the other hosts failed, or the network \
             is split"
        );
        assert_eq!(peers_down(&[id(1)], 1, 6), "n1 is down");
        // A node whose certificate expires loses all others at once, none of which has failed.
        assert_eq!(
            peers_down(&[id(1), id(2)], 2, 1),
            "2 members are down: n1, n2; only this node is alive in its view: it is cut off, the others do not accept its \
             certificate, or all other hosts failed; check the network and the certificate of this node"
        );
    }

    #[test]
    fn the_owner_of_a_wrong_address_reads_the_address_the_members_and_the_reason() {
        let view = UndialableView {
            address: ([10, 0, 0, 5], 7_000).into(),
            by: vec![id(1), id(2)],
            count: 2,
            failure: EdgeFailure::Refused,
            last_contact: None,
        };
        assert_eq!(
            undialable(&view),
            "the advertised address of this node, 10.0.0.5:7000, cannot be dialled by n1, n2: connection refused; last \
             contact not known; check `advertise` and the network"
        );
    }
}
