//! `phalanx sim …`: scenarios, run and judged.
//!
//! - [`catalogue`]: reads scenario files and lists them.
//! - [`sweep`]: many runs on all cores, in order; start there.
//! - [`engine`]: one run, in this process or in one of its own.
//! - [`record`]: what came of a run, as JSON and in parts.
//! - [`report`]: what people see of a sweep; [`sometimes`]: what has to be true in some run of it.
//! - [`search`]: looks for a seed that fails; [`shrink`]: makes a small scenario of what fails.
//! - [`picture`]: a recorded run as a page, a timeline, the causes of a failure.
//! - [`junit`]: verdicts as XML.
//! - [`replay`], [`state`]: a run event by event, and what its nodes hold.
//! - [`diff`]: where two runs part.

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
