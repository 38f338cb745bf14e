//! Reads traces line by line.

use super::line::{FORMAT, Header, Line};
use crate::scenario::command_line::VERSION;
use core::fmt;
use serde::Deserialize;
use std::io::BufRead;

/// Reason why a trace cannot be read, with the file, the line and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The file, as given by the caller.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u64,
    /// The error and its fix.
    pub message: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl core::error::Error for TraceError {}

/// The part of the first line that is common to all versions.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Version {
    phalanx_trace: u32,
    #[serde(default)]
    version: String,
}

/// A trace that is read line by line.
#[derive(Debug)]
pub struct TraceReader<R> {
    source: R,
    file: String,
    header: Header,
    number: u64,
    expected: u64,
}

impl<R: BufRead> TraceReader<R> {
    /// Reads the first line of a trace.
    ///
    /// # Errors
    /// If the file is not a trace, or has another version.
    pub fn new(file: &str, source: R) -> Result<Self, TraceError> {
        let header = Header {
            phalanx_trace: FORMAT,
            version: String::new(),
            scenario: String::new(),
            file: String::new(),
            variant: String::new(),
            file_hash: String::new(),
            seed: 0,
            engine: String::new(),
            sabotage: Vec::new(),
        };
        let mut reader = Self {
            source,
            file: file.to_owned(),
            header,
            number: 0,
            expected: 1,
        };
        let Some(first) = reader.text()? else {
            return Err(reader.error("is empty; `phalanx sim run FILE --trace T` writes a trace"));
        };
        let version: Version = serde_json::from_str(&first).map_err(|_| {
            reader.error(
                "is not a trace: the first line has no `phalanx-trace`; record one with `phalanx sim run FILE --trace T`",
            )
        })?;
        if version.phalanx_trace != FORMAT {
            return Err(reader.error(&format!(
                "is a trace of format {}, written by phalanx {}; this is phalanx {}, which reads format {FORMAT}: \
                 use that version, or record the trace again with this one",
                version.phalanx_trace,
                version.version,
                VERSION
            )));
        }
        reader.header = serde_json::from_str(&first)
            .map_err(|error| reader.error(&format!("is not a valid header of a trace: {error}")))?;
        Ok(reader)
    }

    /// Returns the description of the run.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next event; `None` at the end.
    ///
    /// # Errors
    /// If the line is not a valid event, or an event is missing.
    pub fn next_line(&mut self) -> Result<Option<Line<'static>>, TraceError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        let line: Line<'static> = serde_json::from_str(&text).map_err(|error| {
            self.error(&format!(
                "is not a valid event ({error}); the file was truncated or edited; record the trace again"
            ))
        })?;
        if line.event != self.expected {
            let (found, expected) = (line.event, self.expected);
            return Err(self.error(&format!(
                "is event {found} instead of {expected}; lines are missing; record the trace again"
            )));
        }
        self.expected += 1;
        Ok(Some(line))
    }

    fn text(&mut self) -> Result<Option<String>, TraceError> {
        let mut text = String::new();
        self.number += 1;
        match self.source.read_line(&mut text) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(self.error(&format!("cannot be read: {error}"))),
        }
    }

    fn error(&self, message: &str) -> TraceError {
        TraceError {
            file: self.file.clone(),
            line: self.number,
            message: message.to_owned(),
        }
    }
}
