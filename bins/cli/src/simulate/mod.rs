//! `phalanx sim …`: scenarios, run and judged.
//!
//! - [`catalogue`]: reads scenario files and lists them.
//! - [`sweep`]: many runs on all cores, in order; start there.
//! - [`engine`]: one run, in this process or in one of its own.
//! - [`record`]: what came of a run, as JSON and in parts.
//! - [`report`]: what people see of a sweep.
//! - [`search`]: looks for a seed that fails; [`shrink`]: makes a small scenario of what fails.
//! - [`replay`]: the nodes at one instant of a run.

mod catalogue;
mod engine;
mod record;
mod replay;
mod report;
mod search;
mod shrink;
mod sweep;

use crate::arguments::Sim;
use crate::failure::{Failure, Verdict};
use crate::screen::Screen;

pub(crate) fn run(command: Sim, screen: &Screen) -> Result<Verdict, Failure> {
    match command {
        Sim::Run(arguments) => sweep::run(screen, &arguments),
        Sim::Replay {
            file,
            seed,
            until,
            node,
            json,
        } => replay::run(screen, &file, seed, until.0, node.as_deref(), json),
        Sim::Search(arguments) => search::run(screen, &arguments),
        Sim::Shrink(arguments) => shrink::run(screen, &arguments),
        Sim::List { files, json } => catalogue::list(screen, &files, json),
        Sim::Schema => {
            screen.line(format!("{:#}", phalanx_sim::scenario::schema()))?;
            Ok(Verdict::Yes)
        }
    }
}
