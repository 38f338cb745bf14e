//! The connections of a node: the certificates at their other ends, and the exchange of revocations on each.
//!
//! An exchange makes both ends hold the union of their revocations. The initiator lists all its digests; the responder
//! lists those that the initiator lacks; each end requests what it lacks, [`WANTED_MAX`] at a time, and reports when it
//! has everything. An answer may be shorter than its request ([`ANSWER_BYTES_MAX`]); the rest is requested again. A
//! request whose answer has none of it is not repeated. See [`Message`].
//!
//! Bounds: one entry for each connection, which gossip bounds; one exchange a connection, begun at most once in
//! [`EXCHANGE_INTERVAL`]; at most [`REVOCATIONS_MAX`] listed digests.

use super::entry::{PresentedCertificate, Revocation};
use super::list::{REVOCATIONS_MAX, RevocationList};
use super::message::{ANSWER_BYTES_MAX, Message, WANTED_MAX};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::size::Encoded as _;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Minimum time between the beginnings of two exchanges on one connection.
pub const EXCHANGE_INTERVAL: Duration = Duration::from_secs(10);

/// The messages that a connection causes, and whether its exchange is complete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ExchangeStep {
    pub messages: Vec<Message>,
    pub complete: bool,
}

/// A list of more digests than a node may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyListed;

/// Whether messages about revocations belong to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// There is no such connection.
    Unconnected,
    /// The peer has not sent its handshake message. An acceptor sends messages about revocations before it.
    Unknown,
    /// The protocol version has them.
    Yes,
    /// The protocol version does not have them.
    No,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RevocationExchange {
    begun: Instant,
    /// Whether this node listed all its digests first.
    initiator: bool,
    /// The digests that the peer listed so far.
    listed: Vec<u64>,
    /// Whether the peer's list is complete.
    listed_all: bool,
    /// The digests to request.
    wanted: VecDeque<u64>,
    /// The digests in the unanswered request.
    asked: Vec<u64>,
    done: bool,
    peer_done: bool,
}

impl RevocationExchange {
    const fn new(begun: Instant, initiator: bool) -> Self {
        Self {
            begun,
            initiator,
            listed: Vec::new(),
            listed_all: false,
            wanted: VecDeque::new(),
            asked: Vec::new(),
            done: false,
            peer_done: false,
        }
    }

    /// The next request, or the report that there is none.
    fn advance(&mut self, list: &RevocationList) -> ExchangeStep {
        let mut step = ExchangeStep::default();
        if self.listed_all && self.asked.is_empty() && !self.done {
            while let Some(digest) = self.wanted.pop_front() {
                if !list.has(digest) {
                    self.asked.push(digest);
                }
                if self.asked.len() == WANTED_MAX {
                    break;
                }
            }
            if self.asked.is_empty() {
                self.done = true;
                step.messages.push(Message::Done);
            } else {
                step.messages.push(Message::Want(self.asked.clone()));
            }
        }
        step.complete = self.done && self.peer_done;
        step
    }

    /// The answer to the request is complete. Its missing revocations are requested again, unless all are missing: the
    /// peer has dropped them, or this node refuses them.
    fn on_answered(&mut self, list: &RevocationList) {
        let asked = core::mem::take(&mut self.asked);
        let lacking = asked.iter().filter(|digest| !list.has(**digest));
        if lacking.clone().count() < asked.len() {
            for digest in lacking.rev() {
                self.wanted.push_front(*digest);
            }
        }
    }

    /// The peer's list is complete: a responder answers it.
    fn on_listed(&mut self, list: &RevocationList) -> Vec<Message> {
        self.listed_all = true;
        let mut listed = core::mem::take(&mut self.listed);
        listed.sort_unstable();
        listed.dedup();
        let answer = if self.initiator {
            Vec::new()
        } else {
            let lacking = list
                .digests()
                .filter(|it| listed.binary_search(it).is_err());
            Message::list(&lacking.collect::<Vec<_>>())
        };
        self.wanted = listed.into();
        answer
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CertifiedConnection {
    certificate: PresentedCertificate,
    /// Whether the protocol version of the connection has messages about revocations, once a message shows it.
    speaks: Option<bool>,
    /// Whether the connection is a link.
    open: bool,
    exchange: Option<RevocationExchange>,
}

/// The connections of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RevocationLinks {
    connections: BTreeMap<LinkId, CertifiedConnection>,
    /// The link on which hashes were last compared.
    compared: Option<LinkId>,
}

/// Connections.
impl RevocationLinks {
    /// A peer presented a certificate on a connection.
    pub(super) fn present(&mut self, link: LinkId, certificate: PresentedCertificate) {
        let connection = CertifiedConnection {
            certificate,
            speaks: None,
            open: false,
            exchange: None,
        };
        self.connections.insert(link, connection);
    }

    /// A connection with a node was made. Its certificate counts as the oldest one of the node, unless it is known.
    pub(super) fn connect(&mut self, link: LinkId, peer: NodeId) {
        if !self.connections.contains_key(&link) {
            self.present(link, PresentedCertificate::of_node(peer));
        }
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        self.connections.remove(&link);
    }

