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
pub struct PathProperties {
    /// The one-way latency.
    pub latency: Latency,
    /// The share of lost TCP segments, in parts per million.
    pub loss_ppm: u32,
    /// The bandwidth of one connection, in bits per second; `None`: unlimited.
    pub bandwidth: Option<u64>,
}

impl Default for PathProperties {
    fn default() -> Self {
        Self {
            latency: Latency::Constant(Duration::from_millis(1)),
            loss_ppm: 0,
            bandwidth: None,
        }
    }
}

/// A property of chosen links that a step sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSetting {
    /// The one-way latency.
    Latency(Latency),
    /// The share of lost segments, in parts per million.
    Loss(u32),
    /// The bandwidth of one connection, in bits per second.
    Bandwidth(u64),
    /// The size of the largest packet that passes, in bytes. Larger ones are lost, and the sender is not told.
    Mtu(u32),
    /// The share of datagrams that arrive twice, in parts per million.
    Duplicate(u32),
    /// The share of datagrams that arrive damaged, in parts per million.
    Corrupt(u32),
}

impl LinkSetting {
    /// Returns the name of the step.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Loss(_) => "loss",
            Self::Bandwidth(_) => "bandwidth",
            Self::Mtu(_) => "mtu",
            Self::Duplicate(_) => "duplicate",
            Self::Corrupt(_) => "corrupt",
        }
    }
}

/// The network between two sets of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRule {
    /// The nodes of one end.
    pub from: Vec<usize>,
    /// The nodes of the other end.
    pub to: Vec<usize>,
    /// The direction of the traffic: `Out` is from `from` to `to`.
    pub direction: Direction,
    /// The settings.
    pub network: PathProperties,
}

/// The nodes at both ends of a link, the sender first.
type Ends<'a> = (&'a [usize], &'a [usize]);

impl LinkRule {
    /// Returns whether the rule applies to traffic from one host to another.
    #[must_use]
    pub fn applies(&self, from: usize, to: usize) -> bool {
        let mut directed = self.directed().into_iter().flatten();
        directed.any(|(senders, receivers)| senders.contains(&from) && receivers.contains(&to))
    }

    /// The directed pairs of the rule, as products of two sets.
    fn directed(&self) -> [Option<Ends<'_>>; 2] {
        let out = (self.direction != Direction::In).then_some((&self.from[..], &self.to[..]));
        let back = (self.direction != Direction::Out).then_some((&self.to[..], &self.from[..]));
        [out, back]
    }

    /// Returns whether both rules apply to one directed pair.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: &[usize], other: &[usize]| one.iter().any(|host| other.contains(host));
        let others = || other.directed().into_iter().flatten();
        let mut pairs = self.directed().into_iter().flatten();
        pairs.any(|(from, to)| others().any(|it| meet(from, it.0) && meet(to, it.1)))
    }

    /// Returns whether the other rule applies to every directed pair of this one, and to more.
    pub(super) fn is_narrower_than(&self, other: &Self) -> bool {
        self.is_within(other) && !other.is_within(self)
    }

    fn is_within(&self, other: &Self) -> bool {
        let within = |one: &[usize], other: &[usize]| one.iter().all(|host| other.contains(host));
        let others = || other.directed().into_iter().flatten();
        let mut pairs = self.directed().into_iter().flatten();
        pairs.all(|(from, to)| others().any(|it| within(from, it.0) && within(to, it.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: &[usize], to: &[usize], direction: Direction) -> LinkRule {
        LinkRule {
            from: from.to_vec(),
            to: to.to_vec(),
            direction,
            network: PathProperties::default(),
        }
    }

    #[test]
    fn a_rule_applies_in_its_direction() {
        let out = rule(&[0], &[1, 2], Direction::Out);
        assert!(out.applies(0, 2) && !out.applies(2, 0) && !out.applies(1, 2));
        let back = rule(&[0], &[1, 2], Direction::In);
        assert!(back.applies(2, 0) && !back.applies(0, 2));
        let both = rule(&[0], &[1, 2], Direction::Both);
        assert!(both.applies(2, 0) && both.applies(0, 2));
    }

    #[test]
    fn the_directions_of_one_pair_do_not_overlap_and_are_narrower_than_both() {
        let out = rule(&[0], &[1], Direction::Out);
        let back = rule(&[1], &[0], Direction::Out);
        assert!(!out.overlaps(&back));
        let both = rule(&[1], &[0], Direction::Both);
        assert!(out.overlaps(&both) && out.is_narrower_than(&both));
        assert!(!both.is_narrower_than(&out) && !both.is_narrower_than(&both));
        let wider = rule(&[0, 3], &[1, 2], Direction::Both);
        assert!(both.overlaps(&wider) && both.is_narrower_than(&wider));
        let crossing = rule(&[0, 4], &[1], Direction::Both);
        assert!(crossing.overlaps(&wider) && !crossing.is_narrower_than(&wider));
    }
}
