//! `phalanx sim …`: runs scenarios and checks their expectations.
//!
//! - [`catalogue`]: reads scenario files and lists them.
//! - [`sweep`]: many runs in parallel, reported in order; start there.
//! - [`engine`]: one run, in this process or in a child process.
//! - [`record`]: the result of a run, as JSON and as fields.
//! - [`report`]: the output of a sweep; [`sometimes`]: expectations that must hold in at least one
//!   run of it.
//! - [`search`]: searches for a failing seed; [`shrink`]: reduces a failing run to a small
//!   scenario.
//! - [`picture`]: a recorded run as an HTML page or a timeline, and the causes of a failure.
//! - [`junit`]: results as XML.
//! - [`replay`], [`state`]: a run event by event, and the state of its nodes.
//! - [`diff`]: the first event in which two runs differ.

mod catalogue;
mod diff;
mod engine;
mod junit;
mod picture;
mod record;
mod replay;
mod report;
mod search;
mod shrink;
mod sometimes;
mod state;
mod sweep;

use crate::arguments::Sim;
use crate::failure::{Failure, Verdict};
use crate::screen::Screen;

pub(crate) fn run(command: Sim, screen: &Screen) -> Result<Verdict, Failure> {
    match command {
        Sim::Run(arguments) => sweep::run(screen, &arguments),
        Sim::Replay(arguments) => replay::run(screen, &arguments),
        Sim::Diff(arguments) => diff::run(screen, &arguments),
        Sim::Search(arguments) => search::run(screen, &arguments),
        Sim::Shrink(arguments) => shrink::run(screen, &arguments),
        Sim::List { files, json } => catalogue::list(screen, &files, json),
        Sim::Schema => {
            screen.line(format!(
                "{:#}",
                phalanx_sim::scenario::schema(&phalanx_sim::mesh::vocabulary())
            ))?;
            Ok(Verdict::Yes)
        }
    }
}
