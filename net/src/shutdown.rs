//! The signals that a daemon handles, and the end of an input stream that requests the same as a signal.

use std::future::{Future as _, poll_fn};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The action that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGTERM or SIGINT: leave the mesh and exit.
    End,
    /// SIGHUP: reload the configuration.
    Reload,
    /// SIGUSR1: log in more detail.
    MoreDetail,
    /// SIGUSR2: log as configured.
    ConfiguredDetail,
}

/// Receives the signals that arrive after `listen`; earlier signals had their default effect.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    /// Completes when the input has ended.
    input: Option<oneshot::Receiver<()>>,
}

impl Signals {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// If the system rejects a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            input: None,
        })
    }

    /// Treats the end of an input as a single request to end. The data of the input is ignored.
    ///
    /// A pipe ends when the process at its other end exits, for any reason.
    pub fn end_with(&mut self, mut input: impl Read + Send + 'static) {
        let (ended, has_ended) = oneshot::channel();
        // A thread that is never joined, because a blocking read cannot be cancelled.
        thread::spawn(move || {
            // A read error counts as the end of the input.
            let _over = io::copy(&mut input, &mut io::sink()).is_err();
            let _nobody = ended.send(()).is_err();
        });
        self.input = Some(has_ended);
    }

    /// Waits for the next request. If both are pending, a request to end comes before a reload.
    pub async fn next(&mut self) -> SignalRequest {
        poll_fn(|context| {
            if self.terminate.poll_recv(context).is_ready()
                || self.interrupt.poll_recv(context).is_ready()
            {
                return Poll::Ready(SignalRequest::End);
            }
            if let Some(input) = &mut self.input
                && Pin::new(input).poll(context).is_ready()
            {
                self.input = None;
                return Poll::Ready(SignalRequest::End);
            }
            if self.user_1.poll_recv(context).is_ready() {
                return Poll::Ready(SignalRequest::MoreDetail);
            }
            if self.user_2.poll_recv(context).is_ready() {
                return Poll::Ready(SignalRequest::ConfiguredDetail);
            }
            self.hang_up
                .poll_recv(context)
                .map(|_| SignalRequest::Reload)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time;

    #[tokio::test]
    async fn the_end_of_an_input_requests_the_end_once() {
        let (reader, writer) = io::pipe().unwrap();
        let mut signals = Signals::listen().unwrap();
        signals.end_with(reader);
        let early = time::timeout(Duration::from_millis(20), signals.next()).await;
        assert!(early.is_err(), "no request was sent yet: {early:?}");
        drop(writer);
        let asked = time::timeout(Duration::from_secs(60), signals.next()).await;
        assert_eq!(asked, Ok(SignalRequest::End));
        let again = time::timeout(Duration::from_millis(20), signals.next()).await;
        assert!(again.is_err(), "{again:?}");
    }
}
