//! Timings and bounds.

use super::key::Key;
use super::settings::Merged;
use core::ops::RangeInclusive;
use phalanx_core::gossip::Tuning;
use phalanx_core::time::Duration;
use phalanx_core::topology::MEMBERS_LIMIT;

/// The fewest links with which the overlay holds together.
const LINKS_MIN: u64 = 8;

/// The defaults with what was given instead.
pub(super) fn read(merged: &mut Merged) -> Tuning {
    let mut tuning = Tuning::default();
    let durations: [(Key, &mut Duration); 9] = [
        (
            Key::HeartbeatIntervalMax,
            &mut tuning.heartbeat_interval_max,
        ),
        (Key::HeartbeatSpacing, &mut tuning.heartbeat_spacing),
        (Key::RedialAfter, &mut tuning.redial_after),
        (Key::SilentAfter, &mut tuning.silent_after),
        (Key::DownAfter, &mut tuning.down_after),
        (Key::DialTimeout, &mut tuning.dial_timeout),
        (Key::RetryMin, &mut tuning.retry_min),
        (Key::RetryMax, &mut tuning.retry_max),
        (Key::ForgetAfter, &mut tuning.forget_after),
    ];
    for (key, duration) in durations {
        if let Some(millis) = merged.number(key, 1..=u64::MAX) {
            *duration = Duration::from_millis(millis);
        }
    }
    let most = MEMBERS_LIMIT as u64;
    let bounds: [(Key, RangeInclusive<u64>, &mut usize); 2] = [
        (Key::LinksMax, LINKS_MIN..=most, &mut tuning.links_max),
        (Key::MembersMax, 2..=most, &mut tuning.members_max),
    ];
    for (key, range, bound) in bounds {
        if let Some(number) = merged.number(key, range) {
            *bound = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    in_order(merged, &tuning);
    tuning
}

/// Times that mean something only in this order.
fn in_order(merged: &mut Merged, tuning: &Tuning) {
    let steps = [
        (
            Key::HeartbeatIntervalMax,
            tuning.heartbeat_interval_max,
            Key::RedialAfter,
            tuning.redial_after,
        ),
        (
            Key::RedialAfter,
            tuning.redial_after,
            Key::SilentAfter,
            tuning.silent_after,
        ),
        (
            Key::SilentAfter,
            tuning.silent_after,
            Key::DownAfter,
            tuning.down_after,
        ),
        (
            Key::RetryMin,
            tuning.retry_min,
            Key::RetryMax,
            tuning.retry_max,
        ),
    ];
    for (low, shorter, high, longer) in steps {
        if shorter > longer {
            let why = format!(
                "is {} ms, more than {} ({} ms); give them in this order",
                shorter.as_millis(),
                high.name(),
                longer.as_millis()
            );
            merged.wrong(low, Some(high), &why);
        }
    }
}
