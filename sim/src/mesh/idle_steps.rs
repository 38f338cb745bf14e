//! Steps of the mesh that change nothing, as far as a file tells.

use super::publishing::Published;
use super::step_words::{ANNOUNCE, FLAP, UPDATES};
use crate::scenario::{Arguments, OwnTimeline, OwnUsage};
use core::time::Duration;

/// Returns the steps that change nothing, with the reasons.
pub(super) fn idle_steps(timeline: &OwnTimeline<'_>) -> Vec<(usize, String)> {
    // The publication of each host; none where it is unknown.
    let known = !timeline.drawn && timeline.steps.iter().all(|step| step.at_fixed_time);
    let hosts = timeline.hosts.iter();
    let mut latest: Vec<Option<Published>> = hosts
        .map(|host| known.then(|| Published::of(host)))
        .collect();
    let mut found = Vec::new();
    for (index, step) in timeline.steps.iter().enumerate() {
        let with = &step.action.arguments;
        let why = match step.action.word {
            ANNOUNCE => announced(step, &mut latest, timeline),
            UPDATES => updates(with),
            FLAP => flap(with),
            _ => None,
        };
        found.extend(why.map(|why| (index, why)));
        if step.action.word != ANNOUNCE {
            let hosts = step.who.clone();
            for host in hosts.unwrap_or_else(|| (0..latest.len()).collect()) {
                latest[host] = None;
            }
        }
    }
    found
}

/// Notes a publication; returns the reason if all its nodes publish the same already.
fn announced(
    step: &OwnUsage<'_>,
    latest: &mut [Option<Published>],
    timeline: &OwnTimeline<'_>,
) -> Option<String> {
    let Some(hosts) = &step.who else {
        latest.fill(None);
        return None;
    };
    let mut same = !hosts.is_empty();
    for &host in hosts {
        let before = latest[host].take();
        let after = before
            .as_ref()
            .map(|before| before.changed_by(&step.action.arguments));
        same &= after.is_some() && before == after;
        // A restarted node publishes what it does at its start.
        let stays = !timeline.restarts || after == Some(Published::of(&timeline.hosts[host]));
        latest[host] = after.filter(|_| stays);
    }
    same.then(|| "publishes what the nodes publish already".to_owned())
}

/// Returns the reason why a step of regular updates changes nothing; `None` if the step changes something.
fn updates(with: &Arguments) -> Option<String> {
    let (every, length) = (with.time("every")?, with.time("for")?);
    (length < every).then(|| "ends before the first update: `for` is less than `every`".to_owned())
}

/// Returns the reason why a step of services that appear and disappear changes nothing; `None` if the step changes
/// something.
fn flap(with: &Arguments) -> Option<String> {
    if with.texts("services").is_some_and(<[String]>::is_empty) {
        return Some("names no service".to_owned());
    }
    let length = with.time("for").unwrap_or(Duration::MAX);
    let every = with.time("every")?;
    (length < every).then(|| "ends before the first change: `for` is less than `every`".to_owned())
}
