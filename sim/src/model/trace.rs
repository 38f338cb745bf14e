//! What happened, as a running hash and, if wanted, as JSON lines.

use phalanx_core::random::mix;
use serde::Serialize;
use std::io::Write;

/// One processed event.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// True time, in nanoseconds.
    pub(crate) at: u64,
    /// The event's number.
    pub(crate) seq: u64,
    /// Whom it reached.
    pub(crate) node: &'a str,
    /// What it was.
    pub(crate) kind: &'a str,
    /// Encoded bytes, of a message.
    pub(crate) size: usize,
    /// The node's view afterwards.
    pub(crate) view: u64,
}

/// The trace of one run.
pub(crate) struct Trace<'a> {
    hash: u64,
    sink: Option<&'a mut dyn Write>,
    failed: Option<std::io::Error>,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(sink: Option<&'a mut dyn Write>) -> Self {
        Self {
            hash: 0,
            sink,
            failed: None,
        }
    }

    /// Adds one event; `host` and `kind` by number, `line` for the sink alone.
    pub(crate) fn add(&mut self, host: usize, kind: u8, line: &Line<'_>) {
        let who = (host as u64) << 40 | u64::from(kind) << 32 | line.size as u64;
        self.hash = mix(self.hash ^ mix(line.at ^ mix(line.seq ^ mix(who ^ mix(line.view)))));
        if let Some(sink) = &mut self.sink
            && self.failed.is_none()
        {
            let written = serde_json::to_writer(&mut *sink, line)
                .map_err(std::io::Error::from)
                .and_then(|()| sink.write_all(b"\n"));
            self.failed = written.err();
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Why the sink did not take everything.
    pub(crate) fn into_error(self) -> Option<std::io::Error> {
        self.failed
    }
}
