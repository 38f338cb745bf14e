//! Reads the resource usage of processes from /proc.

use crate::contender::Contender;
use crate::fleet::DaemonFleet;
use std::path::Path;
use std::time::Duration;

/// Counters of the loopback interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) bytes: f64,
    pub(crate) packets: f64,
}

impl Wire {
    /// Reads the counters.
    ///
    /// # Errors
    /// Returns an error if the counters do not exist.
    pub(crate) fn read() -> Result<Self, String> {
        let text = read(Path::new("/proc/net/dev"))?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("lo:"));
        let mut numbers = line.into_iter().flat_map(str::split_whitespace);
        let mut number = || numbers.next().and_then(|number| number.parse().ok());
        match (number(), number()) {
            (Some(bytes), Some(packets)) => Ok(Self { bytes, packets }),
            _ => Err("/proc/net/dev says nothing of the loopback interface".to_owned()),
        }
    }

    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            bytes: self.bytes - earlier.bytes,
            packets: self.packets - earlier.packets,
        }
    }
}

/// Sums over all processes, at one instant.
#[derive(Debug)]
pub(crate) struct Gauge {
    processes: f64,
    /// Processor time, in nanoseconds.
    ran: f64,
    /// Resident memory, in kB.
    resident: f64,
    /// Proportional set size, in kB: shared pages are divided among the processes.
    shared_out: f64,
    /// Encoded bytes that the processes report as sent, if they report it.
    encoded: Option<u64>,
    /// The counters before and after the processes are queried, because the queries also cause traffic.
    wire: [Wire; 2],
}

/// The mean usage of a process per second.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) processor_ms: f64,
    pub(crate) resident_mb: f64,
    pub(crate) shared_out_mb: f64,
    /// Bytes of encoded messages, without framing and encryption.
    pub(crate) encoded: Option<f64>,
    /// All bytes, including IP headers.
    pub(crate) wire_bytes: f64,
    pub(crate) wire_packets: f64,
}

impl Gauge {
    /// Reads all figures.
    ///
    /// # Errors
    /// Returns an error if a figure cannot be read.
    pub(crate) fn read(contender: &Contender, fleet: &DaemonFleet) -> Result<Self, String> {
        let before = Wire::read()?;
        let mut encoded = None;
        for host in 0..fleet.ids().count() {
            if let Some(sent) = contender.encoded_sent(host, fleet.folder().path())? {
                encoded = Some(encoded.unwrap_or(0) + sent);
            }
        }
        let mut gauge = Self {
            processes: 0.0,
            ran: 0.0,
            resident: 0.0,
            shared_out: 0.0,
            encoded,
            wire: [before, Wire::read()?],
        };
        for id in fleet.ids() {
            let process = Path::new("/proc").join(id.to_string());
            let sizes = read(&process.join("smaps_rollup"))?;
            gauge.processes += 1.0;
            gauge.ran += ran(&process)?;
            gauge.resident += field(&sizes, "Rss:")?;
            gauge.shared_out += field(&sizes, "Pss:")?;
        }
        Ok(gauge)
    }

    /// Returns the usage since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self, took: Duration) -> Cost {
        let each = self.processes * took.as_secs_f64();
        let wire = self.wire[0].since(&earlier.wire[1]);
        let encoded = self.encoded.zip(earlier.encoded);
        Cost {
            processor_ms: (self.ran - earlier.ran) / 1e6 / each,
            resident_mb: self.resident / 1e3 / self.processes,
            shared_out_mb: self.shared_out / 1e3 / self.processes,
            encoded: encoded.map(|(now, then)| (now - then) as f64 / each),
            wire_bytes: wire.bytes / each,
            wire_packets: wire.packets / each,
        }
    }
}

/// Returns the processor time of a process's threads, in nanoseconds.
fn ran(process: &Path) -> Result<f64, String> {
    let tasks = process.join("task");
    let entries = std::fs::read_dir(&tasks).map_err(|why| format!("{}: {why}", tasks.display()))?;
    let mut sum = 0.0;
    for entry in entries.flatten() {
        // A thread may end between the listing and the reading.
        let text = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next();
        sum += first.and_then(|first| first.parse().ok()).unwrap_or(0.0);
    }
    Ok(sum)
}

/// Reads the number of kB that follows a name.
fn field(text: &str, name: &str) -> Result<f64, String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("smaps_rollup says nothing of {name}"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}
