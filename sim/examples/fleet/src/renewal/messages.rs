//! Messages between members and the issuer.

use phalanx_core::credentials::Validity;
use phalanx_sim::world::Message;

/// The first message on a link, from both ends; stands for the data that a TLS handshake proves.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The host of the sender.
    pub host: usize,
    /// The period of validity of the sender's certificate.
    pub validity: Validity,
    /// The version of the link, if the sender dialled it.
    pub version: u64,
}

impl Message for Proof {
    fn encoded_len(&self) -> usize {
        24
    }

    fn kind(&self) -> &'static str {
        "proof"
    }
}

/// A message without content: an end that receives none finds out that the other end is gone, because a host that lost
/// power closes no link.
#[derive(Clone, Copy, Debug)]
pub struct Alive;

impl Message for Alive {
    fn encoded_len(&self) -> usize {
        1
    }

    fn kind(&self) -> &'static str {
        "alive"
    }
}

/// A datagram between a member and the issuer.
#[derive(Clone, Copy, Debug)]
pub enum Issuing {
    /// A member requests a certificate.
    Request(u64),
    /// The issuer answers the request with this number.
    Issued(u64, Validity),
}

impl Message for Issuing {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Request(_) => 9,
            Self::Issued(..) => 25,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Request(_) => "certificate-request",
            Self::Issued(..) => "certificate-issued",
        }
    }
}
