//! The table of results.

use crate::RESIDENT_KIB_MAX;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// The result of one attack.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The attack, or an event.
    pub(crate) name: String,
    /// Number of runs.
    pub(crate) runs: u32,
    /// Number of runs whose messages a daemon took.
    pub(crate) delivered: u32,
    /// The time of all runs.
    pub(crate) time: Duration,
    /// The highest resident memory of a daemon in KiB.
    pub(crate) resident_kib: u64,
    /// The most log bytes of a daemon.
    pub(crate) log_bytes: u64,
    /// The time until the mesh was whole, or the reason why it is not.
    pub(crate) whole: Result<Duration, String>,
}

impl Row {
    /// The row of an event after which the mesh was whole.
    pub(crate) fn event(name: &str, after: Duration) -> Self {
        Self {
            name: name.to_owned(),
            runs: 0,
            delivered: 0,
            time: Duration::ZERO,
            resident_kib: 0,
            log_bytes: 0,
            whole: Ok(after),
        }
    }

    /// The effect of the attack on the mesh, if there is one.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.runs > 0 && self.delivered == 0 {
            return Some(format!("{}: no run reached a daemon", self.name));
        }
        if self.resident_kib > RESIDENT_KIB_MAX {
            let resident = self.resident_kib;
            return Some(format!("{}: {resident} KiB of memory", self.name));
        }
        let why = self.whole.as_ref().err()?;
        Some(format!("{}: {why}", self.name))
    }
}

/// Prints a table to standard error, which the test harness does not capture.
pub(crate) fn print(title: &str, rows: &[Row], faults: &[String]) {
    if rows.is_empty() {
        return;
    }
    let mut text = format!(
        "\n{title}\n{:<22}{:>6}{:>11}{:>7}{:>10}{:>11}  result\n",
        "attack", "runs", "delivered", "s", "RSS KiB", "log bytes"
    );
    for row in rows {
        let result = match &row.whole {
            Ok(after) => format!("whole after {:.1} s", after.as_secs_f64()),
            Err(why) => format!("NOT WHOLE: {why}"),
        };
        let (name, runs, seconds) = (&row.name, row.runs, row.time.as_secs_f64());
        let (delivered, resident, log) = (row.delivered, row.resident_kib, row.log_bytes);
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{name:<22}{runs:>6}{delivered:>11}{seconds:>7.1}{resident:>10}{log:>11}  {result}"
        )
        .is_ok();
    }
    for fault in faults {
        text.push_str("FAULT: ");
        text.push_str(fault);
        text.push('\n');
    }
    std::io::stderr()
        .write_all(text.as_bytes())
        .expect("standard error is open");
}
