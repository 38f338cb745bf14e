//! Presents a recorded run: as an HTML page, as a timeline, and as the causes of a failure.

use crate::catalogue::CatalogueEntry;
use crate::engine::RunSettings;
use crate::failure::CommandError;
use crate::overseer::{Overseen, wall_limit};
use crate::record::{Broken, RunRecord};
use crate::report::SweepReport;
use crate::screen::{Paint, Screen};
use phalanx_sim::coverage::ProgramCoverage;
use phalanx_sim::explanation::{self, Explanation};
use phalanx_sim::model::{ENDS_IN_TIME, TIME_ADVANCES};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::record::{Recording, causes};
use phalanx_sim::report::{self, Seed, ShownRun, SourceFile};
use phalanx_sim::scenario::Engine;
use phalanx_sim::timeline::{FAULT, Row, rows};
use phalanx_sim::{RunOptions, run};
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

/// Maximum number of causes shown for a failure.
const CAUSES_MAX: usize = 8;
/// Maximum length of a scenario file that a page contains, in bytes.
const SOURCE_MAX: usize = 200_000;
/// Width of a timeline, in columns, if the terminal's width is unknown.
const WIDTH: usize = 100;

/// Repeats a run and records it; returns `None` if a machine panicked.
pub(crate) fn recorded<'a>(
    entry: &'a CatalogueEntry,
    seed: u64,
    settings: &RunSettings,
    place: &Overseen,
) -> Result<Option<(Recording<'a>, Outcome)>, CommandError> {
    let scenario = &*entry.scenario;
    let plan = scenario.plan(seed).map_err(CommandError::usage)?;
    let mut recording = Recording::new(scenario, plan);
    let options = RunOptions {
        sabotage: settings.sabotage.clone(),
        strict: settings.strict,
        final_state: true,
        recorder: Some(&mut recording),
        coverage: None,
        supervisor: Some(place.supervisor()),
    };
    place.set_limit(wall_limit(settings.wall_limit, scenario, Engine::Model));
    match catch_unwind(AssertUnwindSafe(|| {
        run(entry.system, scenario, seed, options)
    })) {
        Ok(outcome) => Ok(Some((recording, outcome.map_err(CommandError::usage)?))),
        Err(_) => Ok(None),
    }
}

/// Adds to each failure of a run in the model engine the events that led to it. Runs without an end are not repeated.
pub(crate) fn explain(
    entry: &CatalogueEntry,
    settings: &RunSettings,
    place: &Overseen,
    record: &mut RunRecord,
) -> Result<(), CommandError> {
    let endless = |broken: &Broken| is_endless(&broken.expectation);
    let failures = &record.read.failures;
    if record.read.engine != Engine::Model.to_string()
        || failures.is_empty()
        || failures.iter().any(endless)
    {
        return Ok(());
    }
    if let Some((recording, outcome)) = recorded(entry, record.read.seed, settings, place)?
        && !outcome.interrupted
    {
        let explained = explanations(entry, settings, &recording, &outcome);
        add_causes(&recording, &explained, record)?;
    }
    Ok(())
}

/// Returns whether this is an expectation that a run without an end violates.
fn is_endless(expectation: &str) -> bool {
    [ENDS_IN_TIME, TIME_ADVANCES].contains(&expectation)
}

/// Explains each failure of a recorded run, unless it has no end.
pub(crate) fn explanations(
    entry: &CatalogueEntry,
    settings: &RunSettings,
    recording: &Recording<'_>,
    outcome: &Outcome,
) -> Vec<Explanation> {
    let mut failures = outcome.failures.iter();
    if outcome.interrupted || failures.any(|it| is_endless(&it.expectation)) {
        return Vec::new();
    }
    explanation::explain(
        entry.system,
        recording,
        &outcome.failures,
        &settings.sabotage,
    )
}

fn add_causes(
    recording: &Recording<'_>,
    explained: &[Explanation],
    record: &mut RunRecord,
) -> Result<(), CommandError> {
    for (index, explanation) in explained.iter().enumerate() {
        let chain = explanation.event.map_or_else(Vec::new, |event| {
            causes::chain(recording, event, CAUSES_MAX)
        });
        let lines: Vec<String> = chain
            .iter()
            .map(|link| causes::describe_link(recording, link))
            .collect();
        let failure = &mut record.value["failures"][index];
        failure["causes"] = lines.clone().into();
        failure["explanation"] = serde_json::to_value(explanation).map_err(CommandError::failed)?;
        if let Some(broken) = record.read.failures.get_mut(index) {
            broken.causes = lines;
            broken.explanation.clone_from(&explanation.lines);
        }
    }
    Ok(())
}

/// The requested outputs.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) page: Option<&'a Path>,
    pub(crate) timeline: bool,
}

