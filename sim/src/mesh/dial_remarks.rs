//! Explains failed dials: by the timeouts that ended them, and by the time that a dial needs on the network of the
//! scenario.

use super::memory::Mesh;
use crate::model::{DIAL_GIVES_UP_AFTER, DIAL_ROUND_TRIPS};
use crate::scenario::{Latency, Scenario, text};
use crate::world::Scene;
use core::time::Duration;
use phalanx_core::link::DialError;
use phalanx_core::node::Node;
use phalanx_core::time::Instant;

/// Round trips from the start of a dial to the answer to its handshake message.
const ANSWER_ROUND_TRIPS: u32 = DIAL_ROUND_TRIPS + 1;

/// The remarks on dials, for a pair of hosts or for the first two hosts.
pub(super) fn of(
    mesh: &Mesh,
    scenario: &Scenario,
    scene: &Scene<'_>,
    pair: &[usize],
) -> Vec<String> {
    let mut remarks = Vec::new();
    let timeout = scene.of::<Node>().map(|(_, node)| dial_timeout(node)).max();
    let ended: u64 = scene
        .of::<Node>()
        .map(|(_, node)| node.mesh().dials_timed_out())
        .sum();
    if let Some(timeout) = timeout.filter(|_| ended > 0) {
        let dials = if ended == 1 { "dial" } else { "dials" };
        let timeout = text::show(timeout);
        remarks.push(format!("{ended} {dials} ended by dial-timeout ({timeout})"));
    }
    let timed_out = DialError::TimedOut.to_string();
    let others = mesh.failed_dials.iter();
    let mut others: Vec<_> = others.filter(|(reason, _)| *reason != timed_out).collect();
    others.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    let others: Vec<String> = others
        .into_iter()
        .map(|(reason, count)| format!("{reason} ({count})"))
        .collect();
    // Failed dials matter only at a node without links.
    let alone = |(host, node): (usize, &Node)| {
        let concerned = pair.is_empty() || pair.contains(&host);
        concerned && node.mesh().links(Instant::ZERO).next().is_none()
    };
    if !others.is_empty() && scene.of::<Node>().any(alone) {
        let reasons = others.join(", ");
        remarks.push(format!("dials of seed addresses failed with: {reasons}"));
    }
    if let Some(timeout) = timeout {
        remarks.extend(needed(scenario, scene, pair, timeout));
    }
    remarks
}

fn dial_timeout(node: &Node) -> Duration {
    node.mesh().config().tuning.dial_timeout
}

/// A remark on the time that a dial needs, if the dial is given up before. A connection that is established after
/// `dial-timeout` is used.
fn needed(
    scenario: &Scenario,
    scene: &Scene<'_>,
    pair: &[usize],
    timeout: Duration,
) -> Option<String> {
    let (one, other) = match *pair {
        [one, other] => (one, other),
        [one] => (one, usize::from(one == 0)),
        _ => (0, 1),
    };
    if one.max(other) >= scenario.hosts.len() {
        return None;
    }
    let round_trip = typical(scenario.network_between(one, other).latency)
        + typical(scenario.network_between(other, one).latency);
    let (dialed, answered) = (
        round_trip * DIAL_ROUND_TRIPS,
        round_trip * ANSWER_ROUND_TRIPS,
    );
    let given_up = Duration::from_nanos(DIAL_GIVES_UP_AFTER);
    (dialed >= given_up).then(|| {
        format!(
            "a dial between {} and {} needs {DIAL_ROUND_TRIPS} round trips ({}), and the answer to its handshake \
             arrives after {ANSWER_ROUND_TRIPS} ({}): dial-timeout is {}, and a dial is given up after {}",
            scene.name(one),
            scene.name(other),
            text::show(dialed),
            text::show(answered),
            text::show(timeout),
            text::show(given_up)
        )
    })
}

/// The constant latency, the maximum of a bounded distribution, or the mean or median of another distribution.
fn typical(latency: Latency) -> Duration {
    match latency {
        Latency::Constant(time) | Latency::Uniform(_, time) => time,
        Latency::Exponential { least, mean } => least + mean,
        Latency::LogNormal { median, .. } => median,
    }
}
