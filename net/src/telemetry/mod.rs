//! The log of a daemon, and descriptions of events for operators.
//!
//! - `description`: text, level and subject of an event.
//! - `line`: the format of a line, with bounded and escaped fields.
//! - `queue`: the bounded queue whose thread writes to standard error, so that no task waits for a reader.
//! - `foreign`: the rates of lines of libraries. The rates of this node's own events are in
//!   [`core`](phalanx_core::reports).
//! - `requests`: the rates of lines about requests of the operator.

mod description;
mod foreign;
mod line;
mod queue;
mod requests;
mod unreachable;

pub use description::{Description, describe, describe_notice, end};

use foreign::ForeignLines;
pub use line::Format;
use line::{LineFormat, ToQueue, priority, urgency};
use queue::LogQueue;
use requests::RequestLines;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The variable by which the service manager says which file is the journal.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";
/// The filters that follow the configured one when more detail is requested.
const MORE_DETAIL: [&str; 2] = [
    "info,phalanxd=debug,phalanx_net=debug,phalanx_core=debug",
    "info,phalanxd=trace,phalanx_net=trace,phalanx_core=trace",
];

/// Selects the log lines that are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
        let parses = EnvFilter::builder().parse(text).is_ok();
        // An unknown level would be taken for the name of a module, which would silence all other
        // modules.
        let levels = text
            .split(',')
            .all(|part| part.contains('=') || known(part.trim()));
        if parses && levels && !text.is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not a valid log level; use error, warn, info, debug or trace, or MODULE=LEVEL, separated by commas".to_owned())
        }
    }
}

/// The log of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Log {
    queue: LogQueue,
    line: LineFormat,
    filter: reload::Handle<EnvFilter, Registry>,
    detail: Arc<Mutex<Detail>>,
    requests: RequestLines,
}

/// The configured filter, and the number of steps of detail above it.
#[derive(Debug)]
struct Detail {
    configured: Filter,
    steps: usize,
}

/// Starts to write log lines to standard error, from a thread of its own. Panics are logged too.
///
/// # Errors
/// If a subscriber is installed already, or the thread cannot be started.
pub fn start(
    format: Format,
    filter: &Filter,
) -> Result<Log, Box<dyn std::error::Error + Send + Sync>> {
    let line = LineFormat {
        format,
        journal: is_journal(),
    };
    let queue = LogQueue::default();
    let (filter_layer, handle) = reload::Layer::new(EnvFilter::builder().parse(&filter.0)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(ToQueue(queue.clone()))
        // By default an error of writing the log is printed, which panics.
        .log_internal_errors(false)
        .event_format(line);
    tracing_subscriber::registry()
        .with(filter_layer)
        .with(ForeignLines::new())
        .with(lines)
        .try_init()?;
    queue.start(io::stderr(), move |count| line.dropped(count))?;
    // The default hook writes to standard error directly, and can block.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(event = "panic", "{panic}")
    }));
    Ok(Log {
        queue,
        line,
        filter: handle,
        detail: Arc::new(Mutex::new(Detail {
            configured: filter.clone(),
            steps: 0,
        })),
        requests: RequestLines::new(),
    })
}

impl Log {
    /// Applies a newly configured filter, and ends additional detail.
    pub fn configure(&self, filter: &Filter) {
        let mut detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        detail.configured = filter.clone();
        detail.steps = 0;
        self.apply(&filter.0);
    }

    /// Logs in more detail: `debug` first, then `trace`, of the modules of this project. Returns the filter.
    pub fn more_detail(&self) -> String {
        let mut detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        detail.steps = (detail.steps + 1).min(MORE_DETAIL.len());
        let filter = MORE_DETAIL[detail.steps - 1];
        self.apply(filter);
        filter.to_owned()
    }

    /// Logs as configured again. Returns the filter.
    pub fn configured_detail(&self) -> String {
        let mut detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        detail.steps = 0;
        self.apply(&detail.configured.0);
        detail.configured.to_string()
    }

    /// Whether a line about a request of the operator is written. Requests of one `kind` above its rate (10 at once and
    /// then one in 30 s) are counted, and [`Self::sum_up_requests`] writes their number.
    #[must_use]
    pub fn admits_request(&self, kind: &'static str) -> bool {
        self.requests.admits(kind)
    }

    /// Writes the numbers of requests that were counted, once they are due.
    pub fn sum_up_requests(&self) {
        for (kind, count) in self.requests.due() {
            tracing::info!(count, kind, "further requests of this kind were counted");
        }
    }

    fn apply(&self, filter: &str) {
        let Ok(filter) = EnvFilter::builder().parse(filter) else {
            return;
        };
        // The subscriber lives as long as the process.
        let _gone = self.filter.reload(filter).is_err();
    }

    /// Writes a message as a line without time or fields.
    pub fn print(&self, level: Level, message: &str) {
        let priority = if self.line.journal {
            format!("<{}>", priority(level))
        } else {
            String::new()
        };
        let line = format!("{priority}{message}\n");
        self.queue.push(line.into_bytes(), urgency(level));
    }

    /// Waits until all lines are written, for at most `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.queue.flush(patience)
    }
}

/// Whether standard error is the systemd journal.
#[cfg(unix)]
fn is_journal() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let Some(named) = std::env::var_os(JOURNAL_VARIABLE) else {
        return false;
    };
    let copy = io::stderr().as_fd().try_clone_to_owned();
    let file = copy.and_then(|copy| std::fs::File::from(copy).metadata());
    file.is_ok_and(|file| named.to_str() == Some(&format!("{}:{}", file.dev(), file.ino())))
}

#[cfg(not(unix))]
fn is_journal() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_accepts_levels_and_rejects_other_words() {
        for good in ["info", "debug", "warn,phalanx_net=trace", "off"] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,loud", "phalanx_net=loud"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
        for detail in MORE_DETAIL {
            assert!(detail.parse::<Filter>().is_ok(), "{detail}");
        }
    }
}
