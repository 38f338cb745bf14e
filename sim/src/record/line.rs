//! Traces as files: JSON lines, the first of which describes the run.

use super::fault::{Bands, Fault, FaultPhase};
use super::recorder::{ExecutedAction, RecordedStep, Recorder};
use crate::scenario::command_line::VERSION;
use crate::scenario::plan::Plan;
use crate::scenario::{Engine, Scenario};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write};

/// Version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// Version of the format.
    pub phalanx_trace: u32,
    /// Version of the program that wrote the trace.
    pub version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Path of the scenario file, as given.
    pub file: String,
    /// The variant of the scenario's matrix; empty without a matrix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Hash of the scenario's text; 16 hexadecimal digits.
    pub file_hash: String,
    /// The seed.
    pub seed: u64,
    /// The engine.
    pub engine: String,
    /// The bugs planted, or mechanisms disabled, in every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sabotage: Vec<String>,
}

impl Header {
    /// Returns the header of a run.
    #[must_use]
    pub fn of(scenario: &Scenario, seed: u64, engine: Engine, sabotage: &[String]) -> Self {
        Self {
            phalanx_trace: FORMAT,
            version: VERSION.to_owned(),
            scenario: scenario.name.clone(),
            file: scenario.file.clone(),
            variant: scenario.variant.to_string(),
            file_hash: format!("{:016x}", scenario.hash),
            seed,
            engine: engine.to_string(),
            sabotage: sabotage.to_vec(),
        }
    }
}

/// An event reported by a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word<'a> {
    /// The word of the event.
    pub word: Cow<'a, str>,
    /// The subject of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Cow<'a, str>>,
}

/// An action of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultLine<'a> {
    /// `begins`, `ends` or `done`.
    pub turn: Cow<'a, str>,
    /// Line of the step in the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Time at which the fault ends by itself, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The affected nodes; all nodes if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Cow<'a, str>>,
    /// Details of the action.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub text: Cow<'a, str>,
}

/// One event: a step of a node, or an action of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Number of the event, from 1.
    pub event: u64,
    /// Virtual time, in nanoseconds.
    pub at: u64,
    /// The node; `None` for an action of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Cow<'a, str>>,
    /// The kind: for a message, its content; for an action, the word of the step.
    pub kind: Cow<'a, str>,
    /// The sender, for a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'a, str>>,
    /// Encoded size in bytes, for a message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Number of the event that caused this one; for a message, the step that sent it. 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cause: u64,
    /// Digest of the node's state after the step; 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
    /// Events that the node reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<Word<'a>>,
    /// Details, for an action of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultLine<'a>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Converts the records of an engine to lines.
pub struct Lines<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    bands: Bands,
}

impl<'a> Lines<'a> {
    /// Creates a converter for a scenario with its plan.
    #[must_use]
    pub fn new(scenario: &'a Scenario, plan: Plan) -> Self {
        Self {
            scenario,
            plan,
            bands: Bands::default(),
        }
    }

    /// Returns the name of a process: its host, and its program if the host runs several.
    fn name(&self, host: usize, program: Option<&'static str>) -> Cow<'a, str> {
        let host = self.scenario.hosts[host].name.as_str();
        match program {
            None => Cow::Borrowed(host),
            Some(program) => Cow::Owned(format!("{host}/{program}")),
        }
    }

    /// Converts a step.
    #[must_use]
    pub fn step(&self, step: &RecordedStep<'_>) -> Line<'a> {
        let says = step.said.iter().map(|said| Word {
            word: said.word.into(),
            about: said.about.map(|about| about.to_owned().into()),
        });
        Line {
            event: step.event,
            at: step.at,
            node: Some(self.name(step.host, step.program)),
            kind: step.kind.into(),
            from: step
                .sender()
                .map(|host| self.name(host, step.cause_program)),
            size: step.size as u64,
            cause: step.cause.event,
            digest: Some(format!("{:016x}", step.digest).into()),
            says: says.collect(),
            fault: None,
        }
    }

    /// Converts an action.
    pub fn action(&mut self, action: &ExecutedAction<'_>) -> Line<'a> {
        Line::of_action(self.scenario, &self.plan, &mut self.bands, action)
    }
}

impl<'a> Line<'a> {
    /// Converts an action, given the faults so far.
    pub(crate) fn of_action(
        scenario: &'a Scenario,
        plan: &Plan,
        bands: &mut Bands,
        action: &ExecutedAction<'_>,
    ) -> Self {
        let fault = Fault::of(scenario, plan, action.planned);
        let changes = bands.add(action.event, action.at, action.planned, &fault);
        let (turn, until) = match fault.turn {
            FaultPhase::Begins => ("begins", None),
            FaultPhase::Ends if changes => ("ends", None),
            FaultPhase::Ends | FaultPhase::Once => ("done", None),
            FaultPhase::Lasts(length) => (
                "begins",
                Some(action.at + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
            ),
        };
        let name = |host: &usize| Cow::Borrowed(scenario.hosts[*host].name.as_str());
        let nodes = fault.hosts.iter().map(name).collect();
        Self {
            event: action.event,
            at: action.at,
            node: None,
            kind: fault.word.into(),
            from: None,
            size: 0,
            cause: 0,
            digest: None,
            says: Vec::new(),
            fault: Some(FaultLine {
                turn: turn.into(),
                line: fault.line,
                until,
                nodes,
                text: fault.text.into(),
            }),
        }
    }
}

/// Writes a run as a trace.
pub struct Writer<'a, W> {
    sink: W,
    lines: Lines<'a>,
    failed: Option<io::Error>,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Starts a trace of a scenario with its plan.
    pub fn new(sink: W, scenario: &'a Scenario, plan: Plan, header: &Header) -> Self {
        let mut writer = Self {
            sink,
            lines: Lines::new(scenario, plan),
            failed: None,
        };
        writer.write(header);
        writer
    }

    fn write<T: Serialize>(&mut self, line: &T) {
        if self.failed.is_none() {
            let written = serde_json::to_writer(&mut self.sink, line)
                .map_err(io::Error::from)
                .and_then(|()| self.sink.write_all(b"\n"));
            self.failed = written.err();
        }
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// The first error of the sink.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.sink.flush(),
        }
    }
}

impl<W: Write> Recorder for Writer<'_, W> {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let line = self.lines.step(step);
        self.write(&line);
    }

    fn action(&mut self, action: &ExecutedAction<'_>) {
        let line = self.lines.action(action);
        self.write(&line);
    }
}

impl fmt::Display for Line<'_> {
    /// Formats a line without its instant: `#12 n2 received records (120 B) from n1; reports
    /// peer-up n3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} ", self.event)?;
        match (&self.node, &self.fault) {
            (Some(node), _) => write!(f, "{node} ")?,
            (None, Some(fault)) => {
                write!(f, "the plan: {} {}", self.kind, fault.turn)?;
                if !fault.nodes.is_empty() && fault.nodes.len() <= 6 {
                    write!(f, " for {}", fault.nodes.join(", "))?;
                }
                if !fault.text.is_empty() {
                    write!(f, " ({})", fault.text)?;
                }
                return Ok(());
            }
            (None, None) => {}
        }
        match &self.from {
            Some(from) => write!(f, "received {} ({} B) from {from}", self.kind, self.size)?,
            None => f.write_str(&self.kind)?,
        }
        for said in &self.says {
            write!(f, "; reports {}", said.word)?;
            if let Some(about) = &said.about {
                write!(f, " {about}")?;
            }
        }
        Ok(())
    }
}
