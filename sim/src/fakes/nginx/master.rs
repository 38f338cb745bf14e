//! The life of a master: start, reload, the mixed window, reaping, end.
//!
//! A reload passes through these states; the master handles signals only in `idle`, and several equal pending signals
//! count once.
//!
//! ```text
//! idle ─SIGHUP─► reading ─► binding ─► new workers exist ─► mixed window ─► old workers told to quit ─► idle
//!                   │          │ (5 tries, 500 ms apart)
//!                   └──────────┴─ fault: one [emerg], the old workers go on serving ─► idle
//! ```

use super::command::prepare;
use super::configuration::{Configuration, ListenAddress};
use super::host::NginxHost;
use super::load::load;
use super::log::{Level, Note};
use super::machine::{ConfigurationChange, Corpse, Ended, LaterStep, Nginx, Output, Sink};
use super::timing::{BIND_PAUSE, BIND_TRIES, START};
use super::worker::ChildKind;
use crate::world::ProcessSignal;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::BTreeSet;
use std::rc::Rc;

impl Nginx {
    pub(super) fn signal(
        &mut self,
        now: Instant,
        pid: u32,
        signal: ProcessSignal,
        sender: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        if self.workers.contains_key(&pid) {
            return self.signal_worker(now, pid, signal, sender, host, out);
        }
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        if signal == ProcessSignal::Kill || master.cycle.is_none() {
            return self.kill(pid, signal, out);
        }
        match master.ending {
            Some(ProcessSignal::Quit) if signal == ProcessSignal::Terminate => {}
            Some(_) => return,
            None => {}
        }
        if master.change.is_some() || master.mixing {
            master.pending.insert(signal, sender);
        } else {
            self.take(now, pid, signal, sender, host, out);
        }
    }

    /// A master, or a command that starts a master, ends without cleaning up. The workers of the master become children
    /// of process 1.
    fn kill(&mut self, pid: u32, signal: ProcessSignal, out: &mut Vec<Output>) {
        let Some(master) = self.masters.remove(&pid) else {
            return;
        };
        for worker in self
            .workers
            .values_mut()
            .filter(|worker| worker.parent == pid)
        {
            worker.parent = 1;
        }
        let (invocation, stderr) = match master.change.and_then(|change| change.start) {
            Some((invocation, stderr)) => (Some(invocation), stderr),
            None => (master.foreground, Vec::new()),
        };
        if let Some(invocation) = invocation {
            let code = 128 + i32::try_from(signal.name().0).unwrap_or(0);
            out.push(Output::Finished {
                invocation,
                code,
                stderr,
            });
        }
    }

