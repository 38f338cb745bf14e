//! Reads traces line by line.

use super::line::{FORMAT, Header, Line};
use crate::scenario::command_line::VERSION;
use core::fmt;
use serde::Deserialize;
use std::io::BufRead;

/// Why a trace cannot be read: it names the file, the line and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u64,
    /// What is wrong and what would be right.
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

/// What every version of the first line says.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Version {
    phalanx_trace: u32,
    #[serde(default)]
    version: String,
}

/// A trace, read as it is asked for.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    file: String,
    header: Header,
    number: u64,
    expected: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line of a trace.
    ///
    /// # Errors
    /// When it is no trace, or one of another version.
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
                "is no trace: the first line has no `phalanx-trace`; write it anew with `phalanx sim run FILE --trace T`",
            )
        })?;
        if version.phalanx_trace != FORMAT {
            return Err(reader.error(&format!(
                "is a trace of format {}, written by phalanx {}; this is phalanx {}, which reads format {FORMAT}: \
                 use that version, or write the trace anew with this one",
                version.phalanx_trace,
                version.version,
                VERSION
            )));
        }
        reader.header = serde_json::from_str(&first)
            .map_err(|error| reader.error(&format!("is no header of a trace: {error}")))?;
        Ok(reader)
    }

    /// What run it is.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// When the line is no event, or one is missing.
    pub fn next_line(&mut self) -> Result<Option<Line<'static>>, TraceError> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        let line: Line<'static> = serde_json::from_str(&text).map_err(|error| {
            self.error(&format!(
                "is no event ({error}); the file was cut off or edited, write it anew"
            ))
        })?;
        if line.event != self.expected {
            let (found, expected) = (line.event, self.expected);
            return Err(self.error(&format!(
                "is event {found} where {expected} belongs; lines were lost, write the trace anew"
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
