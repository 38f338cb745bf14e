//! The steps and faults of the mesh in scenario files: publications, and restarts with another version.

use super::host_words::read_service;
use crate::scenario::{
    Arguments, Engine, Extent, FaultWord, Field, Form, Shape, StepWord, any_arguments, any_text,
    text,
};

/// The word of the step that publishes services or metadata.
pub(super) const ANNOUNCE: &str = "announce";
/// The word of the step that publishes updates at a steady rate.
pub(super) const UPDATES: &str = "updates";
/// The word of the step that registers and withdraws services in turn.
pub(super) const FLAP: &str = "flap";
/// The word of the step that restarts nodes with another version of the software.
pub(super) const UPGRADE: &str = "upgrade";

const EVERYWHERE: &[Engine] = &[Engine::Model, Engine::Wire, Engine::Madsim];

/// The steps of the mesh.
pub static STEPS: [StepWord; 4] = [
    step(
        UPGRADE,
        "Nodes start again with another version of the software.",
        &UPGRADE_FORM,
    ),
    step(
        ANNOUNCE,
        "Nodes publish other services or metadata.",
        &ANNOUNCE_FORM,
    ),
    StepWord {
        // Shrinking keeps the step whole, because all its publications are alike.
        steady: true,
        ..step(UPDATES, "Nodes publish updates steadily.", &UPDATES_FORM)
    },
    step(
        FLAP,
        "Nodes register and withdraw services, in turn.",
        &FLAP_FORM,
    ),
];

/// The faults that chaos may inject.
pub(super) static FAULTS: [FaultWord; 1] = [FaultWord {
    word: ANNOUNCE,
    engines: EVERYWHERE,
}];

const fn step(word: &'static str, about: &'static str, form: &'static Form) -> StepWord {
    StepWord {
        field: Field::optional(word, about, Shape::Table(form)),
        extent: Extent::Once,
        steady: false,
        engines: EVERYWHERE,
    }
}

static UPGRADE_FORM: Form = Form {
    about: "Nodes, and their new version.",
    fields: &[
        Field::needed("who", "The nodes.", Shape::Hosts),
        Field::needed(
            "version",
            "The version; published as the metadata `version`.",
            Shape::Text(any_text),
        ),
    ],
    check: any_arguments,
};

static ANNOUNCE_FORM: Form = Form {
    about: "Nodes, and the content that they publish.",
    fields: &[
        Field::needed("who", "The nodes.", Shape::Processes),
        Field::optional(
            "services",
            "All they serve from here on: `name/version`.",
            Shape::Texts(read_service),
        ),
        Field::optional("metadata", "All metadata from here on.", Shape::FreePairs),
    ],
    check: says_something,
};

static UPDATES_FORM: Form = Form {
    about: "Steady publishing.",
    fields: &[
        Field::needed("who", "The sources.", Shape::Hosts),
        Field::needed(
            "every",
            "Each source publishes once in this time; the sources are spaced evenly.",
            Shape::Time(text::positive),
        ),
        Field::needed("for", "How long.", Shape::Time(text::duration)),
    ],
    check: any_arguments,
};

static FLAP_FORM: Form = Form {
    about: "Services that come and go.",
    fields: &[
        Field::needed("who", "The nodes.", Shape::Hosts),
        Field::needed(
            "services",
            "The services that they register and withdraw: `name/version`.",
            Shape::Texts(read_service),
        ),
        Field::needed(
            "every",
            "The time between two changes.",
            Shape::Time(text::positive),
        ),
        Field::needed(
            "for",
            "How long; at its end the services are withdrawn.",
            Shape::Time(text::duration),
        ),
    ],
    check: any_arguments,
};

fn says_something(arguments: &Arguments) -> Result<(), String> {
    if arguments.get("services").is_none() && arguments.get("metadata").is_none() {
        return Err("needs `services` or `metadata`".to_owned());
    }
    Ok(())
}
