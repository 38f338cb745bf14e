//! The threshold above which the allocator returns memory to the operating system.
//!
//! The GNU C library raises this threshold to the size of the largest block that was freed. After one message of 10 MiB,
//! all blocks up to this size come from heaps that do not shrink, and the process keeps several times the memory that it
//! uses. A threshold that is set in the environment stays fixed, and the library reads it only at the start of a process.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The variable of the environment; one that an operator sets is kept.
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// The variable that marks the second execution. The loader removes [`VARIABLE`] from the environment of a program with
/// file capabilities, so that variable alone does not end the repetition.
const EXECUTED: &str = "PHALANXD_EXECUTED";
/// The initial threshold of the library in bytes.
const THRESHOLD: &str = "131072";

/// Executes this program again in the same process, with a fixed threshold. Returns if the threshold is fixed, or if the
/// program cannot be executed; the program then runs with the library's own threshold.
pub(crate) fn fix_threshold() {
    let is_set = [VARIABLE, EXECUTED].map(|name| std::env::var_os(name).is_some());
    if cfg!(not(target_env = "gnu")) || is_set.contains(&true) {
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
        .env(VARIABLE, THRESHOLD)
        .env(EXECUTED, "1")
        .exec();
}
