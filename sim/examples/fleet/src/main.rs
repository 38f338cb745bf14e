//! Runs scenarios of the fleet: `fleet run FILE... [--seeds A..B] [--sabotage WORD]...`.

use fleet::system::FLEET;
use phalanx_sim::{Model, Options, Runner};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "Usage: fleet run FILE... [--seeds A..B] [--sabotage WORD]...";

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fleet: {why}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    files: Vec<String>,
    seeds: RangeInclusive<u64>,
    sabotage: Vec<String>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        if words.next().as_deref() != Some("run") {
            return Err(USAGE.to_owned());
        }
        let mut arguments = Self {
            files: Vec::new(),
            seeds: 1..=1,
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
    let runner = Model(&FLEET);
    let mut passed = true;
    for file in &arguments.files {
        let scenarios = runner.load(Path::new(file));
        for scenario in scenarios.map_err(|why| why.to_string())? {
            for seed in arguments.seeds.clone() {
                let options = Options {
                    sabotage: arguments.sabotage.clone(),
                    ..Options::default()
                };
                let outcome = runner.run(&scenario, seed, options);
                let outcome = outcome.map_err(|why| why.to_string())?;
                for failure in &outcome.failures {
                    println!("{failure}");
                }
                passed &= outcome.failures.is_empty();
            }
        }
    }
    Ok(passed)
}
