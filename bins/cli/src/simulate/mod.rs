//! `phalanx sim …`: scenarios, run and judged.
//!
//! - [`catalogue`]: reads files, lists them.

mod catalogue;

use crate::arguments::Sim;
use crate::failure::{Failure, Verdict};
use crate::screen::Screen;

pub(crate) fn run(command: Sim, screen: &Screen) -> Result<Verdict, Failure> {
    match command {
        Sim::List { files, json } => catalogue::list(screen, &files, json),
        Sim::Schema => {
            screen.line(format!("{:#}", phalanx_sim::scenario::schema()))?;
            Ok(Verdict::Yes)
        }
    }
}
