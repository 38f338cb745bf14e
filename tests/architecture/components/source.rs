//! Source text of one folder: structs with their fields, `impl` blocks, and signatures of functions.

use phalanx_tests::repository;
use std::collections::{BTreeMap, BTreeSet};

/// The source of one file without comments and tests.
pub(super) struct Source {
    /// The path of the file within the folder.
    pub(super) name: String,
    pub(super) code: String,
}

/// A struct with named fields, as written.
pub(super) struct Struct {
    /// The file of the struct.
    pub(super) file: String,
    /// Each field: its visibility, its name, and its type.
    pub(super) fields: Vec<(String, String, String)>,
    /// Whether the struct is private to its file.
    pub(super) private: bool,
    /// Whether a method of the struct takes `&mut self`.
    pub(super) stateful: bool,
    /// Whether the struct is a plain value, which can be cloned.
    pub(super) is_value: bool,
    /// The files with `impl` blocks of the struct, except those of traits.
    pub(super) implemented_in: BTreeSet<String>,
}

/// The signature of a function.
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) is_method: bool,
    pub(super) parameters: String,
    pub(super) returns: String,
}

/// Reads the sources of a folder.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let top = repository().join(folder);
    let (mut found, mut folders) = (Vec::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a source folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "tests") {
                    folders.push(path);
                }
                continue;
            }
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file can be read");
            let text = text.split("#[cfg(test)]\nmod tests {").next();
            let lines = text.unwrap_or_default().lines();
            let code = lines.map(|line| line.split("//").next().unwrap_or_default());
            let name = path.strip_prefix(&top).expect("it is below the folder");
            found.push(Source {
                name: name.display().to_string(),
                code: code.collect::<Vec<_>>().join("\n"),
            });
        }
    }
    found
}

/// Splits a text into its words.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    text.split(move |it| !is_part(it))
        .filter(|word| !word.is_empty())
}

/// The text up to the bracket that closes the bracket before the text.
fn inner(code: &str) -> &str {
    let mut depth = 1;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    code
}

/// An `impl` block.
pub(super) struct Impl<'a> {
    /// The type that is implemented.
    pub(super) of: &'a str,
    pub(super) is_of_trait: bool,
    pub(super) body: &'a str,
}

/// The `impl` blocks of a file.
pub(super) fn impls(code: &str) -> Vec<Impl<'_>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("impl") {
        let starts_line = code[..at].ends_with('\n') || at == 0;
        let rest = &code[at + "impl".len()..];
        if !starts_line || !rest.starts_with([' ', '<']) {
            continue;
        }
        let head = rest.split('{').next().unwrap_or_default();
        let target = head.rsplit(" for ").next().unwrap_or_default();
        // The parameters of `impl<'a> X<'a>` come before the type.
        let target = match target.strip_prefix('<') {
            Some(parameters) => parameters.split_once("> ").map_or("", |(_, rest)| rest),
            None => target,
        };
        found.push(Impl {
            of: words(target).next().unwrap_or_default(),
            is_of_trait: head.contains(" for "),
            body: inner(rest.get(head.len() + 1..).unwrap_or_default()),
        });
    }
    found
}

/// The structs with named fields of a folder, by name.
pub(super) fn structs(sources: &[Source]) -> BTreeMap<String, Struct> {
    let mut found = BTreeMap::new();
    for source in sources {
        for (at, _) in source.code.match_indices("struct ") {
            let rest = &source.code[at + "struct ".len()..];
            let head = rest.split(['{', ';', '(']).next().unwrap_or_default();
            if !rest[head.len()..].starts_with('{') {
                continue;
            }
            let name = words(head).next().unwrap_or_default();
            let lines = inner(&rest[head.len() + 1..]).lines().map(str::trim);
            let fields = lines
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| {
                    let (before, kind) = line.trim_end_matches(',').split_once(": ")?;
                    let (visibility, name) = before.rsplit_once(' ').unwrap_or(("", before));
                    Some((visibility.to_owned(), name.to_owned(), kind.to_owned()))
                });
            let before =
                source.code[..at].trim_end_matches(|it| it != ']' && it != '}' && it != ';');
            let derives = before
                .rsplit("#[derive(")
                .next()
                .filter(|_| before.ends_with(']'));
            let line = source.code[..at].rsplit('\n').next().unwrap_or_default();
            let described = Struct {
                file: source.name.clone(),
                private: !line.contains("pub"),
                fields: fields.collect(),
                stateful: false,
                is_value: derives.is_some_and(|derives| words(derives).any(|word| word == "Clone")),
                implemented_in: BTreeSet::new(),
            };
            found.insert(name.to_owned(), described);
        }
    }
    for source in sources {
        for block in impls(&source.code).into_iter().filter(|it| !it.is_of_trait) {
            if let Some(described) = found.get_mut(block.of) {
                described.stateful |= block.body.contains("&mut self");
                described.implemented_in.insert(source.name.clone());
            }
        }
    }
    found
}

