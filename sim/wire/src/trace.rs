//! What happened, as running hashes and, if wanted, as JSON lines.

use crate::entropy::BYTES_FOLLOW;
use core::time::Duration;
use phalanx_core::gossip::{Input, Message};
use phalanx_core::random::{hash_bytes, mix};
use phalanx_core::size::Encoded;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// One thing that happened to a node.
#[derive(Serialize)]
struct Line<'a> {
    /// Virtual time, in nanoseconds.
    at: u64,
    /// Its number.
    seq: u64,
    /// To whom.
    node: &'a str,
    /// What.
    kind: &'a str,
    /// Encoded bytes, of a message.
    size: usize,
}

/// The trace of one run.
#[derive(Default)]
pub(crate) struct Trace {
    events: u64,
    inputs: u64,
    bytes: u64,
    sink: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
}

impl Trace {
    /// A trace that is also written to a file.
    pub(crate) fn to(path: Option<&Path>) -> Result<Self, String> {
        let sink = path
            .map(|path| {
                let file = File::create(path);
                file.map_err(|error| format!("--trace {}: {error}", path.display()))
            })
            .transpose()?
            .map(BufWriter::new);
        Ok(Self {
            sink,
            ..Self::default()
        })
    }

    /// Adds what happened to a machine.
    pub(crate) fn input(&mut self, at: Duration, host: usize, name: &str, input: &Input) {
        let (kind, size) = describe(input);
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.events += 1;
        let who = mix((host as u64) << 32 | size as u64) ^ hash_bytes(kind.as_bytes());
        self.inputs = mix(self.inputs ^ mix(at ^ mix(who)));
        let Some(sink) = &mut self.sink else { return };
        if self.failed.is_none() {
            let line = Line {
                at,
                seq: self.events,
                node: name,
                kind,
                size,
            };
            let written = serde_json::to_writer(&mut *sink, &line)
                .map_err(std::io::Error::from)
                .and_then(|()| sink.write_all(b"\n"));
            self.failed = written.err();
        }
    }

    /// Adds what a host wrote to or read from a connection.
    pub(crate) fn io(&mut self, at: Duration, host: usize, wrote: bool, bytes: &[u8]) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let who = (host as u64) << 33 | u64::from(wrote) << 32 | bytes.len() as u64;
        let content = if BYTES_FOLLOW { hash_bytes(bytes) } else { 0 };
        self.bytes = mix(self.bytes ^ mix(at ^ mix(who ^ content)));
    }

    /// The inputs of all machines so far.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// One number for everything.
    pub(crate) const fn hash(&self) -> u64 {
        mix(self.inputs ^ mix(self.bytes))
    }

    /// Ends the file.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        let flushed = self.sink.as_mut().map_or(Ok(()), Write::flush);
        match self.failed.take().or(flushed.err()) {
            None => Ok(()),
            Some(error) => Err(format!("the trace cannot be written: {error}")),
        }
    }
}

fn describe(input: &Input) -> (&'static str, usize) {
    match input {
        Input::Start => ("start", 0),
        Input::Accepted { .. } => ("accepted", 0),
        Input::Dialed { .. } => ("dialed", 0),
        Input::DialFailed { .. } => ("dial-failed", 0),
        Input::Receive { message, .. } => (
            match message {
                Message::Hello(_) => "hello",
                Message::Welcome(_) => "welcome",
                Message::Refuse(_) => "refuse",
                Message::Goodbye(_) => "goodbye",
                Message::Frame(_) => "frame",
                Message::Data(_) => "data",
            },
            message.encoded_len(),
        ),
        Input::Closed { .. } => ("closed", 0),
        Input::Stored { .. } => ("stored", 0),
        Input::Announce(_) => ("announce", 0),
        Input::Targets { .. } => ("targets", 0),
        Input::Discover(_) => ("discover", 0),
        Input::Want { .. } => ("want", 0),
        Input::Leave => ("leave", 0),
        Input::Wake => ("wake", 0),
    }
}
