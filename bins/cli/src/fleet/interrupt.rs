//! Ctrl-C, SIGTERM and SIGHUP as a flag that a waiting loop polls.

use crate::failure::Failure;
use crate::mesh::reach::Runtime;
use phalanx_net::shutdown::Signals;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Receives the signals that ask this process to end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    receiver: Receiver<()>,
    heard: bool,
}

impl Interrupt {
    /// Installs the signal handlers. Signals no longer end the process; callers must poll
    /// [`Self::wait`].
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (sender, receiver) = sync_channel(1);
        let runtime = Runtime::new()?;
        let listening = runtime.block_on(async { Signals::listen() });
        let mut signals = listening
            .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        // The thread ends with the process, or when the receiver is dropped.
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    signals.next().await;
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
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        self.heard = self.heard
            || match self.receiver.recv_timeout(time) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
                Err(RecvTimeoutError::Timeout) => false,
            };
        self.heard
    }
}
