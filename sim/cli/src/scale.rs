//! Values of flags: time spans, seeds, engines.

use phalanx_sim::scenario::{Engine, Scenario, text};
use std::str::FromStr;
use std::time::Duration;

/// A span of time: `250ms`, `10s`, `2min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text::duration(text).map(Self)
    }
}

/// A position in a run, or a range of two positions: `12.5s`, `10s..12.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval<T> {
    /// The first position of a range.
    pub from: Option<T>,
    /// The position, or the last position of a range.
    pub to: T,
}

impl<T: FromStr + PartialOrd> FromStr for Interval<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |part: &str| part.trim().parse::<T>().map_err(|error| error.to_string());
        match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (read(from)?, read(to)?);
                if from > to {
                    return Err(format!(
                        "the range `{text}` goes backwards; write the earlier position first"
                    ));
                }
                Ok(Self {
                    from: Some(from),
                    to,
                })
            }
            None => Ok(Self {
                from: None,
                to: read(text)?,
            }),
        }
    }
}

/// Maximum number of seeds of one range.
const SEEDS_MAX: u64 = 1_000_000;

/// A range of seeds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first seed.
    pub first: u64,
    /// The last seed.
    pub last: u64,
}

impl Seeds {
    /// Returns the seeds in order.
    pub fn each(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim().parse::<u64>().map_err(|_| {
                format!("`{text}` is neither a seed nor a range; write 7, or 1..50 with both ends included")
            })
        };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (
                number(first)?,
                number(last.strip_prefix('=').unwrap_or(last))?,
            ),
            None => (number(text)?, number(text)?),
        };
        if last >= first && last - first >= SEEDS_MAX {
            return Err(format!(
                "the range `{text}` has more than {SEEDS_MAX} seeds; run fewer at once"
            ));
        }
        if last < first {
            return Err(format!(
                "the range `{text}` is empty; write the lower seed first"
            ));
        }
        Ok(Self { first, last })
    }
}

/// The engines to run a scenario in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// One engine.
    One(Engine),
    /// Model and wire; the final states of confluent scenarios are compared.
    Both,
}

impl Engines {
    /// Returns the engines for a scenario: the requested ones; otherwise the model engine if the
    /// scenario supports it, or else the first engine that it supports.
    pub fn of(asked: Option<Self>, scenario: &Scenario) -> Vec<Engine> {
        match asked {
            Some(Self::One(engine)) => vec![engine],
            Some(Self::Both) => vec![Engine::Model, Engine::Wire],
            None if scenario.engines.contains(&Engine::Model) => vec![Engine::Model],
            None => vec![scenario.engines.first().copied().unwrap_or(Engine::Model)],
        }
    }
}

impl FromStr for Engines {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "both" {
            Ok(Self::Both)
        } else {
            let one = Engine::named(name).map(Self::One);
            one.map_err(|why| why.replace("model, wire, madsim", "model, wire, madsim, both"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_number_or_a_range_that_includes_both_ends() {
        assert_eq!("7".parse(), Ok(Seeds { first: 7, last: 7 }));
        assert_eq!(
            "1..3".parse::<Seeds>().map(|seeds| seeds.each().collect()),
            Ok(vec![1, 2, 3])
        );
        let many = ["1..10000000000", "0..18446744073709551615"];
        for wrong in ["", "x", "1..", "5..4", "-1", "1...3"]
            .into_iter()
            .chain(many)
        {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_of_positions_does_not_go_backwards() {
        let range = "5..7".parse::<Interval<u64>>().unwrap();
        assert_eq!((range.from, range.to), (Some(5), 7));
        assert!("7..5".parse::<Interval<u64>>().is_err());
        assert!("5s..200ms".parse::<Interval<Span>>().is_err());
        assert!("-1s".parse::<Interval<Span>>().is_err());
    }

    #[test]
    fn both_is_accepted_beside_the_names_of_engines() {
        assert_eq!("both".parse(), Ok(Engines::Both));
        assert_eq!("wire".parse(), Ok(Engines::One(Engine::Wire)));
        assert!("wired".parse::<Engines>().is_err());
        let why = "steam".parse::<Engines>().unwrap_err();
        assert!(why.contains("model, wire, madsim, both"), "{why}");
    }
}
