//! Binary64 numbers of IEEE 754 (the `double` of Protocol Buffers), handled by integer arithmetic alone.
//!
//! Decimal text is rounded to the nearest number, ties to even. A number is printed with the fewest digits from which
//! it is read back.

use super::natural::Natural;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// Maximum length of a number as text, in bytes.
pub const NUMBER_TEXT_MAX: usize = 400;

const SIGN: u64 = 1 << 63;
const INFINITY: u64 = 0x7FF << 52;
const NAN: u64 = INFINITY | 1 << 51;
/// The bit above the stored bits of a normal number's significand.
const IMPLICIT: u64 = 1 << 52;
/// The exponent of the smallest normal number.
const NORMAL_MIN: i64 = -1022;

/// A number. All encodings of "not a number" are one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number {
    bits: u64,
}

/// Reason why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// The text does not have the form `-12.5e3`.
    Form,
    /// The text has more than [`NUMBER_TEXT_MAX`] bytes.
    TooLong,
    /// The number is greater than the greatest finite number.
    OutOfRange,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "is not a valid number",
            Self::TooLong => "has too many digits",
            Self::OutOfRange => "is out of the range of a 64-bit floating-point number",
        })
    }
}

impl core::error::Error for NumberError {}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { bits: 0 };

    /// The number of this encoding.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        if bits & !SIGN > INFINITY {
            Self { bits: NAN }
        } else {
            Self { bits }
        }
    }

    /// The encoding.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.bits
    }

    /// The number that is nearest to an integer; equal to it below 2^53.
    #[must_use]
    pub fn from_integer(value: u64) -> Self {
        let bits = round_ratio(Natural::new(value), Natural::new(1));
        Self {
            bits: bits.unwrap_or(INFINITY),
        }
    }

    /// The number as an integer, if it is one that is not negative and below 2^63.
    #[must_use]
    pub const fn as_integer(self) -> Option<u64> {
        if self.bits & !SIGN == 0 {
            return Some(0);
        }
        let (significand, exponent) = self.parts();
        if self.is_negative() || exponent > 10 || exponent < -52 {
            return None;
        }
        if exponent >= 0 {
            return Some(significand << exponent);
        }
        let drop = exponent.unsigned_abs();
        if significand & ((1 << drop) - 1) == 0 {
            Some(significand >> drop)
        } else {
            None
        }
    }

    /// Whether the value is "not a number".
    #[must_use]
    pub const fn is_nan(self) -> bool {
        self.bits == NAN
    }

    /// Whether the number is neither infinite nor "not a number".
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.bits & !SIGN < INFINITY
    }

    const fn is_negative(self) -> bool {
        self.bits & SIGN != 0
    }

    /// Compares as IEEE 754 does: the two zeros are equal, and "not a number" has no order.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        let key = |number: Self| {
            let magnitude = (number.bits & !SIGN).cast_signed();
            if number.is_negative() {
                -magnitude
            } else {
                magnitude
            }
        };
        (!self.is_nan() && !other.is_nan()).then(|| key(self).cmp(&key(other)))
    }

    /// The significand and the exponent: the magnitude is `significand * 2^exponent`.
    const fn parts(self) -> (u64, i64) {
        let stored = (self.bits & !SIGN) >> 52;
        let fraction = self.bits & (IMPLICIT - 1);
        if stored == 0 {
            (fraction, NORMAL_MIN - 52)
        } else {
            (fraction | IMPLICIT, stored.cast_signed() - 1075)
        }
    }
}

