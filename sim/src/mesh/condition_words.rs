//! The conditions of the mesh in scenario files, and the questions about nodes that they stand for.

use super::workload::ChannelCondition;
use crate::scenario::{
    Arguments, Bound, Field, Form, OwnArguments, OwnCondition, Selector, Shape, any_arguments,
    any_text, word_of,
};
use phalanx_core::gossip::{Phase, Status};

/// The keys of conditions.
pub(super) static CONDITIONS: [Field; 5] = [
    Field::optional(
        "sees",
        "Some nodes see some members in a state.",
        Shape::Table(&SEES),
    ),
    Field::optional(
        "members",
        "Some nodes know this many members in a state.",
        Shape::Table(&MEMBERS),
    ),
    Field::optional(
        "providers",
        "Some nodes find exactly these providers of a service.",
        Shape::Table(&PROVIDERS),
    ),
    Field::optional(
        "links",
        "Some nodes have this many links.",
        Shape::Table(&LINKS),
    ),
    Field::optional(
        "phase",
        "Some nodes are in a phase of their life cycle.",
        Shape::Table(&PHASE),
    ),
];

static SEES: Form = Form {
    about: "Observers, observed members, and their state.",
    fields: &[
        Field::optional(
            "who",
            "The observers (default `all`); only those that run count.",
            Shape::Processes,
        ),
        Field::needed("of", "The observed.", Shape::Hosts),
        Field::needed(
            "as",
            "`alive`, `suspect`, `down`, `left`, `unknown`, `gone` (anything but alive or suspect).",
            Shape::Text(state),
        ),
    ],
    check: any_arguments,
};

static MEMBERS: Form = Form {
    about: "How many members are known.",
    fields: &[
        Field::optional("who", "The observers (default `all`).", Shape::Processes),
        Field::optional("as", "In which state (default: any).", Shape::Text(state)),
        MIN,
        MAX,
    ],
    check: bounded,
};

static PROVIDERS: Form = Form {
    about: "The providers of a service.",
    fields: &[
        Field::optional("who", "The observers (default `all`).", Shape::Processes),
        Field::needed(
            "of",
            "`name/version`, or `name` for any version.",
            Shape::Text(any_text),
        ),
        Field::needed(
            "are",
            "Exactly these nodes; an empty text for none.",
            Shape::HostsOrNobody,
        ),
    ],
    check: any_arguments,
};

static LINKS: Form = Form {
    about: "How many links.",
    fields: &[
        Field::optional("who", "The nodes (default `all`).", Shape::Processes),
        MIN,
        MAX,
    ],
    check: bounded,
};

static PHASE: Form = Form {
    about: "Nodes and their phase.",
    fields: &[
        Field::needed("who", "The nodes.", Shape::Processes),
        Field::needed(
            "is",
            "`joining`, `running`, `isolated`, `leaving`, `left`, `name-taken`.",
            Shape::Text(phase),
        ),
    ],
    check: any_arguments,
};

const MIN: Field = Field::optional("min", "At least.", Shape::U32);
const MAX: Field = Field::optional("max", "At most.", Shape::U32);

/// Checks that the bound can be both met and violated.
fn bounded(arguments: &Arguments) -> Result<(), String> {
    let (min, max) = (arguments.number("min"), arguments.number("max"));
    if min.is_none() && max.is_none() {
        return Err("needs `min` or `max`: without them it cannot fail".to_owned());
    }
    if min == Some(0) && max.is_none() {
        return Err("`min` is 0: without `max` it cannot fail".to_owned());
    }
    if min.unwrap_or(0) > max.unwrap_or(u64::MAX) {
        return Err("`min` is above `max`".to_owned());
    }
    Ok(())
}

fn bound(arguments: &Arguments) -> Bound {
    Bound {
        min: arguments.number("min").unwrap_or(0),
        max: arguments.number("max").unwrap_or(u64::MAX),
    }
}

/// The state of a member, as a condition names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeenAs {
    /// Exactly this state.
    Status(Status),
    /// The member is unknown.
    Unknown,
    /// The member is unknown, or neither alive nor suspect.
    Gone,
}

impl SeenAs {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Status(Status::Alive), "alive"),
        (Self::Status(Status::Suspect), "suspect"),
        (Self::Status(Status::Down), "down"),
        (Self::Status(Status::Left), "left"),
        (Self::Unknown, "unknown"),
        (Self::Gone, "gone"),
    ];

    fn named(word: &str) -> Result<Self, String> {
        word_of("state", &Self::ALL, word)
    }

    /// Whether a member with this status is in this state; `None` means that the member is unknown.
    pub(super) fn fits(self, status: Option<Status>) -> bool {
        match self {
            Self::Status(wanted) => status == Some(wanted),
            Self::Unknown => status.is_none(),
            Self::Gone => !matches!(status, Some(Status::Alive | Status::Suspect)),
        }
    }
}

fn state(word: &str) -> Result<String, String> {
    SeenAs::named(word).map(|_| word.to_owned())
}

const PHASES: [(Phase, &str); 6] = [
    (Phase::Joining, "joining"),
    (Phase::Running, "running"),
    (Phase::Isolated, "isolated"),
    (Phase::Leaving, "leaving"),
    (Phase::Left, "left"),
    (Phase::NameTaken, "name-taken"),
];

fn phase(word: &str) -> Result<String, String> {
    word_of("phase", &PHASES, word).map(|_| word.to_owned())
}

/// The question that a condition asks of the chosen nodes.
#[derive(Debug)]
pub(super) enum Question<'a> {
    /// Whether the nodes see these members in this state.
    Sees(&'a Selector, SeenAs),
    /// Whether the nodes know this many members in this state.
    Members(Option<SeenAs>, Bound),
    /// Whether the nodes find exactly these providers of a service (name, version).
    Providers(&'a str, Option<&'a str>, &'a Selector),
    /// Whether the nodes have this many links.
    Links(Bound),
    /// Whether the nodes are in this phase.
    Phase(Phase),
    /// A question about channels.
    Channels(ChannelCondition),
}

impl<'a> Question<'a> {
    /// Reads a condition.
    ///
    /// # Errors
    /// Returns an error if the mesh does not define the condition, or the condition lacks an argument.
    pub(super) fn of(condition: &'a OwnCondition) -> Result<Self, String> {
        let word = condition.word;
        let with = match &condition.said {
            OwnArguments::Keyed(arguments) => arguments,
            OwnArguments::With(with) => {
                return ChannelCondition::read(word, with).map(Self::Channels);
            }
        };
        let lacks = || format!("`{word}` lacks an argument");
        let seen = || with.text("as").map(SeenAs::named).transpose();
        match word {
            "sees" => {
                let (of, seen) = with.who("of").zip(seen()?).ok_or_else(lacks)?;
                Ok(Self::Sees(of, seen))
            }
            "members" => Ok(Self::Members(seen()?, bound(with))),
            "providers" => {
                let (of, are) = with.text("of").zip(with.who("are")).ok_or_else(lacks)?;
                let (name, version) = match of.split_once('/') {
                    Some((name, version)) => (name, Some(version)),
                    None => (of, None),
                };
                Ok(Self::Providers(name, version, are))
            }
            "links" => Ok(Self::Links(bound(with))),
            "phase" => {
                let is = with.text("is").ok_or_else(lacks)?;
                Ok(Self::Phase(word_of("phase", &PHASES, is)?))
            }
            _ => Err(format!("the mesh has no condition `{word}`")),
        }
    }
}
