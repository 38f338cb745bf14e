//! Reads a configuration from its files, in nginx's order of checks.
//!
//! The loader walks the blocks; [`super::site`] handles the directives in servers, locations and upstreams;
//! [`super::finish`] performs nginx's checks at the end of the `http` block. The first error ends the reading, as in
//! nginx.

use super::configuration::{Configuration, InheritedSettings, ListenAddress, Location, SharedZone};
use super::cost::Blocks;
use super::directive::{
    ArgumentCheck, Contexts, Directive, EVENTS, HTTP, LOCATION, MAIN, SERVER, UPSTREAM, find,
};
use super::host::NginxHost;
use super::log::{Level, Note};
use super::token::{Lexer, Piece};
use super::value;
use crate::disk::tree::has_wildcard;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum nesting of includes and blocks that the fake follows.
const DEPTH_MAX: usize = 64;

/// The source of a configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfigurationSource {
    /// The prefix, with a slash at its end.
    pub(super) prefix: String,
    /// The absolute path of the main file.
    pub(super) file: String,
}

/// The configuration, or the error that ended the reading; with the messages logged until then.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) notes: Vec<Note>,
    pub(super) result: Result<Configuration, Note>,
}

impl Loaded {
    /// The blocks that were read; none if the reading failed.
    pub(super) fn blocks(&self) -> Blocks {
        self.result
            .as_ref()
            .map_or_else(|_| Blocks::default(), Configuration::blocks)
    }
}

/// Reads a configuration.
pub(super) fn load(source: &ConfigurationSource, host: &NginxHost) -> Loaded {
    let mut loader = ConfigurationLoader::new(source, host);
    let result = loader.file(&source.file, &mut OpenBlock::new(MAIN), Ending::File);
    Loaded {
        result: result.map(|()| loader.configuration),
        notes: loader.notes,
    }
}

/// A block that is being read.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub(super) context: Contexts,
    /// The directives seen so far that may occur only once.
    seen: BTreeSet<&'static str>,
    pub(super) settings: InheritedSettings,
}

impl OpenBlock {
    fn new(context: Contexts) -> Self {
        Self {
            context,
            seen: BTreeSet::new(),
            settings: InheritedSettings::default(),
        }
    }
}

/// The end at which the current text stops: a brace or the end of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    File,
    Brace,
}

/// The reading of one configuration.
pub(super) struct ConfigurationLoader<'a> {
    pub(super) source: &'a ConfigurationSource,
    pub(super) host: &'a NginxHost,
    pub(super) configuration: Configuration,
    pub(super) notes: Vec<Note>,
    /// The file and line of the current directive.
    pub(super) place: (String, u32),
    /// The variables that the configuration names, in order of their first use.
    pub(super) variables: Vec<String>,
    /// The caches that locations use, for the check at the end of `http`.
    pub(super) caches_used: Vec<String>,
    /// The locations whose blocks are open, the innermost last.
    pub(super) open: Vec<Location>,
    /// The index of the upstream whose block is open.
    pub(super) filling: usize,
    /// The addresses whose default server is set by `default_server`.
    pub(super) defaults: BTreeSet<ListenAddress>,
    depth: usize,
}

impl<'a> ConfigurationLoader<'a> {
    fn new(source: &'a ConfigurationSource, host: &'a NginxHost) -> Self {
        Self {
            source,
            host,
            configuration: Configuration {
                worker_processes: 1,
                daemon: true,
                pid: "/run/nginx.pid".to_owned(),
                error_log: "/var/log/nginx/error.log".to_owned(),
                error_level: Level::Error,
                shutdown_timeout: None,
                has_events: false,
                temporary: Vec::new(),
                access_logs: Vec::new(),
                servers: Vec::new(),
                upstreams: Vec::new(),
                zones: BTreeMap::new(),
                listeners: BTreeMap::new(),
            },
            notes: Vec::new(),
            place: (source.file.clone(), 1),
            variables: Vec::new(),
            caches_used: Vec::new(),
            open: Vec::new(),
            filling: 0,
            defaults: BTreeSet::new(),
            depth: 0,
        }
    }

    /// An error at the place of the current directive.
    pub(super) fn fault(&self, text: impl Into<String>) -> Note {
        Note::at(Level::Emergency, text.into(), &self.place.0, self.place.1)
    }

    /// Returns the absolute path for a path that may be relative to the prefix.
    pub(super) fn absolute(&self, path: &str) -> String {
        absolute(&self.source.prefix, path)
    }

    /// Returns the absolute path for a path that may be relative to the folder of the main file.
    pub(super) fn beside(&self, path: &str) -> String {
        let folder = self.source.file.rfind('/').map_or(0, |at| at + 1);
        absolute(&self.source.file[..folder], path)
    }

