//! What came of a run.

use crate::judge::{Judge, Judged};
use crate::mesh::projection::Projection;
use crate::record::VERSION;
use crate::scenario::plan::Plan;
use crate::scenario::{ChaosKind, Engine, Scenario, Variant};
use crate::system::Definition;
use crate::world::World;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether everything came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It did.
    Pass,
    /// It did not.
    Fail,
}

/// One run, as `phalanx sim run --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Which run of the file's matrix it was.
    #[serde(skip_serializing_if = "Variant::is_empty")]
    pub variant: Variant,
    /// What ran it.
    pub engine: Engine,
    /// The seed.
    pub seed: u64,
    /// Whether everything came true.
    pub outcome: Verdict,
    /// Equal for the same seed, scenario and program; 16 hexadecimal digits.
    pub trace_hash: String,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Real time, in milliseconds; filled in by the caller, who has a clock.
    pub wall_ms: u64,
    /// Events processed.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// What TLS, HTTP/2, gRPC, TCP and IP add to them, estimated.
    pub overhead_bytes: u64,
    /// Machines of the scenario.
    pub nodes: usize,
    /// Figures by name.
    pub metrics: BTreeMap<String, u64>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What came of each expectation, in the order of the file.
    pub expected: Vec<Expected>,
    /// What each step did, in the order of the file.
    pub effects: Vec<Effect>,
    /// Faults that bit nothing.
    pub vacuous: Vec<Vacuous>,
    /// The final state, for confluent scenarios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
}

/// A run at its end, as its engine knows it.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The system that ran.
    pub definition: &'a Definition,
    /// What ran it.
    pub engine: Engine,
    /// A fault that bit nothing fails the run.
    pub strict: bool,
    /// Virtual time.
    pub now: Duration,
    /// One number for everything that happened.
    pub trace_hash: u64,
    /// Events processed.
    pub events: u64,
    /// What comes on top of encoded messages.
    pub overhead_bytes: u64,
    /// What each step touched.
    pub bites: &'a [u64],
    /// What the engine found broken by itself.
    pub broken: Vec<Failure>,
    /// Figures of the engine's own.
    pub metrics: BTreeMap<String, u64>,
    /// The final state, for confluent scenarios.
    pub projection: Option<Projection>,
}

impl Ending<'_> {
    /// The outcome: what a judge says of the world at its end, and what the engine knows besides.
    #[must_use]
    pub fn judged(self, judge: Judge<'_>, world: &dyn World) -> Outcome {
        let (scenario, plan) = (judge.scenario, judge.plan);
        let Judged {
            mut failures,
            mut metrics,
            expected,
        } = judge.finish(self.now, world);
        failures.extend(self.broken);
        metrics.extend(self.metrics);
        let effects = Effect::of(scenario, plan, self.bites);
        let vacuous = vacuous(&effects);
        if self.strict {
            failures.extend(vacuous.iter().map(|fault| {
                let text = format!("the step `{}` does something", fault.step);
                Failure::new(&scenario.file, fault.line, &text, self.now, &fault.why)
            }));
        }
        let again = (self.definition.reproduce_command)(scenario, plan.seed, self.engine);
        let failures: Vec<Failure> = failures
            .into_iter()
            .map(|failure| failure.reproduced_by(&again))
            .collect();
        let sent = (0..scenario.hosts.len()).map(|host| world.traffic(host));
        let (messages, bytes) = sent.fold((0, 0), |sum, sent| {
            (sum.0 + sent.messages, sum.1 + sent.bytes)
        });
        Outcome {
            scenario: scenario.name.clone(),
            variant: scenario.variant.clone(),
            engine: self.engine,
            seed: plan.seed,
            outcome: if failures.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            trace_hash: format!("{:016x}", self.trace_hash),
            virtual_ms: u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
            wall_ms: 0,
            events: self.events,
            messages,
            bytes,
            overhead_bytes: self.overhead_bytes,
            nodes: scenario.hosts.len(),
            metrics,
            failures,
            expected,
            effects,
            vacuous,
            projection: self.projection,
        }
    }
}

/// What came of an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Its line.
    pub line: usize,
    /// What had to be true.
    pub text: String,
    /// Whether it was.
    pub met: bool,
    /// Whether it is enough if it is so in one of many runs.
    pub sometimes: bool,
    /// When that was decided, in virtual milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// The figure, of a metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<u64>,
}

