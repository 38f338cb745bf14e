//! The signals a daemon obeys, and the end of an input that means the same.

use std::future::{Future as _, poll_fn};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: leave the mesh and end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals, from now on; what came before took its usual course.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Tells when the input has ended.
    input: Option<oneshot::Receiver<()>>,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// When the system does not give them.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            input: None,
        })
    }

    /// The end of an input is, once, a request to end as well. What it gives is not looked at.
    ///
    /// A pipe ends when whoever holds its other end dies, however it dies.
    pub fn end_with(&mut self, mut input: impl Read + Send + 'static) {
        let (ended, has_ended) = oneshot::channel();
        // A thread of its own, that nobody waits for: a read cannot be broken off.
        thread::spawn(move || {
            // That it cannot be read any more is an end too.
            let _over = io::copy(&mut input, &mut io::sink()).is_err();
            let _nobody = ended.send(()).is_err();
        });
        self.input = Some(has_ended);
    }

    /// Waits for the next signal. An end that came together with a reload comes first.
    pub async fn next(&mut self) -> Request {
        poll_fn(|context| {
            if self.terminate.poll_recv(context).is_ready()
                || self.interrupt.poll_recv(context).is_ready()
            {
                return Poll::Ready(Request::End);
            }
            if let Some(input) = &mut self.input
                && Pin::new(input).poll(context).is_ready()
            {
                self.input = None;
                return Poll::Ready(Request::End);
            }
            self.hang_up.poll_recv(context).map(|_| Request::Reload)
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
    async fn the_end_of_an_input_asks_for_the_end_once() {
        let (reader, writer) = io::pipe().unwrap();
        let mut signals = Signals::listen().unwrap();
        signals.end_with(reader);
        let early = time::timeout(Duration::from_millis(20), signals.next()).await;
        assert!(early.is_err(), "nobody asked yet: {early:?}");
        drop(writer);
        let asked = time::timeout(Duration::from_secs(60), signals.next()).await;
        assert_eq!(asked, Ok(Request::End));
        let again = time::timeout(Duration::from_millis(20), signals.next()).await;
        assert!(again.is_err(), "{again:?}");
    }
}
