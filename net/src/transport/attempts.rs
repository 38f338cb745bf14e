//! Connects a client to a host name that has several addresses. The dials of a node are decided by core.
//!
//! Follows RFC 8305 (Happy Eyeballs): the address families alternate; the next address is tried
//! when the previous one failed or did not respond for a moment; the first established connection
//! is used. An address that drops packets therefore delays the dial by at most [`MOMENT_MAX`].
//!
//! Bounds: at most [`ADDRESSES_MAX`] addresses, all of which are tried within [`SPREAD`].

use super::network::Network;
use phalanx_core::link::{Address, dial_order};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time;

/// Maximum number of addresses of one name that are tried.
const ADDRESSES_MAX: usize = 10;
/// Maximum time to wait for an address before the next one is tried in parallel.
const MOMENT_MAX: Duration = Duration::from_millis(250);
/// Time within which all addresses are tried, so that a dial takes little longer.
const SPREAD: Duration = Duration::from_secs(1);

/// Connects to an address. A host name is resolved, and each of its addresses is tried.
///
/// # Errors
/// The error of [`first_of`]; an unknown name is the error `HostUnreachable`.
pub(super) async fn connect<N: Network>(network: &N, address: &Address) -> io::Result<N::Io> {
    match address {
        Address::Socket(address) => network.connect(*address).await,
        Address::Name(name) => {
            let found = network
                .resolve(name)
                .await
                .map_err(|error| io::Error::new(io::ErrorKind::HostUnreachable, error))?;
            let (io, _) = first_of(found, |address| network.connect(address)).await?;
            Ok(io)
        }
    }
}

/// Connects to the first of these addresses that responds; returns the connection and the address.
///
/// # Errors
/// If there is no address, or no connection can be made: a refusal if there was one, otherwise the
/// last error.
async fn first_of<Io, Connecting>(
    found: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> Connecting,
) -> io::Result<(Io, SocketAddr)>
where
    Connecting: Future<Output = io::Result<Io>>,
{
    let order = dial_order(found, ADDRESSES_MAX);
    let count = u32::try_from(order.len()).unwrap_or(u32::MAX).max(1);
    let moment = MOMENT_MAX.min(SPREAD / count);
    let mut untried = order.into_iter();
    let mut trying: Vec<(SocketAddr, Pin<Box<Connecting>>)> = Vec::new();
    let mut failure = None;
    loop {
        match untried.next() {
            Some(address) => trying.push((address, Box::pin(connect(address)))),
            None if trying.is_empty() => {
                let none =
                    || io::Error::new(io::ErrorKind::HostUnreachable, "the name has no address");
                return Err(failure.unwrap_or_else(none));
            }
            None => {}
        }
        let next = next_of(&mut trying);
        let ended = if untried.len() > 0 {
            time::timeout(moment, next).await.ok()
        } else {
            Some(next.await)
        };
        match ended {
            Some((address, Ok(io))) => return Ok((io, address)),
            Some((_, Err(error))) => failure = Some(more_telling(failure, error)),
            // No attempt has completed yet: the next address is tried in parallel.
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

/// Returns the more informative error: a refusal, which shows that the host is reachable, or else
/// the later error.
fn more_telling(earlier: Option<io::Error>, later: io::Error) -> io::Error {
    match earlier {
        Some(earlier) if earlier.kind() == io::ErrorKind::ConnectionRefused => earlier,
        Some(_) | None => later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
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
    async fn a_refusal_is_preferred_to_an_unreachable_error() {
        let failure = |found: Vec<SocketAddr>| async {
            let ended = first_of(found, meet).await;
            ended.unwrap_err().kind()
        };
        let (refused, no_way) = (v4(1, 2), v6(1, 3));
        assert_eq!(
            failure(vec![refused, no_way]).await,
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(
            failure(vec![no_way, refused]).await,
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(
            failure(vec![no_way]).await,
            io::ErrorKind::NetworkUnreachable
        );
        assert_eq!(failure(vec![]).await, io::ErrorKind::HostUnreachable);
    }
}
