//! The trace of a run: a running hash of all events, and numbered events for a recorder.

use crate::record::{Cause, ExecutedAction, Held, RecordedStep, Recorder, StepReport};
use crate::scenario::plan::Planned;
use crate::world::InputInfo;
use phalanx_core::random::mix;
use std::collections::BTreeMap;

/// One step of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepLine {
    /// True time, in nanoseconds.
    pub(crate) at: u64,
    /// The number of the scheduled event that the step belongs to.
    pub(crate) seq: u64,
    /// The host of the process.
    pub(crate) host: usize,
    /// The index of the process on its host.
    pub(crate) place: usize,
    /// The input.
    pub(crate) taken: InputInfo,
    /// The hash of the process's view after the step.
    pub(crate) view: u64,
}

/// The trace of one run.
pub(crate) struct Trace<'a> {
    hash: u64,
    /// The number of the latest event.
    event: u64,
    /// The names of the programs of each host that runs several programs.
    programs: BTreeMap<usize, Vec<&'static str>>,
    recorder: Subscriber<'a>,
}

/// The recorder, if any: borrowed or owned.
enum Subscriber<'a> {
    Absent,
    Borrowed(&'a mut dyn Recorder),
    Owned(Box<dyn Recorder + 'a>),
}

impl Subscriber<'_> {
    fn get(&mut self) -> Option<&mut dyn Recorder> {
        match self {
            Self::Absent => None,
            Self::Borrowed(recorder) => Some(&mut **recorder),
            Self::Owned(recorder) => Some(&mut **recorder),
        }
    }
}

impl<'a> Trace<'a> {
    pub(crate) fn new(recorder: Option<&'a mut dyn Recorder>) -> Self {
        Self {
            hash: 0,
            event: 0,
            programs: BTreeMap::new(),
            recorder: recorder.map_or(Subscriber::Absent, Subscriber::Borrowed),
        }
    }

    /// Creates a trace that owns its recorder.
    pub(crate) fn owning(recorder: Box<dyn Recorder + 'a>) -> Self {
        Self {
            recorder: Subscriber::Owned(recorder),
            ..Self::new(None)
        }
    }

    /// Sets the names of a host's programs.
    pub(crate) fn set_programs(&mut self, host: usize, programs: Vec<&'static str>) {
        if programs.len() > 1 {
            self.programs.insert(host, programs);
        }
    }

    /// Returns the program of a process, if its host runs several.
    pub(crate) fn program(&self, host: usize, place: usize) -> Option<&'static str> {
        self.programs.get(&host)?.get(place).copied()
    }

    /// Adds a step; returns the cause of its effects. `digest` is the hash of the views of the host's processes.
    pub(crate) fn add<'s>(
        &mut self,
        line: &StepLine,
        digest: u64,
        cause: Cause,
        said: impl Iterator<Item = StepReport<'s>>,
    ) -> Cause {
        let InputInfo { number, size, .. } = line.taken;
        let who = (line.place as u64) << 56
            | (line.host as u64) << 40
            | u64::from(number) << 32
            | size as u64;
        self.hash = mix(self.hash ^ mix(line.at ^ mix(line.seq ^ mix(who ^ mix(line.view)))));
        self.event += 1;
        if self.is_recorded() {
            self.record(line, digest, cause, said);
        }
        Cause::step(self.event, line.host, line.place)
    }

    fn record<'s>(
        &mut self,
        line: &StepLine,
        digest: u64,
        cause: Cause,
        said: impl Iterator<Item = StepReport<'s>>,
    ) {
        let program = self.program(line.host, line.place);
        let from = cause.host().map(|host| (host, cause.place()));
        let cause_program = from.and_then(|(host, place)| self.program(host, place));
        if let Some(recorder) = self.recorder.get() {
            let said: Vec<StepReport<'s>> = said.collect();
            recorder.step(&RecordedStep {
                event: self.event,
                at: line.at,
                host: line.host,
                program,
                kind: line.taken.word,
                size: line.taken.size,
                cause,
                cause_program,
                digest,
                said: &said,
            });
        }
    }

    /// Returns whether the run is recorded.
    pub(crate) const fn is_recorded(&self) -> bool {
        !matches!(self.recorder, Subscriber::Absent)
    }

    /// Records the membership that a host's processes know after the latest step.
    pub(crate) fn membership(&mut self, host: usize, digest: u64) {
        if let Some(recorder) = self.recorder.get() {
            recorder.membership(host, digest);
        }
    }

    /// Numbers an action of the plan; returns the cause of its effects.
    pub(crate) fn action(&mut self, at: u64, planned: &Planned) -> Cause {
        self.event += 1;
        let event = self.event;
        if let Some(recorder) = self.recorder.get() {
            recorder.action(&ExecutedAction { event, at, planned });
        }
        Cause::action(event)
    }

    /// Records a message that was delayed or dropped by a cut or by loss.
    pub(crate) fn held(&mut self, held: Held) {
        if let Some(recorder) = self.recorder.get() {
            recorder.held(held);
        }
    }

    /// Returns the number of events so far.
    pub(crate) const fn events(&self) -> u64 {
        self.event
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }
}
