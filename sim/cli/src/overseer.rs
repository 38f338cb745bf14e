//! Oversees the runs of a command in a thread of its own: wall-time limits, signals, the deadline of the command, and its
//! progress on a terminal.
//!
//! The first signal ends the runs in progress, and the command reports its results so far. A second signal ends the
//! process at once.

use crate::failure::{CommandError, Completion};
use crate::interrupt::Interrupt;
use crate::screen::is_dumb;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use phalanx_sim::model::{RunPosition, Supervisor};
use phalanx_sim::scenario::{Engine, Scenario};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Interval at which the clock, the signals and the positions of the runs are read.
const LOOK: Duration = Duration::from_millis(50);

/// Time in which the runs in progress end after a signal, before the command ends without them.
const GRACE: Duration = Duration::from_millis(700);

/// Time after its limit in which a run names its cause, before it counts as stuck in one step.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// The part of the default wall-time limit that every run has.
const LIMIT_BASE: Duration = Duration::from_secs(60);

/// The part of the default wall-time limit for each second of virtual time of each node: several hundred times the usual
/// speed.
const LIMIT_PER_NODE_SECOND: Duration = Duration::from_millis(20);

/// The minimum of the default wall-time limit in an engine that runs the production code.
const LIMIT_OF_PROCESS: Duration = Duration::from_secs(900);

/// Returns the wall-time limit of a run: the requested one, or one that grows with the number of nodes and the virtual time.
pub(crate) fn wall_limit(asked: Option<Duration>, scenario: &Scenario, engine: Engine) -> Duration {
    if let Some(asked) = asked {
        return asked;
    }
    let nodes = u32::try_from(scenario.hosts.len()).unwrap_or(u32::MAX);
    let seconds = (scenario.duration + scenario.recovery).as_secs();
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let all = LIMIT_PER_NODE_SECOND
        .saturating_mul(nodes)
        .saturating_mul(seconds)
        .saturating_add(LIMIT_BASE);
    match engine {
        Engine::Model => all,
        Engine::Wire | Engine::Madsim => all.max(LIMIT_OF_PROCESS),
    }
}

/// The overseer of one command.
pub(crate) struct Overseer {
    shared: Arc<OverseerState>,
}

struct OverseerState {
    runs: Mutex<Vec<Arc<Overseen>>>,
    /// The time of the first signal.
    signal: Mutex<Option<Instant>>,
    deadline: Option<Instant>,
    is_over: AtomicBool,
    bar: ProgressBar,
}

/// A place for one run at a time, with its wall-time limit.
pub(crate) struct Overseen {
    supervisor: Supervisor,
    limit_ms: AtomicU64,
    /// The number of the present run, and the time at which the overseer saw it first.
    begun: Mutex<(u64, Instant)>,
}

/// A run that did not end after its limit: it is stuck in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StuckRun {
    pub(crate) position: RunPosition,
    pub(crate) limit: Duration,
}

impl StuckRun {
    /// Describes the position at which a run is stuck, with the name of the host if the scenario is known.
    pub(crate) fn describe(self, scenario: Option<&Scenario>) -> String {
        let at = phalanx_sim::scenario::text::show(self.position.at);
        let event = self.position.event;
        let host = self.position.host.zip(scenario);
        let host = host.and_then(|(at, scenario)| scenario.hosts.get(at));
        let host = host.map_or("a process", |host| host.name.as_str());
        format!(
            "a step of {host} at {at} of virtual time (scheduled event {event}) does not end; the limit is {}",
            phalanx_sim::scenario::text::show(self.limit)
        )
    }
}

impl Overseer {
    /// Installs the signal handlers, and starts the overseer. At the deadline all runs are interrupted.
    pub(crate) fn start(deadline: Option<Instant>, bar: ProgressBar) -> Result<Self, CommandError> {
        let mut interrupt = Interrupt::listen()?;
        let shared = Arc::new(OverseerState {
            runs: Mutex::new(Vec::new()),
            signal: Mutex::new(None),
            deadline,
            is_over: AtomicBool::new(false),
            bar,
        });
        let watched = Arc::downgrade(&shared);
        thread::spawn(move || {
            loop {
                let signalled = interrupt.next(LOOK);
                let Some(shared) = watched.upgrade() else {
                    return;
                };
                if signalled {
                    shared.on_signal();
                }
                shared.look();
            }
        });
        Ok(Self { shared })
    }

