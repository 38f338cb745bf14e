//! Makes nginx load the live configuration, and finds out which version nginx serves.
//!
//! ```text
//! Asking ─ other version ─► Pid ─► Children ─► Signalling (SIGHUP) ─► Pausing ─► Asking
//!    ├──── no answer, twice ─► Starting ─► Pausing
//!    └──── the live version ─► Workers: those from before the SIGHUP are gone ─► served
//! ```
//!
//! nginx refuses some configurations that pass its test, such as one with a port that another program listens on: after
//! a failed reload nginx serves the former version, and a start fails. The agent then returns to the previous
//! configuration.
//!
//! During a reload, old and new workers answer side by side for about 100 ms, so one answer of the new version is not
//! enough. A version that is served is checked again every second.

use super::turn::{RETRY, Turn};
use crate::messages::Reported;
use crate::release::{PID, REFUSED, START, VERSION, nginx, target};
use core::time::Duration;
use phalanx_core::time::Instant;
use phalanx_sim::fakes::nginx::{HttpRequest, NGINX, NginxRequest, Response};
use phalanx_sim::world::{
    Effect, FileContent, ProcessSignal as Name, Ran, Read, ReadOf, Signalling, Ticket,
};
use std::collections::BTreeSet;

/// The pause before nginx is asked for the first time. A reload requested before the agent restarted has ended by then.
const FIRST: Duration = Duration::from_millis(500);
/// The time that nginx has for an answer.
const ANSWER: Duration = Duration::from_millis(200);
/// The pause between two version requests while a reload is under way.
const SOON: Duration = Duration::from_millis(20);
/// The pause between two version requests while nginx serves the live version.
const HEALTHY: Duration = Duration::from_secs(1);
/// The time that a reload may take: nginx tries for 2.5 s to listen on a port.
const RELOAD: Duration = Duration::from_secs(4);
/// The number of unanswered requests after which nginx is started.
const SILENT: u32 = 2;

/// The step under way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The live file is unknown or about to change.
    Off,
    /// The next version request follows at the deadline.
    Pausing,
    /// A version request is under way; the deadline is that of the answer.
    Asking,
    /// The file with the master's process id is read.
    Pid,
    /// The workers of this master are read before its SIGHUP.
    Children(u32),
    /// The SIGHUP is on its way.
    Signalling,
    /// nginx is being started.
    Starting,
    /// The workers of the master are read, to see whether old ones serve.
    Workers,
    /// The title of this old worker is read.
    Title(u32),
}

/// The loader of one nginx.
#[derive(Debug)]
pub(super) struct Loader {
    /// Planted bug: a version counts as served once the signal is delivered.
    served_early: bool,
    step: Step,
    awaited: Option<Ticket>,
    deadline: Option<Instant>,
    /// The version of the live file.
    live: Option<u64>,
    /// The version that nginx serves with certainty.
    served: Option<u64>,
    /// The master that last received SIGHUP, with the time of the signal and the workers that the master had then.
    reloaded: Option<(u32, Instant)>,
    old: BTreeSet<u32>,
    silent: u32,
    /// The version that nginx refuses to load.
    refused: Option<u64>,
}

impl Loader {
    pub(super) const fn new(served_early: bool) -> Self {
        Self {
            served_early,
            step: Step::Off,
            awaited: None,
            deadline: None,
            live: None,
            served: None,
            reloaded: None,
            old: BTreeSet::new(),
            silent: 0,
            refused: None,
        }
    }

    /// Returns the version that nginx serves with certainty.
    pub(super) const fn served(&self) -> Option<u64> {
        self.served
    }

    /// Returns the version that nginx has refused to load; later calls return `None`.
    pub(super) const fn take_refused(&mut self) -> Option<u64> {
        self.refused.take()
    }

    /// nginx refuses the live version; nginx is told to load it again later, unless the agent changes it first.
    fn refuse(&mut self, now: Instant) {
        self.refused = self.live;
        self.reloaded = None;
        self.pause(now, RETRY);
    }

    /// The live file is about to change.
    pub(super) fn stop(&mut self) {
        self.served = None;
        self.enter(Step::Off, None);
    }

    /// Finds out whether nginx has loaded the live file that the agent wrote before its restart.
    pub(super) fn look(&mut self, now: Instant, live: u64) {
        self.live = Some(live);
        self.enter(Step::Pausing, Some(now + FIRST));
    }

    /// Makes nginx load the live file, which has just changed.
    pub(super) fn load(&mut self, turn: &mut Turn<'_>, live: u64) {
        self.live = Some(live);
        self.reloaded = None;
        self.read(turn, Step::Pid, PID);
    }

    fn enter(&mut self, step: Step, deadline: Option<Instant>) {
        self.step = step;
        self.deadline = deadline;
        self.awaited = None;
    }

    fn pause(&mut self, now: Instant, pause: Duration) {
        self.enter(Step::Pausing, Some(now + pause));
    }

    fn read(&mut self, turn: &mut Turn<'_>, step: Step, path: &str) {
        let ticket = turn.ticket();
        self.enter(step, None);
        self.awaited = Some(ticket);
        turn.out.read(ticket, path, ReadOf::File);
    }

