//! What the simulator needs to know of the election.

use crate::machine::{Ballot, Credential, Election, Event, Input, Message, Output, Role};
use core::net::SocketAddr;
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_sim::disk::Write;
use phalanx_sim::invariant::{Invariant, Seen, Verdict};
use phalanx_sim::outcome::run_words;
use phalanx_sim::scenario::{Certificate, Engine, Scenario};
use phalanx_sim::system::{Effect, Happening, Start, System, Taken, Ticket, Vocabulary};
use phalanx_sim::world::Scene;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The file of votes: one line each, the latest last.
const VOTES: &str = "votes";
/// The planted bug: a vote is answered before it is synced.
const VOTE_UNSYNCED: &str = "vote-unsynced";

/// One run of elections.
pub struct Elections {
    addresses: Vec<SocketAddr>,
    synced: bool,
}

impl System for Elections {
    type Machine = Election;
    type Message = Message;
    type Event = Event;
    type View = Election;

    // guide: words
    fn vocabulary() -> Vocabulary {
        Vocabulary {
            name: "the election",
            events: vec!["elected", "deposed", "lapsed", "vote-withheld"],
            sabotage: vec![VOTE_UNSYNCED],
            certificates: true,
            gauges: vec!["saves-waiting"],
            ..Vocabulary::default()
        }
    }
    // guide: end

    // guide: start
    fn new(scenario: &Scenario, sabotage: &[String]) -> Result<Self, String> {
        let hosts = 0..scenario.hosts.len();
        Ok(Self {
            addresses: hosts.map(phalanx_sim::model::address).collect(),
            synced: !sabotage.iter().any(|word| word == VOTE_UNSYNCED),
        })
    }

    fn start(&mut self, start: Start<'_>) -> Election {
        let ballot = start.disk.read(VOTES).map(latest).unwrap_or_default();
        let withdrawn = start.certificate == Certificate::Revoked;
        let nodes = self.addresses.len();
        Election::new(start.host, nodes, ballot, withdrawn, start.random)
    }
    // guide: end

    // guide: adapter
    fn happen(&mut self, _: &Election, what: Happening<'_, Message>) -> Option<Input> {
        match what {
            Happening::Start => Some(Input::Start),
            Happening::Datagram { from, message } => {
                let from = self.addresses.iter().position(|known| *known == from)?;
                Some(Input::Heard { from, message })
            }
            Happening::Written { ticket } => Some(Input::Saved(ticket.0)),
            Happening::WriteFailed { ticket, .. } => Some(Input::SaveFailed(ticket.0)),
            Happening::Certificate(is) => Some(Input::Credential(match is {
                Certificate::Expired => Credential::Ended,
                Certificate::Revoked => Credential::Withdrawn,
                Certificate::Rotated => Credential::Given,
            })),
            // No connections, no farewell, no workload.
            _ => None,
        }
    }

    fn perform(&mut self, output: Output) -> Effect<Self> {
        match output {
            Output::Send { to, message } => Effect::Datagram {
                to: self.addresses[to],
                message,
            },
            Output::Save { number, ballot } => Effect::Write {
                ticket: Ticket(number),
                write: Write::Append(VOTES.into(), line(ballot).into_bytes()),
                synced: self.synced,
                retry: None,
            },
            Output::Report(event) => Effect::Report(event),
        }
    }
    // guide: end

    // guide: looks
    fn describe(&mut self, input: &Input, bytes: usize) -> Taken {
        match input {
            Input::Start => Taken::of("start"),
            Input::Heard { message, .. } => Taken::message(word(message), bytes),
            Input::Saved(_) => Taken::of("saved"),
            Input::SaveFailed(_) => Taken::of("save-failed"),
            Input::Credential(_) => Taken::of("credential"),
            Input::Wake => Taken::of("wake"),
        }
    }

    fn size(_: &Message) -> usize {
        9
    }

    fn view(machine: &Election) -> &Election {
        machine
    }

    fn digest(node: &Election) -> u64 {
        hash_bytes(format!("{:?} {:?}", node.ballot().term, node.leader()).as_bytes())
    }

    fn state(node: &Election) -> Value {
        json!({
            "role": role(node.role()),
            "term": node.ballot().term,
            "vote": node.ballot().vote,
            "leader": node.leader(),
        })
    }

    fn gauge(_: &str, node: &Election) -> Option<u64> {
        Some(node.waiting())
    }

    fn event(event: &Event) -> (&'static str, Option<&NodeId>) {
        let word = match event {
            Event::Elected => "elected",
            Event::Deposed => "deposed",
            Event::Lapsed => "lapsed",
            Event::VoteWithheld => "vote-withheld",
        };
        (word, None)
    }
    // guide: end

    fn again(scenario: &Scenario, seed: u64, _: Engine) -> String {
        format!(
            "election run {} --seeds {seed}..{seed}",
            run_words(scenario)
        )
    }

    fn invariants(_: &Scenario) -> Vec<Box<dyn Invariant<Self>>> {
        vec![Box::new(OneLeader::default())]
    }

    // guide: settled
    /// Every run must come to this once its faults are lifted: one leads, and everybody knows.
    fn settled(scene: &Scene<'_, Self>) -> Result<(), String> {
        if scene.nodes().all(|(_, node)| node.leader().is_none()) {
            return Err("nobody leads".to_owned());
        }
        scene.agree(scene.nodes(), None)
    }
    // guide: end
}

// guide: invariant
/// A term has at most one leader.
#[derive(Default)]
struct OneLeader {
    led: BTreeMap<u64, usize>,
}

impl Invariant<Elections> for OneLeader {
    fn name(&self) -> &'static str {
        "one-leader-a-term"
    }

    fn after_step(&mut self, seen: &Seen<'_, Elections>, _: &Elections) -> Verdict {
        let node = seen.view();
        if node.role() != Role::Leader {
            return Ok(());
        }
        let term = node.ballot().term;
        let first = *self.led.entry(term).or_insert(seen.host);
        if first == seen.host {
            return Ok(());
        }
        Err(format!("leads term {term}; node {first} led it before"))
    }
}
// guide: end

/// A ballot as a line of the file, begun anew after whatever a torn write left; the last column tells a whole line.
fn line(ballot: Ballot) -> String {
    let vote = ballot.vote.map_or(-1, |vote| vote as i64);
    let said = format!("{} {vote}", ballot.term);
    format!("\n{said} {:016x}\n", hash_bytes(said.as_bytes()))
}

/// The latest ballot that is whole.
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

fn word(message: &Message) -> &'static str {
    match message {
        Message::Stand { .. } => "stand",
        Message::Vote { .. } => "vote",
        Message::Lead { .. } => "lead",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_hides_neither_what_came_before_it_nor_what_comes_after() {
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
