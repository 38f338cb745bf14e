//! Parses and formats quantities: durations, shares, rates.

use super::network::{Latency, LinkSetting};
use core::time::Duration;

/// The largest packet that every network is guaranteed to pass, in bytes (RFC 791).
const MTU_MIN: u32 = 68;
/// The maximum size of an IP packet, in bytes.
const MTU_MAX: u32 = 65_535;

/// Parses a duration such as `250ms`, `3s`, `1.5s`, `2min`, `1h`.
///
/// # Errors
/// The error describes the notation.
pub fn duration(text: &str) -> Result<Duration, String> {
    let how = || {
        format!(
            "`{text}` is not a valid duration; write a number with ns, us, ms, s, min or h, such as 250ms"
        )
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(how)?;
    let (number, unit) = text.split_at(split);
    let unit: u64 = match unit.trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(how()),
    };
    scaled(number, unit)
        .map(Duration::from_nanos)
        .ok_or_else(how)
}

/// Parses a duration greater than zero.
///
/// # Errors
/// The error describes the notation.
pub fn positive(text: &str) -> Result<Duration, String> {
    let found = duration(text)?;
    if found.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(found)
}

/// Parses a latency: `1ms`, `1ms..5ms`, `exponential 5ms from 1ms`, `log-normal 5ms p99 80ms`.
///
/// # Errors
/// The error describes the notation.
pub fn latency(text: &str) -> Result<Latency, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["exponential", mean] => Ok(Latency::Exponential {
            least: Duration::ZERO,
            mean: duration(mean)?,
        }),
        ["exponential", mean, "from", least] => Ok(Latency::Exponential {
            least: duration(least)?,
            mean: duration(mean)?,
        }),
        ["log-normal", median, "p99", p99] => {
            let (median, p99) = (positive(median)?, duration(p99)?);
            if p99 < median {
                return Err(format!(
                    "in `{text}` the 99th percentile is below the median"
                ));
            }
            Ok(Latency::LogNormal { median, p99 })
        }
        [one] => match one.split_once("..") {
            None => Ok(Latency::Constant(duration(one)?)),
            Some((least, most)) => {
                let (least, most) = (duration(least)?, duration(most)?);
                if most < least {
                    return Err(format!("in `{text}` the longest is below the shortest"));
                }
                Ok(Latency::Uniform(least, most))
            }
        },
        _ => Err(format!(
            "`{text}` is not a valid latency; write 1ms, 1ms..5ms, exponential 5ms from 1ms, or log-normal 5ms p99 80ms"
        )),
    }
}

/// Formats a latency in the notation of files.
#[must_use]
pub fn show_latency(latency: Latency) -> String {
    match latency {
        Latency::Constant(time) => short(time),
        Latency::Uniform(least, most) => format!("{}..{}", short(least), short(most)),
        Latency::Exponential { least, mean } => {
            format!("exponential {} from {}", short(mean), short(least))
        }
        Latency::LogNormal { median, p99 } => {
            format!("log-normal {} p99 {}", short(median), short(p99))
        }
    }
}

/// Formats the value of a property of links in the notation of files.
#[must_use]
pub fn show_link_setting(setting: &LinkSetting) -> String {
    match setting {
        LinkSetting::Latency(latency) => show_latency(*latency),
        LinkSetting::Loss(ppm) | LinkSetting::Duplicate(ppm) | LinkSetting::Corrupt(ppm) => {
            show_share(*ppm)
        }
        LinkSetting::Bandwidth(rate) => show_rate(*rate),
        LinkSetting::Mtu(bytes) => format!("{bytes}B"),
    }
}

/// Formats a duration in the largest unit in which it is a whole number.
#[must_use]
pub fn short(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let unit = units
        .into_iter()
        .find(|(_, unit)| nanos.is_multiple_of(*unit));
    let (word, unit) = unit.unwrap_or(("ns", 1));
    format!("{}{word}", nanos / unit)
}

/// Formats a share in the notation of files, without loss of precision.
#[must_use]
pub fn show_share(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    if rest == 0 {
        return format!("{whole}%");
    }
    let fraction = format!("{rest:04}");
    format!("{whole}.{}%", fraction.trim_end_matches('0'))
}

/// Formats a rate in the notation of files.
#[must_use]
pub fn show_rate(bits: u64) -> String {
    let kilobits = bits / 1_000;
    let units = [("Gbit", 1_000_000), ("Mbit", 1_000), ("kbit", 1)];
    let unit = units
        .into_iter()
        .find(|(_, unit)| kilobits.is_multiple_of(*unit));
    let (word, unit) = unit.unwrap_or(("kbit", 1));
    format!("{}{word}", kilobits / unit)
}

