//! The settings of the allocator that bound the memory which freed blocks keep.
//!
//! The GNU C library raises the threshold above which it returns memory to the operating system to the size of the largest
//! block that was freed. After one message of 10 MiB, all blocks up to this size come from heaps that do not shrink, and
//! the process keeps several times the memory that it uses. It also makes a heap (an arena) for each thread, so that
//! memory which one thread freed is not used by another. Settings in the environment stay fixed, and the library reads
//! them only at the start of a process.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The variables of the environment and their values; one that an operator sets is kept.
const SETTINGS: [(&str, &str); 2] = [
    // The initial threshold of the library in bytes.
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_ARENA_MAX", "1"),
];
/// The variable that marks the second execution. The loader removes some variables from the environment of a program with
/// file capabilities, so those alone do not end the repetition.
const EXECUTED: &str = "PHALANXD_EXECUTED";

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Executes this program again in the same process, with fixed settings. Returns if all are set, or if the program cannot
/// be executed; the program then runs with the library's own settings.
pub(crate) fn fix_settings() {
    let missing = SETTINGS.into_iter().filter(|(name, _)| !is_set(name));
    if cfg!(not(target_env = "gnu")) || is_set(EXECUTED) || missing.clone().next().is_none() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // This call returns only if it fails.
    let _failed = command
        .args(arguments)
        .envs(missing)
        .env(EXECUTED, "1")
        .exec();
}