    /// A master in `idle` handles a signal.
    fn take(
        &mut self,
        now: Instant,
        pid: u32,
        signal: ProcessSignal,
        sender: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(cycle) = self
            .masters
            .get(&pid)
            .and_then(|master| master.cycle.clone())
        else {
            return;
        };
        let sink = Sink::of(&cycle, pid);
        let (number, name) = signal.name();
        let does = match signal {
            ProcessSignal::HangUp => "reconfiguring",
            ProcessSignal::Quit => "shutting down",
            ProcessSignal::Terminate | ProcessSignal::Kill => "exiting",
        };
        let text = format!("signal {number} ({name}) received from {sender}, {does}");
        sink.notice(now, host, text);
        if signal == ProcessSignal::HangUp {
            sink.notice(now, host, "reconfiguring");
            return self.reload(now, pid, host);
        }
        if let Some(master) = self.masters.get_mut(&pid) {
            master.ending = Some(signal);
        }
        if signal == ProcessSignal::Quit {
            unlink(host, &cycle, None);
        }
        let children = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.parent == pid);
        for child in children.map(|(child, _)| *child).collect::<Vec<_>>() {
            if signal == ProcessSignal::Quit {
                self.told(now, child, host, out);
            } else {
                self.exit_worker(now, child, true, host, out);
            }
        }
        self.reap(now, pid, host, out);
    }

    fn reload(&mut self, now: Instant, pid: u32, host: &NginxHost) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        let loaded = load(&master.options.source, host);
        let took = match &loaded.result {
            Ok(read) => read.blocks().spawned(),
            Err(_) => loaded.blocks().test(),
        };
        master.change = Some(ConfigurationChange {
            loaded: Some(loaded),
            configuration: None,
            tries: 0,
            opened: BTreeSet::new(),
            start: None,
        });
        self.after(now, took, LaterStep::Read(pid));
    }

    /// The configuration of a start or reload has been read.
    pub(super) fn configured(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        let Some(loaded) = master
            .change
            .as_mut()
            .and_then(|change| change.loaded.take())
        else {
            return;
        };
        for note in &loaded.notes {
            self.tell(now, pid, None, note, host);
        }
        let running = self
            .masters
            .get(&pid)
            .and_then(|master| master.cycle.clone());
        let read = loaded.result.and_then(|read| {
            prepare(&read, running.as_deref(), false, host)?;
            Ok(read)
        });
        match read {
            Err(note) => {
                self.tell(now, pid, None, &note, host);
                self.fail(now, pid, host, out);
            }
            Ok(read) => {
                if let Some(change) = self.change(pid) {
                    change.configuration = Some(Rc::new(read));
                }
                self.bind(now, pid, host, out);
            }
        }
    }

    fn change(&mut self, pid: u32) -> Option<&mut ConfigurationChange> {
        self.masters.get_mut(&pid)?.change.as_mut()
    }

    /// Writes a message of a start or reload: to the log of `opened`, or to the previous log.
    fn tell(
        &mut self,
        now: Instant,
        pid: u32,
        opened: Option<&Configuration>,
        note: &Note,
        host: &mut NginxHost,
    ) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        let sink = match (opened, &master.cycle) {
            (Some(opened), _) => Sink::of(opened, pid),
            (None, Some(cycle)) => Sink::of(cycle, pid),
            (None, None) => master.options.sink(pid),
        };
        match master
            .change
            .as_mut()
            .and_then(|change| change.start.as_mut())
        {
            Some((_, stderr)) => sink.tell(now, host, stderr, note),
            None => sink.write(now, host, note),
        }
    }

    /// A start or reload failed; the reason is already written.
    fn fail(&mut self, now: Instant, pid: u32, host: &mut NginxHost, out: &mut Vec<Output>) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        match master.change.take().and_then(|change| change.start) {
            Some((invocation, stderr)) => {
                self.masters.remove(&pid);
                out.push(Output::Finished {
                    invocation,
                    code: 1,
                    stderr,
                });
            }
            None => self.idle(now, pid, host, out),
        }
    }

    /// The reason why an address cannot be bound by a master.
    pub(super) fn refusal(
        &self,
        pid: u32,
        target: &ListenAddress,
        host: &NginxHost,
    ) -> Option<String> {
        const IN_USE: &str = "98: Address already in use";
        match target {
            ListenAddress::Tcp(address) => {
                if let Some(why) = host.refusal(*address) {
                    return Some(why.to_owned());
                }
                let taken = host.taken.contains(&address.port()) || self.held(pid, target);
                taken.then(|| IN_USE.to_owned())
            }
            ListenAddress::Unix(path) => match host.tree.resolve(path, false) {
                Err(error) => Some(format!("{}: {error}", error.number())),
                Ok(_) => host
                    .tree
                    .entry(path, false)
                    .is_ok()
                    .then(|| IN_USE.to_owned()),
            },
        }
    }

    /// Whether an address is held by a process that does not belong to the master.
    fn held(&self, pid: u32, target: &ListenAddress) -> bool {
        let bound = |configuration: &Configuration| {
            configuration
                .bound()
                .iter()
                .any(|other| overlap(other, target))
        };
        let by_master = self.masters.iter().any(|(other, master)| {
            let opened = master.change.as_ref().map(|change| &change.opened);
            *other != pid
                && (master.cycle.as_ref().is_some_and(|cycle| bound(cycle))
                    || opened.is_some_and(|all| all.iter().any(|other| overlap(other, target))))
        });
        let by_worker = self.workers.values().any(|worker| {
            worker.parent != pid
                && worker.kind == ChildKind::Worker
                && !worker.leaving
                && bound(&worker.configuration)
        });
        by_master || by_worker
    }

    /// Binds the addresses that are not bound yet; retries after a pause if another process listens on an address.
    pub(super) fn bind(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(change) = self.change(pid) else {
            return;
        };
        let (Some(read), tries) = (change.configuration.clone(), change.tries) else {
            return;
        };
        if tries == BIND_TRIES {
            let note = Note::emergency("still could not bind()".to_owned());
            self.tell(now, pid, Some(&read), &note, host);
            return self.fail(now, pid, host, out);
        }
        change.tries += 1;
        let running = self
            .masters
            .get(&pid)
            .and_then(|master| master.cycle.clone());
        let inherited: BTreeSet<ListenAddress> = running
            .iter()
            .flat_map(|cycle| cycle.bound())
            .cloned()
            .collect();
        let mut failed = false;
        for target in read.bound() {
            let known = inherited.contains(target)
                || self
                    .change(pid)
                    .is_some_and(|change| change.opened.contains(target));
            if known {
                continue;
            }
            let Some(why) = self.refusal(pid, target, host) else {
                if let ListenAddress::Unix(path) = target {
                    // The refusal check above covers every error.
                    let _made = host.tree.make_socket(path);
                }
                if let Some(change) = self.change(pid) {
                    change.opened.insert(target.clone());
                }
                continue;
            };
            let note = Note::emergency(format!("bind() to {target} failed ({why})"));
            self.tell(now, pid, Some(&read), &note, host);
            if !why.starts_with("98") {
                return self.fail(now, pid, host, out);
            }
            failed = true;
        }
        if failed {
            let text = "try again to bind() after 500ms".to_owned();
            self.tell(now, pid, Some(&read), &Note::new(Level::Notice, text), host);
            return self.after(now, BIND_PAUSE, LaterStep::Bind(pid));
        }
        self.succeed(now, pid, read, host, out);
    }

    /// A start or reload succeeded.
    fn succeed(
        &mut self,
        now: Instant,
        pid: u32,
        read: Rc<Configuration>,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(mut master) = self.masters.remove(&pid) else {
            return;
        };
        let log = Sink::of(&read, pid);
        log.notice(now, host, "using the \"epoll\" event method");
        let old = master.cycle.replace(Rc::clone(&read));
        let start = master.change.take().and_then(|change| change.start);
        let mut at = pid;
        if let Some((invocation, stderr)) = start {
            log.notice(now, host, "nginx/1.22.1");
            log.notice(now, host, "OS: Linux");
            log.notice(now, host, "getrlimit(RLIMIT_NOFILE): 1024:1024");
            if read.daemon {
                at = host.next_pid();
                out.push(Output::Finished {
                    invocation,
                    code: 0,
                    stderr,
                });
            } else {
                master.foreground = Some(invocation);
            }
        }
        let blocks = read.blocks();
        let (accept, quit) = match &old {
            Some(_) => (blocks.first_new(), blocks.old_gone()),
            None => (blocks.spawned() + START, Duration::ZERO),
        };
        if old.as_ref().is_none_or(|old| old.pid != read.pid) {
            // An error in writing the PID file is ignored; nginx runs nevertheless.
            let _lost = host.tree.write(&read.pid, format!("{at}\n").as_bytes());
        }
        if let Some(old) = &old {
            if old.pid != read.pid {
                let _gone = host.tree.remove(&old.pid);
            }
            unlink(host, old, Some(&read));
        }
        master.mixing = old.is_some();
        let prefix = master.options.source.prefix.clone();
        self.masters.insert(at, master);
        Sink::of(&read, at).notice(now, host, "start worker processes");
        let busy = accept - blocks.spawned();
        for _ in 0..read.worker_processes {
            self.spawn(now, at, ChildKind::Worker, busy, &prefix, host);
        }
        if read.has_cache() {
            for kind in [ChildKind::CacheManager, ChildKind::CacheLoader] {
                self.spawn(now, at, kind, Duration::ZERO, &prefix, host);
            }
        }
        if old.is_some() {
            self.after(now, quit - blocks.spawned(), LaterStep::QuitOld(at));
        }
    }

    /// The mixed window ends.
    pub(super) fn quit_old(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        master.mixing = false;
        let Some(cycle) = master.cycle.clone() else {
            return;
        };
        let old = self.workers.iter().filter(|(_, worker)| {
            worker.parent == pid && !Rc::ptr_eq(&worker.configuration, &cycle)
        });
        for worker in old.map(|(worker, _)| *worker).collect::<Vec<_>>() {
            self.told(now, worker, host, out);
        }
        self.idle(now, pid, host, out);
    }

    /// A master becomes idle: it reaps its children and handles the pending signals.
    fn idle(&mut self, now: Instant, pid: u32, host: &mut NginxHost, out: &mut Vec<Output>) {
        self.reap(now, pid, host, out);
        while let Some(master) = self.masters.get_mut(&pid) {
            if master.change.is_some() || master.mixing {
                return;
            }
            let Some((signal, sender)) = master.pending.pop_first() else {
                return;
            };
            self.take(now, pid, signal, sender, host, out);
        }
    }

    /// A child of a master ended.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        parent: u32,
        corpse: Corpse,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        if let Some(master) = self.masters.get_mut(&parent) {
            master.ended.push(corpse);
            self.reap(now, parent, host, out);
        }
    }

    /// Reaps children, replaces children that ended unexpectedly, and ends a master that is ending and has no children
    /// left.
    fn reap(&mut self, now: Instant, pid: u32, host: &mut NginxHost, out: &mut Vec<Output>) {
        let Some(master) = self.masters.get_mut(&pid) else {
            return;
        };
        if master.change.is_some() || master.mixing {
            return;
        }
        let Some(cycle) = master.cycle.clone() else {
            return;
        };
        let (log, ending) = (Sink::of(&cycle, pid), master.ending.is_some());
        let ended = core::mem::take(&mut master.ended);
        let prefix = master.options.source.prefix.clone();
        if let Some(first) = ended.first() {
            let text = format!("signal 17 (SIGCHLD) received from {}", first.pid);
            log.notice(now, host, text);
        }
        for corpse in ended {
            let (name, child) = (corpse.kind.name(), corpse.pid);
            match corpse.how {
                Ended::Exited => {
                    log.notice(
                        now,
                        host,
                        format!("{name} process {child} exited with code 0"),
                    );
                }
                Ended::Killed(number) => {
                    let text = format!("{name} process {child} exited on signal {number}");
                    log.write(now, host, &Note::new(Level::Alert, text));
                }
            }
            if corpse.respawn && !ending {
                self.spawn(now, pid, corpse.kind, START, &prefix, host);
            }
        }
        let alive = self.workers.values().any(|worker| worker.parent == pid);
        if ending
            && !alive
            && let Some(master) = self.masters.remove(&pid)
        {
            log.notice(now, host, "exit");
            unlink(host, &cycle, None);
            let _gone = host.tree.remove(&cycle.pid);
            if let Some(invocation) = master.foreground {
                out.push(Output::Finished {
                    invocation,
                    code: 0,
                    stderr: Vec::new(),
                });
            }
        }
    }
}

/// Whether two addresses cannot be bound at the same time.
fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let any = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && (any || one.ip() == other.ip())
        }
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(_), ListenAddress::Unix(_))
        | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => false,
    }
}

/// Removes the files of Unix sockets on which a configuration listens and the next one does not.
fn unlink(host: &mut NginxHost, configuration: &Configuration, next: Option<&Configuration>) {
    for target in configuration.bound() {
        if let ListenAddress::Unix(path) = target
            && next.is_none_or(|next| !next.listeners.contains_key(target))
        {
            // The file may already be gone.
            let _gone = host.tree.remove(path);
        }
    }
}
