//! Runs jobs on several threads, until all are done, a signal arrives, or a thread is stuck in a step that does not end.
//!
//! [`work`] does a list of jobs; [`work_on`] has threads that find their own runs until they end; [`work_alone`] has one
//! thread for a command whose runs depend on each other.

use crate::engine::said;
use crate::failure::{CommandError, Completion};
use crate::overseer::{Overseen, Overseer, StuckRun, lock};
use crate::tool::leave;
use core::cell::Cell;
use core::ops::ControlFlow;
use phalanx_sim::scenario::Scenario;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// Interval at which the collector looks for signals and stuck threads.
const LOOK: Duration = Duration::from_millis(50);

/// The index of the job of a thread without one.
const NO_JOB: usize = usize::MAX;

/// A thread of the pool.
struct PoolThread {
    place: Arc<Overseen>,
    job: AtomicUsize,
}

/// A thread that finds its own runs, with its present run.
pub(crate) struct RunThread<T> {
    /// The supervision of the thread's run.
    pub(crate) place: Arc<Overseen>,
    /// The present run; none between two runs.
    pub(crate) run: Mutex<Option<T>>,
}

/// The work of threads that find their own runs.
pub(crate) struct RunWork<'a, T> {
    /// Runs until the thread is to end.
    pub(crate) until_end: &'a (dyn Fn(&RunThread<T>) + Sync),
    /// Looks at the threads at every interval; a break does not wait for their ends.
    pub(crate) look: &'a mut dyn FnMut(&[RunThread<T>]) -> ControlFlow<()>,
}

/// Returns the number of threads: the requested one, or one per core.
pub(crate) fn threads(asked: Option<u16>) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or(cores, usize::from)
}

/// Runs threads until all ended, a second signal arrives, or `look` breaks; then returns the result of `finish`. A panic
/// of a machine is a finding of its run, so the panic hook prints nothing. A thread cannot be ended: if one is stuck, the
/// process ends after `finish`.
pub(crate) fn work_on<T: Send>(
    threads: usize,
    overseer: &Overseer,
    work: RunWork<'_, T>,
    finish: impl FnOnce() -> Result<Completion, CommandError>,
) -> Result<Completion, CommandError> {
    let RunWork { until_end, look } = work;
    let new = || RunThread {
        place: overseer.place(),
        run: Mutex::new(None),
    };
    let workers: Vec<RunThread<T>> = (0..threads).map(|_| new()).collect();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter()
            .map(|worker| scope.spawn(move || until_end(worker)))
            .collect();
        let ended = || threads.iter().all(ScopedJoinHandle::is_finished);
        while !ended() && !overseer.is_impatient() {
            thread::sleep(LOOK);
            if look(&workers).is_break() {
                break;
            }
        }
        std::panic::set_hook(usual);
        let done = finish();
        if !ended() {
            leave(done);
        }
        done
    })
}

/// The end of the work of one thread.
pub(crate) enum WorkEnd<R> {
    /// The work ended by itself.
    Done(R),
    /// The present run is stuck in one step.
    Stuck(StuckRun),
    /// The work did not end in time after a signal or after the deadline.
    Late,
    /// The work panicked, with this message.
    Panicked(String),
}

impl<R> WorkEnd<R> {
    /// Returns the position of a stuck run, as text.
    pub(crate) fn stuck(&self, scenario: Option<&Scenario>) -> Option<String> {
        match self {
            Self::Stuck(stuck) => Some(stuck.describe(scenario)),
            Self::Done(_) | Self::Late | Self::Panicked(_) => None,
        }
    }

    /// Returns the result of work that ended by itself. For other work returns the error of a command that has no result
    /// yet.
    ///
    /// # Errors
    /// The reason why there is no result.
    pub(crate) fn result(
        self,
        overseer: &Overseer,
        scenario: Option<&Scenario>,
    ) -> Result<R, CommandError> {
        match self {
            Self::Done(result) => Ok(result),
            Self::Stuck(stuck) => Err(CommandError::failed(stuck.describe(scenario))),
            Self::Late => Err(overseer.over()),
            Self::Panicked(message) => Err(CommandError::failed(format!(
                "a process panicked: {message}"
            ))),
        }
    }
}

