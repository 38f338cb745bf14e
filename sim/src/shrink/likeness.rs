//! Decides whether two runs fail in the same way.

use crate::scenario::{Bound, Expectation, Mode};
use crate::verdict::Failure;

/// The text of the expectation that a failed recovery violates, up to its time.
pub(crate) const RECOVERY: &str = "all views are right within";

/// Returns whether two runs fail in the same way: with the same expectation or invariant, and for a similar reason.
///
/// Two values of a metric are similar if the distance of one from the bound is between half and twice that of the
/// other.
pub(super) fn is_same(one: &Failure, original: &Failure, bound: Option<Bound>) -> bool {
    let recovery = |failure: &Failure| failure.expectation.starts_with(RECOVERY);
    let same = one.line == original.line && one.expectation == original.expectation
        || recovery(one) && recovery(original);
    let near = match (bound, one.figure, original.figure) {
        (Some(bound), Some(one), Some(original)) => {
            is_near(distance(bound, one), distance(bound, original))
        }
        _ => true,
    };
    same && near && kind_of(&one.why) == kind_of(&original.why)
}

/// The bound that the metric of a failure violates.
pub(super) fn bound_of(expectations: &[Expectation], failure: &Failure) -> Option<Bound> {
    let violated = |it: &&Expectation| it.line == failure.line && it.text == failure.expectation;
    match expectations.iter().find(violated)?.mode {
        Mode::Metric(_, _, bound) => Some(bound),
        Mode::Eventually(_) | Mode::Always(_) | Mode::Never(_) | Mode::Sometimes(_) => None,
    }
}

/// The distance of a value from the bound that it violates.
const fn distance(bound: Bound, figure: u64) -> u64 {
    if figure < bound.min {
        bound.min - figure
    } else {
        figure.saturating_sub(bound.max)
    }
}

const fn is_near(one: u64, original: u64) -> bool {
    one >= original.div_ceil(2) && one <= original.saturating_mul(2)
}

/// Returns a reason without numbers, names and lists.
pub(crate) fn kind_of(why: &str) -> Vec<&str> {
    let words = why.split(|c: char| !c.is_alphanumeric() && c != '-');
    let plain = |word: &&str| {
        let mut letters = word.chars();
        letters.clone().count() > 2 && letters.all(char::is_alphabetic)
    };
    words.filter(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn failure(figure: u64) -> Failure {
        let why = format!("delivered-percent is {figure}");
        Failure::new("a.toml", 9, "delivered-percent", Duration::ZERO, &why).with_figure(figure)
    }

    #[test]
    fn a_figure_is_similar_between_half_and_twice_the_distance_from_its_bound() {
        let bound = Some(Bound { min: 100, max: 200 });
        let same = |figure| is_same(&failure(figure), &failure(90), bound);
        assert_eq!([79, 80, 95, 96].map(same), [false, true, true, false]);
        let above = |figure| is_same(&failure(figure), &failure(300), bound);
        assert_eq!([249, 250, 400, 401].map(above), [false, true, true, false]);
    }

    #[test]
    fn a_figure_of_nothing_is_another_failure_than_a_figure_slightly_too_low() {
        let bound = Some(Bound { min: 98, max: 100 });
        assert!(!is_same(&failure(0), &failure(96), bound));
    }
}
