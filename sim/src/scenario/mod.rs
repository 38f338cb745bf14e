//! Scenarios: hosts, a timeline of steps, and expectations.
//!
//! A scenario file (TOML) is read into a [`Scenario`], which is independent of engines. A seed turns the scenario into
//! a [`Plan`](plan::Plan), in which every random choice is made, so that every engine executes the same actions. Start
//! with [`Scenario::parse_with`].

mod action;
mod argument;
mod capabilities;
mod certainty;
mod chaos;
pub mod command_line;
mod conditions;
mod definition;
mod engine;
mod error;
mod expectations;
mod file;
mod form;
mod host;
mod idle_steps;
mod include;
mod late_windows;
mod load;
mod names;
mod network;
mod own;
mod own_words;
pub mod plan;
mod planning;
mod read;
mod schema;
mod selection;
mod steps;
mod suggestion;
#[cfg(test)]
mod tests;
pub mod text;
mod usages;
mod value;
mod variant;
mod vocabulary;
mod words;
mod write;

pub use crate::disk::DiskFault;
pub use action::{
    Action, CertificateChange, Extent, NetworkAction, NodeAction, OwnAction, Pairs, Sides, Trouble,
};
pub use argument::{Argument, Arguments};
pub use chaos::{Chaos, ChaosKind};
pub use conditions::{
    Bound, Condition, Expectation, Metric, Mode, OwnArguments, OwnCondition, OwnMetric,
};
pub use definition::{DEFAULT_SYSTEM, Scenario};
pub use engine::Engine;
pub use error::ScenarioError;
pub use form::{Field, FileSettings, Form, Presence, ReadForm, Shape, any_arguments, any_text};
pub use host::{Clock, Disk, Host};
pub(crate) use names::Situation;
pub use names::{Named, Selector};
pub use network::{Direction, Latency, LinkRule, LinkSetting, PathProperties};
pub use planning::{Due, Planning, Strike, Struck, TASKS_MAX, Task};
pub use schema::schema;
pub use steps::{Step, Trigger, When};
pub use suggestion::{nearest, suggestion};
pub use variant::Variant;
pub use vocabulary::{
    Certainty, Check, CheckHosts, CheckUsages, FaultWord, FindCertainty, FindIdleSteps,
    MakePlanning, OwnTimeline, OwnUsage, START_FAILED, StepWord, Story, UncertainClaim, Usage,
    Vocabulary, Words,
};
pub use words::{word_for, word_of};
