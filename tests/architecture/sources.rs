//! Tests of required and forbidden content of the sources.

use phalanx_tests::repository;
use std::path::{Path, PathBuf};

/// Maximum length of a file, in lines; a longer file contains a second concept.
const LINES_MAX: usize = 800;

/// Words that only occur in code that has side effects or is not reproducible.
const IMPURE: &[&str] = &[
    "tokio",
    "async",
    "await",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "std::io",
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
    "thread_rng",
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "dbg!",
    "Mutex",
    "RwLock",
    "RefCell",
    "unsafe",
    "f32",
    "f64",
];

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                rust_files(&path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Returns every source file below these directories, with its path in the repository and its text.
pub(super) fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let top = repository();
    let mut paths = Vec::new();
    for folder in folders {
        rust_files(&top.join(folder), &mut paths);
    }
    assert!(!paths.is_empty(), "no source file under {folders:?}");
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path
                .strip_prefix(&top)
                .unwrap_or(&path)
                .display()
                .to_string();
            (name, text)
        })
        .collect()
}

const EVERYWHERE: &[&str] = &["core", "net", "sim", "bins", "tests"];

/// Returns the line without its comment and without the content of its string literals.
fn code_of(line: &str) -> String {
    let (mut code, mut in_string, mut escaped) = (String::new(), false, false);
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '/' if rest.peek() == Some(&'/') => break,
            '"' => in_string = true,
            _ => code.push(character),
        }
    }
    code
}

/// Returns whether `word` occurs in `code` as a whole word.
fn has_word(code: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && (word.ends_with('!') || !after.is_some_and(is_name))
    })
}

#[test]
fn core_has_no_side_effects_and_no_nondeterminism() {
    let mut found = Vec::new();
    for (name, text) in sources(&["core/src"]) {
        for (at, line) in text.lines().enumerate() {
            let code = code_of(line);
            for word in IMPURE.iter().filter(|word| has_word(&code, word)) {
                found.push(format!("{name}:{}: {word}", at + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "core may not have side effects; move these to net:\n{}",
        found.join("\n")
    );
}

#[test]
fn code_of_removes_comments_and_strings() {
    assert_eq!(code_of("let a = 1; // HashMap"), "let a = 1; ");
    assert_eq!(code_of(r#"say("a \" // b", HashMap)"#), "say(, HashMap)");
    assert!(has_word("let a: HashMap<u8>", "HashMap"));
    assert!(!has_word("let a: MyHashMapLike", "HashMap"));
    assert!(!has_word("eprintln!()", "println!"));
    assert!(has_word("x.await?", "await"));
}

#[test]
fn every_file_begins_with_a_module_comment() {
    let silent: Vec<String> = sources(EVERYWHERE)
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not begin with a `//!` sentence:\n{}",
        silent.join("\n")
    );
}

#[test]
fn every_open_task_has_a_reason() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let mut found = Vec::new();
    for (name, text) in sources(EVERYWHERE) {
        for (at, line) in text.lines().enumerate() {
            let reasoned = |mark: &str| {
                let (_, rest) = line.split_once(mark).unwrap_or_default();
                rest.trim_start_matches([':', ' '])
                    .split_whitespace()
                    .count()
                    >= 4
            };
            if marks
                .iter()
                .any(|mark| has_word(line, mark) && !reasoned(mark))
            {
                found.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "state after the mark what is missing and why:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_test_is_skipped_and_no_code_is_unfinished() {
    let open = [
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("#[ig", "nore"),
    ];
    let mut found = Vec::new();
    for (name, text) in sources(EVERYWHERE) {
        for (at, line) in text.lines().enumerate() {
            let code = code_of(line);
            if open.iter().any(|word| code.contains(word)) {
                found.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "finish or remove these:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let long: Vec<String> = sources(EVERYWHERE)
        .into_iter()
        .map(|(name, text)| (text.lines().count(), name))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, name)| format!("{name}: {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "these files have more than {LINES_MAX} lines; split them by concept:\n{}",
        long.join("\n")
    );
}

#[test]
fn no_file_has_a_vague_name() {
    let vague = [
        "utils.rs",
        "util.rs",
        "common.rs",
        "helpers.rs",
        "helper.rs",
        "types.rs",
        "manager.rs",
        "misc.rs",
    ];
    for (name, _) in sources(EVERYWHERE) {
        let file = name.rsplit('/').next().unwrap_or(&name);
        assert!(
            !vague.contains(&file),
            "{name}: name the file after its concept"
        );
    }
}

/// The folders of the simulator that serve every system alike.
const OF_EVERY_SYSTEM: &[&str] = &[
    "sim/src/scenario",
    "sim/src/model",
    "sim/src/judge",
    "sim/src/search",
    "sim/src/shrink",
    "sim/src/report",
];

/// The machines of the mesh, which only the mesh's own program knows.
const OF_THE_MESH: &[&str] = &["core::gossip", "core::topology", "core::channel"];

#[test]
fn generic_modules_import_no_machine_of_the_mesh() {
    for (name, text) in sources(OF_EVERY_SYSTEM) {
        for (number, line) in text.lines().enumerate() {
            let found = OF_THE_MESH.iter().find(|path| line.contains(**path));
            assert!(
                found.is_none(),
                "{name}:{}: `{}` belongs to a program; bring it by the tables of `Words`, in sim/src/mesh",
                number + 1,
                line.trim()
            );
        }
    }
}
