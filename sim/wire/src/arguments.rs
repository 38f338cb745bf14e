//! The command line: one file, one seed.

use phalanx_core::gossip::{Sabotage, Switch};
use phalanx_sim::scenario::suggestion;
use std::path::PathBuf;

const USAGE: &str =
    "Usage: phalanx-sim-wire FILE [--seed N] [--strict] [--sabotage NAME]... [--trace FILE]";

/// What the program says of itself, if the arguments ask for that.
pub(crate) fn introduction(arguments: impl Iterator<Item = String>) -> Option<String> {
    arguments.into_iter().find_map(|argument| match argument.as_str() {
        "--help" | "-h" => Some(format!(
            "Runs one scenario with one seed on the daemon's own network code, and prints the result as JSON.\n\
             `phalanx sim run --engine wire` starts it, once a seed.\n\n{USAGE}"
        )),
        "--version" | "-V" => Some(format!("phalanx-sim-wire {}", env!("CARGO_PKG_VERSION"))),
        _ => None,
    })
}

/// What to run.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The scenario file.
    pub(crate) file: PathBuf,
    /// The seed.
    pub(crate) seed: u64,
    /// A fault that bit nothing fails the run.
    pub(crate) strict: bool,
    /// What is broken on purpose in every node.
    pub(crate) sabotage: Sabotage,
    /// Where one JSON line for each event goes.
    pub(crate) trace: Option<PathBuf>,
}

impl Arguments {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut file = None;
        let mut parsed = Self {
            file: PathBuf::new(),
            seed: 1,
            strict: false,
            sabotage: Sabotage::NONE,
            trace: None,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value; {USAGE}"))
            };
            match argument.as_str() {
                "--seed" => {
                    let text = value()?;
                    parsed.seed = text
                        .parse()
                        .map_err(|_| format!("--seed {text:?} is no number"))?;
                }
                "--strict" => parsed.strict = true,
                "--sabotage" => parsed.sabotage = parsed.sabotage.with(switch(&value()?)?),
                "--trace" => parsed.trace = Some(value()?.into()),
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag} is no flag; {USAGE}"));
                }
                path if file.is_none() => file = Some(PathBuf::from(path)),
                path => {
                    return Err(format!(
                        "{path} is a second file; one process runs one; {USAGE}"
                    ));
                }
            }
        }
        parsed.file = file.ok_or_else(|| format!("no scenario file is given; {USAGE}"))?;
        Ok(parsed)
    }
}

fn switch(name: &str) -> Result<Switch, String> {
    let found = Switch::ALL.iter().find(|(_, known)| *known == name);
    found.map(|(switch, _)| *switch).ok_or_else(|| {
        let words = Switch::ALL.iter().map(|(_, known)| *known);
        format!("--sabotage {name} is none{}", suggestion(name, words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn a_file_and_a_seed_are_read() {
        let read = parse(&[
            "a.toml",
            "--seed",
            "7",
            "--sabotage",
            "no-graft",
            "--strict",
        ])
        .unwrap();
        assert_eq!(
            (read.file, read.seed, read.strict),
            ("a.toml".into(), 7, true)
        );
        assert!(read.sabotage.has(Switch::NoGraft));
    }

    #[test]
    fn wrong_usage_names_the_word() {
        let complaint = |words: &[&str]| parse(words).unwrap_err();
        assert!(complaint(&[]).contains("no scenario file"));
        assert!(complaint(&["a.toml", "--seed"]).contains("--seed needs a value"));
        assert!(complaint(&["a.toml", "--seed", "x"]).contains("\"x\" is no number"));
        assert!(complaint(&["a.toml", "b.toml"]).contains("b.toml is a second file"));
        assert!(complaint(&["a.toml", "--sabotage", "no-graf"]).contains("no-graft"));
        assert!(complaint(&["--sead"]).contains("--sead is no flag"));
    }
}
