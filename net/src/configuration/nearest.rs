//! Suggestions for misspelt names.

/// The word nearest to `word`; none if all are far. Nearness is the optimal string alignment distance.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, near) = words
        .into_iter()
        .map(|other| (strsim::osa_distance(word, other), other))
        .min()?;
    (distance <= 1 + word.len() / 4).then_some(near)
}
