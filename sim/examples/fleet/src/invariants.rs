//! The invariants of the fleet.

use crate::facts::{FleetFacts, HostFacts};
use crate::release::{FOLDERS, LIVE, NginxConfiguration, PREFIX};
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use phalanx_sim::fakes::nginx::{Input, Nginx, NginxHost, Output};
use phalanx_sim::invariant::{Invariant, InvariantResult, Seen, Steps};
use phalanx_sim::world::{Effect, Program};
use std::collections::BTreeMap;

/// Checks the facts of the host on which a step was performed, if there are any.
fn check(
    shared: &FleetFacts,
    host: usize,
    check: impl FnOnce(&HostFacts) -> InvariantResult,
) -> InvariantResult {
    shared.borrow().get(&host).map_or(Ok(()), check)
}

/// Checks that every worker of nginx answers with the version that the agent of its host reports as served.
fn compare(facts: &HostFacts, checked: &mut u64) -> InvariantResult {
    let Some(reported) = facts.reported.map(|version| version.to_string()) else {
        return Ok(());
    };
    *checked += facts.answers.len() as u64;
    match facts.answers.iter().find(|answer| **answer != reported) {
        None => Ok(()),
        Some(answer) => Err(format!(
            "the agent reports version {reported} as served, and nginx answers {answer}"
        )),
    }
}

/// An agent reports a version as served only when every worker of its nginx serves it.
pub struct ServedIsLoaded {
    facts: FleetFacts,
    checked: u64,
}

impl ServedIsLoaded {
    /// Creates the invariant of a run.
    #[must_use]
    pub const fn new(facts: FleetFacts) -> Self {
        Self { facts, checked: 0 }
    }
}

impl Invariant for ServedIsLoaded {
    fn name(&self) -> &'static str {
        "served-is-loaded"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let checked = &mut self.checked;
        check(&self.facts, seen.host, |facts| compare(facts, checked))
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}

/// nginx loads no other version while its agent reports a version as served.
pub struct ServedStaysLoaded {
    facts: FleetFacts,
    checked: u64,
}

impl ServedStaysLoaded {
    /// Creates the invariant of a run.
    #[must_use]
    pub const fn new(facts: FleetFacts) -> Self {
        Self { facts, checked: 0 }
    }
}

impl Invariant for ServedStaysLoaded {
    fn name(&self) -> &'static str {
        "served-stays-loaded"
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let checked = &mut self.checked;
        check(&self.facts, seen.host, |facts| compare(facts, checked))
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}

/// The live file is complete, even after a loss of power, and passes nginx's test.
pub struct LiveIsValid {
    facts: FleetFacts,
    /// The live files that were tested last.
    tested: BTreeMap<usize, Vec<u8>>,
    checked: u64,
}

impl LiveIsValid {
    /// Creates the invariant of a run.
    #[must_use]
    pub const fn new(facts: FleetFacts) -> Self {
        Self {
            facts,
            tested: BTreeMap::new(),
            checked: 0,
        }
    }
}

impl Invariant for LiveIsValid {
    fn name(&self) -> &'static str {
        "live-is-valid"
    }

    fn steps(&self) -> Steps {
        Steps::Busy
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let (last, checked) = (&mut self.tested, &mut self.checked);
        check(&self.facts, seen.host, |facts| {
            let Some(live) = &facts.live else {
                return Err(format!("{LIVE} is gone"));
            };
            if last.get(&seen.host) == Some(live) {
                return Ok(());
            }
            last.insert(seen.host, live.clone());
            *checked += 1;
            if NginxConfiguration::parse(live).is_none() {
                let length = live.len();
                return Err(format!("{LIVE} is not complete: it has {length} bytes"));
            }
            tested(live).map_err(|line| format!("{LIVE} is not valid: {line}"))
        })
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}

/// Runs `nginx -t` on a configuration, on a host that has only this file.
///
/// # Errors
/// The error is the first line of nginx's message.
fn tested(text: &[u8]) -> Result<(), String> {
    let mut host = NginxHost::default();
    let folders = FOLDERS.iter().try_for_each(|it| host.tree.make_folders(it));
    let written = folders.and_then(|()| host.tree.write(LIVE, text));
    written.map_err(|error| error.to_string())?;
    let mut nginx = Nginx::new(Random::from_seed(0));
    let arguments = ["-p", PREFIX, "-c", LIVE, "-e", "stderr", "-t"];
    let test = Input::Run {
        invocation: 1,
        arguments: arguments.map(str::to_owned).to_vec(),
    };
    let mut outputs = Vec::new();
    nginx.step(Instant::ZERO, test, &mut host, &mut outputs);
    while let Some(at) = nginx.next_deadline() {
        nginx.step(at, Input::Wake, &mut host, &mut outputs);
    }
    let end = outputs.into_iter().find_map(|output| match output {
        Output::Finished { code, stderr, .. } => Some((code, stderr)),
        _ => None,
    });
    match end {
        Some((0, _)) => Ok(()),
        Some((_, stderr)) => Err(stderr.into_iter().next().unwrap_or_default()),
        None => Err("the test did not end".to_owned()),
    }
}

/// An agent does not write a configuration that is already live.
pub struct LiveIsKept {
    facts: FleetFacts,
    /// The number of writes that were checked.
    checked: u64,
}

impl LiveIsKept {
    /// Creates the invariant of a run.
    #[must_use]
    pub const fn new(facts: FleetFacts) -> Self {
        Self { facts, checked: 0 }
    }
}

impl Invariant for LiveIsKept {
    fn name(&self) -> &'static str {
        "live-is-kept"
    }

    fn steps(&self) -> Steps {
        Steps::Busy
    }

    fn after_step(&mut self, seen: &Seen<'_>, _: &dyn Program) -> InvariantResult {
        let effects = seen.effects.iter();
        let writes = effects.filter(|effect| matches!(effect, Effect::Write(_)));
        self.checked += writes.count() as u64;
        check(&self.facts, seen.host, |facts| match facts.rewritten {
            true => Err("writes the configuration that is live already".to_owned()),
            false => Ok(()),
        })
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
