//! The timers of the machine. Each timer belongs to the component that defines it.

use crate::deadlines::Deadlines;
use crate::link::{DialId, LinkId};
use crate::time::Instant;
use crate::topology::MemberIndex;
use crate::topology::publication::Key;

/// The purpose of a deadline. Deadlines at the same instant are due in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Heartbeat,
    Judge,
    Suspicion,
    Isolation,
    Overlay,
    Seeds,
    Probe,
    Maintain,
    RandomLink,
    LeaveDone,
    Flush(LinkId),
    Silence(LinkId),
    Handshake(LinkId),
    Dial(DialId),
    Graft(Key),
    Forget(MemberIndex),
    StoreRetry,
    Dispute,
    Reclaim,
    Publish,
    Refusal(MemberIndex),
}

/// A timer as two numbers in the order of the timers, so that timers are compared without a match on their variants.
type Code = (u8, u64);

impl Timer {
    /// Whether the timer has an effect on a node that gave up its id; its timer for inquiries has one in any case.
    pub(super) const fn runs_without_id(self) -> bool {
        matches!(self, Self::StoreRetry | Self::Handshake(_) | Self::Dial(_))
    }

    fn code(self) -> Code {
        match self {
            Self::Heartbeat => (0, 0),
            Self::Judge => (1, 0),
            Self::Suspicion => (2, 0),
            Self::Isolation => (3, 0),
            Self::Overlay => (4, 0),
            Self::Seeds => (5, 0),
            Self::Probe => (6, 0),
            Self::Maintain => (7, 0),
            Self::RandomLink => (8, 0),
            Self::LeaveDone => (9, 0),
            Self::Flush(link) => (10, link.0),
            Self::Silence(link) => (11, link.0),
            Self::Handshake(link) => (12, link.0),
            Self::Dial(dial) => (13, dial.0),
            Self::Graft(key) => (14, key.code()),
            Self::Forget(member) => (15, member.into()),
            Self::StoreRetry => (16, 0),
            Self::Dispute => (17, 0),
            Self::Reclaim => (18, 0),
            Self::Publish => (19, 0),
            Self::Refusal(member) => (20, member.into()),
        }
    }

    const fn of((kind, about): Code) -> Self {
        match kind {
            0 => Self::Heartbeat,
            1 => Self::Judge,
            2 => Self::Suspicion,
            3 => Self::Isolation,
            4 => Self::Overlay,
            5 => Self::Seeds,
            6 => Self::Probe,
            7 => Self::Maintain,
            8 => Self::RandomLink,
            9 => Self::LeaveDone,
            10 => Self::Flush(LinkId(about)),
            11 => Self::Silence(LinkId(about)),
            12 => Self::Handshake(LinkId(about)),
            13 => Self::Dial(DialId(about)),
            14 => Self::Graft(Key::of(about)),
            15 => Self::Forget(about as MemberIndex),
            16 => Self::StoreRetry,
            17 => Self::Dispute,
            18 => Self::Reclaim,
            19 => Self::Publish,
            20 => Self::Refusal(about as MemberIndex),
            _ => panic!("no timer has this code"),
        }
    }
}

/// The machine's deadlines, at most one for each timer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timers(Deadlines<Code>);

impl Timers {
    pub(super) const fn new() -> Self {
        Self(Deadlines::new())
    }

    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0.set(timer.code(), at);
    }

    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        self.0.set_earlier(timer.code(), at);
    }

    pub(super) fn set_if_unset(&mut self, timer: Timer, at: Instant) {
        self.0.set_if_unset(timer.code(), at);
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        self.0.cancel(&timer.code());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.next()
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let (at, code) = self.0.pop_due(now)?;
        Some((at, Timer::of(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_read_from_its_code() {
        let timers = [
            Timer::Heartbeat,
            Timer::Judge,
            Timer::Suspicion,
            Timer::Isolation,
            Timer::Overlay,
            Timer::Seeds,
            Timer::Probe,
            Timer::Maintain,
            Timer::RandomLink,
            Timer::LeaveDone,
            Timer::Flush(LinkId(u64::MAX)),
            Timer::Silence(LinkId(3)),
            Timer::Handshake(LinkId(4)),
            Timer::Dial(DialId(5)),
            Timer::Graft(Key::EdgeReport(MemberIndex::MAX)),
            Timer::Graft(Key::Record(7)),
            Timer::Forget(MemberIndex::MAX),
            Timer::StoreRetry,
            Timer::Refusal(MemberIndex::MAX),
        ];
        for timer in timers {
            assert_eq!(Timer::of(timer.code()), timer);
        }
        assert!(timers.windows(2).all(|pair| pair[0].code() < pair[1].code()
            || matches!(pair, [Timer::Graft(_), Timer::Graft(_)])));
    }
}
