//! The command line of an engine that is a separate process: one scenario file and one seed.

use crate::mesh::{self, MESH};
use crate::scenario::{Scenario, ScenarioError};
use crate::systems::Systems;
use core::time::Duration;
use phalanx_core::sabotage::Sabotage;
use std::io::Write as _;
use std::path::PathBuf;

/// A program that runs one scenario with one seed.
#[derive(Clone, Copy, Debug)]
pub struct EngineBinary {
    /// The name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// A description, for `--help`.
    pub about: &'static str,
}

impl EngineBinary {
    fn usage(&self) -> String {
        format!(
            "Usage: {} FILE [--variant WORD=VALUE,...] [--seed N] [--strict] [--sabotage NAME]... [--trace FILE] [--progress]",
            self.name
        )
    }

    /// Returns the help or the version, if the arguments request one of them.
    pub fn introduction(&self, arguments: impl Iterator<Item = String>) -> Option<String> {
        arguments
            .into_iter()
            .find_map(|argument| match argument.as_str() {
                "--help" | "-h" => Some(format!("{}\n\n{}", self.about, self.usage())),
                "--version" | "-V" => Some(format!("{} {}", self.name, self.version)),
                _ => None,
            })
    }
}

/// The run to perform.
#[derive(Debug)]
pub struct RunArguments {
    /// The scenario file.
    pub file: PathBuf,
    /// The variant of the scenario's matrix.
    pub variant: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Whether a fault that affected nothing fails the run.
    pub strict: bool,
    /// The planted bugs and disabled mechanisms.
    pub sabotage: Sabotage,
    /// The names of the planted bugs and disabled mechanisms.
    pub broken: Vec<String>,
    /// The file for the trace: one JSON line per event.
    pub trace: Option<PathBuf>,
    /// Whether progress is reported.
    pub progress: bool,
}

/// The prefix of a line on standard error that reports progress.
pub const PROGRESS: &str = "progress: ";

/// Reports the progress of a run on standard error, with one line for each second of virtual time. If the run does not
/// end, the process that started the engine shows the last of these lines.
#[derive(Debug)]
pub struct ProgressLines {
    /// The time of the next report, if reports are requested.
    next: Option<Duration>,
}

impl ProgressLines {
    /// Creates the reports of a run.
    #[must_use]
    pub fn new(arguments: &RunArguments) -> Self {
        Self {
            next: arguments.progress.then_some(Duration::from_secs(1)),
        }
    }

    /// Reports the progress if a second has passed since the last report. `inputs` describes the inputs since the last
    /// report.
    pub fn at(&mut self, now: Duration, inputs: impl FnOnce() -> String) {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return;
        };
        let seconds = now.as_secs();
        self.next = Some(next.max(Duration::from_secs(seconds + 1)));
        let inputs = inputs();
        // The error is ignored, because the caller has closed standard error.
        let _unread = writeln!(
            std::io::stderr(),
            "{PROGRESS}{seconds}s of virtual time; in the last second {inputs}"
        );
    }
}

impl RunArguments {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// The error in the arguments, with the usage.
    pub fn parse(
        program: EngineBinary,
        arguments: impl Iterator<Item = String>,
    ) -> Result<Self, String> {
        let usage = program.usage();
        let mut file = None;
        let mut parsed = Self {
            file: PathBuf::new(),
            variant: None,
            seed: 1,
            strict: false,
            sabotage: Sabotage::NONE,
            broken: Vec::new(),
            trace: None,
            progress: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value; {usage}"))
            };
            match argument.as_str() {
                "--seed" => {
                    let text = value()?;
                    parsed.seed = text
                        .parse()
                        .map_err(|_| format!("--seed {text:?} is not a valid number"))?;
                }
                "--variant" => parsed.variant = Some(value()?),
                "--strict" => parsed.strict = true,
                "--progress" => parsed.progress = true,
                "--sabotage" => parsed.broken.push(value()?),
                "--trace" => parsed.trace = Some(value()?.into()),
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag} is not a valid flag; {usage}"));
                }
                path if file.is_none() => file = Some(PathBuf::from(path)),
                path => {
                    return Err(format!(
                        "{path} is a second file; one process runs one file; {usage}"
                    ));
                }
            }
        }
        parsed.sabotage = mesh::sabotage(&parsed.broken)
            .map_err(|complaint| format!("--sabotage: {complaint}"))?;
        parsed.file = file.ok_or_else(|| format!("no scenario file is given; {usage}"))?;
        Ok(parsed)
    }

    /// Reads the scenario to run.
    ///
    /// # Errors
    /// Returns the first error in the file, or an error if the file has a matrix with several variants and the
    /// arguments select none of them.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        Systems(&[&MESH])
            .load_one(&self.file, self.variant.as_deref())
            .map(|(_, scenario)| scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::sabotage::Switch;

    fn parse(words: &[&str]) -> Result<RunArguments, String> {
        let program = EngineBinary {
            name: "engine",
            version: "1",
            about: "Runs.",
        };
        RunArguments::parse(program, words.iter().map(ToString::to_string))
    }

    #[test]
    fn a_file_and_a_seed_are_parsed() {
        let read = parse(&[
            "a.toml",
            "--seed",
            "7",
            "--sabotage",
            "no-graft",
            "--strict",
            "--progress",
        ])
        .unwrap();
        assert!(read.progress);
        assert_eq!(
            (read.file, read.seed, read.strict),
            ("a.toml".into(), 7, true)
        );
        assert!(read.sabotage.has(Switch::NoGraft));
    }

    #[test]
    fn wrong_usage_is_an_error_that_names_the_argument() {
        let complaint = |words: &[&str]| parse(words).unwrap_err();
        assert!(complaint(&[]).contains("no scenario file"));
        assert!(complaint(&["a.toml", "--seed"]).contains("--seed needs a value"));
        assert!(complaint(&["a.toml", "--seed", "x"]).contains("\"x\" is not a valid number"));
        assert!(complaint(&["a.toml", "b.toml"]).contains("b.toml is a second file"));
        assert!(complaint(&["a.toml", "--sabotage", "no-graf"]).contains("no-graft"));
        assert!(complaint(&["--sead"]).contains("--sead is not a valid flag"));
    }
}
