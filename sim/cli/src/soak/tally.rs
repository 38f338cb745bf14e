//! The figures of a soak: runs, seeds, virtual time, events and CPU time.

use crate::screen::span;
use phalanx_sim::search::Attempt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Ticks of the CPU time that the system reports, in a second.
const TICKS_PER_SECOND: u64 = 100;

/// Figures of the runs so far.
pub(super) struct Tally {
    start: Instant,
    scenarios: usize,
    threads: usize,
    first_seed: u64,
    last_seed: u64,
    /// Runs of unchanged scenarios, and of the search.
    runs: [u64; 2],
    virtual_ms: u64,
    events: u64,
    failed: u64,
    /// The number of runs of each scenario.
    of_scenario: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new(first_seed: u64, scenarios: usize, threads: usize) -> Self {
        Self {
            start: Instant::now(),
            scenarios,
            threads,
            first_seed,
            last_seed: first_seed,
            runs: [0; 2],
            virtual_ms: 0,
            events: 0,
            failed: 0,
            of_scenario: BTreeMap::new(),
        }
    }

    /// Counts a run: of an unchanged scenario with a seed, or of the search.
    pub(super) fn add(&mut self, scenario: &str, seed: Option<u64>, attempt: &Attempt) {
        self.runs[usize::from(seed.is_none())] += 1;
        self.last_seed = self.last_seed.max(seed.unwrap_or(0));
        *self.of_scenario.entry(scenario.to_owned()).or_default() += 1;
        self.virtual_ms += attempt.virtual_ms;
        self.events += attempt.events;
    }

    pub(super) const fn fail(&mut self) {
        self.failed += 1;
    }

    pub(super) const fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn progress(&self) -> String {
        let runs = self.runs[0] + self.runs[1];
        let hours = hours(self.virtual_ms);
        format!(
            "{runs} runs, {hours:.1} virtual hours, {} failures",
            self.failed
        )
    }

    /// Returns the figures as JSON.
    pub(super) fn json(&self, covered: usize, files: &[(PathBuf, String)]) -> Value {
        let files = files
            .iter()
            .map(|(file, run)| json!({ "file": file, "reproduce": run }));
        json!({
            "scenarios": self.scenarios,
            "threads": self.threads,
            "first_seed": self.first_seed,
            "last_seed": self.last_seed,
            "runs": self.runs[0],
            "search_runs": self.runs[1],
            "wall_ms": millis(self.start.elapsed()),
            "cpu_ms": cpu_ms(),
            "virtual_ms": self.virtual_ms,
            "events": self.events,
            "events_per_cpu_hour": self.events_per_cpu_hour(),
            "covered": covered,
            "failed": self.failed,
            "runs_of_scenario": self.of_scenario,
            "files": files.collect::<Vec<Value>>(),
        })
    }

    /// Returns the figures as text.
    pub(super) fn lines(&self, covered: usize, folder: &Path) -> Vec<String> {
        let Self {
            scenarios, threads, ..
        } = self;
        let [runs, trials] = self.runs;
        let (first, last) = (self.first_seed, self.last_seed);
        let per_hour = self.events_per_cpu_hour();
        let millions = |count: u64| format!("{} million", count / 1_000_000);
        let per_hour = per_hour.map_or_else(|| "unknown".to_owned(), millions);
        vec![
            format!(
                "soak           {scenarios} scenarios for {} on {threads} threads",
                span(millis(self.start.elapsed()))
            ),
            format!(
                "runs           {runs} of scenarios, seeds {first}..{last}; {trials} of search, seed {first}"
            ),
            format!("virtual time   {:.1} hours", hours(self.virtual_ms)),
            format!("CPU time       {}", span(cpu_ms().unwrap_or(0))),
            format!("events         {}, {per_hour} per CPU hour", self.events),
            format!("coverage       {covered} behaviours seen by search"),
            format!(
                "failures       {}, kept in {}",
                self.failed,
                folder.display()
            ),
        ]
    }

    fn events_per_cpu_hour(&self) -> Option<u64> {
        let spent = cpu_ms().filter(|spent| *spent > 0)?;
        let events = u128::from(self.events) * 3_600_000 / u128::from(spent);
        u64::try_from(events).ok()
    }
}

/// Formats as hours.
fn hours(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64() / 3_600.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the CPU time of this process; `None` if the system does not report it.
fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses is followed by the state and ten more fields, then by the ticks in the program and in the
    // system.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * 1_000 / TICKS_PER_SECOND)
}
