//! Renewal of this node's own certificate.
//!
//! ```text
//! idle --due--> requested --replaced--> idle
//!                   |------unchanged--> idle, due later
//!                   +------failed-----> waiting --back-off--> requested
//! ```
//!
//! A certificate is due for renewal at two thirds of its life, plus a random part of a twelfth of its life, so that
//! nodes whose certificates were issued together do not renew them together. A failed request is retried after 1 s, and
//! then after pauses that double up to 60 s; each pause is shortened by a random part of half its length.

use super::context::{Context, Timer};
use super::interface::{CredentialsEvent, Output};
use super::intervals::{REPORT_INTERVAL, RETRY_MAX, RETRY_MIN};
use super::validity::Validity;
use crate::random::Random;
use crate::time::{Instant, Wall};

/// The part of a certificate's life over which the renewals of a fleet are spread.
const SPREAD_PART: u64 = 12;
/// Maximum pause before an unchanged source is read again, in seconds.
const UNCHANGED_SECONDS_MAX: u64 = 3_600;
/// The pause, in seconds, before an unchanged source is read again if its certificate has expired.
const EXPIRED_SECONDS: u64 = 60;

/// Progress of the renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Requested,
    /// [`Timer::Certificate`] is set.
    Waiting,
}

/// This node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    validity: Validity,
    due: Wall,
    stage: Stage,
    /// The number of failures in sequence.
    failures: u32,
    /// The last reported failure.
    reported: Option<(Instant, String)>,
    /// The time of the last report that the certificate has expired.
    expiry_reported: Option<Instant>,
}

impl Certificate {
    pub(super) fn new(validity: Validity, random: &mut Random) -> Self {
        Self {
            validity,
            due: due(validity, random),
            stage: Stage::Idle,
            failures: 0,
            reported: None,
            expiry_reported: None,
        }
    }

    /// New credentials replaced the former ones.
    pub(super) fn on_replaced(&mut self, cx: &mut Context<'_>, validity: Validity) {
        cx.timers.cancel(&Timer::Certificate);
        *self = Self::new(validity, cx.random);
        // A source that only returns certificates that are due is queried with pauses.
        self.due = self.due.max(self.after_pause(cx.wall));
    }

    /// The source holds the certificate that is in use.
    pub(super) fn on_unchanged(&mut self, cx: &Context<'_>) {
        if self.stage != Stage::Requested {
            return;
        }
        self.due = self.after_pause(cx.wall);
        self.stage = Stage::Idle;
        self.failures = 0;
        self.reported = None;
    }

    /// The time at which the source is queried again if it offered no better certificate: after a quarter of the
    /// remaining life.
    fn after_pause(&self, wall: Wall) -> Wall {
        let pause = match self.validity.not_after.0.saturating_sub(wall.0) {
            0 => EXPIRED_SECONDS,
            left => (left / 4).clamp(1, UNCHANGED_SECONDS_MAX),
        };
        Wall(wall.0.saturating_add(pause))
    }

    /// A request failed.
    pub(super) fn on_failed(&mut self, cx: &mut Context<'_>, reason: String) {
        if self.stage != Stage::Requested {
            return;
        }
        self.stage = Stage::Waiting;
        let doublings = self.failures.min(u32::BITS - 1);
        let pause = RETRY_MIN.saturating_mul(1 << doublings).min(RETRY_MAX);
        let shortened = pause - cx.random.duration_below(pause / 2);
        cx.timers.set(Timer::Certificate, cx.now + shortened);
        self.failures = self.failures.saturating_add(1);
        let known = self
            .reported
            .as_ref()
            .is_some_and(|(at, known)| *known == reason && cx.now.since(*at) < REPORT_INTERVAL);
        if !known {
            self.reported = Some((cx.now, reason.clone()));
            let failures = self.failures;
            let event = CredentialsEvent::RequestFailed { reason, failures };
            cx.out.push(Output::Report(event));
        }
    }

    /// [`Timer::Certificate`] fired.
    pub(super) fn on_timer(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Waiting {
            self.request(cx);
        }
    }

    /// The calendar was read.
    pub(super) fn on_calendar(&mut self, cx: &mut Context<'_>) {
        self.report_expiry(cx);
        let premature = cx.wall < self.validity.not_before;
        if self.stage == Stage::Idle && (cx.wall >= self.due || premature) {
            self.request(cx);
        }
    }

    fn report_expiry(&mut self, cx: &mut Context<'_>) {
        let not_after = self.validity.not_after;
        if cx.wall <= not_after {
            self.expiry_reported = None;
            return;
        }
        let known = self.expiry_reported;
        if known.is_none_or(|at| cx.now.since(at) >= REPORT_INTERVAL) {
            self.expiry_reported = Some(cx.now);
            let event = CredentialsEvent::Expired { not_after };
            cx.out.push(Output::Report(event));
        }
    }

    fn request(&mut self, cx: &mut Context<'_>) {
        self.stage = Stage::Requested;
        cx.out.push(Output::RequestCertificate);
    }

    /// The calendar time of the next decision.
    pub(super) fn due(&self) -> Option<Wall> {
        let renewal = (self.stage == Stage::Idle).then_some(self.due);
        let after = Wall(self.validity.not_after.0.saturating_add(1));
        let expiry = self.expiry_reported.is_none().then_some(after);
        renewal.into_iter().chain(expiry).min()
    }
}

/// The time at which a certificate is due for renewal, with this node's random part.
fn due(validity: Validity, random: &mut Random) -> Wall {
    let spread = random.below(validity.seconds() / SPREAD_PART + 1);
    Wall(validity.renewable().0.saturating_add(spread))
}
