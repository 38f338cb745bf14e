//! Tests of the machine: two nodes that exchange revocations, and the durable copy.

use super::*;
use crate::identity::NodeId;
use crate::link::Ticket;
use crate::size::{self, Encoded as _};
use crate::subject::CertificateRole;
use std::collections::VecDeque;

const NOW: Wall = Wall(1_000);

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A revocation of the certificates of a node that began before a time.
pub(crate) fn by_holder(name: &str, before: u64) -> Arc<Revocation> {
    Arc::new(Revocation {
        content: RevocationContent {
            target: RevocationTarget::Holder(CertificateRole::Node, id(name)),
            begun_before: Wall(before),
            ends: Wall(before + 100_000),
            signed: Wall(before - 1),
        },
        signature: RevocationSignature {
            scheme: 0x0807,
            bytes: vec![7; 64],
            chain: [].into(),
        },
    })
}

fn machine() -> Revocations {
    Revocations::new(NOW, Instant::ZERO, Sabotage::NONE)
}

fn step(machine: &mut Revocations, now: Instant, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    machine.step(now, input, &mut out);
    out.drain().collect()
}

fn revoke(machine: &mut Revocations, number: u64, revocation: &Arc<Revocation>) -> Vec<Output> {
    let request = RevocationRequest(number);
    let revocation = Arc::clone(revocation);
    step(
        machine,
        Instant::ZERO,
        Input::Revoke {
            request,
            revocation,
        },
    )
}

/// A connection between `one` and `other`, on which messages of both ends are delivered until none is left. Returns
/// the ends that reported that the exchange is complete, and the messages.
fn run(
    nodes: &mut [Revocations; 2],
    now: Instant,
    first: Vec<Output>,
) -> (Vec<usize>, Vec<Message>) {
    let link = LinkId(1);
    let (mut complete, mut messages) = (Vec::new(), Vec::new());
    let mut queue: VecDeque<(usize, Output)> = first.into_iter().map(|it| (0, it)).collect();
    while let Some((at, output)) = queue.pop_front() {
        match output {
            Output::Send { message, .. } => {
                messages.push(message.clone());
                let receive = Input::Receive { link, message };
                let outputs = step(&mut nodes[1 - at], now, receive);
                queue.extend(outputs.into_iter().map(|it| (1 - at, it)));
            }
            Output::Exchanged { .. } => complete.push(at),
            Output::Store { .. }
            | Output::Enforce(_)
            | Output::Report(_)
            | Output::Answer { .. }
            | Output::Close { .. } => {}
        }
    }
    (complete, messages)
}

fn connected() -> [Revocations; 2] {
    let mut nodes = [machine(), machine()];
    for (at, name) in ["b", "a"].into_iter().enumerate() {
        let (link, peer) = (LinkId(1), id(name));
        step(
            &mut nodes[at],
            Instant::ZERO,
            Input::Connected { link, peer },
        );
    }
    nodes
}

fn greet(nodes: &mut [Revocations; 2], now: Instant) -> Vec<Output> {
    let (link, hash) = (LinkId(1), Some(nodes[1].list().hash()));
    step(&mut nodes[0], now, Input::Greeted { link, hash })
}

#[test]
fn both_ends_hold_all_revocations_before_the_handshake_continues() {
    let mut nodes = connected();
    for number in 0..100 {
        let holder = usize::from(number % 3 == 0);
        revoke(
            &mut nodes[holder],
            number,
            &by_holder(&format!("n{number}"), 500),
        );
        if number % 5 == 0 {
            revoke(
                &mut nodes[1 - holder],
                number,
                &by_holder(&format!("n{number}"), 500),
            );
        }
    }
    let first = greet(&mut nodes, Instant::ZERO);
    assert!(
        !first
            .iter()
            .any(|it| matches!(it, Output::Exchanged { .. }))
    );
    let (complete, _) = run(&mut nodes, Instant::ZERO, first);
    assert_eq!(nodes[0].list(), nodes[1].list());
    assert_eq!(nodes[0].list().len(), 100);
    assert!(complete.contains(&0), "the acceptor continues");
    let again = greet(&mut nodes, Instant::ZERO);
    assert_eq!(again, [Output::Exchanged { link: LinkId(1) }]);
}

