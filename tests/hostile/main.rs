//! Attacks of one member on ten daemons: each attack by itself, and all at one time.
//!
//! The member has a valid certificate of the mesh. After each attack, and after all, the daemons must be members of one
//! view, answer, and stay within bounds of memory and log; after the member has left, they must have recovered within ten
//! seconds, and each must start again from its state.
//!
//! Environment variables:
//!
//! - `PHALANX_HOSTILE_FOR`: the time of the attacks in seconds; 40 without it. From 300 s, each attack runs at least 20
//!   times, and the attacks that the mesh does not resist are shown.
//! - `PHALANX_HOSTILE_ATTACKS`: the names of the attacks, separated by commas; without it, all that the mesh resists.
//! - `PHALANX_HOSTILE_DAEMON`: the path of another `phalanxd`, such as that of a release build.

mod attack;
mod calls;
mod daemon;
mod fleet;
mod packets;
mod revocations;
mod rogue;
mod table;

use attack::{Attack, Run};
use fleet::Fleet;
use rogue::Rogue;
use std::time::{Duration, Instant};
use table::Row;

/// Number of daemons.
const DAEMONS: usize = 10;
/// Time within which the mesh is whole after an attack, and after the member's departure.
const RECOVERY: Duration = Duration::from_secs(10);
/// The time from which each attack runs at least 20 times.
const LONG: Duration = Duration::from_secs(300);
/// Maximum resident memory of a daemon in KiB; see [`daemon::Daemon::resident_kib`].
const RESIDENT_KIB_MAX: u64 = 64 * 1024;
/// Maximum number of log bytes of a daemon in an hour.
const LOG_BYTES_AN_HOUR: u64 = 1_000_000;
/// The shortest time for which the rate of log bytes is judged: a burst of each kind of line is allowed.
const LOG_TIME_MIN: Duration = Duration::from_secs(600);

/// The chosen course of the attacks.
struct Plan {
    time: Duration,
    attacks: Vec<Attack>,
    /// Whether attacks run that the mesh need not resist.
    shows_others: bool,
}

impl Plan {
    fn of_environment() -> Self {
        let read = |name| std::env::var(name).ok();
        let seconds = read("PHALANX_HOSTILE_FOR").map_or(40, |text| {
            text.parse()
                .expect("PHALANX_HOSTILE_FOR is a number of seconds")
        });
        let names = read("PHALANX_HOSTILE_ATTACKS");
        let chosen = |attack: &Attack| {
            names
                .as_ref()
                .is_none_or(|names| names.split(',').any(|name| name == attack.name()))
        };
        Self {
            time: Duration::from_secs(seconds),
            shows_others: names.is_some() || seconds >= LONG.as_secs(),
            attacks: Attack::ALL.into_iter().filter(chosen).collect(),
        }
    }

    /// The least number of runs of an attack by itself that reach a daemon, and as many together with the others.
    fn runs_min(&self) -> u32 {
        if self.time >= LONG { 10 } else { 1 }
    }

    /// Runs the attacks that satisfy `filter` on a mesh of their own. Returns their rows and what is wrong.
    async fn course(&self, filter: impl Fn(Attack) -> bool) -> (Vec<Row>, Vec<String>) {
        let attacks: Vec<Attack> = self
            .attacks
            .iter()
            .copied()
            .filter(|it| filter(*it))
            .collect();
        if attacks.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let share = u32::try_from(self.attacks.len()).expect("few attacks");
        let fleet = Fleet::start(DAEMONS).await;
        let rogue = Rogue::new(&fleet);
        let mut run = Run::new(&fleet, &rogue);
        let before = fleet.state();
        let begun = Instant::now();
        let mut rows = Vec::new();
        for attack in &attacks {
            rows.push(
                run.alone(*attack, self.time / 2 / share, self.runs_min())
                    .await,
            );
        }
        rows.push(run.together(&attacks, self.time / 4, self.runs_min()).await);
        let attacked = begun.elapsed();
        let mut faults = run.fewer_than(2 * self.runs_min());
        rogue.leaves().await;
        match fleet.recovers(RECOVERY, true).await {
            Ok(after) => rows.push(Row::event("departure", after)),
            Err(fault) => faults.push(format!("after the departure: {fault}")),
        }
        faults.extend(fleet.exceeded(RESIDENT_KIB_MAX, log_bytes_max(attacked)));
        faults.extend(fleet.worse_state(&before));
        match fleet.restarts().await {
            Ok(after) => rows.push(Row::event("restart of all", after)),
            Err(fault) => faults.push(format!("after a restart of all: {fault}")),
        }
        (rows, faults)
    }
}

fn log_bytes_max(attacked: Duration) -> u64 {
    LOG_BYTES_AN_HOUR * attacked.max(LOG_TIME_MIN).as_secs() / 3_600
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_cannot_stop_the_mesh() {
    let plan = Plan::of_environment();
    let (rows, faults) = plan.course(Attack::is_resisted).await;
    table::print("attacks that the mesh must resist", &rows, &faults);
    if plan.shows_others {
        let (others, others_faults) = plan.course(|attack| !attack.is_resisted()).await;
        table::print("other attacks", &others, &others_faults);
    }
    let faults: Vec<_> = rows.iter().filter_map(Row::fault).chain(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
