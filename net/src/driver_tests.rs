//! Tests of the loop in virtual time: the order of inputs, and the time of wakes.

use super::*;
use std::sync::{Arc, Mutex};

/// A machine that requests a wake a fixed time after each input and records all steps in order.
#[derive(Debug)]
struct Notes {
    wake_after: Duration,
    wake_at: Option<Instant>,
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Number(u32),
    Wake,
}

impl From<Wake> for Seen {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

impl Machine for Notes {
    type Input = Seen;
    type Output = Seen;

    fn step(&mut self, now: Instant, input: Seen, out: &mut Outbox<Seen>) {
        self.wake_at = match input {
            Seen::Number(_) => self.wake_at.or(Some(now + self.wake_after)),
            Seen::Wake => None,
        };
        self.seen.push(input);
        out.push(input);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.wake_at
    }
}

type Performed = Arc<Mutex<Vec<(Instant, Seen)>>>;

/// An executor that records the outputs.
struct Keep(Performed);

impl Executor<Notes> for Keep {
    fn execute(&mut self, now: Instant, order: Seen) {
        self.0.lock().unwrap().push((now, order));
    }
}

fn notes(wake_after: Duration) -> Notes {
    Notes {
        wake_after,
        wake_at: None,
        seen: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn inputs_are_processed_in_order_and_the_deadline_wakes_the_machine() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let performed = Performed::default();
    let work = run(
        notes(Duration::from_millis(50)),
        Keep(performed.clone()),
        inbox,
        TimeOrigin::begin(),
    );
    let talk = async {
        handle.send(Seen::Number(1)).await.unwrap();
        handle.send(Seen::Number(2)).await.unwrap();
        let seen = handle
            .inspect(|machine, _| machine.seen.len())
            .await
            .unwrap();
        assert_eq!(
            seen, 2,
            "an inspection comes after the inputs sent before it"
        );
        time::sleep(Duration::from_millis(60)).await;
        handle.stop().await;
    };
    let ((machine, _), ()) = tokio::join!(work, talk);
    assert_eq!(machine.seen, [Seen::Number(1), Seen::Number(2), Seen::Wake]);
    let performed = performed.lock().unwrap();
    assert_eq!(
        performed
            .iter()
            .map(|(_, order)| *order)
            .collect::<Vec<_>>(),
        machine.seen
    );
    assert_eq!(performed[2].0, Instant::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn waiting_commands_are_read_before_an_overdue_wake() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let origin = TimeOrigin::begin();
    let mut machine = notes(Duration::from_millis(50));
    machine.wake_at = Some(Instant::from_millis(50));
    // The process does not run for a second; three commands arrive meanwhile.
    for number in 1..=3 {
        handle.send(Seen::Number(number)).await.unwrap();
    }
    time::advance(Duration::from_secs(1)).await;
    let work = run(machine, Keep(Performed::default()), inbox, origin);
    let talk = async {
        time::sleep(Duration::from_millis(20)).await;
        handle.stop().await;
    };
    let ((machine, _), ()) = tokio::join!(work, talk);
    let numbers = (1..=3).map(Seen::Number);
    assert_eq!(
        machine.seen,
        numbers.chain([Seen::Wake]).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stalled_process_reads_its_whole_inbox_before_it_wakes() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let origin = TimeOrigin::begin();
    let mut machine = notes(Duration::from_secs(9));
    machine.wake_at = Some(Instant::from_millis(50));
    for number in 0..INBOX as u32 {
        handle.send(Seen::Number(number)).await.unwrap();
    }
    time::advance(Duration::from_secs(4)).await;
    let work = run(machine, Keep(Performed::default()), inbox, origin);
    let talk = async {
        time::sleep(Duration::from_millis(20)).await;
        handle.stop().await;
    };
    let ((machine, _), ()) = tokio::join!(work, talk);
    let woken = machine.seen.iter().position(|seen| *seen == Seen::Wake);
    assert_eq!(
        woken,
        Some(INBOX),
        "the machine woke before it processed all inputs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_wake_leaves_time_for_socket_readers() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let origin = TimeOrigin::begin();
    let mut machine = notes(Duration::from_secs(9));
    machine.wake_at = Some(Instant::from_millis(50));
    time::advance(Duration::from_secs(1)).await;
    let work = run(machine, Keep(Performed::default()), inbox, origin);
    let talk = async {
        // A socket reader that runs only after the loop has found its inbox empty.
        time::sleep(Duration::from_millis(1)).await;
        handle.send(Seen::Number(7)).await.unwrap();
        time::sleep(Duration::from_millis(20)).await;
        handle.stop().await;
    };
    let ((machine, _), ()) = tokio::join!(work, talk);
    assert_eq!(machine.seen, [Seen::Number(7), Seen::Wake]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_does_not_keep_the_machine_from_waking() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let mut machine = notes(Duration::from_secs(9));
    machine.wake_at = Some(Instant::ZERO);
    for number in 0..INBOX as u32 {
        handle.send(Seen::Number(number)).await.unwrap();
    }
    let work = run(
        machine,
        Keep(Performed::default()),
        inbox,
        TimeOrigin::begin(),
    );
    let ((machine, _), ()) = tokio::join!(work, handle.stop());
    let woken = machine
        .seen
        .iter()
        .position(|seen| *seen == Seen::Wake)
        .unwrap();
    assert!(woken <= 2 * BATCH + 1, "woken after {woken} commands");
}

/// An executor that takes a fixed time for each output.
struct Slow(Duration);

impl Executor<Notes> for Slow {
    fn execute(&mut self, _: Instant, _: Seen) {
        std::thread::sleep(self.0);
    }
}

#[tokio::test]
async fn a_machine_that_needs_long_for_each_command_is_woken_between_them() {
    const COMMANDS: u32 = 100;
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let mut machine = notes(Duration::from_secs(9));
    machine.wake_at = Some(Instant::ZERO);
    for number in 0..COMMANDS {
        handle.send(Seen::Number(number)).await.unwrap();
    }
    let takes = Duration::from_millis(5);
    let work = run(machine, Slow(takes), inbox, TimeOrigin::begin());
    let ((machine, _), ()) = tokio::join!(work, handle.stop());
    let woken = machine.seen.iter().position(|seen| *seen == Seen::Wake);
    // Two batches: one before the loop notices that it is late, one because it is late.
    let most = 2 * (BATCH_TIME.as_millis() / takes.as_millis()) as usize + 2;
    assert!(
        woken.is_some_and(|at| at <= most),
        "woken after {woken:?} commands of {COMMANDS}"
    );
}

#[tokio::test]
async fn a_stopped_loop_ends_and_its_handles_return_an_error() {
    let inbox = Inbox::new();
    let handle = inbox.handle();
    let weak = inbox.handle();
    drop(handle);
    let work = run(
        notes(Duration::from_secs(1)),
        Keep(Performed::default()),
        inbox,
        TimeOrigin::begin(),
    );
    let ((machine, _), ()) = tokio::join!(work, weak.stop());
    assert!(machine.seen.is_empty());
    assert_eq!(weak.send(Seen::Number(1)).await, Err(Stopped));
    assert_eq!(weak.inspect(|_, _| ()).await, Err(Stopped));
}