    fn file(&mut self, path: &str, frame: &mut OpenBlock, ending: Ending) -> Result<(), Note> {
        let open = |error| format!("open() \"{path}\" failed ({error})");
        let text = match self.host.tree.read(path) {
            Ok(text) => text,
            Err(error) => {
                let text = open(format!("{}: {error}", error.number()));
                // No directive includes the main file, so its error has no place.
                return Err(if self.depth == 0 {
                    Note::emergency(text)
                } else {
                    self.fault(text)
                });
            }
        };
        let mut lexer = Lexer::new(text);
        let outer = core::mem::replace(&mut self.place, (path.to_owned(), 1));
        self.block(&mut lexer, frame, ending)?;
        self.place = outer;
        Ok(())
    }

    /// Reads directives up to the end of the block or file.
    fn block(
        &mut self,
        lexer: &mut Lexer,
        frame: &mut OpenBlock,
        ending: Ending,
    ) -> Result<(), Note> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault("too many nested blocks and includes"));
        }
        loop {
            let piece = lexer.next();
            self.place.1 = lexer.line();
            let (words, opens) = match piece {
                Err(text) => return Err(self.fault(text)),
                Ok(Piece::BlockEnd) if ending == Ending::File => {
                    return Err(self.fault("unexpected \"}\""));
                }
                Ok(Piece::End) if ending == Ending::Brace => {
                    return Err(self.fault("unexpected end of file, expecting \"}\""));
                }
                Ok(Piece::BlockEnd | Piece::End) => break,
                Ok(Piece::Statement(words)) => (words, false),
                Ok(Piece::BlockStart(words)) => (words, true),
            };
            self.directive(lexer, frame, &words, opens)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn directive(
        &mut self,
        lexer: &mut Lexer,
        frame: &mut OpenBlock,
        words: &[String],
        opens: bool,
    ) -> Result<(), Note> {
        let name = &words[0];
        let directive = find(name, frame.context).map_err(|text| self.fault(text))?;
        if opens && !directive.is_block() {
            let text = format!("directive \"{name}\" is not terminated by \";\"");
            return Err(self.fault(text));
        }
        if !opens && directive.is_block() {
            return Err(self.fault(format!("directive \"{name}\" has no opening \"{{\"")));
        }
        let given = words.len() - 1;
        if given < directive.arguments.0 || given > directive.arguments.1 {
            let text = format!("invalid number of arguments in \"{name}\" directive");
            return Err(self.fault(text));
        }
        self.check(directive, frame, words)?;
        if directive.name == "include" {
            return self.include(frame, &words[1]);
        }
        if directive.is_block() {
            return self.open(lexer, frame, directive.name, words);
        }
        match frame.context {
            MAIN => self.main(directive.name, words),
            EVENTS => Ok(()),
            _ => self.site(frame, directive.name, words),
        }
    }

    /// Checks that a directive that may occur only once does so, and that its argument is of the required kind.
    fn check(
        &self,
        directive: &'static Directive,
        frame: &mut OpenBlock,
        words: &[String],
    ) -> Result<(), Note> {
        let name = directive.name;
        match directive.kind {
            ArgumentCheck::Any | ArgumentCheck::Block => return Ok(()),
            ArgumentCheck::SingleBlock
            | ArgumentCheck::Flag
            | ArgumentCheck::Number
            | ArgumentCheck::Size
            | ArgumentCheck::Time
            | ArgumentCheck::Once => {
                if !frame.seen.insert(name) {
                    return Err(self.fault(format!("\"{name}\" directive is duplicate")));
                }
            }
        }
        let wrong = |why| Err(self.fault(format!("\"{name}\" directive {why}")));
        let given = words.get(1).map_or("", String::as_str);
        match directive.kind {
            ArgumentCheck::Flag if !["on", "off"].contains(&given.to_ascii_lowercase().as_str()) => {
                Err(self.fault(format!(
                    "invalid value \"{given}\" in \"{name}\" directive, it must be \"on\" or \"off\""
                )))
            }
            ArgumentCheck::Number if value::number(given).is_none() => wrong("invalid number"),
            ArgumentCheck::Size if value::size(given).is_none() => wrong("invalid value"),
            ArgumentCheck::Time if value::time(given).is_none() => wrong("invalid value"),
            ArgumentCheck::Flag | ArgumentCheck::Number | ArgumentCheck::Size | ArgumentCheck::Time => Ok(()),
            ArgumentCheck::SingleBlock | ArgumentCheck::Block | ArgumentCheck::Once | ArgumentCheck::Any => Ok(()),
        }
    }

    fn include(&mut self, frame: &mut OpenBlock, pattern: &str) -> Result<(), Note> {
        let pattern = self.beside(pattern);
        if !has_wildcard(&pattern) {
            return self.file(&pattern, frame, Ending::File);
        }
        for path in self.host.tree.glob(&pattern) {
            self.file(&path, frame, Ending::File)?;
        }
        Ok(())
    }

    fn open(
        &mut self,
        lexer: &mut Lexer,
        frame: &mut OpenBlock,
        name: &str,
        words: &[String],
    ) -> Result<(), Note> {
        match name {
            "events" => {
                self.configuration.has_events = true;
                self.block(lexer, &mut OpenBlock::new(EVENTS), Ending::Brace)
            }
            "http" => {
                let mut inner = OpenBlock::new(HTTP);
                self.block(lexer, &mut inner, Ending::Brace)?;
                self.finish(&inner.settings)
            }
            "server" => {
                self.begin_server();
                let mut inner = OpenBlock::new(SERVER);
                self.block(lexer, &mut inner, Ending::Brace)?;
                self.end_server(inner.settings)
            }
            "upstream" => {
                self.begin_upstream(&words[1])?;
                self.block(lexer, &mut OpenBlock::new(UPSTREAM), Ending::Brace)?;
                self.end_upstream()
            }
            "location" => {
                self.begin_location(frame.context, &words[1..])?;
                let mut inner = OpenBlock::new(LOCATION);
                self.block(lexer, &mut inner, Ending::Brace)?;
                self.end_location(inner.settings);
                Ok(())
            }
            _ => self.types(lexer, frame),
        }
    }

    /// Reads `types`, in which the first word of a statement is not a directive.
    fn types(&mut self, lexer: &mut Lexer, frame: &mut OpenBlock) -> Result<(), Note> {
        let mut types = BTreeMap::new();
        loop {
            let piece = lexer.next();
            self.place.1 = lexer.line();
            match piece {
                Err(text) => return Err(self.fault(text)),
                Ok(Piece::End) => {
                    return Err(self.fault("unexpected end of file, expecting \"}\""));
                }
                Ok(Piece::BlockEnd) => break,
                Ok(Piece::BlockStart(_)) => return Err(self.fault("unexpected \"{\"")),
                Ok(Piece::Statement(words)) => {
                    for extension in &words[1..] {
                        types.insert(extension.to_ascii_lowercase(), words[0].clone());
                    }
                }
            }
        }
        frame.settings.types = Some(types);
        Ok(())
    }

    /// Handles a directive outside of every block.
    fn main(&mut self, name: &str, words: &[String]) -> Result<(), Note> {
        let given = words[1].as_str();
        match name {
            "daemon" => self.configuration.daemon = given.eq_ignore_ascii_case("on"),
            "pid" => self.configuration.pid = self.absolute(given),
            "worker_processes" => {
                self.configuration.worker_processes = if given == "auto" {
                    2
                } else {
                    value::number(given)
                        .ok_or_else(|| self.fault("\"worker_processes\" directive invalid value"))?
                };
            }
            "worker_shutdown_timeout" => {
                self.configuration.shutdown_timeout = value::time(given);
            }
            "error_log" => self.error_log(given, words.get(2).map(String::as_str))?,
            "user" if !self.host.privileged => {
                let text = "the \"user\" directive makes sense only if the master process runs \
                            with super-user privileges, ignored";
                let note = Note::at(Level::Warning, text.to_owned(), &self.place.0, self.place.1);
                self.notes.push(note);
            }
            _ => {}
        }
        Ok(())
    }

    fn error_log(&mut self, path: &str, level: Option<&str>) -> Result<(), Note> {
        self.configuration.error_log = if path == "stderr" {
            path.to_owned()
        } else {
            self.absolute(path)
        };
        if let Some(word) = level {
            self.configuration.error_level = Level::of(word)
                .ok_or_else(|| self.fault(format!("invalid log level \"{word}\"")))?;
        }
        Ok(())
    }

    /// Adds a zone, or a use of a zone that may be defined later (size zero).
    pub(super) fn zone(&mut self, name: &str, zone: SharedZone) {
        let zones = &mut self.configuration.zones;
        match zones.get(name) {
            Some(known) if zone.size == 0 || known.size != 0 => {}
            Some(_) | None => {
                zones.insert(name.to_owned(), zone);
            }
        }
    }
}

/// Returns the absolute path for a path that may be relative to a folder (with a trailing slash).
pub(super) fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{folder}{path}")
    }
}
