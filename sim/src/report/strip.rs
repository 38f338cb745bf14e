//! The colours of the lanes: which nodes held the same state at the same time.

use crate::record::Recording;
use std::collections::HashMap;

/// The node is not running.
pub(crate) const STOPPED: u8 = 0;
/// The node briefly holds a state that no other node holds at the same time.
pub(crate) const ALONE: u8 = 1;
/// The first of the strong colours.
pub(crate) const STRONG: u8 = 2;
/// Number of strong colours.
const STRONG_MAX: usize = 10;
/// A state of a single node that lasts at least one part in this number of the run counts as long.
const LONG_SHARE: u128 = 50;
/// The first of the pale colours, for states that were shared briefly.
pub(crate) const PALE: u8 = 12;
/// Number of pale colours.
const PALE_MAX: u32 = 6;
/// Maximum number of colour changes in a page.
const CHANGES_MAX: usize = 300_000;

/// The colours of all lanes.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Strip {
    /// For each node: instant (microseconds), colour, instant, colour, …
    pub(crate) lanes: Vec<Vec<u64>>,
    /// The digests of the strong colours, in order.
    pub(crate) digests: Vec<String>,
    /// The width of a column in microseconds, if changes within one column were omitted.
    pub(crate) column: Option<u64>,
    /// The number of different states of the running nodes, at evenly spaced instants.
    pub(crate) states: Vec<u32>,
}

/// A change of a node's state.
struct Change {
    at: u64,
    host: usize,
    /// The index of the digest; `None` if the node stops.
    digest: Option<usize>,
}

#[derive(Default)]
struct Digest {
    holders: u32,
    most: u32,
    since: u64,
    /// Nodes times nanoseconds.
    weight: u128,
    value: u64,
    shared_at: u64,
}

/// The part of the states that the colours show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// The views of membership of a host's processes.
    Membership,
    /// The whole states, with the data of applications.
    States,
}

impl Strip {
    pub(crate) fn of(recording: &Recording<'_>, end: u64, columns: usize, of: Colours) -> Self {
        let hosts = recording.scenario().hosts.len();
        let (changes, mut digests) = changes(recording, of);
        weigh(&changes, &mut digests, hosts, end);
        let (colours, strong) = colours(&digests, hosts, end);
        let states = states(&changes, digests.len(), hosts, end, columns);
        let mut lanes = Vec::new();
        let mut column = None;
        for width in [
            1_000,
            end / 4_000,
            end / 2_000,
            end / 1_000,
            end / 500,
            end / 250,
        ] {
            lanes = drawn(&changes, &colours, hosts, width.max(1_000));
            column = (width > 1_000).then_some(width / 1_000);
            if lanes.iter().map(Vec::len).sum::<usize>() <= 2 * CHANGES_MAX {
                break;
            }
        }
        Self {
            lanes,
            digests: strong
                .iter()
                .map(|digest| format!("{:016x}", digests[*digest].value))
                .collect(),
            column,
            states,
        }
    }
}

/// Returns all changes of state, in order, and the digests.
fn changes(recording: &Recording<'_>, of: Colours) -> (Vec<Change>, Vec<Digest>) {
    let hosts = recording.scenario().hosts.len();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    let (mut changes, mut digests) = (Vec::new(), Vec::<Digest>::new());
    let mut held: Vec<Option<u64>> = vec![None; hosts];
    let mut stops = stops(recording).into_iter().peekable();
    let mut memberships = recording.memberships().peekable();
    let mut known: Vec<Option<u64>> = vec![None; hosts];
    for event in recording.events() {
        while let Some((at, host)) = stops
            .next_if(|(number, ..)| number.0 <= event.number)
            .map(|(number, host)| (number.1, host))
        {
            held[host] = None;
            changes.push(Change {
                at,
                host,
                digest: None,
            });
        }
        while let Some((_, host, digest)) =
            memberships.next_if(|(number, ..)| *number <= event.number)
        {
            known[host] = Some(digest);
        }
        let Some(host) = event.host else { continue };
        let digest = match of {
            Colours::Membership => known[host].unwrap_or(event.digest),
            Colours::States => event.digest,
        };
        if held[host] == Some(digest) {
            continue;
        }
        held[host] = Some(digest);
        let number = *numbers.entry(digest).or_insert_with(|| {
            digests.push(Digest {
                value: digest,
                ..Digest::default()
            });
            digests.len() - 1
        });
        changes.push(Change {
            at: event.at,
            host,
            digest: Some(number),
        });
    }
    (changes, digests)
}

