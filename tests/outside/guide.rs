//! The code in docs/your-own-machine.md is the example's own.
//!
//! A line `<!-- FILE: PART -->` in the guide is followed by what stands in FILE between `guide: PART` and `guide: end`;
//! `<!-- FILE -->` by the whole file. `PHALANX_GOLDEN=write` puts it there.

use phalanx_tests::repository;
use std::path::Path;

/// The lines of a part, moved to the left.
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

/// What belongs below a line of the guide, if the line asks for something.
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

/// The guide with its code.
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
        // What stood there before.
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
    let guide = std::fs::read_to_string(&path).expect("there is a guide");
    let (filled, parts) = filled(&root, &guide);
    assert!(parts >= 8, "{parts} parts");
    if std::env::var_os("PHALANX_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, filled).expect("the guide can be written");
        return;
    }
    assert!(
        guide == filled,
        "docs/your-own-machine.md shows other code than sim/examples/election has; run \
         `PHALANX_GOLDEN=write cargo test -p phalanx-tests --test outside guide`"
    );
}
