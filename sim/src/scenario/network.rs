//! The network between hosts: latency, loss, bandwidth, and exceptions for single pairs.

use core::time::Duration;

/// The direction in which a fault blocks traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Neither side hears the other.
    Both,
    /// The second side does not hear the first.
    Out,
    /// The first side does not hear the second.
    In,
}

/// How long a segment takes, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Anything between the shortest and the longest.
    Uniform(Duration, Duration),
    /// The least, and exponentially distributed time on top of it.
    Exponential {
        /// The least.
        least: Duration,
        /// The mean of what comes on top.
        mean: Duration,
    },
    /// Log-normally distributed: mostly near the median, sometimes much longer.
    LogNormal {
        /// Half are shorter.
        median: Duration,
        /// One in a hundred is longer.
        p99: Duration,
    },
}

impl Latency {
    /// The shortest and the longest; none when there is no longest.
    #[must_use]
    pub const fn bounds(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Constant(time) => Some((time, time)),
            Self::Uniform(least, most) => Some((least, most)),
            Self::Exponential { .. } | Self::LogNormal { .. } => None,
        }
    }
}

/// The network between two nodes, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// How long a segment takes.
    pub latency: Latency,
    /// The share of TCP segments that are lost, in parts per million.
    pub loss_ppm: u32,
    /// Bits a second of one connection; none for unlimited.
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

/// The network between some nodes, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRule {
    /// One end.
    pub from: Vec<usize>,
    /// The other end.
    pub to: Vec<usize>,
    /// The settings.
    pub network: Network,
}
