//! Leader election as in Raft, without its log: terms, votes, heartbeats.
//!
//! A node that receives no heartbeat of a leader for the election timeout becomes a candidate of the next term, and
//! leads if a majority votes for it. Each node votes once per term. The term and the vote are on disk before they are
//! sent; a node that forgot its vote could vote again, and a term could then have two leaders.
//!
//! Each node has a credential, which expires and is renewed before its expiry. A node without a valid credential
//! neither becomes a candidate, nor votes, nor leads.

use core::time::Duration;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The interval between two heartbeats of a leader.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// The minimum election timeout. A random time between zero and this minimum is added.
const PATIENCE: Duration = Duration::from_millis(200);

/// The lifetime of a credential.
const GOOD_FOR: Duration = Duration::from_secs(3);
/// The time before its expiry at which a credential is renewed, and the interval between retries.
const RENEWAL: Duration = Duration::from_secs(1);

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sender is a candidate of this term.
    Stand { term: u64 },
    /// The sender votes for the receiver in this term.
    Vote { term: u64 },
    /// The sender leads this term.
    Lead { term: u64 },
}

// guide: input
/// An event that the node reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The process runs.
    Start,
    /// A message from another node arrived.
    Heard { from: usize, message: Message },
    /// The ballot saved under this number is on disk.
    Saved(u64),
    /// The ballot could not be saved.
    SaveFailed(u64),
    /// The node's credential changed.
    Credential(CredentialChange),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to another node.
    Send { to: usize, message: Message },
    /// Store the ballot on disk; answered with the number.
    Save { number: u64, ballot: Ballot },
    /// Report an event.
    Report(Event),
}
// guide: end

/// An event that the node reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node leads a term.
    Elected,
    /// The node led, and another node is a candidate of a later term.
    Deposed,
    /// The node led, and its credential ended.
    Lapsed,
    /// The node's vote cannot be saved, so it is not sent.
    VoteWithheld,
}

/// A change of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialChange {
    /// The credential ends before its expiry.
    Ended,
    /// The credential ends, and the issuer does not issue another one.
    Withdrawn,
    /// A new credential was issued.
    Given,
}

/// The state that must survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ballot {
    /// The latest known term.
    pub term: u64,
    /// The candidate that the node voted for in the term.
    pub vote: Option<usize>,
}

/// The role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

/// The message to send once a ballot is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Stand,
    VoteFor(usize),
}

/// One node of the election.
#[derive(Clone, Debug, PartialEq)]
pub struct Election {
    me: usize,
    nodes: usize,
    random: Random,
    ballot: Ballot,
    role: Role,
    /// The leader, if the node knows one.
    leader: Option<usize>,
    /// The nodes that voted for this node.
    votes: BTreeSet<usize>,
    saving: BTreeMap<u64, (u64, Then)>,
    saves: u64,
    deadline: Instant,
    /// The expiry of the credential.
    good_until: Instant,
    /// The time at which the next credential is requested.
    renewal: Instant,
    /// The node gets no credential.
    withdrawn: bool,
}

impl Election {
    /// Creates the node `me` of `nodes` with the ballot on its disk; with `withdrawn`, the node gets no credential.
    pub fn new(me: usize, nodes: usize, ballot: Ballot, withdrawn: bool, random: Random) -> Self {
        Self {
            me,
            nodes,
            random,
            ballot,
            role: Role::Follower,
            leader: None,
            votes: BTreeSet::new(),
            saving: BTreeMap::new(),
            saves: 0,
            deadline: Instant::FAR_FUTURE,
            good_until: Instant::ZERO,
            renewal: Instant::FAR_FUTURE,
            withdrawn,
        }
    }

    /// The role of the node.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The node's term and vote.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The leader, if the node knows one.
    pub fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// The number of ballots that are not on disk yet.
    pub fn waiting(&self) -> u64 {
        self.saving.len() as u64
    }

    /// Whether the node may stand, vote and lead.
    pub fn has_credential(&self, now: Instant) -> bool {
        now < self.good_until
    }

    fn renew(&mut self, now: Instant) {
        if self.withdrawn {
            self.renewal = now + RENEWAL;
        } else {
            self.good_until = now + GOOD_FOR;
            self.renewal = now + (GOOD_FOR - RENEWAL);
        }
    }

    fn credential(&mut self, now: Instant, is: CredentialChange, out: &mut Outbox<Output>) {
        match is {
            CredentialChange::Ended => {
                self.good_until = now;
                self.renewal = now + RENEWAL;
            }
            CredentialChange::Withdrawn => {
                self.withdrawn = true;
                self.good_until = now;
            }
            CredentialChange::Given => {
                self.withdrawn = false;
                self.renew(now);
            }
        }
        self.give_up_without(now, out);
    }

