//! Set-up of one data path: the next step, and the signals that the peer may send.
//!
//! ```text
//! waiting --prepare--> preparing --prepared--> ready --peer ready--> confirmed --works--> established
//!    |                     |                     |                       |                     |
//!    +---- unfit ----------+------- failed at either end, or the link closed ------------------+--> ended
//! ```
//!
//! The peer may send `Ready` once, followed by control messages; `Established` once, and only after this end sent
//! `Ready`; and `Failed` once, followed by no further signal. A peer that breaks a rule is reported as a [`Violation`].

use super::interface::PathState;
use super::offer::Offer;
use super::signal::{self, Signal};
use super::violation::Violation;

/// A step of the set-up, for the machine to order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// Make the overlay prepare a data path for this offer of the peer.
    Prepare(Offer),
    /// Send a signal to the peer.
    Send(Signal),
    /// Notify the data path that both ends are prepared.
    Confirm,
    /// The data path works at both ends.
    Established,
}

/// How a data path ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// The two ends do not have the same overlay.
    Unfit(String),
    /// The data path failed at this end, and the reason is sent to the peer. Holds the reason.
    Failed(String),
    /// The data path failed at the peer.
    FailedAtPeer(String),
    /// The link closed.
    LinkClosed,
}

/// Progress of this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LocalStage {
    Waiting,
    Preparing,
    Prepared,
    Ready,
    Confirmed,
    Established,
}

/// Progress of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PeerStage {
    Waiting,
    Ready,
    Established,
    Failed,
}

/// The set-up of one link's data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The peer's offer.
    offer: Option<Offer>,
    local: LocalStage,
    peer: PeerStage,
    /// Whether the local data path reported that it works.
    works: bool,
    /// Whether both ends were established.
    was_established: bool,
    ending: Option<SessionEnd>,
    failure_sent: bool,
}

impl Session {
    pub(super) const fn new() -> Self {
        Self {
            offer: None,
            local: LocalStage::Waiting,
            peer: PeerStage::Waiting,
            works: false,
            was_established: false,
            ending: None,
            failure_sent: false,
        }
    }

    /// The overlay prepared the data path.
    pub(super) fn on_prepared(&mut self) {
        if self.local == LocalStage::Preparing {
            self.local = LocalStage::Prepared;
        }
    }

    /// The local data path works.
    pub(super) const fn on_works(&mut self) {
        self.works = true;
    }

    /// The data path ended. Only the first end counts.
    pub(super) fn end(&mut self, ending: SessionEnd) {
        if self.ending.is_none() {
            self.ending = Some(ending);
        }
    }

    /// The peer sent its offer.
    pub(super) fn on_offer(&mut self, offer: Offer) -> Result<(), Violation> {
        match self.offer.replace(offer) {
            None => Ok(()),
            Some(_) => Err(Violation::SecondOffer),
        }
    }

    /// Whether the peer may send any signal but an offer.
    pub(super) fn expects_signals(&self, ours: &Offer) -> Result<(), Violation> {
        if self.offer.as_ref().map(Offer::name) != Some(ours.name()) {
            return Err(Violation::Uninvited);
        }
        if self.peer == PeerStage::Failed {
            return Err(Violation::AfterFailed);
        }
        Ok(())
    }

    /// The peer is prepared.
    pub(super) fn on_ready(&mut self) -> Result<(), Violation> {
        if self.peer > PeerStage::Waiting {
            return Err(Violation::SecondReady);
        }
        self.peer = PeerStage::Ready;
        Ok(())
    }

    /// Whether the peer may send control messages.
    pub(super) fn expects_control(&self) -> Result<(), Violation> {
        if self.peer < PeerStage::Ready {
            return Err(Violation::Early);
        }
        Ok(())
    }

    /// The peer's data path works.
    pub(super) fn on_established(&mut self) -> Result<(), Violation> {
        if self.peer != PeerStage::Ready || self.local < LocalStage::Ready {
            return Err(Violation::Established);
        }
        self.peer = PeerStage::Established;
        Ok(())
    }

    /// The peer's data path failed.
    pub(super) fn on_failed(&mut self, reason: String) {
        self.peer = PeerStage::Failed;
        self.end(SessionEnd::FailedAtPeer(reason));
    }

    /// The next step, which then counts as done. None until another input arrives.
    pub(super) fn next(&mut self, ours: &Offer) -> Option<Transition> {
        if let Some(ending) = &self.ending {
            let SessionEnd::Failed(reason) = ending else {
                return None;
            };
            let sent = std::mem::replace(&mut self.failure_sent, true);
            let failure = Signal::Failed(signal::reason(reason));
            return (!sent).then_some(Transition::Send(failure));
        }
        match self.local {
            LocalStage::Waiting => self.begin(ours),
            LocalStage::Prepared => {
                self.local = LocalStage::Ready;
                Some(Transition::Send(Signal::Ready))
            }
            LocalStage::Ready if self.peer >= PeerStage::Ready => {
                self.local = LocalStage::Confirmed;
                Some(Transition::Confirm)
            }
            LocalStage::Confirmed if self.works => {
                self.local = LocalStage::Established;
                Some(Transition::Send(Signal::Established))
            }
            LocalStage::Established if self.is_established() && !self.was_established => {
                self.was_established = true;
                Some(Transition::Established)
            }
            LocalStage::Preparing
            | LocalStage::Ready
            | LocalStage::Confirmed
            | LocalStage::Established => None,
        }
    }

    /// Begins the set-up, if the two ends have the same overlay.
    fn begin(&mut self, ours: &Offer) -> Option<Transition> {
        match &self.offer {
            None => self.end(SessionEnd::Unfit("it has no overlay".to_owned())),
            Some(offer) if offer.name() != ours.name() => {
                let name = offer.name();
                self.end(SessionEnd::Unfit(format!("it has another overlay: {name}")));
            }
            Some(offer) => {
                self.local = LocalStage::Preparing;
                return Some(Transition::Prepare(offer.clone()));
            }
        }
        None
    }

    /// Whether this end may send control messages.
    pub(super) fn may_send(&self) -> bool {
        self.ending.is_none() && self.local >= LocalStage::Ready
    }

    /// Whether control messages may be passed to the local data path.
    pub(super) fn may_deliver(&self) -> bool {
        self.ending.is_none() && self.local >= LocalStage::Confirmed
    }

    fn is_established(&self) -> bool {
        self.local == LocalStage::Established && self.peer == PeerStage::Established
    }

    /// Whether the data path worked at both ends, even if it has ended since.
    pub(super) const fn was_established(&self) -> bool {
        self.was_established
    }

    /// How the data path ended.
    pub(super) const fn ending(&self) -> Option<&SessionEnd> {
        self.ending.as_ref()
    }

    /// The peer's offer.
    pub(super) const fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// The state as shown to users.
    pub(super) fn state(&self) -> PathState {
        match &self.ending {
            Some(SessionEnd::Unfit(why)) => PathState::Unfit(why.clone()),
            Some(SessionEnd::Failed(why)) => PathState::Failed(signal::reason(why)),
            Some(SessionEnd::FailedAtPeer(why)) => {
                PathState::Failed(format!("at the other end: {why}"))
            }
            Some(SessionEnd::LinkClosed) => PathState::Failed("its link ended".to_owned()),
            None if self.is_established() => PathState::Established,
            None if self.local >= LocalStage::Confirmed => PathState::Confirmed,
            None => PathState::Preparing,
        }
    }
}