/// What a step of the timeline did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Its line.
    pub line: usize,
    /// Its word.
    pub step: String,
    /// How often it was ordered, each node by itself.
    pub orders: usize,
    /// What it touched: bytes swallowed, segments lost, links ended, inputs delayed.
    pub bites: u64,
    /// Whether it is no step but what chaos drew.
    #[serde(default)]
    pub chaos: bool,
}

impl Effect {
    /// What the steps of a scenario did, of which each bit so much.
    fn of(scenario: &Scenario, plan: &Plan, bites: &[u64]) -> Vec<Self> {
        let orders = |index| {
            let orders = plan.orders.iter();
            orders.filter(|planned| planned.step == Some(index)).count()
        };
        let steps = scenario.steps.iter();
        let steps = steps.map(|step| (step.line, step.action.word().to_owned(), false));
        let line = scenario.chaos.as_ref().map_or(0, |chaos| chaos.line);
        let kinds = ChaosKind::ALL.iter();
        let kinds = kinds.map(|(_, word)| (line, format!("chaos: {word}"), true));
        let causes = steps.chain(kinds).zip(bites).enumerate();
        causes
            .map(|(index, ((line, step, chaos), bites))| Self {
                line,
                step,
                orders: orders(index),
                bites: *bites,
                chaos,
            })
            // What chaos drew nowhere is no part of the run.
            .filter(|effect| !effect.chaos || effect.orders > 0)
            .collect()
    }
}

/// The steps that bit nothing.
fn vacuous(effects: &[Effect]) -> Vec<Vacuous> {
    // That chaos bit nothing once is chance.
    let steps = effects.iter().filter(|effect| !effect.chaos);
    let idle = steps.filter(|effect| effect.bites == 0);
    idle.map(|effect| Vacuous {
        line: effect.line,
        step: effect.step.clone(),
        why: if effect.orders > 0 {
            "it touched nothing: no byte, no link, no input".to_owned()
        } else {
            "it chose nobody".to_owned()
        },
    })
    .collect()
}

/// A fault that bit nothing and so proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuous {
    /// The step's line.
    pub line: usize,
    /// The step's word.
    pub step: String,
    /// What it should have touched.
    pub why: String,
}

/// The command that shows a run again. What stands behind `#` tells whether it is the same file and program.
#[must_use]
pub fn reproduce(scenario: &Scenario, engine: Engine, seed: u64) -> String {
    let run = run_words(scenario);
    format!("phalanx sim run {run} --seed {seed} --engine {engine}") + &stamp(scenario)
}

/// The words of a command that say which scenario is meant: its file, and which run of its matrix.
#[must_use]
pub fn run_words(scenario: &Scenario) -> String {
    let file = quoted(&scenario.file);
    if scenario.variant.is_empty() {
        return file;
    }
    format!("{file} --variant {}", quoted(&scenario.variant.to_string()))
}

/// What stands behind a command that shows a run again: which file and which program it is for.
#[must_use]
pub fn stamp(scenario: &Scenario) -> String {
    format!("  # file {:016x}, phalanx {VERSION}", scenario.hash)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Something that had to be true and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The scenario file.
    pub file: String,
    /// The line of the expectation; 0 for what always holds (invariants, recovery).
    pub line: usize,
    /// What had to be true.
    pub expectation: String,
    /// When it was found broken, in virtual milliseconds.
    pub at_ms: u64,
    /// What stood against it.
    pub why: String,
    /// The command that shows it again.
    pub reproduce: String,
}

impl Failure {
    /// A failure; [`Self::reproduced_by`] adds the command.
    #[must_use]
    pub fn new(file: &str, line: usize, expectation: &str, at: Duration, why: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            expectation: expectation.to_owned(),
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            why: why.to_owned(),
            reproduce: String::new(),
        }
    }

    /// The same with the command that shows it again.
    #[must_use]
    pub fn reproduced_by(mut self, command: &str) -> Self {
        command.clone_into(&mut self.reproduce);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        let (seconds, millis) = (self.at_ms / 1_000, self.at_ms % 1_000);
        writeln!(f, ": {}", self.expectation)?;
        writeln!(f, "  broken at {seconds}.{millis:03}s: {}", self.why)?;
        write!(f, "  again: {}", self.reproduce)
    }
}
