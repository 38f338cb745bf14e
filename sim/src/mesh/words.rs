//! The words of the mesh, for scenario files and command lines.

use super::condition_words::CONDITIONS;
use super::coverage;
use super::event;
use super::host_words::{HOSTS, SETTINGS, check_hosts, longest_fault};
use super::named;
use super::publishing::publishing;
use super::step_words::{FAULTS, STEPS};
use super::workload::{self, FORGE, REVOKE};
use super::{certainty, idle_steps};
use crate::scenario::plan::Reporter;
use crate::scenario::{Vocabulary, Words};
use phalanx_core::sabotage::{Sabotage, Switch};

/// The name of the mesh daemon as a program.
pub const PROGRAM: &str = "mesh";

/// The reporter of the events of a host's mesh daemon.
#[must_use]
pub const fn daemon_of(host: usize) -> Reporter {
    let program = PROGRAM;
    Reporter { host, program }
}
/// The word for the metric of a node's memory, in bytes.
pub(super) const MEMORY: &str = "memory";

/// The set of switches with these words.
///
/// # Errors
/// The error names the first unknown word and the nearest known word.
pub fn sabotage(words: &[String]) -> Result<Sabotage, String> {
    let mut sabotage = Sabotage::NONE;
    for word in words {
        let found = Switch::ALL.iter().find(|(_, name)| name == word);
        let Some((switch, _)) = found else {
            let names = Switch::ALL.iter().map(|(_, name)| *name);
            let near = crate::scenario::suggestion(word, names);
            return Err(format!("there is no switch `{word}`{near}"));
        };
        sabotage = sabotage.with(*switch);
    }
    Ok(sabotage)
}

/// The words of the system in which every host runs a mesh daemon.
#[must_use]
pub fn vocabulary() -> Vocabulary {
    Vocabulary::of("the mesh", [words()])
}

/// The words of the mesh daemon.
#[must_use]
pub fn words() -> Words {
    Words {
        program: PROGRAM,
        events: event::words(),
        settings: &SETTINGS,
        hosts: &HOSTS,
        steps: &STEPS,
        conditions: &CONDITIONS,
        faults: &FAULTS,
        excluded_chaos: Vec::new(),
        planning: Some(publishing),
        longest_fault: Some(longest_fault),
        holds: workload::CONDITIONS.to_vec(),
        metrics: vec![
            "missed-updates",
            "told-misses",
            "untold-misses",
            "update-ms",
            "update-p99-ms",
            "update-p50-ms",
            "copies-percent",
            "delivered-percent",
            "send-ms",
            "send-p99-ms",
        ],
        limits: vec![("delivered-percent", 100)],
        counters: vec!["false-deaths"],
        gauges: vec![MEMORY],
        commands: workload::COMMANDS.to_vec(),
        // A real daemon cannot send forged records, and needs a signature to revoke a certificate.
        simulated_commands: vec![FORGE, REVOKE],
        check: Some(workload::check),
        check_usages: Some(named::check),
        certainty: Some(certainty::certainty),
        idle_steps: Some(idle_steps::idle_steps),
        check_hosts: Some(check_hosts),
        state: vec![
            "phase",
            "hash",
            "members",
            "links",
            "channels",
            "unreachable",
            "undialable",
        ],
        // The transport checks certificates. The simulated daemon has no certificate that could expire.
        certificates: false,
        sabotage: Switch::ALL.iter().map(|(_, word)| *word).collect(),
        occurrences: coverage::declared(),
    }
}
