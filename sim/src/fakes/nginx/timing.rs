//! Times in nginx that do not depend on its configuration.

use core::time::Duration;

/// The mixed window: the time between the start of new workers and the order to the old workers to quit. Both
/// generations serve requests in this window.
pub const MIXED_WINDOW: Duration = Duration::from_millis(100);
/// Maximum number of attempts to bind an address that another process holds.
pub const BIND_TRIES: u32 = 5;
/// The pause after each failed attempt to bind. The master handles no signal in this pause.
pub const BIND_PAUSE: Duration = Duration::from_millis(500);
/// The time from the start of a worker to its first accept, except after a reload.
pub(super) const START: Duration = Duration::from_millis(5);
/// The time for which the cache loader runs.
pub(super) const CACHE_LOADER: Duration = Duration::from_secs(60);
/// The default of `client_header_timeout`.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The default of `proxy_read_timeout`.
pub(super) const PROXY_TIMEOUT: Duration = Duration::from_secs(60);
