//! The intervals of the credentials machine.

use crate::time::Duration;

/// Maximum time between two readings of the calendar.
pub const READ_INTERVAL: Duration = Duration::from_secs(60);
/// The first pause before a failed request or replacement is retried; each pause is twice the one before.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// Maximum pause before a failed request or replacement is retried.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long the replacement of a link may take when the current credentials do not trust its peer.
pub const GRACE: Duration = Duration::from_secs(5);
/// Replacements of links after new credentials are this far apart.
pub const STAGGER: Duration = Duration::from_millis(20);
/// Number of turns that links take; links of one turn are replaced together.
pub const STAGGER_TURNS: u64 = 16;
/// Minimum time between two reports of the same failure.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(3_600);
