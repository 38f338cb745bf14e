//! Ctrl-C, SIGTERM and a closed terminal, as something that a waiting loop can look at.

use crate::failure::Failure;
use crate::mesh::reach::Runtime;
use phalanx_net::shutdown::Signals;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Tells when somebody wants us to end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    receiver: Receiver<()>,
    heard: bool,
}

impl Interrupt {
    /// From now on signals do not end this process: whoever waits must look.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (sender, receiver) = sync_channel(1);
        let runtime = Runtime::new()?;
        let listening = runtime.block_on(async { Signals::listen() });
        let mut signals =
            listening.map_err(|error| Failure::failed(format!("no signals: {error}")))?;
        // The thread ends with the process, or when nobody waits any more.
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

    /// Waits so long, or until somebody wants us to end; whether somebody does.
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        self.heard = self.heard
            || match self.receiver.recv_timeout(time) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
                Err(RecvTimeoutError::Timeout) => false,
            };
        self.heard
    }
}