/// The signatures of all functions of a file.
pub(super) fn signatures(code: &str) -> Vec<Signature> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default();
        let rest = &code[at..];
        let Some(open) = rest.find('(') else { continue };
        let parameters = inner(&rest[open + 1..]);
        let after = &rest[open + 1 + parameters.len()..];
        let returns = after.split(['{', ';']).next().unwrap_or_default();
        let first = parameters.trim_start().trim_start_matches("mut ");
        let is_method = ["self", "&self", "&mut self", "&'"]
            .iter()
            .any(|receiver| first.starts_with(receiver));
        found.push(Signature {
            name: words(&rest[3..]).next().unwrap_or_default().to_owned(),
            private: !line.contains("pub"),
            is_method,
            parameters: parameters.to_owned(),
            returns: returns.to_owned(),
        });
    }
    found
}

/// The types behind a `&mut` in a list of parameters.
pub(super) fn changed_types(parameters: &str) -> impl Iterator<Item = &str> {
    let borrowed = parameters.match_indices('&').filter_map(|(at, _)| {
        let rest = &parameters[at + 1..];
        // `&'a mut X` is `&mut X` with a named lifetime.
        let rest = match rest.strip_prefix('\'') {
            Some(named) => named.split_once(' ')?.1,
            None => rest,
        };
        rest.strip_prefix("mut ")
    });
    borrowed.filter_map(|kind| {
        let path = kind.split(['<', ',', ')', ' ']).next()?;
        words(path).last()
    })
}

/// The fields that a file changes by assignment or by taking their value; each field is found as the word before the
/// `=`.
pub(super) fn assigned_fields(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices('=') {
        let after = code[at + 1..].chars().next();
        let before = &code[..at];
        if matches!(after, Some('=' | '>')) || before.ends_with(['=', '!', '<', '>']) {
            continue;
        }
        let target = before.trim_end_matches(['+', '-', '*', '/', '|', '&', '^', ' ', '\n']);
        // `field[index] = ..` changes the field.
        let target = match target.strip_suffix(']') {
            Some(indexed) => indexed.rsplit_once('[').map_or("", |(list, _)| list),
            None => target,
        };
        let name = words(target).last().unwrap_or_default();
        if target
            .strip_suffix(name)
            .is_some_and(|it| it.ends_with('.'))
        {
            found.insert(name);
        }
    }
    for call in ["take(&mut ", "replace(&mut ", "swap(&mut "] {
        for (at, _) in code.match_indices(call) {
            let rest = &code[at + call.len()..];
            let place = rest.split([',', ')']).next().unwrap_or_default();
            if let Some((_, name)) = place.rsplit_once('.') {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn assignments_and_taken_values_are_found_and_comparisons_are_not() {
    let code = "
        self.one = 1; it.two += 2; self.three[at] |= 4; let four = self.five;
        if self.six == 6 || self.seven <= 7 { mem::take(&mut self.eight) }
        match self.nine { _ => {} }
    ";
    let found: Vec<&str> = assigned_fields(code).into_iter().collect();
    assert_eq!(found, ["eight", "one", "three", "two"]);
}

#[test]
fn structs_impls_and_signatures_are_read() {
    let code = "
#[derive(Clone, Copy)]
pub(super) struct One<'a> {
    pub(super) kept: &'a u64,
}
struct Two {
    list: Vec<u8>,
}
impl<'a> One<'a> {
    fn kept(&self) -> u64 { 0 }
}
impl Two {
    pub(super) fn lend(&mut self, of: &mut Three<'_>, by: &'a mut path::Four) -> &mut u8 { x }
}
impl Iterator for Two {}
";
    let sources = [Source {
        name: "a.rs".to_owned(),
        code: code.to_owned(),
    }];
    let structs = structs(&sources);
    let (one, two) = (&structs["One"], &structs["Two"]);
    assert!(one.is_value && !one.stateful && two.stateful && !two.is_value);
    assert_eq!(one.fields[0].0, "pub(super)");
    let found = signatures(code);
    let lend = &found[1];
    assert!(lend.is_method && !lend.private && lend.name == "lend");
    assert!(found[0].private && lend.returns.contains("&mut"));
    let changed: Vec<&str> = changed_types(&lend.parameters).collect();
    assert_eq!(changed, ["self", "Three", "Four"]);
    assert_eq!(impls(code).iter().filter(|it| it.is_of_trait).count(), 1);
}
