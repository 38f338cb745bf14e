//! The head of small scenarios that fail, and checks of the texts that explain the failure.

/// A scenario without nodes, steps and expectations, with this recovery.
macro_rules! head {
    ($recovery:literal) => {
        concat!(
            "\nscenario = 1\nname = \"explained\"\nabout = \"A failure.\"\nengines = [\"model\"]\nduration = \"30s\"\nrecovery = \"",
            $recovery,
            "\"\n"
        )
    };
}
pub(crate) use head;

/// The line of a step in a scenario, which is `text` after the head.
pub(crate) fn line_of(text: &str, step: &str) -> usize {
    let text = format!("{}{text}", head!("30s"));
    let place = text.find(step).unwrap();
    let header = text[..place].rfind("[[at]]").unwrap();
    text[..header].lines().count() + 1
}

#[track_caller]
pub(crate) fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}
