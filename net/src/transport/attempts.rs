//! Connects a client to a host name that has several addresses. Core decides which address is tried when.

use super::failure;
use super::network::Network;
use phalanx_core::attempts::{Attempts, NextAttempt};
use phalanx_core::link::{Address, DialError, ResolutionError};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use tokio::time;

/// Reasons why a client has no connection to a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The name of the node was not resolved.
    #[error("{0}")]
    Unresolved(ResolutionError),
    /// No address of the node could be dialled.
    #[error("{0}")]
    Dial(DialError),
}

impl From<ResolutionError> for CallError {
    fn from(error: ResolutionError) -> Self {
        Self::Unresolved(error)
    }
}

impl From<DialError> for CallError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

/// Connects to an address. A host name is resolved, and each of its addresses is tried.
///
/// # Errors
/// The error of [`first_of`], or the resolver's error.
pub(super) async fn connect<N: Network>(
    network: &N,
    address: &Address,
) -> Result<N::Io, CallError> {
    match address {
        Address::Socket(address) => {
            let connected = network.connect(*address).await;
            Ok(connected.map_err(|error| failure::connecting(&error))?)
        }
        Address::Name(name) => {
            let found = network.resolve(name).await;
            let found = found.map_err(|error| ResolutionError::Failed(error.to_string()))?;
            let (io, _) = first_of(found, |address| network.connect(address)).await?;
            Ok(io)
        }
    }
}

/// Connects to the first of these addresses that responds; returns the connection and the address.
///
/// # Errors
/// If there is no address, or no connection can be made.
async fn first_of<Io, Connecting>(
    found: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> Connecting,
) -> Result<(Io, SocketAddr), DialError>
where
    Connecting: Future<Output = io::Result<Io>>,
{
    let mut attempts = Attempts::new(found);
    let mut trying: Vec<(SocketAddr, Pin<Box<Connecting>>)> = Vec::new();
    loop {
        match attempts.take_turn() {
            NextAttempt::Connect(address) => trying.push((address, Box::pin(connect(address)))),
            NextAttempt::Wait => {}
            NextAttempt::Fail(error) => return Err(error),
        }
        let next = next_of(&mut trying);
        let ended = match attempts.patience() {
            Some(patience) => time::timeout(patience, next).await.ok(),
            None => Some(next.await),
        };
        match ended {
            Some((address, Ok(io))) => return Ok((io, address)),
            Some((_, Err(error))) => attempts.on_failed(failure::connecting(&error)),
            None => {}
        }
    }
}

/// Waits for the first attempt that completes, and removes it from the running ones.
async fn next_of<Io, Connecting>(
    trying: &mut Vec<(SocketAddr, Pin<Box<Connecting>>)>,
) -> (SocketAddr, io::Result<Io>)
where
    Connecting: Future<Output = io::Result<Io>>,
{
    poll_fn(|context| {
        for at in 0..trying.len() {
            let (address, attempt) = &mut trying[at];
            if let Poll::Ready(ended) = attempt.as_mut().poll(context) {
                let address = *address;
                drop(trying.remove(at));
                return Poll::Ready((address, ended));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_core::attempts::{ADDRESSES_MAX, MOMENT_MAX, SPREAD};
    use std::cell::RefCell;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};

    /// Returns the result of an attempt, chosen by the last part of the address.
    async fn meet(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            3 => Err(io::ErrorKind::NetworkUnreachable.into()),
            4 => {
                time::sleep(Duration::from_millis(400)).await;
                Ok(4)
            }
            port => Ok(port),
        }
    }

    fn v4(host: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, host], port).into()
    }

    fn v6(host: u16, port: u16) -> SocketAddr {
        ([0xfd00, 0, 0, 0, 0, 0, 0, host], port).into()
    }

    #[tokio::test(start_paused = true)]
    async fn failing_addresses_cost_no_time_and_silent_ones_a_moment() {
        let begun = time::Instant::now();
        let (_, address) = first_of([v4(1, 2), v4(2, 3), v4(3, 9)], meet)
            .await
            .unwrap();
        assert_eq!((address, begun.elapsed()), (v4(3, 9), Duration::ZERO));
        let found = [v6(1, 1), v6(2, 1), v4(1, 1), v4(2, 9)];
        let (_, address) = first_of(found, meet).await.unwrap();
        assert_eq!((address, begun.elapsed()), (v4(2, 9), MOMENT_MAX * 3));
    }

    #[tokio::test(start_paused = true)]
    async fn many_silent_addresses_are_all_tried_within_a_second() {
        let begun = time::Instant::now();
        let silent = (0..ADDRESSES_MAX - 1).map(|n| v4(u8::try_from(n).unwrap(), 1));
        let (_, address) = first_of(silent.chain([v4(99, 9)]), meet).await.unwrap();
        assert_eq!(address, v4(99, 9));
        assert!(begun.elapsed() < SPREAD, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_wins_over_one_that_never_responds() {
        let tried = RefCell::new(Vec::new());
        let connect = |address| {
            tried.borrow_mut().push(address);
            meet(address)
        };
        let (_, address) = first_of([v4(1, 4), v4(2, 1), v4(3, 1)], connect)
            .await
            .unwrap();
        assert_eq!(address, v4(1, 4));
        assert_eq!(*tried.borrow(), [v4(1, 4), v4(2, 1)]);
    }

    #[tokio::test]
    async fn a_name_with_both_families_connects_to_the_listening_one() {
        for (listens, other) in [("127.0.0.1", "::1"), ("::1", "127.0.0.1")] {
            let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
            let listener = TcpListener::bind(at(listens, 0)).await.unwrap();
            let real = listener.local_addr().unwrap();
            let found = [at(other, real.port()), real];
            let (stream, address) = first_of(found, TcpStream::connect).await.unwrap();
            assert_eq!((stream.peer_addr().unwrap(), address), (real, real));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_failures_of_all_addresses_are_one_failure() {
        let failure = async |found: Vec<SocketAddr>| first_of(found, meet).await.unwrap_err();
        let (refused, no_way) = (v4(1, 2), v6(1, 3));
        assert_eq!(failure(vec![refused, no_way]).await, DialError::Refused);
        assert_eq!(failure(vec![no_way]).await, DialError::Unreachable);
        assert_eq!(failure(vec![]).await, DialError::Unreachable);
    }
}
