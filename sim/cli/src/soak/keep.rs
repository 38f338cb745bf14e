//! The folder of a soak: a scenario file for each failure, and the summary.

use crate::failure::CommandError;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::scenario::command_line::{quoted_path, sabotage_flags};
use phalanx_sim::verdict::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Maximum number of files for one scenario and one expectation. Further failures of the same kind are counted.
const FILES_MAX: usize = 5;

/// The name of the summary in the folder.
const SUMMARY: &str = "soak.json";

/// Writes the files of a soak.
pub(super) struct Keeper {
    folder: PathBuf,
    /// The number of failures by scenario and expectation.
    kinds: BTreeMap<(String, String), usize>,
    /// The files, each with the command that reproduces its failure.
    files: Vec<(PathBuf, String)>,
}

impl Keeper {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            kinds: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// Writes the scenario of a failing run, unless there are enough files of this kind. The file alone, with its seed,
    /// reproduces the failure. Files of earlier soaks stay. Returns whether a file was written.
    pub(super) fn keep(
        &mut self,
        command: &str,
        (scenario, seed): (&Scenario, u64),
        failure: &Failure,
        sabotage: &[String],
    ) -> Result<bool, CommandError> {
        let name = scenario.plain_name();
        let kind = (name.to_owned(), failure.expectation.clone());
        let known = self.kinds.entry(kind).or_default();
        *known += 1;
        if *known > FILES_MAX {
            return Ok(false);
        }
        let names = (1..).map(|number| match number {
            1 => format!("{name}-{seed}.toml"),
            _ => format!("{name}-{seed}-{number}.toml"),
        });
        let mut paths = names.map(|name| self.folder.join(name));
        let path = paths.find(|path| !path.exists());
        let path = path.unwrap_or_else(|| self.folder.join("found.toml"));
        let run = format!(
            "{command} run {} --seed {seed}{}",
            quoted_path(&path.display().to_string()),
            sabotage_flags(sabotage)
        );
        let (expectation, why) = (&failure.expectation, &failure.why);
        let one_line = |text: &str| text.replace('\n', " ");
        let text = format!(
            "# Found by soak: {}\n# {}\n# {run}\n{}",
            one_line(expectation),
            one_line(why),
            scenario.clone().alone().to_toml()
        );
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        self.files.push((path, run));
        Ok(true)
    }

    /// Replaces the summary. A reader never sees a part of it.
    pub(super) fn write_summary(&self, value: &Value) -> Result<(), CommandError> {
        let path = self.folder.join(SUMMARY);
        let part = self.folder.join(format!("{SUMMARY}.part"));
        let written = std::fs::write(&part, format!("{value:#}\n"));
        written
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(|error| unwritable(&path, &error))
    }

    /// The files, with the commands that reproduce their failures.
    pub(super) fn files(&self) -> &[(PathBuf, String)] {
        &self.files
    }

    /// The failures as text: for each kind its number, then the commands.
    pub(super) fn lines(&self) -> Vec<String> {
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|((scenario, expectation), count)| {
            format!("failed {count} times: {scenario}: {expectation}")
        });
        let runs = self.files.iter().map(|(_, run)| format!("  again: {run}"));
        kinds.chain(runs).collect()
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::usage(format!("{} cannot be written: {error}", path.display()))
}