#[test]
fn a_full_list_is_exchanged_in_portions() {
    let mut nodes = connected();
    let all = 0..REVOCATIONS_MAX;
    let all = all.map(|number| by_holder(&format!("n{number}"), 500));
    step(&mut nodes[1], Instant::ZERO, Input::Load(all.collect()));
    // The acceptor has one that the dialer lacks.
    step(
        &mut nodes[0],
        Instant::ZERO,
        Input::Load(vec![by_holder("zelda", 900)]),
    );
    let first = greet(&mut nodes, Instant::ZERO);
    let (complete, messages) = run(&mut nodes, Instant::ZERO, first);
    assert!(complete.contains(&0), "the acceptor continues");
    assert!(nodes[0].list() == nodes[1].list());
    assert_eq!(nodes[0].list().len(), REVOCATIONS_MAX);
    let requests = messages.iter().filter(|it| matches!(it, Message::Want(_)));
    assert!((60..80).contains(&requests.count()), "1 024 in each");
    let largest = messages.iter().map(Message::encoded_len).max();
    assert!(largest.is_some_and(|it| it <= size::FRAME_BYTES_MAX));
}

#[test]
fn an_answer_is_bounded_in_bytes_and_its_rest_is_requested_again() {
    let mut nodes = connected();
    let large = |number: u64| {
        let mut revocation = (*by_holder(&format!("n{number}"), 500)).clone();
        revocation.signature.chain = [vec![7; 4_000]].into();
        Arc::new(revocation)
    };
    let all = (0..200).map(large).collect();
    step(&mut nodes[1], Instant::ZERO, Input::Load(all));
    let first = greet(&mut nodes, Instant::ZERO);
    let (complete, messages) = run(&mut nodes, Instant::ZERO, first);
    assert!(complete.contains(&0) && nodes[0].list() == nodes[1].list());
    let (mut answer, mut answers) = (0, Vec::new());
    for message in &messages {
        if let Message::Entries { last, .. } = message {
            answer += message.encoded_len();
            if *last {
                answers.push(core::mem::take(&mut answer));
            }
        }
    }
    let most = ANSWER_BYTES_MAX + size::FRAME_BYTES_MAX;
    assert!(
        answers.len() == 4 && answers.iter().all(|it| *it < most),
        "{answers:?}"
    );
}

#[test]
fn what_a_peer_lists_and_does_not_send_is_not_requested_again() {
    let mut node = machine();
    let (link, peer) = (LinkId(1), id("p"));
    step(&mut node, Instant::ZERO, Input::Connected { link, peer });
    let mut hears = |message| step(&mut node, Instant::ZERO, Input::Receive { link, message });
    let listed = hears(Message::Have {
        digests: vec![1, 2],
        last: true,
    });
    let request = Output::Send {
        link,
        message: Message::Want(vec![1, 2]),
    };
    assert!(listed.contains(&request), "{listed:?}");
    let nothing = hears(Message::Entries {
        revocations: Vec::new(),
        last: true,
    });
    let done = Output::Send {
        link,
        message: Message::Done,
    };
    assert_eq!(nothing, [done]);
}

#[test]
fn a_connection_of_version_1_carries_no_revocation() {
    let mut node = machine();
    let (link, peer) = (LinkId(1), id("p"));
    step(&mut node, Instant::ZERO, Input::Connected { link, peer });
    step(&mut node, Instant::ZERO, Input::OldVersion { link });
    step(&mut node, Instant::ZERO, Input::Opened { link });
    let outputs = revoke(&mut node, 1, &by_holder("x", 500));
    assert!(!outputs.iter().any(|it| matches!(it, Output::Send { .. })));
    let wake = node.next_deadline().unwrap();
    assert_eq!(step(&mut node, wake, Input::Wake), [], "no comparison");
    // The peer breaks the protocol that it chose.
    let message = Message::entries(&[by_holder("y", 500)], false).remove(0);
    let refused = step(&mut node, wake, Input::Receive { link, message });
    let revoked = false;
    assert_eq!(refused, [Output::Close { link, revoked }]);
    assert_eq!(node.list().len(), 1);
}

#[test]
fn a_revocation_closes_its_connections_before_it_is_stored_and_is_acknowledged_after() {
    let mut nodes = connected();
    let revocation = by_holder("b", 500);
    let outputs = revoke(&mut nodes[0], 7, &revocation);
    let close = Output::Close {
        link: LinkId(1),
        revoked: true,
    };
    assert!(outputs.contains(&close) && !nodes[0].is_connected(LinkId(1)));
    assert!(outputs.contains(&Output::Enforce(Arc::clone(&revocation))));
    let ticket = outputs.iter().find_map(|output| {
        let Output::Store { ticket, .. } = output else {
            return None;
        };
        Some(*ticket)
    });
    let answer = Output::Answer {
        request: RevocationRequest(7),
        result: Ok(()),
    };
    assert!(!outputs.contains(&answer));
    let ticket = ticket.unwrap();
    assert_ne!(ticket, Ticket(1));
    let stored = step(&mut nodes[0], Instant::ZERO, Input::Stored { ticket });
    assert_eq!(stored, [answer]);
    // A new connection with the same certificate is closed too; one with a later certificate is not.
    let (link, peer) = (LinkId(2), id("b"));
    let connected = step(
        &mut nodes[0],
        Instant::ZERO,
        Input::Connected { link, peer },
    );
    let close = Output::Close {
        link,
        revoked: true,
    };
    assert!(connected.contains(&close));
    let certificate = PresentedCertificate {
        not_before: Wall(600),
        ..PresentedCertificate::of_node(id("b"))
    };
    let (link, peer) = (LinkId(3), id("b"));
    step(
        &mut nodes[0],
        Instant::ZERO,
        Input::Presented { link, certificate },
    );
    let connected = step(
        &mut nodes[0],
        Instant::ZERO,
        Input::Connected { link, peer },
    );
    assert_eq!(connected, []);
}