/// Returns the ends of processes as (event, instant) and host: at the fault that stops them, or,
/// after a leave, at their last step.
fn stops(recording: &Recording<'_>) -> Vec<((u64, u64), usize)> {
    let mut stops = Vec::new();
    for band in recording.bands(u64::MAX) {
        match band.fault.word {
            "leave" => {
                let [host] = band.fault.hosts[..] else {
                    continue;
                };
                let last = recording
                    .events()
                    .rev()
                    .find(|event| event.host == Some(host));
                stops.extend(last.map(|event| ((event.number + 1, event.at), host)));
            }
            _ if band.fault.is_stop() => {
                let hosts = band.fault.hosts.iter();
                stops.extend(hosts.map(|host| ((band.event, band.from), *host)));
            }
            _ => {}
        }
    }
    stops.sort_unstable();
    stops
}

/// Computes how many nodes held each digest for how long.
fn weigh(changes: &[Change], digests: &mut [Digest], hosts: usize, end: u64) {
    let mut held: Vec<Option<usize>> = vec![None; hosts];
    for change in changes {
        if let Some(before) = held[change.host].take() {
            digests[before].moved(change.at, -1);
        }
        if let Some(now) = change.digest {
            digests[now].moved(change.at, 1);
        }
        held[change.host] = change.digest;
    }
    for digest in digests {
        digest.moved(end, 0);
    }
}

impl Digest {
    fn moved(&mut self, at: u64, by: i32) {
        let length = at.saturating_sub(self.since);
        self.weight += u128::from(length) * u128::from(self.holders);
        self.since = at;
        self.holders = self.holders.saturating_add_signed(by);
        if self.holders > self.most {
            self.most = self.holders;
            if self.most <= 2 {
                self.shared_at = at;
            }
        }
    }
}

/// Returns the colour of each digest, and the digests with strong colours in the order of their
/// colours.
fn colours(digests: &[Digest], hosts: usize, end: u64) -> (Vec<u8>, Vec<usize>) {
    let enough = if hosts == 1 { 1 } else { 2 };
    let mut shared: Vec<usize> = (0..digests.len())
        .filter(|digest| digests[*digest].most >= enough)
        .collect();
    shared.sort_by_key(|digest| core::cmp::Reverse(digests[*digest].weight));
    let mut pale = shared.split_off(shared.len().min(STRONG_MAX));
    // A digest that a single node holds for long also gets a strong colour if one is free: two
    // nodes that diverge have different colours.
    let long = |digest: &usize| digests[*digest].weight * LONG_SHARE >= u128::from(end);
    let mut alone: Vec<usize> = (0..digests.len())
        .filter(|digest| digests[*digest].most < enough && long(digest))
        .collect();
    alone.sort_by_key(|digest| core::cmp::Reverse(digests[*digest].weight));
    alone.truncate(STRONG_MAX - shared.len());
    shared.extend(alone);
    let by_time = |digest: &usize| digests[*digest].shared_at;
    shared.sort_by_key(by_time);
    pale.sort_by_key(by_time);
    let mut colours = vec![ALONE; digests.len()];
    for (colour, digest) in (STRONG..).zip(&shared) {
        colours[*digest] = colour;
    }
    for (number, digest) in (0_u32..).zip(&pale) {
        colours[*digest] = PALE + u8::try_from(number % PALE_MAX).unwrap_or(0);
    }
    (colours, shared)
}

/// Returns the lanes with at most one change per `width` nanoseconds.
fn drawn(changes: &[Change], colours: &[u8], hosts: usize, width: u64) -> Vec<Vec<u64>> {
    let mut lanes: Vec<Vec<u64>> = vec![Vec::new(); hosts];
    for change in changes {
        let colour = u64::from(change.digest.map_or(STOPPED, |digest| colours[digest]));
        let at = change.at / width * width / 1_000;
        let lane = &mut lanes[change.host];
        if let [.., latest, before] = lane.as_mut_slice()
            && *latest == at
        {
            *before = colour;
            continue;
        }
        let same = lane.last() == Some(&colour);
        if !same {
            lane.extend([at, colour]);
        }
    }
    lanes
}

/// Returns the number of different states of the running nodes, at evenly spaced instants.
fn states(changes: &[Change], digests: usize, hosts: usize, end: u64, columns: usize) -> Vec<u32> {
    let mut holders = vec![0_u32; digests];
    let mut held: Vec<Option<usize>> = vec![None; hosts];
    let mut different = 0_u32;
    let mut states = Vec::with_capacity(columns);
    let mut next = changes.iter().peekable();
    for column in 1..=columns as u64 {
        let until = (u128::from(end) * u128::from(column) / columns as u128) as u64;
        while let Some(change) = next.next_if(|change| change.at <= until) {
            if let Some(before) = held[change.host].take() {
                holders[before] -= 1;
                different -= u32::from(holders[before] == 0);
            }
            if let Some(now) = change.digest {
                different += u32::from(holders[now] == 0);
                holders[now] += 1;
            }
            held[change.host] = change.digest;
        }
        states.push(different);
    }
    states
}
