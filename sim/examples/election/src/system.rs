//! The election as a simulated system.

// guide: imports
use crate::machine::{Ballot, CredentialChange, Election, Event, Input, Message, Output, Role};
use core::net::SocketAddr;
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_sim::adapter::Adapter;
use phalanx_sim::address::PORT;
use phalanx_sim::disk::DiskChange;
use phalanx_sim::invariant::{Invariant, InvariantResult, Seen};
use phalanx_sim::scenario::{CertificateChange, Scenario, Vocabulary, Words};
use phalanx_sim::world::{
    self, Cast, Definition, Effect, Effects, Process, ProcessEvent, ProcessView, Program,
    ReportedEvent, Scene, Start, Ticket, Writing,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
// guide: end

/// The file of votes: one line for each vote, the latest last.
const VOTES: &str = "votes";
/// The planted bug: a vote is answered before it is synced.
const VOTE_UNSYNCED: &str = "vote-unsynced";

// guide: definition
/// The election as a system: each host runs one node.
pub static ELECTION: Definition = Definition {
    name: "election",
    command: "cargo run --",
    vocabulary: || {
        let words = Words {
            program: "election",
            events: vec!["elected", "deposed", "lapsed", "vote-withheld"],
            sabotage: vec![VOTE_UNSYNCED],
            certificates: true,
            gauges: vec!["saves-waiting"],
            ..Words::default()
        };
        Vocabulary::of("the election", [words])
    },
    build: |scenario, sabotage| {
        let hosts = 0..scenario.hosts.len();
        let program = Elections {
            addresses: hosts.map(phalanx_sim::address::address).collect(),
            synced: !sabotage.iter().any(|word| word == VOTE_UNSYNCED),
        };
        Ok(Cast::everywhere(program, scenario))
    },
    recoverable: |_, _, _| Ok(()),
};
// guide: end

/// The nodes of one run.
struct Elections {
    addresses: Vec<SocketAddr>,
    synced: bool,
}

impl Program for Elections {
    fn name(&self) -> &'static str {
        "election"
    }

    // guide: start
    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let ballot = start.disk.read(VOTES).map(latest).unwrap_or_default();
        let withdrawn = start.certificate == CertificateChange::Revoked;
        let addresses = self.addresses.clone();
        let node = Election::new(start.host, addresses.len(), ballot, withdrawn, start.random);
        let senders = addresses.clone();
        let input = move |_: &Election, event: &ProcessEvent| input(&senders, event);
        let synced = self.synced;
        let effect = move |output, out: &mut Effects| effect(&addresses, synced, output, out);
        Box::new(Adapter::new(node, input, effect).listening_on(PORT))
    }
    // guide: end

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(OneLeader::default())]
    }

    // guide: settled
    /// Every run must come to this once its faults are lifted: one leads, and all nodes know it.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        if scene
            .of::<Election>()
            .all(|(_, node)| node.leader().is_none())
        {
            return Err("no node leads".to_owned());
        }
        scene.agree(scene.nodes(), None)
    }
    // guide: end
}

// guide: adapter
fn input(addresses: &[SocketAddr], event: &ProcessEvent) -> Option<Input> {
    match event {
        ProcessEvent::Start => Some(Input::Start),
        ProcessEvent::Datagram { from, message } => Some(Input::Heard {
            from: addresses.iter().position(|known| known == from)?,
            message: message.of::<Message>()?.clone(),
        }),
        ProcessEvent::Written { ticket } => Some(Input::Saved(ticket.0)),
        ProcessEvent::WriteFailed { ticket, .. } => Some(Input::SaveFailed(ticket.0)),
        ProcessEvent::Certificate(is) => Some(Input::Credential(match is {
            CertificateChange::Expired => CredentialChange::Ended,
            CertificateChange::Revoked => CredentialChange::Withdrawn,
            CertificateChange::Rotated => CredentialChange::Given,
        })),
        // It has no connections and no workload, and leaves without notice.
        _ => None,
    }
}

fn effect(addresses: &[SocketAddr], synced: bool, output: Output, out: &mut Effects) {
    match output {
        Output::Send { to, message } => out.datagram(addresses[to], message),
        Output::Save { number, ballot } => out.push(Effect::Write(Box::new(Writing {
            ticket: Ticket(number),
            write: DiskChange::Append(VOTES.into(), line(ballot).into_bytes()),
            synced,
            retry: None,
        }))),
        Output::Report(event) => out.report(event),
    }
}
// guide: end

// guide: looks
impl world::Message for Message {
    fn encoded_len(&self) -> usize {
        9
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Stand { .. } => "stand",
            Self::Vote { .. } => "vote",
            Self::Lead { .. } => "lead",
        }
    }
}

impl ReportedEvent for Event {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        let word = match self {
            Self::Elected => "elected",
            Self::Deposed => "deposed",
            Self::Lapsed => "lapsed",
            Self::VoteWithheld => "vote-withheld",
        };
        (word, None)
    }
}

impl ProcessView for Election {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{:?} {:?}", self.ballot().term, self.leader()).as_bytes())
    }

    fn state(&self) -> Value {
        let role = match self.role() {
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        };
        let Ballot { term, vote } = self.ballot();
        json!({ "role": role, "term": term, "vote": vote, "leader": self.leader() })
    }

    fn gauge(&self, _: &str) -> Option<u64> {
        Some(self.waiting())
    }
}
// guide: end

// guide: invariant
/// A term has at most one leader.
#[derive(Default)]
struct OneLeader {
    led: BTreeMap<u64, usize>,
    checked: u64,
}

impl Invariant for OneLeader {
    fn name(&self) -> &'static str {
        "one-leader-a-term"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let node = seen.view.of::<Election>();
        let Some(node) = node.filter(|node| node.role() == Role::Leader) else {
            return Ok(());
        };
        self.checked += 1;
        let term = node.ballot().term;
        let first = *self.led.entry(term).or_insert(seen.host);
        if first == seen.host {
            return Ok(());
        }
        Err(format!("leads term {term}; node {first} led it before"))
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
// guide: end

/// A ballot as a line of the file. The line begins with a newline, because a torn write may have left an incomplete
/// line before it; the last column is a checksum of the line.
fn line(ballot: Ballot) -> String {
    let vote = ballot.vote.map_or(-1, |vote| vote as i64);
    let said = format!("{} {vote}", ballot.term);
    format!("\n{said} {:016x}\n", hash_bytes(said.as_bytes()))
}

/// The latest ballot whose line is complete.
fn latest(bytes: &[u8]) -> Ballot {
    let text = String::from_utf8_lossy(bytes);
    let read = |line: &str| {
        let (said, hash) = line.rsplit_once(' ')?;
        if hash != format!("{:016x}", hash_bytes(said.as_bytes())) {
            return None;
        }
        let (term, vote) = said.split_once(' ')?;
        Some(Ballot {
            term: term.parse().ok()?,
            vote: vote.parse().ok(),
        })
    };
    text.lines().rev().find_map(read).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_hides_no_line_before_or_after_it() {
        let ballot = |term| Ballot {
            term,
            vote: Some(2),
        };
        let whole = line(ballot(3));
        for length in 0..line(ballot(4)).len() - 1 {
            let torn = format!("{whole}{}", &line(ballot(4))[..length]);
            assert_eq!(latest(torn.as_bytes()), ballot(3), "{torn:?}");
            let again = format!("{torn}{}", line(ballot(5)));
            assert_eq!(latest(again.as_bytes()), ballot(5), "{again:?}");
        }
    }
}
