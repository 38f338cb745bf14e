//! Ctrl-C, SIGTERM and SIGHUP as a flag that a waiting loop polls. A SIGHUP that is ignored at the start stays ignored.

use crate::failure::CommandError;
use core::future::poll_fn;
use core::task::Poll;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives the signals that ask this process to end.
#[derive(Debug)]
pub struct Interrupt {
    receiver: Receiver<()>,
    heard: bool,
}

impl Interrupt {
    /// Installs the signal handlers. Signals no longer end the process; callers must poll
    /// [`Self::wait`].
    ///
    /// # Errors
    /// The system rejects a handler.
    pub fn listen() -> Result<Self, CommandError> {
        let (sender, receiver) = sync_channel(1);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            CommandError::failed(format!("cannot start the async runtime: {error}"))
        })?;
        let mut signals = runtime
            .block_on(async { handlers() })
            .map_err(|error| CommandError::failed(format!("cannot listen for signals: {error}")))?;
        // The thread ends with the process, or when the receiver is dropped.
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    poll_fn(|context| {
                        let arrived = |signal: &mut Signal| signal.poll_recv(context).is_ready();
                        if signals.iter_mut().any(arrived) {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                    if sender.send(()).is_err() {
                        return;
                    }
                }
            });
        });
        Ok(Self {
            receiver,
            heard: false,
        })
    }

    /// Waits for `time` or for a signal; returns whether a signal has arrived since `listen`.
    pub fn wait(&mut self, time: Duration) -> bool {
        self.heard = self.heard || self.next(time);
        self.heard
    }

    /// Waits for `time` or for the next signal; returns whether one arrived.
    pub fn next(&mut self, time: Duration) -> bool {
        match self.receiver.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

fn handlers() -> std::io::Result<Vec<Signal>> {
    let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
    let hangup = SignalKind::hangup();
    // `nohup` starts programs that ignore the end of their terminal.
    if !is_ignored(hangup) {
        kinds.push(hangup);
    }
    kinds.into_iter().map(signal).collect()
}

/// Returns whether this process was started with a signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