/// The number nearest to a ratio, ties to even; none if it is not finite.
fn round_ratio(mut numerator: Natural, mut denominator: Natural) -> Option<u64> {
    if numerator.is_zero() {
        return Some(0);
    }
    // The quotient gets 55 or 56 bits.
    let shift = 55 + denominator.bits() as i64 - numerator.bits() as i64;
    let by = usize::try_from(shift.unsigned_abs()).ok()?;
    if shift >= 0 {
        numerator.shift_left(by);
    } else {
        denominator.shift_left(by);
    }
    let quotient = numerator.quotient(&denominator);
    let rest_is_zero = numerator.is_zero();
    let bits = 64 - i64::from(quotient.leading_zeros());
    let exponent = bits - 1 - shift;
    let is_normal = exponent >= NORMAL_MIN;
    let precision = if is_normal {
        53
    } else {
        53 - (NORMAL_MIN - exponent)
    };
    let drop = bits - precision;
    if drop > 60 {
        return Some(0);
    }
    let (kept, dropped) = (quotient >> drop, quotient & ((1 << drop) - 1));
    let half = 1 << (drop - 1);
    let up = match dropped.cmp(&half) {
        Ordering::Less => false,
        Ordering::Equal => !rest_is_zero || kept & 1 == 1,
        Ordering::Greater => true,
    };
    let significand = kept + u64::from(up);
    let encoded = if is_normal {
        let stored = u64::try_from(exponent - NORMAL_MIN + 1).ok()?;
        // A significand that was rounded up to the next power of two increments the exponent.
        (stored << 52).checked_add(significand - IMPLICIT)?
    } else {
        significand
    };
    (exponent <= 1023 && encoded < INFINITY).then_some(encoded)
}

