//! Import cycles between the modules of a crate.
//!
//! The graph is read from the source text: `use` declarations, and paths that begin with `crate` or `super`; in core
//! also paths that begin with a child module. Test modules are left out. A module is in a cycle if it imports itself,
//! directly or through other modules.

use phalanx_tests::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// For each crate, the paths that count as imports, and the maximum number of modules that may be in cycles.
const IN_CIRCLES_MAX: &[(&str, Paths, usize)] = &[
    ("core/src", Paths::All, 0),
    ("net/src", Paths::Declared, 10),
    ("sim/src", Paths::Declared, 6),
];

/// The paths that count as imports.
#[derive(Clone, Copy, PartialEq)]
enum Paths {
    /// All paths.
    All,
    /// All paths except those that begin with a child module in expressions and types.
    Declared,
}

/// A module, as the path of names from the crate's root.
type Module = Vec<String>;

/// The modules of one crate, and the modules that each imports.
struct Imports {
    paths: Paths,
    modules: BTreeMap<Module, String>,
}

/// The text without comments and without the contents of string and character literals.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(text) = rest.strip_prefix('"') {
            code.push('"');
            1 + end_of_string(text)
        } else if let Some(length) = length_of_character(rest) {
            length
        } else {
            let character = rest.chars().next().unwrap_or(' ');
            code.push(character);
            at += character.len_utf8();
            continue;
        };
        code.push(' ');
        at += skipped;
    }
    code
}

/// The number of bytes up to and including the closing quotation mark.
fn end_of_string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        if character == '"' && !escaped {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    rest.len()
}

/// The length of the character literal that the text begins with; none for a lifetime.
fn length_of_character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let mut characters = inner.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        return inner[2..].find('\'').map(|end| end + 4);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 2)
}

/// The paths of one `use` declaration: each leaf of its tree.
fn leaves(prefix: &[String], tree: &str, into: &mut Vec<Module>) {
    let names = |text: &str| -> Vec<String> {
        let text = text.split(" as ").next().unwrap_or(text);
        let names = text.split("::").map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    let Some(open) = tree.find('{') else {
        into.push([prefix, &names(tree)].concat());
        return;
    };
    let head = [prefix, &names(&tree[..open])].concat();
    let close = tree.rfind('}').unwrap_or(tree.len());
    let (mut depth, mut from) = (0, open + 1);
    for (at, character) in tree.char_indices().skip(open + 1) {
        match character {
            '{' => depth += 1,
            '}' if at < close => depth -= 1,
            ',' if depth == 0 => {
                leaves(&head, &tree[from..at], into);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !tree[from..close].trim().is_empty() {
        leaves(&head, &tree[from..close], into);
    }
}

/// Every path in the code: of `use` declarations, and of expressions and types.
fn paths_in(code: &str, which: Paths) -> Vec<Module> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|before| !is_name(before))
            && let Some(end) = code[at..].find(';')
        {
            leaves(&[], &code[at + 4..at + end], &mut paths);
        }
    }
    let mut at = 0;
    while let Some(found) = code[at..].find("::") {
        let colons = at + found;
        let start = code[..colons].rfind(|character| !is_name(character));
        let start = start.map_or(0, |start| start + 1);
        let continues = code[..start].ends_with("::");
        let mut end = colons;
        while code[end..].starts_with("::") {
            let name = code[end + 2..].find(|character| !is_name(character));
            end = name.map_or(code.len(), |name| end + 2 + name);
        }
        if !continues && start < colons {
            let path = code[start..end].split("::").map(str::to_owned);
            let path: Module = path.filter(|name| !name.is_empty()).collect();
            // A path that is followed by another character is the prefix of a `use` tree, or has type arguments.
            let counts = which == Paths::All || matches!(path[0].as_str(), "crate" | "super");
            if path.len() > 1 && counts {
                paths.push(path);
            }
        }
        at = end.max(colons + 2);
    }
    paths
}

impl Imports {
    fn read(source: &Path, paths: Paths) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![source.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).expect("a source folder can be listed");
            for entry in entries {
                let path = entry.expect("an entry can be read").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let below = path.strip_prefix(source).expect("it is below the folder");
                let Some(name) = below.to_str().and_then(|name| name.strip_suffix(".rs")) else {
                    continue;
                };
                let mut module: Module = name.split('/').map(str::to_owned).collect();
                if module.iter().any(|name| name == "tests") || name.ends_with("_tests") {
                    continue;
                }
                let last = module.last().map(String::as_str);
                if matches!(last, Some("mod" | "lib" | "main")) {
                    module.pop();
                }
                let text = std::fs::read_to_string(&path).expect("a source file can be read");
                let without_tests = ["mod tests {", "pub(crate) mod tests {"]
                    .iter()
                    .filter_map(|tests| text.split(&format!("#[cfg(test)]\n{tests}")).next())
                    .min_by_key(|text| text.len());
                modules.insert(module, code_of(without_tests.unwrap_or_default()));
            }
        }
        Self { paths, modules }
    }

    /// The module of the crate that a path leads to, if it leads to a module.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        let first = path.first()?;
        let mut full = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            child => {
                let child = [&from[..], &[child.to_owned()]].concat();
                return self
                    .modules
                    .contains_key(&child)
                    .then(|| self.longest(&[&from[..], path].concat()));
            }
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|name| name == "super") {
            full.pop();
            rest = &rest[1..];
        }
        full.extend_from_slice(rest);
        Some(self.longest(&full))
    }

    /// The longest prefix of a path that is a module.
    fn longest(&self, path: &[String]) -> Module {
        let mut module = path.to_vec();
        while !module.is_empty() && !self.modules.contains_key(&module) {
            module.pop();
        }
        module
    }

    fn edges(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let of = |(module, code): (&'_ Module, &'_ String)| {
            let targets = paths_in(code, self.paths);
            let targets = targets.iter().filter_map(|path| self.target(module, path));
            targets
                .filter(|target| target != module)
                .collect::<BTreeSet<Module>>()
        };
        let modules = self.modules.iter();
        modules.map(|entry| (entry.0, of(entry))).collect()
    }

    /// The modules that import themselves, directly or through other modules.
    fn in_circles(&self) -> Vec<String> {
        let edges = self.edges();
        let reaches = |start: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(module) = open.pop() {
                for target in edges.get(module).into_iter().flatten() {
                    if seen.insert(target) {
                        open.push(target);
                    }
                }
            }
            seen.contains(start)
        };
        let circular = self.modules.keys().filter(|module| reaches(module));
        circular.map(|module| module.join("::")).collect()
    }
}

