//! The metrics of the registry that a node runs.

use super::page::MetricsPage;
use crate::registry::{RegionRegistry, RegistryStopped};

/// What is read of the sequencer, at one instant.
struct Reading {
    serving: bool,
    values: [(&'static str, &'static str, u64); 6],
}

/// Why the registry accepts no writes; none if it does.
///
/// # Errors
/// If the registry has stopped.
pub(super) async fn unready(registry: &RegionRegistry) -> Result<Option<String>, RegistryStopped> {
    let state = registry.inspect(|machine| {
        let holder = machine.holder().map(ToOwned::to_owned);
        (machine.is_serving(), holder)
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
    let reading = registry.inspect(|machine| Reading {
        serving: machine.is_serving(),
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
    let Reading { serving, values } = reading.await?;
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
    Ok(())
}