#[test]
fn a_new_revocation_is_sent_on_all_other_links_once() {
    let mut node = machine();
    for number in 1..=3 {
        let (link, peer) = (LinkId(number), id(&format!("p{number}")));
        step(&mut node, Instant::ZERO, Input::Connected { link, peer });
        if number < 3 {
            let hash = None;
            step(&mut node, Instant::ZERO, Input::Greeted { link, hash });
        }
        step(&mut node, Instant::ZERO, Input::Opened { link });
    }
    let entries = Message::entries(&[by_holder("x", 500)], false).remove(0);
    let receive = |message: &Message| Input::Receive {
        link: LinkId(1),
        message: message.clone(),
    };
    let sent = |outputs: Vec<Output>| -> Vec<LinkId> {
        let sent = outputs.into_iter().filter_map(|output| {
            let Output::Send { link, .. } = output else {
                return None;
            };
            Some(link)
        });
        sent.collect()
    };
    let outputs = step(&mut node, Instant::ZERO, receive(&entries));
    assert_eq!(sent(outputs), [LinkId(2)], "link 3 does not understand it");
    let outputs = step(&mut node, Instant::ZERO, receive(&entries));
    assert_eq!(sent(outputs), []);
}

#[test]
fn open_links_compare_their_hashes_in_turn() {
    let mut nodes = connected();
    let link = LinkId(1);
    for node in &mut nodes {
        let hash = None;
        step(node, Instant::ZERO, Input::Greeted { link, hash });
        step(node, Instant::ZERO, Input::Opened { link });
    }
    assert_eq!(nodes[0].next_deadline(), None, "nothing to compare");
    // The message to the peer is lost.
    revoke(&mut nodes[0], 1, &by_holder("x", 500));
    let at = nodes[0].next_deadline().unwrap();
    assert_eq!(at, Instant::ZERO + COMPARE_INTERVAL);
    let first = step(&mut nodes[0], at, Input::Wake);
    run(&mut nodes, at, first);
    assert_eq!(nodes[0].list(), nodes[1].list());
    assert_eq!(nodes[1].list().len(), 1);
}

#[test]
fn a_peer_that_lists_too_much_loses_its_connection_and_lists_are_answered_once() {
    let mut node = machine();
    let (link, peer) = (LinkId(1), id("p"));
    step(&mut node, Instant::ZERO, Input::Connected { link, peer });
    revoke(&mut node, 1, &by_holder("x", 500));
    let have = |last| Input::Receive {
        link,
        message: Message::Have {
            digests: vec![1; DIGESTS_MAX],
            last,
        },
    };
    let answered = step(&mut node, Instant::ZERO, have(true));
    assert_eq!(answered.len(), 2, "a list and a request: {answered:?}");
    assert_eq!(step(&mut node, Instant::ZERO, have(true)), []);
    let later = Instant::ZERO + EXCHANGE_INTERVAL;
    for _ in 0..REVOCATIONS_MAX / DIGESTS_MAX {
        assert_eq!(step(&mut node, later, have(false)), []);
    }
    let close = Output::Close {
        link,
        revoked: false,
    };
    assert_eq!(step(&mut node, later, have(false)), [close]);
    assert!(!node.is_connected(link), "the connection leaves no state");
}

#[test]
fn stored_revocations_are_enforced_without_being_stored_again() {
    let mut node = machine();
    let revocation = by_holder("b", 500);
    let outputs = step(
        &mut node,
        Instant::ZERO,
        Input::Load(vec![Arc::clone(&revocation)]),
    );
    assert_eq!(outputs, [Output::Enforce(Arc::clone(&revocation))]);
    assert!(node.is_durable());
    // Ended revocations are removed, also from the store.
    let wall = Wall(revocation.content.kept_until().0 + KEPT_AFTER_END + 1);
    let outputs = step(&mut node, Instant::ZERO, Input::Calendar(wall));
    assert!(matches!(&outputs[..], [Output::Store { revocations, .. }] if revocations.is_empty()));
}
