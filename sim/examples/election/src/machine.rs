//! Who leads: terms, votes, heartbeats (the election of Raft, without its log).
//!
//! A node that hears no leader for a while stands for the next term, and leads when most nodes voted for it. Each
//! node votes once a term. Its term and vote are on disk before anybody hears of them: a node that forgot its vote
//! could vote again, and a term could have two leaders.
//!
//! Each node has a credential that ends and is renewed in time. Without a good one it neither stands, nor votes, nor
//! leads.

use core::time::Duration;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A leader says so this often.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// Silence after which a node stands, at least; a random time up to the same comes on top.
const PATIENCE: Duration = Duration::from_millis(200);

/// A credential is good for this long.
const GOOD_FOR: Duration = Duration::from_secs(3);
/// A new one is asked for this long before its end, and as often again while there is none.
const RENEWAL: Duration = Duration::from_secs(1);

/// What nodes say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// I stand for this term.
    Stand { term: u64 },
    /// My vote of this term is yours.
    Vote { term: u64 },
    /// I lead this term.
    Lead { term: u64 },
}

// guide: input
/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The process runs.
    Start,
    /// Another node said something.
    Heard { from: usize, message: Message },
    /// What was saved under this number is on disk.
    Saved(u64),
    /// It is not.
    SaveFailed(u64),
    /// Something became of our credential.
    Credential(Credential),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say something to another node.
    Send { to: usize, message: Message },
    /// Put this on disk; answer with the number.
    Save { number: u64, ballot: Ballot },
    /// Tell people.
    Report(Event),
}
// guide: end

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// We lead a term.
    Elected,
    /// We led, and somebody stands for a later term.
    Deposed,
    /// We led, and our credential ended.
    Lapsed,
    /// Our vote cannot be saved, so it is not given.
    VoteWithheld,
}

/// What may become of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// It ends before its time.
    Ended,
    /// It ends, and whoever gives them gives no other.
    Withdrawn,
    /// There is a new one.
    Given,
}

/// What must never be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ballot {
    /// The latest term heard of.
    pub term: u64,
    /// For whom we voted in it.
    pub vote: Option<usize>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

/// What is said once a ballot is on disk.
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
    /// Who leads, as far as we know.
    leader: Option<usize>,
    /// Who voted for us.
    votes: BTreeSet<usize>,
    saving: BTreeMap<u64, (u64, Then)>,
    saves: u64,
    deadline: Instant,
    /// Until when our credential is good.
    good_until: Instant,
    /// When we ask for the next.
    renewal: Instant,
    /// We get none.
    withdrawn: bool,
}

impl Election {
    /// The node `me` of `nodes`, with what it had on disk; it may be one that gets no credential.
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

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its term and vote.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Who leads, as far as it knows.
    pub fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// Ballots that are not on disk yet.
    pub fn waiting(&self) -> u64 {
        self.saving.len() as u64
    }

    /// Whether it may stand, vote and lead.
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

    fn credential(&mut self, now: Instant, is: Credential, out: &mut Outbox<Output>) {
        match is {
            Credential::Ended => {
                self.good_until = now;
                self.renewal = now + RENEWAL;
            }
            Credential::Withdrawn => {
                self.withdrawn = true;
                self.good_until = now;
            }
            Credential::Given => {
                self.withdrawn = false;
                self.renew(now);
            }
        }
        self.give_up_without(now, out);
    }

    /// Without a credential we neither lead nor stand any more.
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

    /// A later term begins for us.
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
        // What was meant for an earlier term has no use in this one.
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
        // It may have ended while we stood still.
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
