//! The messages that nodes receive, and the refusals and goodbyes that they send.

use super::table::{Detail, occurrences};
use crate::coverage::{Notes, Occurrence};
use phalanx_core::channel::Data;
use phalanx_core::channel::message::{Item, Purpose};
use phalanx_core::gossip;
use phalanx_core::gossip::message::{Frame, Goodbye, RefusalReason, Sync};
use phalanx_core::node::Message;
use phalanx_core::revocation;

/// Notes a message that a node receives.
pub(super) fn note(message: &Message, notes: &mut Notes) {
    match message {
        Message::Mesh(gossip::Message::Frame(frame)) => note_frame(frame, notes),
        Message::Mesh(message) => {
            if let Some(occurrence) = received(message) {
                notes.note(occurrence);
            }
        }
        Message::Channel(data) => note_data(data, notes),
        Message::Revocation(message) => {
            if let Some(occurrence) = about_revocations(message) {
                notes.note(occurrence);
            }
        }
    }
}

pub(super) fn declared() -> Vec<Occurrence> {
    let frame = FRAME_PARTS.map(frame_part);
    let data = DATA_PARTS.map(data_part);
    let parts = [HEARTBEAT].into_iter().chain(frame).chain(data);
    let tables = [
        parts.collect(),
        receivable(),
        sendable(),
        items(),
        all_about_revocations(),
        Sync::ALL.iter().copied().map(sync_part).collect(),
    ];
    tables.concat()
}

const HEARTBEAT: Occurrence = Occurrence::input("heartbeat");
/// The parts of a frame other than steps of anti-entropy, in the order of its fields.
const FRAME_PARTS: [&str; 9] = [
    "hash", "prune", "have", "graft", "records", "reports", "gone", "ping", "pong",
];
/// The parts of a message about channels other than its items.
const DATA_PARTS: [&str; 2] = ["credit", "prune"];

fn frame_part(part: &'static str) -> Occurrence {
    Occurrence::input("frame").with(part)
}

fn sync_part(step: &'static str) -> Occurrence {
    Occurrence::input("sync").with(step)
}

fn data_part(part: &'static str) -> Occurrence {
    Occurrence::input("data").with(part)
}

fn note_frame(frame: &Frame, notes: &mut Notes) {
    let Frame {
        hash,
        prune,
        have,
        graft,
        records,
        reports,
        sync,
        gone,
        ping,
        pong,
    } = frame;
    let parts = [
        hash.is_some(),
        *prune,
        !have.is_empty(),
        !graft.is_empty(),
        !records.is_empty(),
        !reports.is_empty(),
        !gone.is_empty(),
        *ping != 0,
        *pong != 0,
    ];
    if sync.is_empty() && parts.iter().all(|is_there| !is_there) {
        notes.note(HEARTBEAT);
    }
    for (part, _) in FRAME_PARTS.iter().zip(parts).filter(|(_, there)| *there) {
        notes.note(frame_part(part));
    }
    for step in sync {
        notes.note(sync_part(step.detail()));
    }
}

fn note_data(data: &Data, notes: &mut Notes) {
    let Data {
        credit,
        prune,
        items,
    } = data;
    let parts = DATA_PARTS.iter().zip([*credit > 0, *prune]);
    for (part, _) in parts.filter(|(_, there)| *there) {
        notes.note(data_part(part));
    }
    for occurrence in items.iter().filter_map(item) {
        notes.note(occurrence);
    }
}

occurrences!(received, receivable, gossip::Message {
    input gossip::Message::Hello(_) => "hello";
    input gossip::Message::Welcome(_) => "welcome";
    input gossip::Message::Refuse(_) => "refuse";
    input gossip::Message::Goodbye(_) => "goodbye";
    internal gossip::Message::Frame(_) => "frame";
});

occurrences!(sent, sendable, gossip::Message {
    internal gossip::Message::Hello(_) => "hello";
    internal gossip::Message::Welcome(_) => "welcome";
    refusal gossip::Message::Refuse(refusal) => "refuse-link", RefusalReason = refusal.reason;
    transition gossip::Message::Goodbye(goodbye) => "goodbye", Goodbye = goodbye;
    internal gossip::Message::Frame(_) => "frame";
});

occurrences!(about_revocations, all_about_revocations, revocation::Message {
    input revocation::Message::Digest(_) => "revocation" / "digest";
    input revocation::Message::Have { .. } => "revocation" / "have";
    input revocation::Message::Want(_) => "revocation" / "want";
    input revocation::Message::Entries { .. } => "revocation" / "entries";
    input revocation::Message::Done => "revocation" / "done";
});

occurrences!(item, items, Item {
    input Item::Have(_) => "data" / "have";
    input Item::Graft(_) => "data" / "graft";
    input Item::Update { repair: false, .. } => "data" / "update";
    input Item::Update { repair: true, .. } => "data" / "repair";
    input Item::Packet { packet, .. } => "packet", Purpose = packet.purpose;
    input Item::Segment(_) => "data" / "segment";
    input Item::Digest { .. } => "data" / "digest";
    input Item::Sketch { .. } => "data" / "sketch";
    input Item::Larger { .. } => "data" / "larger";
    input Item::Want { .. } => "data" / "want";
});
