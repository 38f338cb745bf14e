//! The measured figures, computed in the same way for each library.

use crate::course::{Course, CourseUpdate, Crash, Enough, Loss, Split, UPDATE_PATIENCE};
use crate::tape::{Reach, Tape};
use core::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Maximum time for a join.
const JOIN_MAX: Duration = seconds(240);
/// The time at which loss or the split begins; the mesh has formed by then.
const FORMED: Duration = seconds(20);
/// Duration of the steady state that is measured after [`FORMED`].
const REST: Duration = seconds(40);
/// Number of updates that each run publishes.
const UPDATES: u32 = 5;
/// Duration of a split.
const SPLIT: Duration = seconds(90);
/// Maximum time for the views to heal after a split.
const PATIENCE: Duration = seconds(240);
/// Maximum time for a crash to be detected.
const CRASH_PATIENCE: Duration = seconds(120);

/// Shares of packets lost, in percent.
pub const LOSSES: [u32; 3] = [0, 10, 25];

/// Runs a course of a library under a seed.
pub type CourseRun<'a> = dyn Fn(&Course, u64) -> Result<Tape, String> + 'a;

/// The times that several runs took to reach a state. Some runs may not have reached the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The number of runs.
    pub runs: usize,
    /// The times of the runs that reached the state, sorted.
    pub ended: Vec<Duration>,
}

impl Times {
    fn add(&mut self, time: Option<Duration>) {
        self.runs += 1;
        self.ended.extend(time);
        self.ended.sort_unstable();
    }

    /// Returns the median. Runs that did not reach the state count as longer than all others; `None` if the median
    /// falls on such a run.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        self.ended.get(self.runs.checked_sub(1)? / 2).copied()
    }
}

/// The figures under one share of loss.
#[derive(Clone, Debug, Default)]
pub struct UnderLoss {
    /// Bytes that a node sends per second.
    pub rest: f64,
    /// False verdicts on running nodes, per node-minute.
    pub false_deaths: f64,
    /// Time until an update had reached every node.
    pub update: Times,
    /// Copies of an update that arrived, per node.
    pub copies: f64,
    /// Time until every node had detected a crash.
    pub crash: Times,
}

/// All figures of a library at one size.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Time from the first start until every node considers every other node alive.
    pub join: Times,
    /// Bytes that a node had sent by the end of the join.
    pub join_bytes: f64,
    /// The figures for each share in [`LOSSES`].
    pub losses: [UnderLoss; 3],
    /// Time from the end of a split until every node considers every other node alive.
    pub heal: Times,
}

/// Measures a library.
///
/// # Errors
/// Returns an error if a run fails.
pub fn measure(nodes: usize, seeds: u64, run: &CourseRun<'_>) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for seed in 1..=seeds {
        join(nodes, seed, seeds, run, &mut figures)?;
        for (under, percent) in figures.losses.iter_mut().zip(LOSSES) {
            let course = lossy(nodes, percent);
            let tape = run(&course, seed)?;
            under.read(&course, &tape, seeds);
        }
        let split = Split {
            from: FORMED,
            to: FORMED + SPLIT,
        };
        let course = Course {
            split: Some(split),
            enough: Enough::AllSeeAll(split.to),
            ..Course::join(nodes, split.to + PATIENCE)
        };
        figures
            .heal
            .add(run(&course, seed)?.all_see_all(nodes, split.to));
    }
    Ok(figures)
}

/// Measures the join in two runs; the second counts bytes until the end of the first.
fn join(
    nodes: usize,
    seed: u64,
    seeds: u64,
    run: &CourseRun<'_>,
    figures: &mut Figures,
) -> Result<(), String> {
    let first = run(&Course::join(nodes, JOIN_MAX), seed)?;
    let took = first.all_see_all(nodes, Duration::ZERO);
    figures.join.add(took);
    let until = took.unwrap_or(JOIN_MAX) + Duration::from_millis(1);
    let sent = run(&Course::join(nodes, until), seed)?.sent;
    figures.join_bytes += mean(sent, nodes) / seeds as f64;
    Ok(())
}

/// A course with loss after the mesh has formed: a steady state, updates of several nodes, and a crash.
fn lossy(nodes: usize, percent: u32) -> Course {
    let rested = FORMED + REST;
    let updates: Vec<CourseUpdate> = (0..UPDATES)
        .map(|index| CourseUpdate {
            at: rested + UPDATE_PATIENCE * index,
            host: (index as usize * nodes) / UPDATES as usize,
        })
        .collect();
    let crash = Crash {
        at: rested + UPDATE_PATIENCE * UPDATES,
        host: nodes / 2,
    };
    Course {
        loss: (percent > 0).then_some(Loss {
            from: FORMED,
            percent,
        }),
        updates,
        crash: Some(crash),
        counted: (FORMED, rested),
        enough: Enough::CrashKnown,
        ..Course::join(nodes, crash.at + CRASH_PATIENCE)
    }
}

fn mean(bytes: u64, nodes: usize) -> f64 {
    bytes as f64 / nodes as f64
}

impl UnderLoss {
    fn read(&mut self, course: &Course, tape: &Tape, seeds: u64) {
        let (nodes, seeds) = (course.nodes, seeds as f64);
        let (from, to) = course.counted;
        let time = (to - from).as_secs_f64();
        self.rest += mean(tape.sent, nodes) / time / seeds;
        // Until the crash, every verdict that a node is dead is false.
        let until = course.crash.map_or(to, |crash| crash.at);
        let minutes = (until - from).as_secs_f64() / 60.0 * nodes as f64;
        self.false_deaths += tape.false_deaths(from, until) as f64 / minutes / seeds;
        for update in &course.updates {
            let Reach {
                took,
                complete,
                copies,
            } = tape.reach(nodes, *update);
            self.update.add(complete.then_some(took));
            self.copies += copies / seeds / course.updates.len() as f64;
        }
        if let Some(crash) = course.crash {
            self.crash.add(tape.crash_known(nodes, crash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_runs_that_never_ended_as_the_longest() {
        let mut times = Times::default();
        times.add(Some(seconds(3)));
        times.add(None);
        assert_eq!(times.median(), Some(seconds(3)));
        times.add(None);
        assert_eq!(times.median(), None);
        times.add(Some(seconds(1)));
        assert_eq!(times.median(), Some(seconds(3)));
    }
}
