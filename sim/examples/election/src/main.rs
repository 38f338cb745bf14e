//! Runs scenarios of the election: `election FILE [--seeds A..B] [--sabotage WORD]...`.

use election::system::Elections;
use phalanx_sim::{Model, Options, Runner};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("election: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether every run passes.
fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let (mut file, mut seeds, mut sabotage) = (None, 1..=1, Vec::new());
    while let Some(word) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--seeds" => {
                let text = value()?;
                let range = text.split_once("..").and_then(|(first, last)| {
                    Some(first.parse::<u64>().ok()?..=last.parse::<u64>().ok()?)
                });
                seeds =
                    range.ok_or_else(|| format!("--seeds {text}: write A..B, such as 1..100"))?;
            }
            "--sabotage" => sabotage.push(value()?),
            _ => file = Some(word),
        }
    }
    let file = file.ok_or("which scenario? Give a file, such as scenarios/power-cuts.toml")?;
    // ANCHOR: run
    let runner = Model::<Elections>::new();
    let scenario = runner
        .load(Path::new(&file))
        .map_err(|why| why.to_string())?;
    let mut passed = true;
    for seed in seeds {
        let options = Options {
            sabotage: sabotage.clone(),
            strict: false,
            ..Options::default()
        };
        let outcome = runner
            .run(&scenario, seed, options)
            .map_err(|why| why.to_string())?;
        for failure in &outcome.failures {
            println!("seed {seed}: {failure}");
        }
        passed &= outcome.failures.is_empty();
    }
    // ANCHOR_END: run
    Ok(passed)
}
