//! Runs a course on Phalanx's model engine, for the mesh and for any system whose nodes report the same events.

use crate::course::{Course, LATENCY, SPREAD};
use crate::tape::{PeerObservation, Tape, TimedObservation};
use core::time::Duration;
use phalanx_sim::RunOptions;
use phalanx_sim::record::{ExecutedAction, RecordedStep, Recorder};
use phalanx_sim::scenario::Scenario;
use phalanx_sim::world::Definition;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Runs a course. `carries` lists the kinds of messages that carry an update.
///
/// # Errors
/// Returns an error if the engine cannot run the course.
pub fn run(
    definition: &Definition,
    course: &Course,
    seed: u64,
    carries: &'static [&'static str],
) -> Result<Tape, String> {
    let text = scenario(course);
    let scenario = Scenario::parse_with("course.toml", &text, &(definition.vocabulary)())
        .map_err(|why| why.to_string())?;
    let ids = scenario.hosts.iter().enumerate();
    let mut ear = Ear {
        hosts: ids.map(|(at, host)| (host.id.to_string(), at)).collect(),
        carries,
        tape: Tape::default(),
    };
    let options = RunOptions {
        recorder: Some(&mut ear),
        ..RunOptions::default()
    };
    let outcome =
        phalanx_sim::run(definition, &scenario, seed, options).map_err(|why| why.to_string())?;
    let mut tape = ear.tape;
    let each = outcome.metrics.get("bytes-per-node");
    let each = each.ok_or("the engine counted no bytes")?;
    tape.sent = each * course.nodes as u64;
    Ok(tape)
}

fn text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Returns a course as the text of a scenario file.
fn scenario(course: &Course) -> String {
    let mut file = format!(
        "scenario = 1\nname = \"course\"\nabout = \"A course.\"\nengines = [\"model\"]\nduration = \"{}\"\n\
         recovery = \"1ms\"\nspread = \"{}\"\n[[nodes]]\ncount = {}\n[network]\nlatency = \"{}\"\n",
        text(course.end),
        text(SPREAD),
        course.nodes,
        text(LATENCY)
    );
    let mut step = |at: Duration, what: String| {
        let _ = write!(file, "[[at]]\ntime = \"{}\"\n{what}\n", text(at));
    };
    if let Some(loss) = course.loss {
        step(loss.from, format!("loss = \"{}%\"", loss.percent));
    }
    for (index, update) in course.updates.iter().enumerate() {
        let payload = Course::payload(index);
        let who = update.host + 1;
        let what = format!("announce = {{ who = \"n{who}\", metadata = {{ u = \"{payload}\" }} }}");
        step(update.at, what);
    }
    if let Some(crash) = course.crash {
        step(crash.at, format!("power-loss = \"n{}\"", crash.host + 1));
    }
    if let Some(split) = course.split {
        let half = course.nodes / 2;
        let sets = format!("[\"n1..n{half}\", \"n{}..n{}\"]", half + 1, course.nodes);
        step(split.from, format!("partition = {{ sets = {sets} }}"));
        step(split.to, "heal = true".to_owned());
    }
    let (from, to) = course.counted;
    let _ = write!(
        file,
        "[[expect]]\nmetric = \"bytes-per-node\"\nfrom = \"{}\"\nto = \"{}\"\nmin = 0\n",
        text(from),
        text(to)
    );
    file
}

/// Records the reports of nodes.
struct Ear {
    hosts: BTreeMap<String, usize>,
    carries: &'static [&'static str],
    tape: Tape,
}

impl Recorder for Ear {
    fn step(&mut self, step: &RecordedStep<'_>) {
        let at = Duration::from_nanos(step.at);
        if self.carries.contains(&step.kind) {
            self.tape.copies.push(at);
        }
        for said in step.said {
            let found = match said.word {
                "peer-up" => PeerObservation::Up,
                "peer-down" => PeerObservation::Down,
                "peer-updated" => PeerObservation::Updated,
                _ => continue,
            };
            let about = said.about.and_then(|id| self.hosts.get(id));
            if let Some(about) = about {
                self.tape.events.push(TimedObservation {
                    at,
                    host: step.host,
                    about: *about,
                    found,
                });
            }
        }
    }

    fn action(&mut self, _: &ExecutedAction<'_>) {}
}
