//! The intervals of the credentials machine.

use crate::time::Duration;

/// Maximum time between two readings of the calendar.
pub const READ_INTERVAL: Duration = Duration::from_secs(60);
/// The first pause before a failed request or replacement is retried; each further pause is twice as long.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// Maximum pause before a failed request or replacement is retried.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// Maximum time for the replacement of a link whose peer the current credentials do not trust.
pub const GRACE: Duration = Duration::from_secs(5);
/// Interval between replacements of links after new credentials.
pub const STAGGER: Duration = Duration::from_millis(20);
/// Number of groups into which links are divided; the links of one group are replaced together.
pub const STAGGER_TURNS: u64 = 16;
/// Minimum time between two reports of the same failure.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(3_600);