    pub(super) fn certificate(&self, link: LinkId) -> Option<&PresentedCertificate> {
        Some(&self.connections.get(&link)?.certificate)
    }

    /// The connections whose certificates are revoked.
    pub(super) fn revoked(&self, list: &RevocationList) -> Vec<LinkId> {
        let all = self.connections.iter();
        let revoked = all.filter(|(_, it)| list.revocation_of(&it.certificate).is_some());
        revoked.map(|(link, _)| *link).collect()
    }

    /// Sets whether the protocol version of a connection has messages about revocations.
    pub(super) fn set_speaks(&mut self, link: LinkId, speaks: bool) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.speaks = Some(speaks);
        }
    }

    pub(super) fn speaks(&self, link: LinkId) -> Speech {
        match self.connections.get(&link).map(|it| it.speaks) {
            None => Speech::Unconnected,
            Some(None) => Speech::Unknown,
            Some(Some(true)) => Speech::Yes,
            Some(Some(false)) => Speech::No,
        }
    }

    pub(super) fn set_open(&mut self, link: LinkId) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.open = true;
        }
    }

    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.connections.get(&link).is_some_and(|it| it.open)
    }

    /// The links that new revocations are sent on, except the link that they came from.
    pub(super) fn others(&self, from: Option<LinkId>) -> Vec<LinkId> {
        let all = self.connections.iter();
        let others =
            all.filter(|(link, it)| it.open && it.speaks == Some(true) && Some(**link) != from);
        others.map(|(link, _)| *link).collect()
    }

    /// The next link on which hashes are compared; the links take turns.
    pub(super) fn next_to_compare(&mut self) -> Option<LinkId> {
        let links = self.others(None);
        let after = links.iter().find(|link| Some(**link) > self.compared);
        self.compared = after.or(links.first()).copied();
        self.compared
    }
}

/// Exchanges.
impl RevocationLinks {
    /// Begins an exchange with a peer whose hash differs; nothing if an exchange began a moment ago.
    pub(super) fn begin(
        &mut self,
        link: LinkId,
        list: &RevocationList,
        now: Instant,
    ) -> ExchangeStep {
        let Some(connection) = self.connections.get_mut(&link) else {
            return ExchangeStep::default();
        };
        let recent = connection.exchange.as_ref().map(|it| now.since(it.begun));
        if recent.is_some_and(|since| since < EXCHANGE_INTERVAL) {
            return ExchangeStep::default();
        }
        connection.exchange = Some(RevocationExchange::new(now, true));
        ExchangeStep {
            messages: Message::list(&list.digests().collect::<Vec<_>>()),
            complete: false,
        }
    }

    /// The peer listed digests.
    pub(super) fn on_have(
        &mut self,
        link: LinkId,
        list: &RevocationList,
        now: Instant,
        (digests, last): (Vec<u64>, bool),
    ) -> Result<ExchangeStep, TooManyListed> {
        let Some(connection) = self.connections.get_mut(&link) else {
            return Ok(ExchangeStep::default());
        };
        let over = connection.exchange.as_ref().filter(|it| it.listed_all);
        if let Some(over) = over {
            if now.since(over.begun) < EXCHANGE_INTERVAL {
                return Ok(ExchangeStep::default());
            }
            connection.exchange = None;
        }
        let exchange = connection
            .exchange
            .get_or_insert_with(|| RevocationExchange::new(now, false));
        if exchange.listed.len() + digests.len() > REVOCATIONS_MAX {
            return Err(TooManyListed);
        }
        exchange.listed.extend(digests);
        if !last {
            return Ok(ExchangeStep::default());
        }
        let mut messages = exchange.on_listed(list);
        let step = exchange.advance(list);
        messages.extend(step.messages);
        Ok(ExchangeStep {
            messages,
            complete: step.complete,
        })
    }

    /// The peer requested revocations.
    pub(super) fn on_want(list: &RevocationList, wanted: &[u64]) -> Vec<Message> {
        let (mut answer, mut left): (Vec<Arc<Revocation>>, _) = (Vec::new(), ANSWER_BYTES_MAX);
        for held in wanted.iter().filter_map(|it| list.with_digest(*it)) {
            let bytes = held.encoded_len();
            if bytes > left && !answer.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            answer.push(Arc::clone(held));
        }
        Message::entries(&answer, true)
    }

    /// The answer to a request is complete.
    pub(super) fn on_answered(&mut self, link: LinkId, list: &RevocationList) -> ExchangeStep {
        self.change(link, list, |exchange| exchange.on_answered(list))
    }

    /// The peer has everything that this node listed.
    pub(super) fn on_done(&mut self, link: LinkId, list: &RevocationList) -> ExchangeStep {
        self.change(link, list, |exchange| exchange.peer_done = true)
    }

    fn change(
        &mut self,
        link: LinkId,
        list: &RevocationList,
        change: impl FnOnce(&mut RevocationExchange),
    ) -> ExchangeStep {
        let connection = self.connections.get_mut(&link);
        let Some(exchange) = connection.and_then(|it| it.exchange.as_mut()) else {
            return ExchangeStep::default();
        };
        change(exchange);
        exchange.advance(list)
    }
}
