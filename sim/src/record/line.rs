//! Traces as files: JSON lines, the first of which says what run it is.

use super::fault::{Bands, Fault, Turn};
use super::recorder::{Done, Recorder, Step};
use crate::scenario::command_line::VERSION;
use crate::scenario::plan::Plan;
use crate::scenario::{Engine, Scenario};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// The version of the format.
    pub phalanx_trace: u32,
    /// The program that wrote it.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario file, as it was named.
    pub file: String,
    /// Which run of its matrix; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The hash of its text; 16 hexadecimal digits.
    pub file_hash: String,
    /// The seed.
    pub seed: u64,
    /// What ran it.
    pub engine: String,
    /// What was broken on purpose in every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sabotage: Vec<String>,
}

impl Header {
    /// The header of a run.
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

/// Something that a node reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word<'a> {
    /// What.
    pub word: Cow<'a, str>,
    /// About whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Cow<'a, str>>,
}

/// An order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultLine<'a> {
    /// `begins`, `ends` or `done`.
    pub turn: Cow<'a, str>,
    /// The step's line in the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// When it ends by itself, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whom it touches; everyone when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Cow<'a, str>>,
    /// The particulars.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub text: Cow<'a, str>,
}

/// One event: a node's step, or an order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub event: u64,
    /// Virtual time, in nanoseconds.
    pub at: u64,
    /// Whose step; none for an order of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Cow<'a, str>>,
    /// What it was: of a message, what it carries; of an order, the step's word.
    pub kind: Cow<'a, str>,
    /// Who sent it, of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'a, str>>,
    /// Encoded bytes, of a message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// The number of the event that led to it; of a message, the step that sent it. 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cause: u64,
    /// The digest of the node's state after the step; 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
    /// What the node reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub says: Vec<Word<'a>>,
    /// Of an order of the plan.
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

/// Makes lines of what an engine tells.
pub struct Lines<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    bands: Bands,
}

impl<'a> Lines<'a> {
    /// Of a scenario with its plan.
    #[must_use]
    pub fn new(scenario: &'a Scenario, plan: Plan) -> Self {
        Self {
            scenario,
            plan,
            bands: Bands::default(),
        }
    }

    /// A process by name: its host, and its program if the host runs several.
    fn name(&self, host: usize, program: Option<&'static str>) -> Cow<'a, str> {
        let host = self.scenario.hosts[host].name.as_str();
        match program {
            None => Cow::Borrowed(host),
            Some(program) => Cow::Owned(format!("{host}/{program}")),
        }
    }

    /// The line of a step.
    #[must_use]
    pub fn step(&self, step: &Step<'_>) -> Line<'a> {
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

    /// The line of an order.
    pub fn order(&mut self, order: &Done<'_>) -> Line<'a> {
        Line::of_order(self.scenario, &self.plan, &mut self.bands, order)
    }
}

impl<'a> Line<'a> {
    /// The line of an order, among the faults so far.
    pub(crate) fn of_order(
        scenario: &'a Scenario,
        plan: &Plan,
        bands: &mut Bands,
        order: &Done<'_>,
    ) -> Self {
        let fault = Fault::of(scenario, plan, order.planned);
        let changes = bands.add(order.event, order.at, order.planned, &fault);
        let (turn, until) = match fault.turn {
            Turn::Begins => ("begins", None),
            Turn::Ends if changes => ("ends", None),
            Turn::Ends | Turn::Once => ("done", None),
            Turn::Lasts(length) => (
                "begins",
                Some(order.at + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
            ),
        };
        let name = |host: &usize| Cow::Borrowed(scenario.hosts[*host].name.as_str());
        let nodes = fault.hosts.iter().map(name).collect();
        Self {
            event: order.event,
            at: order.at,
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
    /// Begins a trace of a scenario with its plan.
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
    /// Why the sink did not take everything.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.sink.flush(),
        }
    }
}

impl<W: Write> Recorder for Writer<'_, W> {
    fn step(&mut self, step: &Step<'_>) {
        let line = self.lines.step(step);
        self.write(&line);
    }

    fn order(&mut self, order: &Done<'_>) {
        let line = self.lines.order(order);
        self.write(&line);
    }
}

impl fmt::Display for Line<'_> {
    /// One line for people, without its instant: `#12 n2 took records (120 B) from n1; says peer-up n3`.
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
            Some(from) => write!(f, "took {} ({} B) from {from}", self.kind, self.size)?,
            None => f.write_str(&self.kind)?,
        }
        for said in &self.says {
            write!(f, "; says {}", said.word)?;
            if let Some(about) = &said.about {
                write!(f, " {about}")?;
            }
        }
        Ok(())
    }
}
