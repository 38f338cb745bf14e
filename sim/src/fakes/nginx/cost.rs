//! The virtual cost of commands and reloads, as a function of the number of `server` blocks.
//!
//! The points are medians measured with nginx 1.22.1 on two cores. The cost is linear between two points, and continues
//! with the same slope beyond the last point. A block with a certificate counts as TLS, another block with `proxy_pass`
//! in a location counts as proxied, and any other block counts as plain.

use super::timing::MIXED_WINDOW;
use core::time::Duration;

/// The number of `server` blocks of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Blocks without `proxy_pass` and without a certificate.
    pub plain: u64,
    /// Blocks with `proxy_pass`.
    pub proxied: u64,
    /// Blocks with a certificate.
    pub tls: u64,
}

/// A row: the base cost, and the additional cost for each number of blocks, in milliseconds.
struct Row {
    base: u64,
    plain: &'static [(u64, u64)],
    proxied: &'static [(u64, u64)],
    tls: &'static [(u64, u64)],
}

const TEST: Row = Row {
    base: 5,
    plain: &[(100, 1), (1_000, 25), (5_000, 100)],
    proxied: &[(10, 3), (100, 6), (1_000, 48), (5_000, 381)],
    tls: &[(10, 18), (100, 53), (1_000, 817)],
};

const FIRST_NEW: Row = Row {
    base: 12,
    plain: &[(100, 3), (1_000, 35), (5_000, 171)],
    proxied: &[(100, 14), (1_000, 93), (5_000, 687)],
    tls: &[(10, 16), (100, 83), (1_000, 648)],
};

const OLD_GONE: Row = Row {
    base: 103,
    plain: &[(100, 8), (1_000, 64), (5_000, 219)],
    proxied: &[(10, 1), (100, 10), (1_000, 104), (5_000, 756)],
    tls: &[(10, 7), (100, 88), (1_000, 734)],
};

impl Blocks {
    /// The duration of `nginx -t` and of any other command that reads the configuration.
    #[must_use]
    pub fn test(self) -> Duration {
        self.cost(&TEST)
    }

    /// The time from SIGHUP until a new worker answers.
    #[must_use]
    pub fn first_new(self) -> Duration {
        self.cost(&FIRST_NEW)
    }

    /// The time from SIGHUP until the master tells the old workers to quit.
    #[must_use]
    pub fn old_gone(self) -> Duration {
        self.cost(&OLD_GONE)
            .max(self.first_new() + MIXED_WINDOW - Duration::from_millis(12))
    }

    /// The time from SIGHUP until the new workers exist: at least [`MIXED_WINDOW`] before the old ones quit.
    #[must_use]
    pub fn spawned(self) -> Duration {
        self.first_new().min(self.old_gone() - MIXED_WINDOW)
    }

    fn cost(self, row: &Row) -> Duration {
        let nanos = row.base * 1_000_000
            + above(row.plain, self.plain)
            + above(row.proxied, self.proxied)
            + above(row.tls, self.tls);
        Duration::from_nanos(nanos)
    }
}

/// The cost of a number of blocks above the base, in nanoseconds.
fn above(points: &[(u64, u64)], blocks: u64) -> u64 {
    let mut from = (0, 0);
    for (at, &to) in points.iter().enumerate() {
        if blocks <= to.0 || at + 1 == points.len() {
            let rise = (blocks - from.0) * (to.1 - from.1) * 1_000_000;
            return from.1 * 1_000_000 + rise / (to.0 - from.0);
        }
        from = to;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_pass_through_the_measured_points() {
        let ms = |duration: Duration| duration.as_millis();
        let plain = |plain| Blocks {
            plain,
            ..Blocks::default()
        };
        assert_eq!(ms(plain(1_000).test()), 30);
        assert_eq!(ms(plain(1_000).first_new()), 47);
        assert_eq!(ms(plain(5_000).old_gone()), 322);
        let tls = Blocks {
            tls: 1_000,
            ..Blocks::default()
        };
        assert_eq!((ms(tls.first_new()), ms(tls.old_gone())), (660, 837));
        assert_eq!(ms(plain(10_000).test()), 198);
    }

    #[test]
    fn old_workers_stay_for_the_mixed_window_after_new_ones_exist() {
        for plain in [0, 1, 10, 100, 1_000, 5_000, 50_000] {
            for tls in [0, 10, 1_000] {
                let blocks = Blocks {
                    plain,
                    proxied: 7,
                    tls,
                };
                assert!(blocks.spawned() + MIXED_WINDOW <= blocks.old_gone());
                assert!(blocks.spawned() <= blocks.first_new());
                assert!(blocks.first_new() < blocks.old_gone());
            }
        }
    }
}
