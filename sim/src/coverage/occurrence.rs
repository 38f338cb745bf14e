//! The names of the things that happen to the processes of a program.

use core::fmt;
use serde::Serialize;
use std::borrow::Cow;

/// The kind of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OccurrenceKind {
    /// A process handled an input.
    Input,
    /// The state of a process changed, or the process reported a fact.
    Transition,
    /// A process refused a request, a message or a connection.
    Refusal,
    /// An invariant compared something.
    Invariant,
}

impl OccurrenceKind {
    /// All kinds, in the order in which tables list them.
    pub const ALL: [Self; 4] = [
        Self::Input,
        Self::Transition,
        Self::Refusal,
        Self::Invariant,
    ];

    /// Returns the heading of a table's rows of this kind.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Input => "inputs",
            Self::Transition => "transitions",
            Self::Refusal => "refusals",
            Self::Invariant => "invariants",
        }
    }
}

/// Something that can happen to a process: its kind, its word, and for some words a detail, such as a reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    kind: OccurrenceKind,
    word: &'static str,
    detail: Cow<'static, str>,
}

impl Occurrence {
    const fn new(kind: OccurrenceKind, word: &'static str) -> Self {
        Self {
            kind,
            word,
            detail: Cow::Borrowed(""),
        }
    }

    /// Names an input.
    #[must_use]
    pub const fn input(word: &'static str) -> Self {
        Self::new(OccurrenceKind::Input, word)
    }

    /// Names several inputs, for [`Words::occurrences`](crate::scenario::Words::occurrences).
    #[must_use]
    pub fn inputs(words: &[&'static str]) -> Vec<Self> {
        words.iter().map(|word| Self::input(word)).collect()
    }

    /// Names the input of a command with this name.
    #[must_use]
    pub fn command(name: impl Into<Cow<'static, str>>) -> Self {
        Self::input("command").with(name)
    }

    /// Names a transition.
    #[must_use]
    pub const fn transition(word: &'static str) -> Self {
        Self::new(OccurrenceKind::Transition, word)
    }

    /// Names a refusal.
    #[must_use]
    pub const fn refusal(word: &'static str) -> Self {
        Self::new(OccurrenceKind::Refusal, word)
    }

    /// Names an invariant that compared something.
    #[must_use]
    pub const fn invariant(name: &'static str) -> Self {
        Self::new(OccurrenceKind::Invariant, name)
    }

    /// Returns the occurrence with a detail.
    #[must_use]
    pub fn with(self, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { detail, ..self }
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> OccurrenceKind {
        self.kind
    }

    /// Returns the word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        self.word
    }

    /// Returns the detail; empty if there is none.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The word, followed by the detail: `link-down: lost`.
impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail() {
            "" => f.write_str(self.word),
            detail => write!(f, "{}: {detail}", self.word),
        }
    }
}

/// The occurrences of one step; nothing is kept unless the run collects its coverage.
#[derive(Debug, Default)]
pub struct Notes {
    list: Option<Vec<Occurrence>>,
}

impl Notes {
    /// Creates notes that drop every occurrence.
    #[must_use]
    pub const fn dropping() -> Self {
        Self { list: None }
    }

    /// Creates notes that keep occurrences.
    #[must_use]
    pub const fn keeping() -> Self {
        Self {
            list: Some(Vec::new()),
        }
    }

    /// Returns whether occurrences are kept.
    #[must_use]
    pub const fn are_kept(&self) -> bool {
        self.list.is_some()
    }

    /// Notes an occurrence.
    pub fn note(&mut self, occurrence: Occurrence) {
        if let Some(list) = &mut self.list {
            list.push(occurrence);
        }
    }

    /// Removes and returns the occurrences.
    pub fn drain(&mut self) -> impl Iterator<Item = Occurrence> {
        self.list.iter_mut().flat_map(|list| list.drain(..))
    }
}
