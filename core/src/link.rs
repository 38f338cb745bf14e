//! The types that the transport and all machines share: links, dials, addresses, and their errors.

use core::fmt;
use core::net::SocketAddr;

/// A connection, numbered by the adapter. The number is not reused after the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// An attempt to connect, numbered by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Identifies an order whose completion is an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An address that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// `host:port`. The adapter resolves a name when it is ordered to.
    Name(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl core::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(AddressError::NoPort);
        };
        if host.is_empty() || host.contains([':', '/', ' ', '@']) {
            return Err(AddressError::BadHost);
        }
        match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(AddressError::BadPort),
            Ok(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

/// Reasons why a text is not a valid address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The text has no `:port`.
    NoPort,
    /// The host is empty or holds a character that host names do not allow.
    BadHost,
    /// The port is not a number from 1 to 65535.
    BadPort,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "has no port; write host:port",
            Self::BadHost => "has no valid host; write host:port, an IPv6 address in brackets",
            Self::BadPort => "has no valid port; a port is a number from 1 to 65535",
        })
    }
}

impl core::error::Error for AddressError {}

/// Reasons why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// No process listens at the address.
    Refused,
    /// No answer arrived in time.
    TimedOut,
    /// No route leads to the address.
    Unreachable,
    /// The two certificates do not match (foreign CA, expired, wrong name); the text gives the reason.
    Untrusted(String),
    /// The peer speaks another protocol.
    Protocol(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Untrusted(why) => write!(f, "not trusted: {why}"),
            Self::Protocol(why) => write!(f, "speaks another protocol: {why}"),
        }
    }
}

/// Reasons why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolutionError {
    /// No answer arrived in time.
    TimedOut,
    /// The resolver failed, or does not know the name; the text gives the reason.
    Failed(String),
}

impl fmt::Display for ResolutionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the name was not resolved in time"),
            Self::Failed(why) => write!(f, "the name was not resolved: {why}"),
        }
    }
}

/// Reasons why a link closed without an order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The peer ended the link deliberately, in an orderly way.
    Farewell,
    /// The peer's end of the connection closed (FIN) before the link ended: the process may have died.
    Fin,
    /// The connection was reset (RST).
    Reset,
    /// The peer acknowledged no data within the time limit.
    TimedOut,
    /// This node's transport closed the link.
    Local(LocalClose),
}

/// Reasons why this node's transport closed a link without an order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalClose {
    /// The peer sent bytes that are not a valid message.
    Malformed,
    /// The queue of messages to the peer is full: the peer reads too slowly.
    Overflow,
    /// One of the two certificates is about to expire.
    Expired,
    /// One of the two certificates is no longer trusted.
    Untrusted,
    /// An overlay abandoned the link.
    GivenUp,
}
