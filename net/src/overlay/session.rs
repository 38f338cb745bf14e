//! The rules of one link: what is done next, and what the other end may say. Nothing in here waits or calls anybody.
//!
//! ```text
//! greeted --link up--> preparing --prepared--> ready --peer ready--> confirmed --both say so--> established
//!    |                     |                     |                       |                          |
//!    +---- unfit ----------+------------ failed here, or at the other end, or the link ended -------+--> over
//! ```
//!
//! The other end says ready once, then control messages, of which [`WINDOW`] may be untaken; established once, and only
//! when this end has said ready; failed once, and nothing after it. Who breaks this is a liar: the link is closed.

use super::signal::{self, CONTROL_BYTES_MAX, Control, Signal, WINDOW};
use super::{Offer, PathState, SendError};
use bytes::Bytes;
use std::collections::VecDeque;

/// What is to be done next, by whoever keeps the data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Have the overlay prepare a data path.
    Prepare,
    /// Say this to the other end.
    Say(Signal),
    /// Tell the data path that both ends are prepared.
    Confirm,
    /// Tell people that it works at both ends.
    Tell,
    /// Hand the data path a message.
    Deliver(Control),
    /// Stop the data path; nothing follows.
    Stop,
}

/// How a data path ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The two ends do not have the same overlay.
    Unfit(String),
    /// At this end: the other end is told why.
    Failed(String),
    /// At the other end.
    FailedThere(String),
    /// With its link.
    Closed,
}

/// How far this end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Here {
    Greeted,
    Preparing,
    Prepared,
    Ready,
    Confirmed,
    Established,
}

/// How far the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum There {
    Silent,
    Ready,
    Established,
    Failed,
}

/// Why what the other end said is against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("uninvited: no overlay of this name was offered")]
    Uninvited,
    #[error("a second offer")]
    SecondOffer,
    #[error("ready was said twice")]
    SecondReady,
    #[error("established was said twice, or before both ends were ready")]
    Established,
    #[error("a control message before ready")]
    Early,
    #[error("more than {WINDOW} control messages that were not taken")]
    Flood,
    #[error("more control messages were taken than were sent")]
    Taken,
    #[error("something after failed")]
    AfterFailed,
}

/// One link's data path, as far as both ends have come.
#[derive(Debug)]
pub(super) struct Session {
    ours: Offer,
    theirs: Option<Offer>,
    up: bool,
    here: Here,
    there: There,
    /// Our data path works, it says.
    works: bool,
    told: bool,
    /// What the other end sent and the data path has not got.
    inbox: VecDeque<Control>,
    /// What the data path got and the other end has not been credited.
    owed: u32,
    /// What waits to be said.
    unsent: VecDeque<Control>,
    /// What was sent, or waits to be, and was not taken.
    untaken: u32,
    discarded: Vec<Control>,
    ending: Option<Ending>,
    failure_said: bool,
    stopped: bool,
}

impl Session {
    pub(super) const fn new(ours: Offer) -> Self {
        Self {
            ours,
            theirs: None,
            up: false,
            here: Here::Greeted,
            there: There::Silent,
            works: false,
            told: false,
            inbox: VecDeque::new(),
            owed: 0,
            unsent: VecDeque::new(),
            untaken: 0,
            discarded: Vec::new(),
            ending: None,
            failure_said: false,
            stopped: false,
        }
    }

    /// Both ends agreed on the link.
    pub(super) const fn up(&mut self) {
        self.up = true;
    }

    /// The data path was prepared.
    pub(super) fn prepared(&mut self) {
        if self.here == Here::Preparing {
            self.here = Here::Prepared;
        }
    }

    /// The data path says that it works.
    pub(super) const fn works(&mut self) {
        self.works = true;
    }

