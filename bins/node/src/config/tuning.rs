//! Timings and bounds.

use super::key::Key;
use phalanx_core::gossip::Tuning;
use phalanx_core::time::Duration;
use phalanx_net::configuration::{Key as _, Layers};

/// Returns the defaults, overridden by the given values.
pub(super) fn read(layers: &mut Layers<Key>) -> Tuning {
    let mut tuning = Tuning::default();
    let durations: [(Key, &mut Duration); 10] = [
        (
            Key::HeartbeatIntervalMax,
            &mut tuning.heartbeat_interval_max,
        ),
        (Key::HeartbeatSpacing, &mut tuning.heartbeat_spacing),
        (Key::RedialAfter, &mut tuning.redial_after),
        (Key::SilentAfter, &mut tuning.silent_after),
        (Key::DownAfter, &mut tuning.down_after),
        (Key::DialTimeout, &mut tuning.dial_timeout),
        (Key::ResolutionTimeout, &mut tuning.resolution_timeout),
        (Key::RetryMin, &mut tuning.retry_min),
        (Key::RetryMax, &mut tuning.retry_max),
        (Key::ForgetAfter, &mut tuning.forget_after),
    ];
    for (key, duration) in durations {
        if let Some(given) = layers.duration(key) {
            *duration = given;
        }
    }
    let bounds: [(Key, &mut usize); 2] = [
        (Key::LinksMax, &mut tuning.links_max),
        (Key::MembersMax, &mut tuning.members_max),
    ];
    for (key, bound) in bounds {
        if let Some(number) = layers.number(key) {
            *bound = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    in_order(layers, &tuning);
    tuning
}

/// Checks the durations that must not decrease in this order.
fn in_order(layers: &mut Layers<Key>, tuning: &Tuning) {
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
            layers.conflict(low, Some(high), why);
        }
    }
}
