//! The output files of a command, checked before the first run: an output never replaces an input or another output, and its
//! directory exists and can be written.

use crate::failure::CommandError;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The inputs and outputs of a command.
#[derive(Default)]
pub(crate) struct Outputs {
    inputs: Vec<PathBuf>,
    /// Each output, with its flag.
    outputs: Vec<(&'static str, PathBuf)>,
}

/// The identity of a file: of an existing one its device and inode, of another one its directory's and its name.
#[derive(PartialEq, Eq)]
struct FileIdentity(u64, u64, Option<PathBuf>);

impl Outputs {
    /// Creates the outputs of a command that reads these files.
    pub(crate) fn new(inputs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            inputs: inputs.into_iter().collect(),
            outputs: Vec::new(),
        }
    }

    /// Adds an output with its flag, if the command has it.
    pub(crate) fn with(mut self, flag: &'static str, path: Option<&Path>) -> Self {
        self.outputs
            .extend(path.map(|path| (flag, path.to_owned())));
        self
    }

    /// Checks that each output can be written, and that it is neither an input nor another output.
    ///
    /// # Errors
    /// The first output that is refused, with its flag.
    pub(crate) fn check(&self) -> Result<(), CommandError> {
        for (index, (flag, path)) in self.outputs.iter().enumerate() {
            let shown = path.display();
            if path.as_os_str() == "-" {
                return Err(CommandError::usage(format!(
                    "{flag} -: the output is a file; /dev/stdout is standard output, and ./- a file of this name"
                )));
            }
            if self.is_input(path) {
                return Err(CommandError::usage(format!(
                    "{flag}: {shown} is an input of this command; choose another file"
                )));
            }
            let before = &self.outputs[..index];
            if let Some((other, _)) = before.iter().find(|(_, other)| is_same_file(other, path)) {
                return Err(CommandError::usage(format!(
                    "{flag}: {shown} is the output of {other} too; choose another file"
                )));
            }
            check_writable(path).map_err(|why| {
                CommandError::usage(format!("{flag}: {shown} cannot be written: {why}"))
            })?;
        }
        Ok(())
    }

    /// Returns whether a path leads to an input.
    pub(crate) fn is_input(&self, path: &Path) -> bool {
        self.inputs.iter().any(|input| is_same_file(input, path))
    }
}

/// Returns whether two paths lead to one regular file, or to one name for a file. Devices and pipes hold nothing that is lost.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let one = identity(one);
    one.is_some() && one == identity(other)
}

fn identity(path: &Path) -> Option<FileIdentity> {
    if let Ok(found) = fs::metadata(path) {
        return found
            .is_file()
            .then(|| FileIdentity(found.dev(), found.ino(), None));
    }
    // A link to a file that does not exist yet is followed to the place of that file.
    let target = fs::read_link(path).map(|target| folder(path).join(target));
    let path = target.as_deref().unwrap_or(path);
    let folder = fs::metadata(folder(path)).ok()?;
    let name = PathBuf::from(path.file_name()?);
    Some(FileIdentity(folder.dev(), folder.ino(), Some(name)))
}

/// Returns the directory of a file.
fn folder(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(Path::new("."));
    if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }
}

/// Checks that a file can be written, and changes nothing. A new file is created and removed again.
fn check_writable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err("it is a directory".to_owned()),
        Ok(found) if found.is_file() => {
            let opened = OpenOptions::new().append(true).open(path);
            opened.map(drop).map_err(|error| error.to_string())
        }
        // A pipe that is opened and closed would end for its reader.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder(path);
            if !folder.is_dir() {
                let folder = folder.display();
                return Err(format!(
                    "the directory {folder} does not exist; create it first"
                ));
            }
            if path.is_symlink() {
                return Ok(());
            }
            let created = File::create_new(path).and_then(|_| fs::remove_file(path));
            created.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Creates a directory for output files, and checks that a file can be created in it.
pub(crate) fn check_folder(flag: &str, path: &Path) -> Result<(), CommandError> {
    let made = fs::create_dir_all(path).and_then(|()| tempfile::tempfile_in(path).map(drop));
    made.map_err(|error| {
        let shown = path.display();
        CommandError::usage(format!("{flag}: {shown} cannot be written: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn refusal(inputs: &[&Path], outputs: &[(&'static str, &Path)]) -> String {
        let inputs = inputs.iter().map(|path| path.to_path_buf());
        let mut all = Outputs::new(inputs);
        for (flag, path) in outputs {
            all = all.with(flag, Some(path));
        }
        all.check().unwrap_err().to_string()
    }

    #[test]
    fn an_output_is_neither_an_input_nor_another_output_under_any_name() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("in.toml"), "x").unwrap();
        symlink("in.toml", at("link.toml")).unwrap();
        symlink("new.xml", at("dangling")).unwrap();
        fs::hard_link(at("in.toml"), at("hard.toml")).unwrap();
        for name in ["in.toml", "./in.toml", "link.toml", "hard.toml"] {
            let why = refusal(&[&at("in.toml")], &[("--trace", &at(name))]);
            assert!(why.contains("is an input"), "{name}: {why}");
        }
        let twice = [("--trace", &*at("new.xml")), ("--junit", &*at("./new.xml"))];
        assert!(refusal(&[], &twice).contains("the output of --trace too"));
        let linked = [("--trace", &*at("new.xml")), ("--junit", &*at("dangling"))];
        assert!(refusal(&[], &linked).contains("the output of --trace too"));
        assert!(!at("new.xml").exists(), "the check leaves no file");
        let fine = Outputs::new([at("in.toml")]).with("--trace", Some(&at("new.xml")));
        fine.check().unwrap();
        assert_eq!(fs::read_to_string(at("in.toml")).unwrap(), "x");
    }

    #[test]
    fn an_output_that_cannot_be_written_is_refused_with_the_reason() {
        let place = tempfile::tempdir().unwrap();
        let missing = place.path().join("no/file");
        assert!(refusal(&[], &[("--report", &missing)]).contains("create it first"));
        assert!(refusal(&[], &[("-o", place.path())]).contains("it is a directory"));
        assert!(refusal(&[], &[("--trace", Path::new("-"))]).contains("/dev/stdout"));
        let both = Outputs::new([]).with("--trace", Some(Path::new("/dev/null")));
        both.with("--junit", Some(Path::new("/dev/null")))
            .check()
            .unwrap();
    }
}
