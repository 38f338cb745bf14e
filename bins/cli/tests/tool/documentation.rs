//! The documentation names only commands, flags, settings and variables that exist: those of clap and of the daemon's
//! table of keys, as their help texts list them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Text of `--help`, without the environment of this process.
fn help(program: &Path, words: &[String]) -> String {
    let mut command = Command::new(program);
    command.env_clear().args(words).arg("--help");
    let ended = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(ended.stdout).unwrap()
}

/// The words after `Commands:` of a help text.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let names = listed.filter_map(|line| {
        let name = line.strip_prefix("  ")?;
        let word = name.split(' ').next()?;
        (!word.is_empty() && word != "help").then(|| word.to_owned())
    });
    names.collect()
}

/// Adds the help texts of a command and of all commands below it.
fn all_help(program: &Path, words: &[String], texts: &mut Vec<String>) {
    let text = help(program, words);
    for name in subcommands(&text) {
        all_help(program, &[words, &[name]].concat(), texts);
    }
    texts.push(text);
}

fn is_flag_character(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
}

/// The flags in a text: `--word`.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|it: char| !is_flag_character(it));
    let flags = words.filter(|word| word.starts_with("--") && word.len() > 2);
    flags.map(str::to_owned).collect()
}

/// The code in a page: spans between backticks, and lines of blocks that call a program of the project.
fn code(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in page.lines() {
        let spans = line.split('`').skip(1).step_by(2);
        found.extend(spans.map(str::to_owned));
        let call = line.strip_prefix("$ ").unwrap_or(line);
        if call.starts_with("phalanx ") || call.starts_with("phalanxd ") {
            let call = call.split(" #").next().unwrap_or(call);
            found.push(call.to_owned());
        }
    }
    found
}

fn is_setting(code: &str) -> bool {
    let word = code
        .chars()
        .all(|it| it.is_ascii_alphanumeric() || "._".contains(it));
    let known = ["tls.", "tuning.", "log.level", "log.format", "PHALANX_"];
    word && known.iter().any(|start| code.starts_with(start))
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|it| it == "md"));
    pages.chain([root.join("README.md")]).collect()
}

#[test]
fn the_documentation_names_only_commands_flags_and_settings_that_exist() {
    let tool = Path::new(env!("CARGO_BIN_EXE_phalanx"));
    let mut texts = Vec::new();
    all_help(tool, &[], &mut texts);
    texts.push(help(&tool.with_file_name("phalanxd"), &[]));
    let all = texts.concat();
    let (known, commands) = (flags(&all), subcommands(&help(tool, &[])));
    assert!(known.contains("--cert-dir") && commands.contains(&"kv".to_owned()));
    let mut checked = 0;
    let mut unknown = Vec::new();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for code in code(&fs::read_to_string(&page).unwrap()) {
            let mut words = code.split_whitespace();
            let first = words.next().unwrap_or_default();
            let is_tool = first == "phalanx";
            if is_tool || first == "phalanxd" || first.starts_with("--") {
                let wrong = flags(&code)
                    .into_iter()
                    .filter(|flag| !known.contains(flag));
                unknown.extend(wrong.map(|flag| format!("{name}: {flag} in `{code}`")));
                checked += 1;
            }
            let command = words.next().filter(|_| is_tool);
            let command = command.filter(|it| it.chars().all(|it| it.is_ascii_lowercase()));
            if let Some(command) = command.filter(|it| !commands.contains(&(*it).to_owned())) {
                unknown.push(format!("{name}: phalanx {command}"));
            }
            let key = code.strip_prefix("tuning.").unwrap_or(&code);
            if is_setting(&code) && !all.contains(key) {
                unknown.push(format!("{name}: {code}"));
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert!(checked > 100, "only {checked} pieces of code name a flag");
}
