//! Replacement of links: make before break.
//!
//! A connection proves its certificates once, in the handshake. New certificates take effect on a new connection, which
//! is dialled while the old one stays open and replaces it when both ends have agreed:
//!
//! - by the node whose credentials were replaced, for each of its links, including those that the peer dialled; the
//!   links take turns;
//! - by the node that dialled a link, when the first of the two certificates nears its expiry: only that node can
//!   certainly reach the other end, which may already have a new certificate.
//!
//! A link that was not replaced closes shortly before a certificate expires. A link whose peer the current credentials
//! do not trust closes after [`GRACE`].

use super::context::{Context, Timer};
use super::expiry::Expiry;
use super::interface::Output;
use super::intervals::{GRACE, RETRY_MAX, RETRY_MIN, STAGGER, STAGGER_TURNS};
use crate::link::{LinkId, LocalClose};
use crate::time::{Duration, Instant, Wall};
use std::collections::BTreeMap;

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// Whether this node dialled the link.
    dialed: bool,
    expiry: Expiry,
    /// The generation of this node's credentials in the handshake.
    generation: u64,
    /// The time at which a replacement is attempted because a certificate nears its expiry.
    attempt: Option<Wall>,
    /// The pause after the next attempt to replace an outdated link.
    pause: Duration,
    /// The time since which the current credentials have not trusted the peer, if they do not.
    distrusted_since: Option<Instant>,
    /// The link was ordered to close.
    closing: bool,
}

impl Link {
    fn on_calendar(&mut self, cx: &mut Context<'_>, link: LinkId, current: bool) {
        if self.closing {
            return;
        }
        if self.expiry.is_near(cx.wall) {
            self.close(cx, link, LocalClose::Expired);
            return;
        }
        if !self.dialed || !current {
            return;
        }
        let due = self.attempt.is_some_and(|at| at <= cx.wall);
        if due {
            cx.out.push(Output::Renew { link });
        }
        let next = self.expiry.next_attempt(cx.wall);
        // A pending attempt keeps its time, unless the calendar was set back.
        let earlier = next.is_some_and(|next| self.attempt.is_none_or(|at| next < at));
        if due || earlier {
            self.attempt = next;
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, link: LinkId, reason: LocalClose) {
        self.closing = true;
        cx.timers.cancel(&Timer::Link(link));
        cx.out.push(Output::Close { link, reason });
    }

    /// The calendar time of the next decision.
    fn due(&self, current: bool) -> Option<Wall> {
        if self.closing {
            return None;
        }
        let closes_at = self.expiry.closes_at();
        let attempt = self.attempt.filter(|_| self.dialed && current);
        Some(attempt.map_or(closes_at, |at| at.min(closes_at)))
    }
}

/// The open links of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    links: BTreeMap<LinkId, Link>,
    /// The generation of the current credentials.
    generation: u64,
}

impl Replacement {
    pub(super) const fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            generation: 0,
        }
    }

    /// A link opened.
    pub(super) fn on_opened(
        &mut self,
        cx: &mut Context<'_>,
        link: LinkId,
        (dialed, expiry, generation): (bool, Expiry, u64),
    ) {
        let opened = Link {
            dialed,
            expiry,
            generation,
            attempt: expiry.next_attempt(cx.wall),
            pause: RETRY_MIN,
            distrusted_since: None,
            closing: false,
        };
        self.links.insert(link, opened);
        if generation < self.generation {
            await_turn(cx, link);
        }
    }

    /// A link closed.
    pub(super) fn on_closed(&mut self, cx: &mut Context<'_>, link: LinkId) {
        self.links.remove(&link);
        cx.timers.cancel(&Timer::Link(link));
    }

    /// New credentials replaced the former ones.
    pub(super) fn on_replaced(&mut self, cx: &mut Context<'_>, generation: u64) {
        self.generation = self.generation.max(generation);
        for (id, link) in &mut self.links {
            if link.generation < self.generation && !link.closing {
                link.pause = RETRY_MIN;
                await_turn(cx, *id);
            }
        }
    }

    /// The turn of an outdated link has come, or its last attempt failed.
    pub(super) fn on_timer(&mut self, cx: &mut Context<'_>, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.closing) else {
            return;
        };
        cx.out.push(Output::Renew { link: id });
        cx.out.push(Output::Verify { link: id });
        cx.timers.set(Timer::Link(id), cx.now + link.pause);
        link.pause = link.pause.saturating_mul(2).min(RETRY_MAX);
    }

    /// The peer of a link was verified with the current credentials.
    pub(super) fn on_verified(&mut self, cx: &mut Context<'_>, id: LinkId, trusted: bool) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.closing) else {
            return;
        };
        if trusted {
            link.distrusted_since = None;
            return;
        }
        let since = *link.distrusted_since.get_or_insert(cx.now);
        if cx.now.since(since) >= GRACE {
            link.close(cx, id, LocalClose::Untrusted);
            return;
        }
        link.pause = RETRY_MIN;
        cx.timers.set_earlier(Timer::Link(id), cx.now + RETRY_MIN);
    }

    /// The calendar was read.
    pub(super) fn on_calendar(&mut self, cx: &mut Context<'_>) {
        for (id, link) in &mut self.links {
            let current = link.generation >= self.generation;
            link.on_calendar(cx, *id, current);
        }
    }

    /// The calendar time of a link's next decision.
    pub(super) fn due_of(&self, link: LinkId) -> Option<Wall> {
        let link = self.links.get(&link)?;
        link.due(link.generation >= self.generation)
    }

    /// The calendar time of the next decision on any link.
    pub(super) fn due(&self) -> Option<Wall> {
        self.links
            .values()
            .filter_map(|link| link.due(link.generation >= self.generation))
            .min()
    }

    /// The number of open links.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The number of open links that were made with earlier credentials.
    pub(super) fn outdated(&self) -> usize {
        let outdated = |link: &&Link| link.generation < self.generation;
        self.links.values().filter(outdated).count()
    }
}

/// Schedules the first attempt to replace an outdated link; the links of a node take turns.
fn await_turn(cx: &mut Context<'_>, link: LinkId) {
    let turn = u32::try_from(link.0 % STAGGER_TURNS).unwrap_or(0);
    cx.timers.set(Timer::Link(link), cx.now + STAGGER * turn);
}
