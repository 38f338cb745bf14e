//! The end of the servers of a test whose process is killed.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits until its input ends, and kills the processes whose working directory is its argument.
const SCRIPT: &str = r#"cat > /dev/null
for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/cwd")" = "$0" ]; then kill -KILL "${process#/proc/}"; fi
done"#;

/// A process that kills the processes of a folder when this process ends, however it ends.
///
/// Servers that a test starts are usually ended by a destructor, which does not run in a test that is killed. A daemon of
/// this project is started with `--until-input-ends` instead.
#[derive(Debug)]
pub struct FolderGuardian(Child);

impl FolderGuardian {
    /// Watches over the processes whose working directory is `folder`, until the value is dropped.
    ///
    /// # Errors
    /// If the folder cannot be found, or the shell cannot be started.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT]).arg(folder.canonicalize()?);
        // The process group of a test may be killed as a whole.
        shell.process_group(0).current_dir("/");
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        shell.stdin(Stdio::piped()).spawn().map(Self)
    }

    /// Ends the input of the shell and waits until the processes are killed, as after the end of this process.
    ///
    /// # Errors
    /// If the shell cannot be waited for.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.wait().map(drop)
    }
}

impl Drop for FolderGuardian {
    fn drop(&mut self) {
        // The shell may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn sleeper(folder: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").current_dir(folder).spawn().unwrap()
    }

    #[test]
    fn the_processes_of_a_folder_are_killed_when_the_input_ends_and_others_are_not() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let guardian = FolderGuardian::start(one.path()).unwrap();
        let mut killed = sleeper(one.path());
        let mut kept = sleeper(other.path());
        guardian.finish().unwrap();
        assert_eq!(killed.wait().unwrap().signal(), Some(9));
        assert!(kept.try_wait().unwrap().is_none());
        kept.kill().unwrap();
        kept.wait().unwrap();
    }

    #[test]
    fn a_guardian_that_is_dropped_kills_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(FolderGuardian::start(folder.path()).unwrap());
        let mut kept = sleeper(folder.path());
        assert!(kept.try_wait().unwrap().is_none());
        kept.kill().unwrap();
        kept.wait().unwrap();
    }
}
