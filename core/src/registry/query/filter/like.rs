//! Matching of LIKE patterns: `%` stands for any text, `_` for any character, and `\` makes the next character plain.

/// One element of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Plain(char),
    AnyCharacter,
    AnyText,
}

fn elements(pattern: &str) -> Vec<Element> {
    let (mut elements, mut characters) = (Vec::new(), pattern.chars());
    while let Some(character) = characters.next() {
        elements.push(match character {
            '%' => Element::AnyText,
            '_' => Element::AnyCharacter,
            '\\' => Element::Plain(characters.next().unwrap_or('\\')),
            _ => Element::Plain(character),
        });
    }
    elements
}

/// Whether the whole text matches, with regard to case. Takes time proportional to the product of both lengths at
/// worst: the latest `%` alone is tried at other positions.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, _) = (text.chars().collect(), elements(pattern));
    let (mut at, mut element) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        match pattern.get(element) {
            Some(Element::AnyText) => {
                element += 1;
                retry = Some((element, at));
                continue;
            }
            Some(Element::AnyCharacter) => {
                at += 1;
                element += 1;
                continue;
            }
            Some(Element::Plain(plain)) if *plain == text[at] => {
                at += 1;
                element += 1;
                continue;
            }
            Some(Element::Plain(_)) | None => {}
        }
        let Some((after, from)) = retry else {
            return false;
        };
        (element, at) = (after, from + 1);
        retry = Some((after, from + 1));
    }
    pattern[element..].iter().all(|it| *it == Element::AnyText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, without regard to time.
    fn defined(text: &[char], pattern: &[Element]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((Element::AnyText, rest)) => {
                (0..=text.len()).any(|skipped| defined(&text[skipped..], rest))
            }
            Some((Element::AnyCharacter, rest)) => !text.is_empty() && defined(&text[1..], rest),
            Some((Element::Plain(plain), rest)) => {
                text.first() == Some(plain) && defined(&text[1..], rest)
            }
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(text in "[abé%]{0,8}", pattern in "[abé%_\\\\]{0,6}") {
            let characters: Vec<char> = text.chars().collect();
            prop_assert_eq!(is_like(&text, &pattern), defined(&characters, &elements(&pattern)));
        }
    }

    #[test]
    fn wildcards_match_and_escapes_do_not() {
        for (text, pattern, expected) in [
            ("shop.example", "shop.%", true),
            ("shop", "SHOP", false),
            ("héllo", "h_llo", true),
            ("100%", "100\\%", true),
            ("100x", "100\\%", false),
            ("", "%", true),
            ("ab", "a", false),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_bounded_time() {
        let (text, pattern) = ("a".repeat(20_000), "%a".repeat(2_000) + "b");
        assert!(!is_like(&text, &pattern));
    }
}
