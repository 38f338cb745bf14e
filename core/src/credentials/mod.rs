//! The life cycle of a node's credentials: when its certificate is renewed, and when links are replaced or closed because
//! certificates expire, change or lose trust.
//!
//! [`Credentials`] is the machine of one node. The machine leaves to its caller how a certificate is obtained and
//! verified, and how a link is replaced. The machine gets wall time only as data, by [`Input::Calendar`].
//!
//! - `calendar`: the last reading of the calendar, and the time of the next reading.
//! - `certificate`: renewal of this node's own certificate, spread over a fleet, retried with back-off.
//! - `replacement`: make before break for links; expiry and loss of trust.
//! - [`Validity`], [`Expiry`]: the computation of these times.
//!
//! The calendar is read at least every [`READ_INTERVAL`], so that even a change of the calendar by months is noticed
//! within a minute.
//!
//! Bounds: one entry for each link; the gossip machine bounds the number of links.

mod calendar;
mod certificate;
mod context;
mod expiry;
mod interface;
mod intervals;
mod replacement;
#[cfg(test)]
mod tests;
mod validity;

pub use expiry::Expiry;
pub use interface::{CredentialsEvent, Input, Output};
pub use intervals::{
    GRACE, READ_INTERVAL, REPORT_INTERVAL, RETRY_MAX, RETRY_MIN, STAGGER, STAGGER_TURNS,
};
pub use validity::{CA_DAYS, NODE_DAYS, Validity, ValidityStage};

use crate::deadlines::Deadlines;
use crate::machine::{Machine, Outbox};
use crate::random::Random;
use crate::time::{Instant, Wall};
use calendar::Calendar;
use certificate::Certificate;
use context::{Context, Timer};
use replacement::Replacement;

/// The credentials of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    calendar: Calendar,
    certificate: Certificate,
    replacement: Replacement,
    timers: Deadlines<Timer>,
    random: Random,
}

impl Credentials {
    /// The machine of a node whose certificate is valid in this period; the node's credentials have generation 0.
    /// `wall` is a reading of the calendar; `seed` feeds random choices.
    #[must_use]
    pub fn new(validity: Validity, wall: Wall, seed: u64, now: Instant) -> Self {
        let mut random = Random::from_seed(seed).child("credentials");
        let mut timers = Deadlines::new();
        // The first Wake checks a certificate that is due at the start.
        timers.set(Timer::Calendar, now);
        Self {
            calendar: Calendar::new(now, wall),
            certificate: Certificate::new(validity, &mut random),
            replacement: Replacement::new(),
            timers,
            random,
        }
    }

    /// The number of open links.
    #[must_use]
    pub fn links(&self) -> usize {
        self.replacement.len()
    }

    /// The number of open links that were made with earlier credentials.
    #[must_use]
    pub fn outdated_links(&self) -> usize {
        self.replacement.outdated()
    }

    /// Runs a change with the shared parts of the machine.
    fn change(
        &mut self,
        now: Instant,
        out: &mut Outbox<Output>,
        change: impl FnOnce(&mut Certificate, &mut Replacement, &mut Context<'_>),
    ) {
        let mut cx = Context {
            now,
            wall: self.calendar.estimate(now),
            timers: &mut self.timers,
            random: &mut self.random,
            out,
        };
        change(&mut self.certificate, &mut self.replacement, &mut cx);
    }

    fn on_calendar(&mut self, now: Instant, wall: Wall, out: &mut Outbox<Output>) {
        if let Some(step) = self.calendar.on_read(now, wall) {
            out.push(Output::Report(step));
        }
        self.change(now, out, |certificate, replacement, cx| {
            certificate.on_calendar(cx);
            replacement.on_calendar(cx);
        });
    }

    fn on_wake(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while let Some((_, timer)) = self.timers.pop_due(now) {
            match timer {
                // The calendar is read even if a reading is under way, because the result of that reading may be lost.
                Timer::Calendar => {
                    self.calendar.order();
                    self.await_calendar(now);
                    out.push(Output::ReadCalendar);
                }
                Timer::Certificate => self.change(now, out, |it, _, cx| it.on_timer(cx)),
                Timer::Link(link) => self.change(now, out, |_, it, cx| it.on_timer(cx, link)),
            }
        }
    }

    fn await_calendar(&mut self, now: Instant) {
        self.timers.set(Timer::Calendar, now + READ_INTERVAL);
    }

    /// Schedules the next reading for the time of the next decision.
    fn schedule(&mut self, now: Instant, due: Option<Wall>, out: &mut Outbox<Output>) {
        let at = self.calendar.read_for(due);
        if at > now {
            self.timers.set_earlier(Timer::Calendar, at);
        } else if !self.calendar.order() {
            self.await_calendar(now);
            out.push(Output::ReadCalendar);
        }
    }

    fn schedule_next(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let due = self.certificate.due().into_iter();
        let due = due.chain(self.replacement.due()).min();
        self.schedule(now, due, out);
    }
}

impl Machine for Credentials {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Calendar(wall) => {
                self.on_calendar(now, wall, out);
                self.timers.cancel(&Timer::Calendar);
                self.schedule_next(now, out);
            }
            Input::LinkOpened {
                link,
                dialed,
                expiry,
                generation,
            } => {
                let facts = (dialed, expiry, generation);
                self.change(now, out, |_, it, cx| it.on_opened(cx, link, facts));
                self.schedule(now, self.replacement.due_of(link), out);
            }
            Input::LinkClosed { link } => {
                self.change(now, out, |_, it, cx| it.on_closed(cx, link));
            }
            Input::Verified { link, trusted } => {
                self.change(now, out, |_, it, cx| it.on_verified(cx, link, trusted));
            }
            Input::Replaced {
                generation,
                validity,
            } => {
                self.change(now, out, |certificate, replacement, cx| {
                    certificate.on_replaced(cx, validity);
                    replacement.on_replaced(cx, generation);
                });
                self.schedule_next(now, out);
            }
            Input::Unchanged => {
                self.change(now, out, |it, _, cx| it.on_unchanged(cx));
                self.schedule_next(now, out);
            }
            Input::RequestFailed { reason } => {
                self.change(now, out, |it, _, cx| it.on_failed(cx, reason));
            }
            Input::Wake => self.on_wake(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }
}
