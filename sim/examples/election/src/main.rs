//! Runs scenarios of the election, and looks for seeds that fail: `election run FILE`, `election search FILE...`.

use election::system::ELECTION;
use phalanx_sim::search::{Hunt, Subject, attempt};
use phalanx_sim::shrink::shrink;
use phalanx_sim::{Model, Options, Runner};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "Usage: election run FILE [--seeds A..B] [--sabotage WORD]...
       election search FILE... [--runs N] [--sabotage WORD]...";

fn main() -> ExitCode {
    let done = Arguments::read(std::env::args().skip(1)).and_then(|arguments| {
        match arguments.command.as_str() {
            "run" => run(&arguments),
            "search" => search(&arguments),
            _ => Err(USAGE.to_owned()),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("election: {why}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    command: String,
    files: Vec<String>,
    seeds: RangeInclusive<u64>,
    runs: u64,
    sabotage: Vec<String>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            command: words.next().ok_or(USAGE)?,
            files: Vec::new(),
            seeds: 1..=1,
            runs: 1_000,
            sabotage: Vec::new(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seeds" => {
                    let text = value()?;
                    let ends = text.split_once("..");
                    let range = ends.and_then(|(a, b)| Some(a.parse().ok()?..=b.parse().ok()?));
                    arguments.seeds = range
                        .ok_or_else(|| format!("--seeds {text}: write A..B, such as 1..100"))?;
                }
                "--runs" => {
                    let text = value()?;
                    let runs = text.parse();
                    arguments.runs = runs.map_err(|_| format!("--runs {text} is no number"))?;
                }
                "--sabotage" => arguments.sabotage.push(value()?),
                flag if flag.starts_with('-') => return Err(format!("{flag}?\n{USAGE}")),
                _ => arguments.files.push(word),
            }
        }
        Ok(arguments)
    }
}

/// Whether every run passes.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let runner = Model(&ELECTION);
    let mut passed = true;
    for file in &arguments.files {
        // A file with a matrix holds many.
        let scenarios = runner
            .load(Path::new(file))
            .map_err(|why| why.to_string())?;
        let seeds = || arguments.seeds.clone();
        let runs = scenarios
            .iter()
            .flat_map(|scenario| seeds().map(move |seed| (scenario, seed)));
        for (scenario, seed) in runs {
            let options = Options {
                sabotage: arguments.sabotage.clone(),
                ..Options::default()
            };
            let outcome = runner
                .run(scenario, seed, options)
                .map_err(|why| why.to_string())?;
            for failure in &outcome.failures {
                println!("{failure}");
            }
            passed &= outcome.failures.is_empty();
        }
    }
    Ok(passed)
}

// guide: search
/// Whether no seed and no chaos was found that fails; what is found is shrunk and printed.
fn search(arguments: &Arguments) -> Result<bool, String> {
    let runner = Model(&ELECTION);
    let mut bases = Vec::new();
    for file in &arguments.files {
        let scenarios = runner.load(Path::new(file));
        bases.extend(scenarios.map_err(|why| why.to_string())?);
    }
    let subject = Subject {
        runner: &runner,
        sabotage: &arguments.sabotage,
    };
    let mut hunt = Hunt::new(bases, 1);
    for _ in 0..arguments.runs {
        let trial = hunt.draw();
        let scenario = hunt.scenario(&trial);
        let (failures, did) =
            attempt(subject, &scenario, trial.seed).map_err(|why| why.to_string())?;
        if failures.is_empty() {
            hunt.learn(&trial, &did);
            continue;
        }
        let small = shrink(subject, &scenario, trial.seed, &mut |_| true);
        if let Some(small) = small.map_err(|why| why.to_string())? {
            println!("{}", small.to_toml("found.toml"));
        }
        return Ok(false);
    }
    println!(
        "{} runs, {} behaviours seen, no failure",
        hunt.drawn(),
        hunt.covered()
    );
    Ok(true)
}
// guide: end
