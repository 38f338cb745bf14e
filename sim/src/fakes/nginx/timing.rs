//! Times of nginx that do not depend on its configuration.

use core::time::Duration;

/// The time between the start of new workers and the order to old ones to quit. Both generations serve in it.
pub const MIXED_WINDOW: Duration = Duration::from_millis(100);
/// How often an address that another process holds is tried.
pub const BIND_TRIES: u32 = 5;
/// The pause after each such try. The master takes no signal in it.
pub const BIND_PAUSE: Duration = Duration::from_millis(500);
/// The time from the start of a worker to its first accept, except after a reload.
pub(super) const START: Duration = Duration::from_millis(5);
/// The life of the cache loader.
pub(super) const CACHE_LOADER: Duration = Duration::from_secs(60);
/// `client_header_timeout` where no block sets it.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// `proxy_read_timeout` where no block sets it.
pub(super) const PROXY_TIMEOUT: Duration = Duration::from_secs(60);