#[test]
fn no_crate_has_more_modules_in_circles_of_imports_than_it_may() {
    for (source, paths, max) in IN_CIRCLES_MAX {
        let imports = Imports::read(&repository().join(source), *paths);
        assert!(imports.modules.len() > 10, "{source} is nearly empty");
        let found = imports.in_circles();
        assert!(
            found.len() <= *max,
            "{source}: {} modules import themselves, at most {max} may; move what they share below them:\n{}",
            found.len(),
            found.join("\n")
        );
    }
}

#[test]
fn the_reader_of_imports_sees_every_form_of_a_path() {
    let module = |name: &str| -> Module { name.split("::").map(str::to_owned).collect() };
    let sources = [
        ("a", "use super::b::{self, C}; fn f() { let _ = '\"'; }"),
        (
            "b",
            "// use crate::a;\nfn f() -> &'static str { \"crate::a\" }",
        ),
        ("c", "use crate::{a::X, d}; mod e;"),
        ("c::e", "fn f() { super::super::b::f(); }"),
        ("d", "fn f() { crate::c::e::f(); }"),
        ("f", "fn f() { g::f(); }"),
        ("f::g", "use super::f as h;"),
    ];
    let modules = sources.map(|(name, text)| (module(name), code_of(text)));
    let imports = Imports {
        paths: Paths::All,
        modules: modules.into_iter().collect(),
    };
    let edges = imports.edges();
    let of = |name: &str| -> Vec<String> {
        let targets = edges[&module(name)].iter();
        targets.map(|target| target.join("::")).collect()
    };
    assert_eq!(of("a"), ["b"]);
    assert_eq!(of("b"), [""; 0]);
    assert_eq!(of("c"), ["a", "d"]);
    assert_eq!(of("c::e"), ["b"]);
    assert_eq!(of("d"), ["c::e"]);
    assert_eq!(of("f"), ["f::g"]);
    assert_eq!(imports.in_circles(), ["f", "f::g"]);
}