    /// Returns a place for runs.
    pub(crate) fn place(&self) -> Arc<Overseen> {
        let place = Arc::new(Overseen {
            supervisor: Supervisor::default(),
            limit_ms: AtomicU64::new(u64::MAX),
            begun: Mutex::new((0, Instant::now())),
        });
        lock(&self.shared.runs).push(Arc::clone(&place));
        if self.is_over() {
            place.supervisor.interrupt();
        }
        place
    }

    /// Returns the progress bar.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.shared.bar
    }

    /// Returns whether a signal arrived.
    pub(crate) fn is_interrupted(&self) -> bool {
        lock(&self.shared.signal).is_some()
    }

    /// Returns whether a signal arrived, or the deadline has passed: no more runs begin.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    /// Returns the error of a command that a signal or the deadline ended before its first result.
    pub(crate) fn over(&self) -> CommandError {
        match self.is_interrupted() {
            true => CommandError::Interrupted,
            false => CommandError::failed("--for ended before the first result; give it more time"),
        }
    }

    /// Returns whether the time is over in which the runs in progress end after a signal or after the deadline.
    pub(crate) fn is_impatient(&self) -> bool {
        let passed = |since: Instant| since.elapsed() > GRACE;
        let signal = lock(&self.shared.signal).is_some_and(passed);
        signal || self.shared.deadline.is_some_and(passed)
    }
}

impl OverseerState {
    fn on_signal(&self) {
        let again = lock(&self.signal).replace(Instant::now()).is_some();
        if again {
            self.bar.finish_and_clear();
            std::process::exit(Completion::Interrupted.code().into());
        }
        self.end();
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        for place in lock(&self.runs).iter() {
            place.supervisor.interrupt();
        }
    }

    fn look(&self) {
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            self.end();
        }
        let mut text = String::new();
        for place in lock(&self.runs).iter() {
            if let Some(position) = place.look() {
                // Writing to a string cannot fail.
                let at = position.at;
                let _written = write!(text, " {}.{}s", at.as_secs(), at.subsec_millis() / 100);
            }
        }
        if !text.is_empty() {
            self.bar.set_message(format!("virtual time{text}"));
        }
    }
}

impl Overseen {
    pub(crate) const fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Sets the wall-time limit of the next runs.
    pub(crate) fn set_limit(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.limit_ms.store(limit, Ordering::Relaxed);
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }

    /// Returns the time that a run has taken. The time begins when the overseer sees the run first.
    fn taken(&self, run: u64) -> Duration {
        let mut begun = lock(&self.begun);
        if begun.0 != run {
            *begun = (run, Instant::now());
        }
        begun.1.elapsed()
    }

    /// Ends the present run if its limit has passed; returns its position.
    fn look(&self) -> Option<RunPosition> {
        let position = self.supervisor.position()?;
        if self.taken(position.run) > self.limit() {
            self.supervisor.end_for_time(position.run);
        }
        Some(position)
    }

    /// Returns the present run if it did not end after its limit.
    pub(crate) fn stuck(&self) -> Option<StuckRun> {
        let position = self.supervisor.position()?;
        let limit = self.limit();
        let is_stuck = self.taken(position.run) > limit.saturating_add(STUCK_AFTER);
        is_stuck.then_some(StuckRun { position, limit })
    }
}

/// Returns a progress bar on standard error, which shows only on a terminal. Its prefix belongs to the command, its message to
/// the overseer.
pub(crate) fn bar(total: Option<u64>) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() && !is_dumb() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => "{bar:20} {pos}/{len} runs  {elapsed} of about {duration}  {prefix}  {msg}",
        None => "{spinner} {elapsed}  {prefix}  {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Locks a mutex, also after a panic of its holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_sim::mesh::MESH;

    #[test]
    fn the_default_limit_grows_with_nodes_and_time_and_a_requested_one_is_kept() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let words = (MESH.vocabulary)();
        let load = |name| Scenario::load_one(&folder.join(name), &words, None).unwrap();
        let (small, large) = (load("two-nodes.toml"), load("thousand-nodes.toml"));
        let limit = |scenario, engine| wall_limit(None, scenario, engine);
        assert!(limit(&small, Engine::Model) < Duration::from_secs(70));
        assert!(limit(&large, Engine::Model) > Duration::from_secs(600));
        assert!(limit(&small, Engine::Wire) >= LIMIT_OF_PROCESS);
        let asked = Duration::from_secs(3);
        assert_eq!(wall_limit(Some(asked), &large, Engine::Wire), asked);
    }
}
