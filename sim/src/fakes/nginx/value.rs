//! Numbers, sizes and times as nginx writes them, and the names of variables in a text.

use core::time::Duration;

/// A decimal number.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A size in bytes: a number, optionally followed by `k`, `m` or `g`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(scale)
}

/// A time: numbers with units from `w` to `ms` in descending order; a number without a unit is in seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 6] = [
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut least) = (text, 0_u64, 0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(rest.len());
        let value = number(&rest[..end])?;
        rest = &rest[end..];
        let unit_end = rest
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = if unit_end == 0 {
            "s"
        } else {
            &rest[..unit_end]
        };
        rest = &rest[unit_end..];
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        if at < least {
            return None;
        }
        least = at + 1;
        total = total.checked_add(value.checked_mul(UNITS[at].1)?)?;
    }
    Some(Duration::from_millis(total))
}

/// A part of a text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Literal characters.
    Text(String),
    /// A variable's name.
    Variable(String),
}

/// Splits a text into literal characters and variables (`$name`, `${name}`).
///
/// # Errors
/// The error is the text of nginx's message.
pub(super) fn interpolated(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_owned()));
        }
        rest = &rest[at + 1..];
        let braced = rest.starts_with('{');
        if braced {
            rest = &rest[1..];
        }
        let end = rest
            .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        if braced {
            rest = rest
                .strip_prefix('}')
                .ok_or_else(|| format!("the closing bracket in \"{name}\" variable is missing"))?;
        }
        if name.is_empty() {
            return Err("invalid variable name".to_owned());
        }
        parts.push(Part::Variable(name.to_owned()));
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(size("64k"), Some(65_536));
        assert_eq!(size("1x"), None);
        assert_eq!(time("10"), Some(Duration::from_secs(10)));
        assert_eq!(time("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "1x", "s", "1s1h"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn variables_are_found_in_a_text() {
        let parts = interpolated("a $pid-${host}b").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        let variable = |name: &str| Part::Variable(name.to_owned());
        let expected = [
            text("a "),
            variable("pid"),
            text("-"),
            variable("host"),
            text("b"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(interpolated("$ "), Err("invalid variable name".to_owned()));
    }
}