    /// It is over; the first ending counts.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.discarded.extend(self.unsent.drain(..));
            self.discarded.extend(self.inbox.drain(..));
        }
    }

    /// What the end left over, to be dropped by whoever holds no lock.
    pub(super) fn take_discarded(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.discarded)
    }

    /// A message for the other data path.
    pub(super) fn send(&mut self, kind: u8, payload: &Bytes) -> Result<(), SendError> {
        let bytes = payload.len();
        if bytes > CONTROL_BYTES_MAX {
            return Err(SendError::TooLong { bytes });
        }
        if self.ending.is_some() {
            return Err(SendError::Over);
        }
        if self.untaken >= WINDOW {
            return Err(SendError::Full);
        }
        self.untaken += 1;
        let payload = payload.clone();
        self.unsent.push_back(Control { kind, payload });
        Ok(())
    }

    /// Whether another message would be taken.
    pub(super) const fn has_room(&self) -> bool {
        self.untaken < WINDOW
    }

    /// The other end said this.
    pub(super) fn receive(&mut self, signal: Signal) -> Result<(), Broken> {
        if let Signal::Offer(offer) = signal {
            return match self.theirs.replace(offer) {
                None => Ok(()),
                Some(_) => Err(Broken::SecondOffer),
            };
        }
        if self.theirs.as_ref().map(Offer::name) != Some(self.ours.name()) {
            return Err(Broken::Uninvited);
        }
        if self.there == There::Failed {
            return Err(Broken::AfterFailed);
        }
        match signal {
            Signal::Offer(_) => return Err(Broken::SecondOffer),
            Signal::Ready if self.there > There::Silent => return Err(Broken::SecondReady),
            Signal::Ready => self.there = There::Ready,
            Signal::Control(_) if self.there < There::Ready => return Err(Broken::Early),
            Signal::Control(control) => self.take_in(control)?,
            Signal::Taken(count) => {
                let said = self.untaken - u32::try_from(self.unsent.len()).unwrap_or(u32::MAX);
                if count == 0 || count > said {
                    return Err(Broken::Taken);
                }
                self.untaken -= count;
            }
            Signal::Established => {
                if self.there != There::Ready || self.here < Here::Ready {
                    return Err(Broken::Established);
                }
                self.there = There::Established;
            }
            Signal::Failed(reason) => {
                self.there = There::Failed;
                self.end(Ending::FailedThere(reason));
            }
        }
        Ok(())
    }

    fn take_in(&mut self, control: Control) -> Result<(), Broken> {
        let held = u32::try_from(self.inbox.len()).unwrap_or(u32::MAX);
        if self.owed + held >= WINDOW {
            return Err(Broken::Flood);
        }
        if self.ending.is_some() {
            // It crossed our end: counted, so that a flood is one all the same.
            self.owed += 1;
        } else {
            self.inbox.push_back(control);
        }
        Ok(())
    }

    /// The next thing to do, which counts as done; none until something happens.
    pub(super) fn next(&mut self) -> Option<Act> {
        if self.ending.is_some() {
            return self.wind_up();
        }
        match self.here {
            Here::Greeted if self.up => return Some(self.begin()),
            Here::Greeted | Here::Preparing => return None,
            Here::Prepared => {
                self.here = Here::Ready;
                return Some(Act::Say(Signal::Ready));
            }
            Here::Ready | Here::Confirmed | Here::Established => {}
        }
        if let Some(control) = self.unsent.pop_front() {
            return Some(Act::Say(Signal::Control(control)));
        }
        if self.here == Here::Ready && self.there >= There::Ready {
            self.here = Here::Confirmed;
            return Some(Act::Confirm);
        }
        if self.here == Here::Confirmed && self.works {
            self.here = Here::Established;
            return Some(Act::Say(Signal::Established));
        }
        if self.is_established() && !self.told {
            self.told = true;
            return Some(Act::Tell);
        }
        if self.owed > 0 && (self.inbox.is_empty() || self.owed >= WINDOW / 2) {
            return Some(Act::Say(Signal::Taken(std::mem::take(&mut self.owed))));
        }
        if self.here >= Here::Confirmed
            && let Some(control) = self.inbox.pop_front()
        {
            self.owed += 1;
            return Some(Act::Deliver(control));
        }
        None
    }

    fn begin(&mut self) -> Act {
        let unfit = match &self.theirs {
            None => Some("it has no overlay".to_owned()),
            Some(theirs) if theirs.name() != self.ours.name() => {
                Some(format!("it has another overlay: {}", theirs.name()))
            }
            Some(_) => None,
        };
        match unfit {
            Some(why) => {
                self.end(Ending::Unfit(why));
                self.stopped = true;
                Act::Stop
            }
            None => {
                self.here = Here::Preparing;
                Act::Prepare
            }
        }
    }

    fn wind_up(&mut self) -> Option<Act> {
        if let Some(Ending::Failed(reason)) = &self.ending
            && !self.failure_said
        {
            self.failure_said = true;
            return Some(Act::Say(Signal::Failed(signal::reason(reason))));
        }
        let stop = !self.stopped;
        self.stopped = true;
        stop.then_some(Act::Stop)
    }

    fn is_established(&self) -> bool {
        self.here == Here::Established && self.there == There::Established
    }

    /// Whether it worked at both ends, before it ended too.
    pub(super) const fn was_established(&self) -> bool {
        self.told
    }

    /// How it ended, once it has.
    pub(super) const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What the other end offered.
    pub(super) const fn theirs(&self) -> Option<&Offer> {
        self.theirs.as_ref()
    }

    /// How far both ends are, for people.
    pub(super) fn state(&self) -> PathState {
        match &self.ending {
            Some(Ending::Unfit(why)) => PathState::Unfit(why.clone()),
            Some(Ending::Failed(why)) => PathState::Failed(signal::reason(why)),
            Some(Ending::FailedThere(why)) => PathState::Failed(format!("at the other end: {why}")),
            Some(Ending::Closed) => PathState::Failed("its link ended".to_owned()),
            None if self.is_established() => PathState::Established,
            None if self.here >= Here::Confirmed => PathState::Confirmed,
            None => PathState::Preparing,
        }
    }
}
