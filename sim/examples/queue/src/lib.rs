//! A work queue and its workers, simulated: each accepted task is done at least once.
//!
//! The queue has a file for each open task, and leases tasks to workers that ask for one. A worker confirms a task when
//! it has done it. A task that is not confirmed within its lease goes to another worker.

use phalanx_sim::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const LEASE: Duration = Duration::from_secs(2);
/// The time that a task takes, and that an idle worker waits before it asks again.
const WORK: Duration = Duration::from_millis(300);

/// The queue as a system: the first host is the queue, all others work.
pub static QUEUE: Definition = Definition {
    name: "queue",
    command: "cargo run --",
    vocabulary: || {
        let words = Words {
            program: "queue",
            events: vec!["accepted", "worked"],
            commands: vec!["submit"],
            state: vec!["open", "task"],
            // A worker confirms a task before it has done it, so the task is lost if the worker is killed.
            sabotage: vec!["confirmed-early"],
            excluded_chaos: vec!["wipe"],
            ..Words::default()
        };
        Vocabulary::of("the queue", [words])
    },
    build: |scenario, sabotage| {
        let early = !sabotage.is_empty();
        Ok(Cast::everywhere(Nodes { early }, scenario))
    },
    recoverable: |_, _, _| Ok(()),
};

struct Nodes {
    early: bool,
}

impl Program for Nodes {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        start.disk.put_folder("tasks");
        let tasks = start
            .disk
            .names()
            .filter_map(|at| at.strip_prefix("tasks/")?.parse().ok());
        Box::new(Node {
            early: self.early,
            newest: u64::from(start.life) << 32,
            open: tasks.map(|task| (task, Instant::ZERO)).collect(),
            task: None,
            deadline: (start.host > 0).then_some(Instant::ZERO),
        })
    }

    fn invariants(&self, _: &Scenario) -> Vec<Box<dyn Invariant>> {
        vec![Box::new(AcceptedIsDone(BTreeSet::new()))]
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        match scene.of::<Node>().find(|(_, node)| !node.open.is_empty()) {
            Some((_, queue)) => Err(format!("{} tasks are open", queue.open.len())),
            None => Ok(()),
        }
    }
}

struct Node {
    early: bool,
    newest: u64, // The life, and the number of the task in this life.
    /// At the queue: the tasks that are not confirmed, with the ends of their leases.
    open: BTreeMap<u64, Instant>,
    /// At a worker: the task under way.
    task: Option<u64>,
    deadline: Option<Instant>,
}

impl Process for Node {
    // guide: process
    fn concerns(&self, event: &ProcessEvent) -> bool {
        !matches!(event, ProcessEvent::Command(_)) || self.deadline.is_none()
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => out.listen(PORT),
            ProcessEvent::Command(_) => {
                self.newest += 1;
                let file = format!("tasks/{}", self.newest).into();
                let write = DiskChange::Replace(file, Vec::new());
                out.write(Ticket(self.newest), write, true);
            }
            ProcessEvent::Written { ticket } if ticket.0 > 0 => {
                self.open.insert(ticket.0, Instant::ZERO);
                out.report(("accepted", ticket.0));
            }
            ProcessEvent::Wake => {
                let done = self.task.take();
                done.into_iter()
                    .for_each(|task| out.report(("worked", task)));
                out.datagram(address(0), done.map_or(Packet::Ask, Packet::Done));
                self.deadline = Some(now + WORK);
            }
            ProcessEvent::Datagram { from, message } => match message.of() {
                Some(Packet::Ask) => {
                    if let Some((task, end)) = self.open.iter_mut().find(|(_, end)| **end <= now) {
                        *end = now + LEASE;
                        out.datagram(from, Packet::Task(*task));
                    }
                }
                Some(Packet::Task(task)) if self.task.is_none() => {
                    self.task = Some(*task);
                    self.deadline = Some(now + WORK);
                    if self.early {
                        out.datagram(from, Packet::Done(*task));
                    }
                }
                Some(Packet::Done(task)) => {
                    self.open.remove(task);
                    let removal = DiskChange::Remove(format!("tasks/{task}").into());
                    out.write(Ticket(0), removal, true);
                }
                _ => {}
            },
            _ => {}
        }
    }
    // guide: end

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

#[derive(Debug)]
enum Packet {
    Ask,
    Task(u64),
    Done(u64),
}

impl Message for Packet {
    fn encoded_len(&self) -> usize {
        9
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Task(_) => "task",
            Self::Done(_) => "done",
        }
    }
}

impl ProcessView for Node {
    fn state(&self) -> Value {
        json!({ "open": self.open.len(), "task": self.task })
    }
}

/// In the end, each accepted task was done. The field has the others.
struct AcceptedIsDone(BTreeSet<u64>);

impl Invariant for AcceptedIsDone {
    fn name(&self) -> &'static str {
        "accepted-is-done"
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(("accepted", task)) => drop(self.0.insert(*task)),
            Some(("worked", task)) => drop(self.0.remove(task)),
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _: &Scene<'_>) -> InvariantResult {
        match self.0.first() {
            Some(task) => Err(format!("task {task} was not done")),
            None => Ok(()),
        }
    }
}