/// Parses a signed duration: `-3s`, `+250ms`, `1s`. Returns nanoseconds.
///
/// # Errors
/// The error describes the notation.
pub fn signed_duration(text: &str) -> Result<i64, String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanos = duration(rest)?.as_nanos();
    i64::try_from(nanos)
        .map(|nanos| sign * nanos)
        .map_err(|_| format!("`{text}` is too long"))
}

/// Parses a share such as `25%` or `0.5%`. Returns parts per million.
///
/// # Errors
/// The error describes the notation.
pub fn share(text: &str) -> Result<u32, String> {
    let how = || format!("`{text}` is not a valid share; write 0% to 100%, such as 25%");
    let number = text.strip_suffix('%').ok_or_else(how)?;
    let ppm = scaled(number.trim(), 10_000).ok_or_else(how)?;
    u32::try_from(ppm)
        .ok()
        .filter(|ppm| *ppm <= 1_000_000)
        .ok_or_else(how)
}

/// Parses the size of a packet, such as `1200B`.
///
/// # Errors
/// The error describes the notation.
pub fn packet_size(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('B').map(str::trim_end);
    let bytes = number.and_then(|number| number.parse().ok());
    bytes
        .filter(|bytes| (MTU_MIN..=MTU_MAX).contains(bytes))
        .ok_or_else(|| {
            format!("`{text}` is not the size of a packet; write {MTU_MIN}B to {MTU_MAX}B, such as 1200B")
        })
}

/// Parses a rate such as `10Mbit`, `1Gbit`, `512kbit`. Returns bits per second.
///
/// # Errors
/// The error describes the notation.
pub fn rate(text: &str) -> Result<u64, String> {
    let how = || {
        format!(
            "`{text}` is not a valid rate; write a number with kbit, Mbit or Gbit, such as 100Mbit"
        )
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(how)?;
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim() {
        "kbit" => 1_000,
        "Mbit" => 1_000_000,
        "Gbit" => 1_000_000_000,
        _ => return Err(how()),
    };
    scaled(number, unit)
        .filter(|rate| *rate > 0)
        .ok_or_else(how)
}

/// Computes `number * unit` for a decimal number with integer arithmetic, rounded down.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let mut part = 0;
    let mut place = 1_u64;
    for digit in fraction.bytes() {
        place *= 10;
        part += u128::from(unit) * u128::from(digit - b'0') / u128::from(place);
    }
    whole
        .checked_mul(unit)?
        .checked_add(u64::try_from(part).ok()?)
}

/// Formats a duration in the notation of files, without loss of precision.
#[must_use]
pub fn show(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 {
        return format!("{whole}s");
    }
    let fraction = format!("{rest:09}");
    format!("{whole}.{}s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert_eq!(signed_duration("-3s"), Ok(-3_000_000_000));
        assert_eq!(share("2.5%"), Ok(25_000));
        assert_eq!(rate("10Mbit"), Ok(10_000_000));
        assert_eq!(show(Duration::from_millis(1_250)), "1.25s");
        assert_eq!(short(Duration::from_millis(1_250)), "1250ms");
        assert_eq!(
            (show_share(25_000), show_share(1)),
            ("2.5%".to_owned(), "0.0001%".to_owned())
        );
        assert_eq!(show_rate(1_500_000_000), "1500Mbit");
    }

    #[test]
    fn a_latency_reads_as_it_is_shown() {
        for text in [
            "1ms",
            "1ms..5ms",
            "exponential 5ms from 1ms",
            "log-normal 5ms p99 80ms",
        ] {
            assert_eq!(latency(text).map(show_latency).as_deref(), Ok(text));
        }
    }

    #[test]
    fn wrong_quantities_are_reported_with_their_syntax() {
        for text in ["", "5", "s", "5 parsecs", "1..5s", "99999999999999h"] {
            assert!(duration(text).unwrap_err().contains("250ms"), "{text}");
        }
        assert!(share("110%").is_err() && share("5").is_err());
        assert_eq!(packet_size("1200B"), Ok(1_200));
        assert!(packet_size("12B").is_err() && packet_size("1200").is_err());
        assert!(rate("0Mbit").is_err() && rate("fast").is_err());
        assert!(
            latency("5ms..1ms").is_err()
                && latency("pareto 5ms").unwrap_err().contains("log-normal")
        );
    }
}