    /// A node without a credential neither leads nor stands.
    fn give_up_without(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.role == Role::Follower || self.has_credential(now) {
            return;
        }
        if self.role == Role::Leader {
            out.push(Output::Report(Event::Lapsed));
        }
        self.role = Role::Follower;
        self.leader = None;
        self.votes.clear();
        self.wait_anew(now);
    }

    fn wait_anew(&mut self, now: Instant) {
        self.deadline = now + PATIENCE + self.random.duration_below(PATIENCE);
    }

    fn save(&mut self, then: Then, out: &mut Outbox<Output>) {
        self.saves += 1;
        self.saving.insert(self.saves, (self.ballot.term, then));
        out.push(Output::Save {
            number: self.saves,
            ballot: self.ballot,
        });
    }

    fn tell_all(&self, message: &Message, out: &mut Outbox<Output>) {
        for to in (0..self.nodes).filter(|node| *node != self.me) {
            let message = message.clone();
            out.push(Output::Send { to, message });
        }
    }

    /// A later term begins at this node.
    fn follow(&mut self, term: u64, out: &mut Outbox<Output>) {
        if self.role == Role::Leader {
            out.push(Output::Report(Event::Deposed));
        }
        self.role = Role::Follower;
        self.leader = None;
        self.votes.clear();
        self.ballot = Ballot { term, vote: None };
    }

    fn heard(&mut self, now: Instant, from: usize, message: Message, out: &mut Outbox<Output>) {
        let (Message::Stand { term } | Message::Vote { term } | Message::Lead { term }) = message;
        if term < self.ballot.term {
            return;
        }
        if term > self.ballot.term {
            self.follow(term, out);
            self.wait_anew(now);
        }
        match message {
            Message::Stand { .. } => {
                let free = self.ballot.vote.is_none_or(|vote| vote == from);
                if free && self.has_credential(now) {
                    self.ballot.vote = Some(from);
                    self.wait_anew(now);
                    self.save(Then::VoteFor(from), out);
                }
            }
            Message::Vote { .. } => self.count(now, from, out),
            Message::Lead { .. } => {
                self.role = Role::Follower;
                self.leader = Some(from);
                self.wait_anew(now);
            }
        }
    }

    fn count(&mut self, now: Instant, from: usize, out: &mut Outbox<Output>) {
        if self.role != Role::Candidate {
            return;
        }
        self.votes.insert(from);
        if self.votes.len() > self.nodes / 2 {
            self.role = Role::Leader;
            self.leader = Some(self.me);
            out.push(Output::Report(Event::Elected));
            self.lead(now, out);
        }
    }

    fn lead(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let term = self.ballot.term;
        self.tell_all(&Message::Lead { term }, out);
        self.deadline = now + HEARTBEAT;
    }

    fn stand(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if !self.has_credential(now) {
            return self.wait_anew(now);
        }
        self.follow(self.ballot.term + 1, out);
        self.role = Role::Candidate;
        self.ballot.vote = Some(self.me);
        self.wait_anew(now);
        self.save(Then::Stand, out);
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if now >= self.renewal {
            self.renew(now);
        }
        if now < self.deadline {
            return;
        }
        match self.role {
            Role::Leader => self.lead(now, out),
            Role::Follower | Role::Candidate => self.stand(now, out),
        }
    }

    fn saved(&mut self, now: Instant, number: u64, out: &mut Outbox<Output>) {
        // A message of an earlier term is useless in the current term.
        let Some((term, then)) = self.saving.remove(&number) else {
            return;
        };
        if term != self.ballot.term {
            return;
        }
        match then {
            Then::VoteFor(to) => out.push(Output::Send {
                to,
                message: Message::Vote { term },
            }),
            Then::Stand => {
                self.tell_all(&Message::Stand { term }, out);
                self.count(now, self.me, out);
            }
        }
    }
}

impl Machine for Election {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        // The credential may have ended while the node was paused.
        self.give_up_without(now, out);
        match input {
            Input::Start => {
                self.renew(now);
                self.wait_anew(now);
            }
            Input::Heard { from, message } => self.heard(now, from, message, out),
            Input::Saved(number) => self.saved(now, number, out),
            Input::SaveFailed(number) => {
                self.saving.remove(&number);
                out.push(Output::Report(Event::VoteWithheld));
            }
            Input::Credential(is) => self.credential(now, is, out),
            Input::Wake => self.wake(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.deadline.min(self.renewal))
    }
}
