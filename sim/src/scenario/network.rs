//! The network between hosts: latency, loss, bandwidth, and exceptions for single pairs.

use core::time::Duration;

/// The direction in which a fault blocks traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Neither side receives from the other.
    Both,
    /// The second side does not receive from the first.
    Out,
    /// The first side does not receive from the second.
    In,
}

/// The one-way latency of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// A constant.
    Constant(Duration),
    /// Uniformly distributed between the minimum and the maximum.
    Uniform(Duration, Duration),
    /// The minimum plus an exponentially distributed time.
    Exponential {
        /// The minimum.
        least: Duration,
        /// The mean of the exponentially distributed time.
        mean: Duration,
    },
    /// Log-normally distributed.
    LogNormal {
        /// The median.
        median: Duration,
        /// The 99th percentile.
        p99: Duration,
    },
}

impl Latency {
    /// Returns the minimum and the maximum; `None` if the distribution has no maximum.
    #[must_use]
    pub const fn bounds(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Constant(time) => Some((time, time)),
            Self::Uniform(least, most) => Some((least, most)),
            Self::Exponential { .. } | Self::LogNormal { .. } => None,
        }
    }
}

/// The network from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The one-way latency.
    pub latency: Latency,
    /// The share of lost TCP segments, in parts per million.
    pub loss_ppm: u32,
    /// The bandwidth of one connection, in bits per second; `None`: unlimited.
    pub bandwidth: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Latency::Constant(Duration::from_millis(1)),
            loss_ppm: 0,
            bandwidth: None,
        }
    }
}

/// The network between two sets of nodes, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRule {
    /// The nodes of one end.
    pub from: Vec<usize>,
    /// The nodes of the other end.
    pub to: Vec<usize>,
    /// The settings.
    pub network: Network,
}
