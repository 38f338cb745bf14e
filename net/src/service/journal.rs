//! Recent events: numbered, kept for the status, and forwarded to watchers.

use crate::clock;
use crate::driver::TimeOrigin;
use crate::link::TransportEvent;
use crate::telemetry::{self, Description};
use crate::transport::Notice;
use phalanx_core::bounded::DropOldest;
use phalanx_core::gossip::{Event, LinkEnd};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::reports::{ReportLimits, ReportRates, ReportSource, ReportSummary};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time;
use tracing::Level;

/// Number of events that a watcher may lag behind before it misses some.
pub const WATCH_LAG_MAX: usize = 256;
/// Number of ended links that are kept.
pub const ENDED_LINKS_KEPT: usize = 32;
/// Number of addresses whose last failure is kept.
pub const FAILED_DIALS_KEPT: usize = 64;

/// A recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Rises by one with each event of the node.
    pub sequence: u64,
    /// Wall-clock time of the event, since 1970-01-01 UTC.
    pub at: Duration,
    /// Description of the event.
    pub description: Description,
}

/// A link that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndedLink {
    pub(super) peer: NodeId,
    pub(super) reason: LinkEnd,
    pub(super) at: Duration,
}

/// The last failure to reach an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedDial {
    pub(super) reason: String,
    pub(super) at: Duration,
    pub(super) retry_at: Option<Duration>,
}

/// Recent events. Clones share the same journal.
#[derive(Clone, Debug)]
pub struct EventJournal {
    kept: Arc<Mutex<Kept>>,
    live: broadcast::Sender<Arc<JournalEntry>>,
}

#[derive(Debug)]
pub(super) struct Kept {
    sequence: u64,
    pub(super) ended: DropOldest<EndedLink>,
    pub(super) failed: BTreeMap<Address, FailedDial>,
}

impl Default for EventJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl EventJournal {
    /// Creates an empty journal.
    #[must_use]
    pub fn new() -> Self {
        let (live, _) = broadcast::channel(WATCH_LAG_MAX);
        let kept = Kept {
            sequence: 0,
            ended: DropOldest::new(ENDED_LINKS_KEPT),
            failed: BTreeMap::new(),
        };
        Self {
            kept: Arc::new(Mutex::new(kept)),
            live,
        }
    }

    /// Records notices, writes them to the log and forwards them to watchers, until the node ends.
    pub async fn follow(self, mut notices: broadcast::Receiver<Notice>) {
        let mut lines = LimitedLines::new();
        loop {
            let heard = match lines.until_due() {
                Some(patience) => time::timeout(patience, notices.recv()).await,
                None => Ok(notices.recv().await),
            };
            lines.write_summaries();
            match heard {
                Err(_due) => {}
                Ok(Ok(notice)) => {
                    let entry = self.take(clock::since_1970(), &notice);
                    lines.write(&notice, &entry.description);
                }
                Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
                    // Watchers see the gap in the sequence numbers.
                    self.kept().sequence += missed;
                    lines.lagged(missed);
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return,
            }
        }
    }

    /// Takes one notice down.
    pub fn take(&self, at: Duration, notice: &Notice) -> Arc<JournalEntry> {
        let mut kept = self.kept();
        kept.sequence += 1;
        let description = telemetry::describe_notice(notice);
        let entry = Arc::new(JournalEntry {
            sequence: kept.sequence,
            at,
            description,
        });
        if let Notice::Mesh(event) = notice {
            kept.keep(at, event);
        }
        // Sent under the lock, so that watchers get entries in order. Sending fails without watchers, which is fine.
        let _nobody = self.live.send(Arc::clone(&entry)).is_err();
        entry
    }

    /// Subscribes to the events that follow.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<JournalEntry>> {
        self.live.subscribe()
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Log lines of events, limited for each kind and source by core.
struct LimitedLines {
    clock: TimeOrigin,
    limits: ReportLimits,
    /// The level of each kind that was limited.
    levels: BTreeMap<&'static str, Level>,
}

impl LimitedLines {
    fn new() -> Self {
        Self {
            clock: TimeOrigin::begin(),
            limits: ReportLimits::new(ReportRates::LOG),
            levels: BTreeMap::new(),
        }
    }

    /// The time until the next summary is due.
    fn until_due(&self) -> Option<Duration> {
        let due = self.limits.next_deadline()?;
        Some(due.since(self.clock.now()))
    }

    fn write(&mut self, notice: &Notice, description: &Description) {
        let now = self.clock.now();
        if let Notice::Transport(TransportEvent::Suppressed { summary }) = notice {
            self.limits.count(now, summary);
            return;
        }
        // Frequent events are written only if an operator asks for them.
        if description.level > Level::INFO {
            description.log();
            return;
        }
        let kind = notice.report_kind();
        self.levels.insert(kind, description.level);
        if self.limits.admit(now, kind, &notice.source()) {
            description.log();
        }
    }

    fn lagged(&mut self, missed: u64) {
        const KIND: &str = "events-missed";
        self.levels.insert(KIND, Level::WARN);
        if self
            .limits
            .admit(self.clock.now(), KIND, &ReportSource::Unknown)
        {
            tracing::warn!(
                event = KIND,
                missed,
                "events arrived faster than they could be recorded"
            );
        }
    }

    fn write_summaries(&mut self) {
        for summary in self.limits.due(self.clock.now()) {
            let level = self.levels.get(summary.kind).copied();
            summarised(&summary, level.unwrap_or(Level::INFO)).log();
        }
    }
}

/// The description of events that were counted instead of logged.
fn summarised(summary: &ReportSummary, level: Level) -> Description {
    Description {
        level,
        kind: "events-suppressed",
        subject: None,
        text: summary.to_string(),
    }
}

impl Kept {
    fn keep(&mut self, at: Duration, event: &Event) {
        if let Event::LinkDown { peer, reason, .. } = event {
            self.ended.push(EndedLink {
                peer: peer.clone(),
                reason: *reason,
                at,
            });
        } else if let Event::DialFailed {
            address,
            reason,
            retry_in,
        } = event
        {
            let retry_at = retry_in.map(|wait| at + wait);
            self.failed.insert(
                address.clone(),
                FailedDial {
                    reason: reason.clone(),
                    at,
                    retry_at,
                },
            );
            if self.failed.len() > FAILED_DIALS_KEPT {
                let oldest = self
                    .failed
                    .iter()
                    .min_by_key(|(_, dial)| dial.at)
                    .map(|(address, _)| address.clone());
                oldest.map(|address| self.failed.remove(&address));
            }
        }
    }
}