/// The magnitude of the number nearest to `digits * 10^exponent`; none if it is not finite.
fn round_decimal(digits: &[u8], exponent: i64) -> Option<u64> {
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[leading..];
    let magnitude = digits.len() as i64 + exponent;
    if digits.is_empty() || magnitude < -330 {
        return Some(0);
    }
    if magnitude > 310 {
        return None;
    }
    let (mut numerator, mut denominator) = (Natural::new(0), Natural::new(1));
    for digit in digits {
        numerator.multiply_add(10, u32::from(*digit));
    }
    let power = usize::try_from(exponent.unsigned_abs()).ok()?;
    if exponent >= 0 {
        numerator.multiply_power(10, power);
    } else {
        denominator.multiply_power(10, power);
    }
    round_ratio(numerator, denominator)
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.len() > NUMBER_TEXT_MAX {
            return Err(NumberError::TooLong);
        }
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (SIGN, rest),
            None => (0, text),
        };
        let (significand, exponent) = match rest.split_once(['e', 'E']) {
            Some((significand, exponent)) => (significand, exponent_of(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match significand.split_once('.') {
            Some((_, "")) => return Err(NumberError::Form),
            Some(parts) => parts,
            None => (significand, ""),
        };
        let is_decimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_decimal(whole) || !is_decimal(fraction) {
            return Err(NumberError::Form);
        }
        let digits = whole.bytes().chain(fraction.bytes());
        let digits: Vec<u8> = digits.map(|digit| digit - b'0').collect();
        let magnitude = round_decimal(&digits, exponent - fraction.len() as i64);
        let magnitude = magnitude.ok_or(NumberError::OutOfRange)?;
        Ok(Self {
            bits: sign | magnitude,
        })
    }
}

/// An exponent; a long one is cut to a value that is out of range as well.
fn exponent_of(text: &str) -> Result<i64, NumberError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Form);
    }
    let magnitude = digits.bytes().fold(0_i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(1_000_000)
    });
    Ok(if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

/// The digits rounded to `length` places, without zeros at the end, and the change of the decimal point.
fn rounded(digits: &[u8], length: usize) -> (Vec<u8>, i64) {
    let mut kept: Vec<u8> = digits.iter().take(length).copied().collect();
    let mut point = 0;
    if digits.get(length).is_some_and(|next| *next >= 5) {
        while kept.last() == Some(&9) {
            kept.pop();
        }
        match kept.last_mut() {
            Some(last) => *last += 1,
            None => {
                kept.push(1);
                point = 1;
            }
        }
    }
    while kept.last() == Some(&0) {
        kept.pop();
    }
    (kept, point)
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nan() {
            return f.write_str("NaN");
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        if !self.is_finite() {
            return f.write_str("Infinity");
        }
        let (significand, exponent) = self.parts();
        let mut exact = Natural::new(significand);
        let power = exponent.unsigned_abs() as usize;
        let mut scale = 0;
        if exponent >= 0 {
            exact.shift_left(power);
        } else {
            exact.multiply_power(5, power);
            scale = exponent;
        }
        let digits = exact.digits();
        let point = digits.len() as i64 + scale;
        let shortest = (1..=17).map(|length| rounded(&digits, length)).find(|it| {
            let exponent = point + it.1 - it.0.len() as i64;
            round_decimal(&it.0, exponent) == Some(self.bits & !SIGN)
        });
        let (digits, carried) = shortest.unwrap_or((digits, 0));
        write_decimal(f, &digits, point + carried)
    }
}

/// Writes `0.DIGITS * 10^point`.
fn write_decimal(f: &mut fmt::Formatter<'_>, digits: &[u8], point: i64) -> fmt::Result {
    let text: String = digits
        .iter()
        .map(|digit| char::from(b'0' + digit))
        .collect();
    let length = text.len() as i64;
    match usize::try_from(point) {
        _ if text.is_empty() => f.write_str("0"),
        Ok(0) => write!(f, "0.{text}"),
        Ok(whole) if point < length => write!(f, "{}.{}", &text[..whole], &text[whole..]),
        Ok(whole) if whole <= 21 => write!(f, "{text:0<whole$}"),
        Err(_) if point > -6 => {
            let zeros = point.unsigned_abs() as usize;
            write!(f, "0.{:0<zeros$}{text}", "")
        }
        Ok(_) | Err(_) => {
            let (first, rest) = text.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            write!(f, "{first}{dot}{rest}e{}", point - 1)
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn decimal_text_is_read_exactly() {
        assert_eq!(number("1").to_bits(), 0x3FF0_0000_0000_0000);
        assert_eq!(number("-2.5").to_bits(), 0xC004_0000_0000_0000);
        assert_eq!(number("0.1").to_bits(), 0x3FB9_9999_9999_999A);
        assert_eq!(number("5e-324").to_bits(), 1);
        assert_eq!(number("2e-324").to_bits(), 0);
        assert_eq!(number("1.7976931348623157e308").to_bits(), INFINITY - 1);
        assert_eq!(number("9007199254740993").to_bits(), 0x4340_0000_0000_0000);
    }

    #[test]
    fn text_that_is_not_a_number_is_an_error() {
        for text in [
            "", "-", "1.", ".5", "1e", "0x1", "1_0", "NaN", "+1", "1e+-2",
        ] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::Form), "{text}");
        }
        assert_eq!("1e309".parse::<Number>(), Err(NumberError::OutOfRange));
        let long = "1".repeat(NUMBER_TEXT_MAX + 1);
        assert_eq!(long.parse::<Number>(), Err(NumberError::TooLong));
    }

    #[test]
    fn a_number_is_printed_with_the_fewest_digits() {
        for text in [
            "0",
            "-0",
            "1",
            "-2.5",
            "0.1",
            "100",
            "0.000001",
            "1e-7",
            "5e-324",
            "123456.789",
            "1e22",
            "1.5e300",
            "9007199254740992",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(Number::from_bits(u64::MAX).to_string(), "NaN");
        assert_eq!(Number::from_bits(INFINITY | SIGN).to_string(), "-Infinity");
    }

    #[test]
    fn order_and_equality_follow_ieee_754() {
        let nan = Number::from_bits(NAN | 7);
        assert_eq!(number("-0").compare(number("0")), Some(Ordering::Equal));
        assert_eq!(number("-1").compare(number("1e-9")), Some(Ordering::Less));
        assert_eq!(nan.compare(nan), None);
        assert_eq!(nan, Number::from_bits(NAN));
    }

    #[test]
    fn whole_numbers_are_integers() {
        for value in [0, 1, 7, 1 << 53, 1 << 62] {
            assert_eq!(Number::from_integer(value).as_integer(), Some(value));
        }
        for text in ["0.5", "-1", "1e300"] {
            assert_eq!(number(text).as_integer(), None);
        }
        assert_eq!(number("-0").as_integer(), Some(0));
    }
}
