//! The command line of the simulator, as parsed by clap. The module of the same name implements each command.

use crate::scale::{Engines, Interval, Seeds, Span};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The commands of the simulator.
#[derive(Debug, Subcommand)]
pub enum Sim {
    /// Run scenarios and check their expectations
    Run(SimRun),
    /// Step through one run, to an instant or an event, and show its nodes
    Replay(SimReplay),
    /// Find the first event in which two runs differ; exit code 1 if there is one
    Diff(SimDiff),
    /// Search for a failing seed, with random faults added to those of the scenarios
    Search(SimSearch),
    /// Reduce a failing run to a small scenario file that fails in the same way
    Shrink(SimShrink),
    /// Find the faults that a failing run needs, and explain the failure in one paragraph
    Explain(SimExplain),
    /// Run scenarios and search for a given time, and keep every failure as a file
    Soak(SimSoak),
    /// List scenarios with their descriptions
    List {
        /// Files or directories
        #[arg(value_name = "FILE", default_value = "scenarios")]
        files: Vec<PathBuf>,
        /// Print JSON, one object per scenario
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of scenario files
    Schema,
}

/// The flags of all commands that run scenarios.
#[derive(Debug, Args)]
pub struct RunFlags {
    /// Print JSON; of several runs or nodes, one object for each
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail a run that takes longer than this time of the wall clock [default: 60s, and 20ms for each second of each
    /// node; at least 15min in wire and madsim]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) wall_limit: Option<Span>,
    /// Switch a mechanism off, or plant a bug, in every node; --help lists the names. A trace contains its own
    #[arg(long, value_name = "NAME")]
    pub(crate) sabotage: Vec<String>,
}

impl RunFlags {
    /// Returns the requested wall-time limit of a run.
    pub(crate) fn wall_limit(&self) -> Option<Duration> {
        self.wall_limit.map(|limit| limit.0)
    }
}

/// The flag `--for`: how long a command works, by the wall clock. A command sets its own default and description.
#[derive(Debug, Args)]
pub struct TimeLimit {
    /// Stop after this time: 10s, 2min
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    length: Option<Span>,
}

impl TimeLimit {
    /// Returns the end of a command that begins now; `None` without a limit.
    #[must_use]
    pub fn end(&self) -> Option<Instant> {
        self.length.map(|length| Instant::now() + length.0)
    }
}

/// The command `run`.
#[derive(Debug, Args)]
pub struct SimRun {
    /// Scenario files, or directories of them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Run only the variants of the file's `[[matrix]]` that have these values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// A seed, or a range that includes both ends: 1..50
    #[arg(
        long,
        value_name = "N or A..B",
        default_value = "1",
        allow_hyphen_values = true
    )]
    pub(crate) seed: Seeds,
    /// model, wire, madsim, or both (model and wire, comparing the final states of `confluent`
    /// scenarios, of others nothing) [default: the scenario's engine, or model]
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engines>,
    /// Run each seed twice, in two processes, and compare the runs; exit code 3 if they differ
    #[arg(long)]
    pub(crate) check: bool,
    /// Write every event to this file (single run only)
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Write an HTML report: timelines, faults, causes, metrics (one scenario in the model engine)
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Draw timelines and faults in the terminal (one scenario in the model engine)
    #[arg(long, conflicts_with = "json")]
    pub(crate) timeline: bool,
    /// Write the verdicts as JUnit XML
    #[arg(long, value_name = "FILE.xml")]
    pub(crate) junit: Option<PathBuf>,
    /// Print how often each input, transition, refusal and check of an invariant occurred, in each program; those that
    /// never occurred first (model engine)
    #[arg(long)]
    pub(crate) coverage: bool,
    /// Fail a run in which a fault affected nothing
    #[arg(long)]
    pub(crate) strict: bool,
    /// Number of parallel runs [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `search`.
#[derive(Debug, Args)]
#[command(mut_arg("length", |it| it.default_value("60s").help("Time limit; a failure ends the search earlier")))]
pub struct SimSearch {
    /// Scenario files to start from, or directories of them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Run only the variants of the file's `[[matrix]]` that have these values
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    /// Stop after this number of runs
    #[arg(long, value_name = "N")]
    pub(crate) runs: Option<u64>,
    /// Number of parallel runs [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Directory to write the failing scenario to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Seed of the search: a different seed draws different trials
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print how often each input, transition, refusal and check of an invariant occurred, in each program; those that
    /// never occurred first
    #[arg(long)]
    pub(crate) coverage: bool,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `shrink`.
#[derive(Debug, Args)]
#[command(mut_arg("length", |it| it.default_value("10min").help("Stop after this time and print the smallest scenario found so far")))]
pub struct SimShrink {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Values that select the variant of the file's `[[matrix]]`
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The seed that fails
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    /// File to write the small scenario to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `explain`.
#[derive(Debug, Args)]
#[command(mut_arg("length", |it| it.default_value("5min").help("Stop after this time and print what is known so far")))]
pub struct SimExplain {
    /// The scenario file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Values that select the variant of the file's `[[matrix]]`
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The seed that fails
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    /// Stop after this number of runs and print what is known so far
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) runs: usize,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `soak`.
#[derive(Debug, Args)]
#[command(mut_arg("length", |it| it.default_value("30min").help("Duration; failures do not end the soak earlier")))]
pub struct SimSoak {
    /// Scenario files, or directories of them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The flag `--for`.
    #[command(flatten)]
    pub(crate) limit: TimeLimit,
    /// Number of parallel runs [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Directory for the failing scenarios and the summary, soak.json
    #[arg(long, value_name = "DIR", default_value = "soak")]
    pub(crate) out: PathBuf,
    /// First seed of each scenario, and seed of the search
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `replay`.
#[derive(Debug, Args)]
pub struct SimReplay {
    /// A scenario file, or the trace of a run
    pub(crate) file: PathBuf,
    /// Values that select the variant of the file's `[[matrix]]`
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// The seed; a trace contains its own
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Stop at this instant: 12.5s; a range such as 10s..12.5s shows the changes between both
    /// instants
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "event",
        allow_hyphen_values = true
    )]
    pub(crate) until: Option<Interval<Span>>,
    /// Stop at the event with this number; a range such as 100..200 shows the changes between both
    /// events
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) event: Option<Interval<u64>>,
    /// Continue from there interactively: Enter for the next event, a number for that many events,
    /// ? for help
    #[arg(long)]
    pub(crate) step: bool,
    /// Show only this node
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}

/// The command `diff`.
#[derive(Debug, Args)]
pub struct SimDiff {
    /// Two traces, or one scenario file with --seed A B
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub(crate) files: Vec<PathBuf>,
    /// Values that select the variant of the file's `[[matrix]]`
    #[arg(long, value_name = "WORD=VALUE,...")]
    pub(crate) variant: Option<String>,
    /// Compare these two seeds of one scenario
    #[arg(long, value_name = "N", num_args = 2)]
    pub(crate) seed: Vec<u64>,
    /// Number of events to show before the first difference
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) context: usize,
    /// The flags of all commands that run scenarios.
    #[command(flatten)]
    pub(crate) common: RunFlags,
}
