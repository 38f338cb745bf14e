//! Suggests the nearest known word for an unknown one.

/// Returns the word nearest to `word`, if the distance is small enough for a typing error.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + word.chars().count() / 3;
    words
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(word, candidate);
            // Of several equally near words, a word of the same length is more likely to be the intended one.
            (distance, word.len().abs_diff(candidate.len()), candidate)
        })
        .filter(|(distance, ..)| *distance <= allowed)
        .min()
        .map(|(.., candidate)| candidate)
}

/// Returns "; did you mean `x`?", or all words if none is near and the list is short.
#[must_use]
pub fn suggestion<'a>(word: &str, words: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, words.clone()) {
        return format!("; did you mean `{near}`?");
    }
    let all: Vec<&str> = words.into_iter().take(40).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("; there is {}", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(
            nearest("partion", ["partition", "pause"]),
            Some("partition")
        );
        assert_eq!(nearest("zebra", ["partition", "pause"]), None);
        assert_eq!(nearest("n4", ["n", "n1"]), Some("n1"));
    }
}