/// Does the work of a command in one thread, until it ended, is stuck, or does not end in time after a signal or after the
/// deadline; then returns the result of `finish`. If the work has not ended then, the process ends after `finish`.
pub(crate) fn work_alone<R: Send>(
    overseer: &Overseer,
    work: impl Fn(&Overseen) -> R + Sync,
    finish: impl FnOnce(WorkEnd<R>) -> Result<Completion, CommandError>,
) -> Result<Completion, CommandError> {
    let result = Mutex::new(None);
    let stuck = Cell::new(None);
    let work = RunWork {
        until_end: &|thread: &RunThread<()>| {
            let done = catch_unwind(AssertUnwindSafe(|| work(&thread.place)));
            *lock(&result) = Some(done.map_err(|panic| said(&*panic)));
        },
        look: &mut |threads| {
            stuck.set(threads.iter().find_map(|thread| thread.place.stuck()));
            match stuck.get() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    };
    work_on(1, overseer, work, || {
        let result = lock(&result).take();
        overseer.bar().finish_and_clear();
        finish(match (result, stuck.get()) {
            (Some(Ok(result)), _) => WorkEnd::Done(result),
            (Some(Err(message)), _) => WorkEnd::Panicked(message),
            (None, Some(stuck)) => WorkEnd::Stuck(stuck),
            (None, None) => WorkEnd::Late,
        })
    })
}

/// The work on one job, and on its stuck run.
pub(crate) struct JobWork<'a, J, R> {
    /// Does one job.
    pub(crate) one: &'a (dyn Fn(&J, &Overseen) -> R + Sync),
    /// Returns the result of a job whose run is stuck in one step.
    pub(crate) stuck: &'a dyn Fn(&J, StuckRun) -> R,
}

/// Takes the results of jobs.
pub(crate) trait Collector<R> {
    /// Takes a result as it arrives, with the index of its job. After an error no more jobs begin.
    ///
    /// # Errors
    /// The reason why the command fails.
    fn take(&mut self, index: usize, result: R) -> Result<(), CommandError>;

    /// Ends the command: after the last result, after an error, or after a signal.
    ///
    /// # Errors
    /// The reason why the command failed.
    fn finish(self, taken: Result<(), CommandError>) -> Result<Completion, CommandError>;
}

/// Does jobs on `threads` threads. A thread cannot be ended: if one is stuck, the process ends after [`Collector::finish`].
pub(crate) fn work<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    overseer: &Overseer,
    work: &JobWork<'_, J, R>,
    mut collector: impl Collector<R>,
) -> Result<Completion, CommandError> {
    let new = || PoolThread {
        place: overseer.place(),
        job: AtomicUsize::new(NO_JOB),
    };
    let workers: Vec<PoolThread> = (0..threads.min(jobs.len())).map(|_| new()).collect();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for worker in &workers {
            let (sender, next, one) = (sender.clone(), &next, work.one);
            threads.push(scope.spawn(move || {
                while !overseer.is_over() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    worker.job.store(index, Ordering::Relaxed);
                    let result = one(job, &worker.place);
                    worker.job.store(NO_JOB, Ordering::Relaxed);
                    if sender.send((index, result)).is_err() {
                        return;
                    }
                }
            }));
        }
        drop(sender);
        let mut stuck = vec![false; workers.len()];
        let result = loop {
            let mut ends = threads.iter().zip(&stuck);
            let all_ended = ends.all(|(thread, stuck)| *stuck || thread.is_finished());
            let taken = match receiver.recv_timeout(LOOK) {
                Ok((index, result)) => collector.take(index, result),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) if all_ended => break Ok(()),
                Err(RecvTimeoutError::Timeout) if overseer.is_impatient() => break Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    let mut threads = workers.iter().zip(&mut stuck);
                    threads.try_for_each(|(worker, stuck)| {
                        worker.look(jobs, work, stuck, &mut collector)
                    })
                }
            };
            // After an error the workers stop at the end of their current job.
            if taken.is_err() {
                next.store(jobs.len(), Ordering::Relaxed);
                break taken;
            }
        };
        let done = collector.finish(result);
        let ends = overseer.is_impatient() || stuck.contains(&true);
        if ends && !threads.iter().all(ScopedJoinHandle::is_finished) {
            leave(done);
        }
        done
    })
}

impl PoolThread {
    /// Passes on the result of a job whose run is stuck, once.
    fn look<J, R>(
        &self,
        jobs: &[J],
        work: &JobWork<'_, J, R>,
        is_stuck: &mut bool,
        collector: &mut impl Collector<R>,
    ) -> Result<(), CommandError> {
        let index = self.job.load(Ordering::Relaxed);
        let (Some(job), Some(stuck), false) = (jobs.get(index), self.place.stuck(), *is_stuck)
        else {
            return Ok(());
        };
        *is_stuck = true;
        collector.take(index, (work.stuck)(job, stuck))
    }
}