    fn ask(&mut self, turn: &mut Turn<'_>) {
        let to = target();
        let request = NginxRequest::get("localhost", VERSION);
        turn.out.datagram(nginx(), HttpRequest { to, request });
        self.enter(Step::Asking, Some(turn.now + ANSWER));
    }

    /// The outcome of a request to nginx: nginx's response, or `None` if nginx refused the connection.
    pub(super) fn on_answer(&mut self, turn: &mut Turn<'_>, response: Option<&Response>) {
        if self.step != Step::Asking {
            return;
        }
        let Some(response) = response else {
            return self.on_silence(turn);
        };
        self.silent = 0;
        let text = core::str::from_utf8(&response.body).ok();
        let version: Option<u64> = text.and_then(|text| text.parse().ok());
        if version == self.live {
            match self.reloaded {
                Some((master, _)) if !self.old.is_empty() => {
                    let path = format!("/proc/{master}/task/{master}/children");
                    self.read(turn, Step::Workers, &path);
                }
                _ => self.on_served(turn),
            }
            return;
        }
        self.served = None;
        match self.reloaded {
            None => self.read(turn, Step::Pid, PID),
            Some((_, at)) if turn.now < at + RELOAD => self.pause(turn.now, SOON),
            Some(_) => self.refuse(turn.now),
        }
    }

    fn on_served(&mut self, turn: &mut Turn<'_>) {
        // If nginx serves another version later, this reload is not the cause.
        self.reloaded = None;
        if self.served != self.live {
            self.served = self.live;
            turn.out.report(Reported("served"));
        }
        self.pause(turn.now, HEALTHY);
    }

    /// nginx did not answer; after several unanswered requests, nginx is started.
    fn on_silence(&mut self, turn: &mut Turn<'_>) {
        self.silent += 1;
        if self.silent < SILENT {
            return self.pause(turn.now, SOON);
        }
        self.silent = 0;
        self.served = None;
        let ticket = turn.ticket();
        self.enter(Step::Starting, None);
        self.awaited = Some(ticket);
        turn.out.run(ticket, NGINX, START);
        turn.out.report(Reported("nginx-started"));
    }

    pub(super) fn on_read(&mut self, turn: &mut Turn<'_>, read: &Read) {
        if self.awaited != Some(read.ticket) {
            return;
        }
        let text = match &read.content {
            Ok(FileContent::File(bytes)) => core::str::from_utf8(bytes).ok(),
            Ok(_) | Err(_) => None,
        };
        let numbers = || {
            let words = text.unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok())
        };
        match self.step {
            Step::Pid => match numbers().next() {
                Some(master) => {
                    let path = format!("/proc/{master}/task/{master}/children");
                    self.read(turn, Step::Children(master), &path);
                }
                // The file is absent, or empty because only `nginx -t` has run.
                None => self.pause(turn.now, RETRY),
            },
            Step::Children(master) => {
                self.old = numbers().collect();
                self.signal(turn, master);
            }
            Step::Workers => {
                let children: BTreeSet<u32> = numbers().collect();
                self.old.retain(|worker| children.contains(worker));
                self.next_old(turn);
            }
            Step::Title(worker) => {
                if text.is_some_and(|title| !title.ends_with("is shutting down")) {
                    return self.pause(turn.now, SOON);
                }
                self.old.remove(&worker);
                self.next_old(turn);
            }
            Step::Off | Step::Pausing | Step::Asking | Step::Signalling | Step::Starting => {}
        }
    }

    /// Looks at the next worker from before the reload; if there is none, the live version is served.
    fn next_old(&mut self, turn: &mut Turn<'_>) {
        match self.old.first().copied() {
            Some(worker) => {
                self.read(
                    turn,
                    Step::Title(worker),
                    &format!("/proc/{worker}/cmdline"),
                );
            }
            None => self.on_served(turn),
        }
    }

    fn signal(&mut self, turn: &mut Turn<'_>, master: u32) {
        let ticket = turn.ticket();
        self.enter(Step::Signalling, None);
        self.awaited = Some(ticket);
        self.reloaded = Some((master, turn.now));
        turn.out.push(Effect::Signal(Signalling {
            ticket,
            program: NGINX,
            pid: master,
            signal: Name::HangUp,
        }));
        turn.out.report(Reported("reloading"));
    }

    pub(super) fn on_signalled(&mut self, turn: &mut Turn<'_>, ticket: Ticket, delivered: bool) {
        if self.awaited != Some(ticket) {
            return;
        }
        if !delivered {
            self.reloaded = None;
            return self.pause(turn.now, RETRY);
        }
        if self.served_early {
            self.on_served(turn);
        }
        self.pause(turn.now, SOON);
    }

    pub(super) fn on_ran(&mut self, now: Instant, ran: &Ran) {
        if self.awaited != Some(ran.ticket) {
            return;
        }
        match ran.code {
            0 => self.pause(now, SOON),
            REFUSED => self.refuse(now),
            _ => self.pause(now, RETRY),
        }
    }

    pub(super) fn on_wake(&mut self, turn: &mut Turn<'_>) {
        if self.deadline.is_none_or(|at| at > turn.now) {
            return;
        }
        match self.step {
            Step::Asking => self.on_silence(turn),
            _ => self.ask(turn),
        }
    }

    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
