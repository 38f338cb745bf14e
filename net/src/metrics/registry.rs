//! The metrics of the registry that a node runs.

use super::page::MetricsPage;
use crate::registry::{RegionRegistry, RegistryStopped};
use phalanx_core::registry::replica::{CopyStatus, FollowerStatus};

/// What is read of the sequencer, at one instant.
struct Reading {
    serving: bool,
    values: [(&'static str, &'static str, u64); 6],
    head: u64,
    copies: Vec<CopyStatus>,
    followers: Vec<FollowerStatus>,
}

/// Why the registry accepts no writes; none if it does.
///
/// # Errors
/// If the registry has stopped.
pub(super) async fn unready(registry: &RegionRegistry) -> Result<Option<String>, RegistryStopped> {
    let state = registry.inspect(|machine| {
        let holder = machine.holder().map(ToOwned::to_owned);
        (machine.takes_writes(), holder)
    });
    let region = registry.region();
    Ok(match state.await? {
        (true, _) => None,
        (false, None) => Some(format!("the registry of {region} accepts no writes")),
        (false, Some(holder)) => Some(format!(
            "the registry of {region} is a standby of {holder} and accepts no writes"
        )),
    })
}

/// Adds the metrics of the registry.
///
/// # Errors
/// If the registry has stopped.
pub(super) async fn write(
    page: &mut MetricsPage,
    registry: &RegionRegistry,
) -> Result<(), RegistryStopped> {
    let reading = registry.inspect_at(|machine, now| Reading {
        serving: machine.takes_writes(),
        head: machine.log().head(),
        copies: machine.copies(now).collect(),
        followers: machine.followers().collect(),
        values: [
            ("epoch", "Epoch of the sequencer", machine.epoch().number),
            (
                "revision",
                "Number of the latest batch",
                machine.log().head(),
            ),
            (
                "compacted_revision",
                "Number of the last batch that the log does not keep",
                machine.log().floor(),
            ),
            (
                "objects",
                "Objects of the region",
                machine.objects().len() as u64,
            ),
            ("watches", "Open watches", machine.watches() as u64),
            (
                "waiting_batches",
                "Batches that wait for the store",
                machine.waiting() as u64,
            ),
        ],
    });
    let Reading {
        serving,
        values,
        head,
        copies,
        followers,
    } = reading.await?;
    let region = registry.region().as_str();
    let labels = || vec![("region", region)];
    let mut add = |name: &str, help, value| {
        page.gauges(&format!("registry_{name}"), help, [(labels(), value)]);
    };
    let help = "1 if the registry accepts writes";
    add("serving", help, u64::from(serving));
    for (name, help, value) in values {
        add(name, help, value);
    }
    let bytes = registry.store().bytes();
    add("store_bytes", "Size of the store in bytes", bytes);
    if let Some(directory) = registry.store().directory() {
        let saved = directory.last_backup().unwrap_or(0);
        let help = "Time of the last backup in seconds since 1970; 0 if there was none";
        add("last_backup_timestamp_seconds", help, saved);
    }
    page.kept(|metrics| registry.meters().register(metrics));
    write_copies(page, region, &copies);
    write_followers(page, region, (&followers, head));
    Ok(())
}

/// Adds the metrics of the copies of other regions.
fn write_copies(page: &mut MetricsPage, region: &str, copies: &[CopyStatus]) {
    let each = |value: fn(&CopyStatus) -> u64| {
        let samples = copies.iter().map(|copy| {
            let labels = vec![("region", region), ("owner", copy.region.as_str())];
            (labels, value(copy))
        });
        samples.collect::<Vec<_>>()
    };
    let help = "1 if the copy follows the registry of the owner";
    let following = each(|copy| u64::from(copy.is_following));
    page.gauges("registry_copy_following", help, following);
    let help = "Batches of the owner that the copy lacks, as far as the owner was heard";
    page.gauges("registry_copy_lag_batches", help, each(|copy| copy.lag));
    let help =
        "Seconds since the copy was known to be current; absent if it never was since the start";
    let current = copies.iter().filter_map(|copy| {
        let labels = vec![("region", region), ("owner", copy.region.as_str())];
        Some((labels, copy.age?.as_secs()))
    });
    page.gauges("registry_copy_age_seconds", help, current);
}

/// Adds the metrics of the copies that other regions have of this one, whose latest batch is `head`.
fn write_followers(
    page: &mut MetricsPage,
    region: &str,
    (followers, head): (&[FollowerStatus], u64),
) {
    let each = |value: &dyn Fn(&FollowerStatus) -> u64| {
        let samples = followers.iter().map(|it| {
            let labels = vec![("region", region), ("follower", it.region.as_str())];
            (labels, value(it))
        });
        samples.collect::<Vec<_>>()
    };
    let help = "1 if the registry of the region that has a copy is connected";
    let connected = each(&|it| u64::from(it.is_connected));
    page.gauges("registry_follower_connected", help, connected);
    let help = "Batches that the copy of the other region has not confirmed";
    let lag = each(&|it| head.saturating_sub(it.confirmed));
    page.gauges("registry_follower_lag_batches", help, lag);
}