/// Runs a single seed, records it and draws it; returns `false` if a machine panicked. An interrupted run is drawn as far as it
/// came.
pub(crate) fn alone(
    (screen, place): (&Screen, &Overseen),
    (entry, seed): (&CatalogueEntry, u64),
    settings: &RunSettings,
    wanted: Wanted<'_>,
    report: &mut SweepReport<'_>,
) -> Result<bool, CommandError> {
    let start = Instant::now();
    let Some((recording, mut outcome)) = recorded(entry, seed, settings, place)? else {
        return Ok(false);
    };
    outcome.wall_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let value = serde_json::to_value(&outcome).map_err(CommandError::failed)?;
    let mut record = RunRecord::read(value).map_err(CommandError::failed)?;
    let explained = explanations(entry, settings, &recording, &outcome);
    add_causes(&recording, &explained, &mut record)?;
    // The first failure of an interrupted run is the interrupt itself.
    let undecided = outcome.interrupted && outcome.failures.len() == 1;
    if !undecided {
        report.add(&record)?;
    }
    let (sources, seeds) = (sources(entry), [record.seed()]);
    let shown = ShownRun {
        definition: entry.system,
        sabotage: &settings.sabotage,
        sources: &sources,
        recording: &recording,
        outcome: &outcome,
        explained: &explained,
        seeds: &seeds,
        coverage: &[],
    };
    let drawn = report.hidden(|| draw(screen, &shown, wanted));
    match drawn {
        _ if undecided => Err(CommandError::Interrupted),
        // The verdict stands even if the reader of standard output closed it.
        Ok(()) | Err(CommandError::ReaderGone) => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// The runs of a sweep, and their coverage, if it is collected.
#[derive(Clone, Copy)]
pub(crate) struct SweepData<'a> {
    pub(crate) seeds: &'a [Seed],
    pub(crate) coverage: &'a [ProgramCoverage],
}

/// Draws one run of a sweep: the first that failed, or else the first.
pub(crate) fn show(
    (screen, place): (&Screen, &Overseen),
    entry: &CatalogueEntry,
    settings: &RunSettings,
    sweep: SweepData<'_>,
    wanted: Wanted<'_>,
) -> Result<(), CommandError> {
    let seeds = sweep.seeds;
    let Some(shown) = seeds.iter().find(|seed| !seed.passed).or(seeds.first()) else {
        return Ok(());
    };
    let Some((recording, outcome)) = recorded(entry, shown.seed, settings, place)? else {
        return screen.line(format!(
            "seed {} broke off, so there is nothing to draw",
            shown.seed
        ));
    };
    let explained = explanations(entry, settings, &recording, &outcome);
    let sources = sources(entry);
    let shown = ShownRun {
        definition: entry.system,
        sabotage: &settings.sabotage,
        sources: &sources,
        recording: &recording,
        outcome: &outcome,
        explained: &explained,
        seeds,
        coverage: sweep.coverage,
    };
    draw(screen, &shown, wanted)
}

/// Reads the files of a scenario: its own, and those of its expectations. Large files are left out.
fn sources(entry: &CatalogueEntry) -> Vec<SourceFile> {
    let expectations = entry.scenario.expectations.iter();
    let mut files: Vec<&str> = vec![&entry.scenario.file];
    for expectation in expectations {
        if !files.contains(&expectation.file.as_str()) {
            files.push(&expectation.file);
        }
    }
    let sources = files.into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        let file = file.to_owned();
        (text.len() <= SOURCE_MAX).then_some(SourceFile { file, text })
    });
    sources.collect()
}

fn draw(screen: &Screen, shown: &ShownRun<'_>, wanted: Wanted<'_>) -> Result<(), CommandError> {
    let (recording, outcome) = (shown.recording, shown.outcome);
    if wanted.timeline {
        let end = outcome.virtual_ms * 1_000_000;
        for row in rows(recording, end, screen.width().unwrap_or(WIDTH)) {
            screen.line(coloured(screen, &row))?;
        }
    }
    if let Some(path) = wanted.page {
        let unwritable = |error: std::io::Error| {
            CommandError::usage(format!(
                "--report: {} cannot be written: {error}",
                path.display()
            ))
        };
        let file = File::create(path).map_err(unwritable)?;
        report::write(BufWriter::new(file), shown).map_err(unwritable)?;
    }
    Ok(())
}

/// Formats a row with its colours; consecutive characters of one colour share an escape sequence.
fn coloured(screen: &Screen, row: &Row) -> String {
    let mut line = screen.painted(&row.label, Paint::Dim) + " ";
    for group in row.cells.chunk_by(|one, two| one.1 == two.1) {
        let text: String = group.iter().map(|(character, _)| character).collect();
        let paint = match group[0].1 {
            0 => Paint::Plain,
            1 => Paint::Dim,
            FAULT => Paint::Bad,
            12.. => Paint::Dim,
            state => Paint::State(state - 2),
        };
        line += &screen.painted(&text, paint);
    }
    line.trim_end().to_owned()
}
