//! Test that the code in docs/your-own-machine.md is the code of the example.
//!
//! In the guide, the code of FILE between `guide: PART` and `guide: end` follows a line `<!-- FILE:
//! PART -->`; a whole file follows `<!-- FILE -->`. `PHALANX_GOLDEN=write` updates the guide.

use phalanx_tests::repository;
use std::path::Path;

/// Returns the lines of a part, with the common indentation removed.
fn part(text: &str, name: &str) -> Option<String> {
    let begin = format!("// guide: {name}");
    let mut lines = text.lines().skip_while(|line| line.trim() != begin);
    lines.next()?;
    let lines: Vec<&str> = lines
        .take_while(|line| line.trim() != "// guide: end")
        .collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let left = full.map(indent).min()?;
    let moved = lines.iter().map(|line| line.get(left..).unwrap_or(""));
    Some(moved.collect::<Vec<_>>().join("\n"))
}

/// Returns the code that must follow a line of the guide, if the line names a file.
fn wanted(root: &Path, line: &str) -> Option<String> {
    let place = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    let (file, name) = match place.split_once(": ") {
        Some((file, name)) => (file, Some(name)),
        None => (place, None),
    };
    let text =
        std::fs::read_to_string(root.join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
    let language = if file.ends_with(".toml") {
        "toml"
    } else {
        "rust"
    };
    let code = match name {
        None => text.trim_end().to_owned(),
        Some(name) => part(&text, name).unwrap_or_else(|| panic!("{file} has no part {name}")),
    };
    Some(format!("```{language}\n{code}\n```"))
}

/// Returns the guide with the current code, and the number of parts.
fn filled(root: &Path, guide: &str) -> (String, usize) {
    let (mut text, mut parts) = (String::new(), 0);
    let mut lines = guide.lines().peekable();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(code) = wanted(root, line) else {
            continue;
        };
        parts += 1;
        text.push_str(&code);
        text.push('\n');
        // Skips the previous code.
        if lines.next_if(|next| next.starts_with("```")).is_some() {
            while lines.next().is_some_and(|line| line != "```") {}
        }
    }
    (text, parts)
}

#[test]
fn the_guide_shows_the_code_of_the_example() {
    let root = repository();
    let path = root.join("docs/your-own-machine.md");
    let guide = std::fs::read_to_string(&path).expect("the guide can be read");
    let (filled, parts) = filled(&root, &guide);
    assert!(parts >= 8, "{parts} parts");
    if std::env::var_os("PHALANX_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, filled).expect("the guide can be written");
        return;
    }
    assert!(
        guide == filled,
        "the code in docs/your-own-machine.md differs from sim/examples/election; run \
         `PHALANX_GOLDEN=write cargo test -p phalanx-tests --test outside guide`"
    );
}
