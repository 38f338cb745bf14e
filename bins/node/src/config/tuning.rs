//! Timings and bounds.

use super::key::DaemonKey;
use phalanx_core::gossip::Tuning;
use phalanx_core::time::Duration;
use phalanx_net::configuration::{Layers, SettingKey as _};

/// Returns the defaults, overridden by the given values.
pub(super) fn read(layers: &mut Layers<DaemonKey>) -> Tuning {
    let mut tuning = Tuning::default();
    let durations: [(DaemonKey, &mut Duration); 10] = [
        (
            DaemonKey::HeartbeatIntervalMax,
            &mut tuning.heartbeat_interval_max,
        ),
        (DaemonKey::HeartbeatSpacing, &mut tuning.heartbeat_spacing),
        (DaemonKey::RedialAfter, &mut tuning.redial_after),
        (DaemonKey::SilentAfter, &mut tuning.silent_after),
        (DaemonKey::DownAfter, &mut tuning.down_after),
        (DaemonKey::DialTimeout, &mut tuning.dial_timeout),
        (DaemonKey::ResolutionTimeout, &mut tuning.resolution_timeout),
        (DaemonKey::RetryMin, &mut tuning.retry_min),
        (DaemonKey::RetryMax, &mut tuning.retry_max),
        (DaemonKey::ForgetAfter, &mut tuning.forget_after),
    ];
    for (key, duration) in durations {
        if let Some(given) = layers.duration(key) {
            *duration = given;
        }
    }
    let bounds: [(DaemonKey, &mut usize); 2] = [
        (DaemonKey::LinksMax, &mut tuning.links_max),
        (DaemonKey::MembersMax, &mut tuning.members_max),
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
fn in_order(layers: &mut Layers<DaemonKey>, tuning: &Tuning) {
    let steps = [
        (
            DaemonKey::HeartbeatIntervalMax,
            tuning.heartbeat_interval_max,
            DaemonKey::RedialAfter,
            tuning.redial_after,
        ),
        (
            DaemonKey::RedialAfter,
            tuning.redial_after,
            DaemonKey::SilentAfter,
            tuning.silent_after,
        ),
        (
            DaemonKey::SilentAfter,
            tuning.silent_after,
            DaemonKey::DownAfter,
            tuning.down_after,
        ),
        (
            DaemonKey::RetryMin,
            tuning.retry_min,
            DaemonKey::RetryMax,
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
