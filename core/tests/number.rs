//! Numbers of the registry compared with the floating-point numbers of the standard library.

#![expect(
    clippy::disallowed_types,
    reason = "the numbers are compared with those of the standard library"
)]

use phalanx_core::registry::value::Number;
use proptest::prelude::*;

fn same(text: &str) -> Result<(), TestCaseError> {
    let expected: f64 = text.parse().expect("a decimal number");
    match text.parse::<Number>() {
        Ok(number) => prop_assert_eq!(number.to_bits(), expected.to_bits(), "{}", text),
        Err(error) => prop_assert!(expected.is_infinite(), "{}: {}", text, error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decimal_text_is_read_as_by_the_standard_library(
        text in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?",
    ) {
        same(&text)?;
    }

    #[test]
    fn exact_text_of_any_number_is_read_back(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        same(&format!("{number:e}"))?;
        // Halfway cases and their neighbours have long texts.
        let exact = format!("{number:.60e}");
        same(&exact)?;
    }

    #[test]
    fn a_printed_number_is_as_short_as_that_of_the_standard_library(bits in any::<u64>()) {
        let (number, expected) = (Number::from_bits(bits), f64::from_bits(bits));
        prop_assume!(expected.is_finite());
        let printed = number.to_string();
        prop_assert_eq!(printed.parse::<Number>(), Ok(number));
        let significant = |text: &str| -> usize {
            let digits = text.split('e').next().unwrap_or_default();
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len()
        };
        prop_assert_eq!(significant(&printed), significant(&format!("{expected:e}")), "{}", printed);
    }

    #[test]
    fn comparison_is_that_of_the_standard_library(one in any::<u64>(), two in any::<u64>()) {
        let expected = f64::from_bits(one).partial_cmp(&f64::from_bits(two));
        prop_assert_eq!(Number::from_bits(one).compare(Number::from_bits(two)), expected);
    }

    #[test]
    fn integers_are_rounded_as_by_the_standard_library(value in any::<u64>()) {
        prop_assert_eq!(Number::from_integer(value).to_bits(), (value as f64).to_bits());
    }
}
