//! The groups in which the page draws the lanes: by zone, role, program, or group of the file.

use crate::record::Recording;
use crate::scenario::Host;

/// Maximum number of groups of a grouping.
const GROUPS_MAX: usize = 60;

/// A way to group the lanes.
#[derive(Debug, serde::Serialize)]
pub(super) struct Grouping {
    by: &'static str,
    groups: Vec<Group>,
}

#[derive(Debug, serde::Serialize)]
struct Group {
    label: String,
    nodes: Vec<usize>,
}

/// Returns the label of a host, given its index.
type LabelOf<'a> = dyn Fn(usize, &Host) -> Option<String> + 'a;

/// Returns the groupings that have at least two groups and fewer groups than nodes, in the order of preference.
pub(super) fn groupings(recording: &Recording<'_>) -> Vec<Grouping> {
    let hosts = &recording.scenario().hosts;
    let programs = recording.programs();
    let place = |_: usize, host: &Host| match (&host.region, &host.zone) {
        (Some(region), Some(zone)) => Some(format!("{region}/{zone}")),
        (Some(place), None) | (None, Some(place)) => Some(place.clone()),
        (None, None) => None,
    };
    let role = |_: usize, host: &Host| host.role.clone();
    let program = |index: usize, _: &Host| {
        let names: Vec<&str> = programs[index].iter().copied().collect();
        (!names.is_empty()).then(|| names.join(" + "))
    };
    let group = |_: usize, host: &Host| host.group.clone();
    let all: [(&str, &LabelOf<'_>); 4] = [
        ("zone", &place),
        ("role", &role),
        ("program", &program),
        ("group", &group),
    ];
    let mut groupings: Vec<Grouping> = Vec::new();
    for (by, of) in all {
        let found = grouped(hosts, by, of);
        let useful = (2..=GROUPS_MAX).contains(&found.len()) && found.len() < hosts.len();
        let same = |other: &Grouping| {
            let nodes = |groups: &[Group]| -> Vec<Vec<usize>> {
                groups.iter().map(|group| group.nodes.clone()).collect()
            };
            nodes(&other.groups) == nodes(&found)
        };
        if useful && !(by == "group" && groupings.iter().any(same)) {
            groupings.push(Grouping { by, groups: found });
        }
    }
    groupings
}

/// Groups the hosts by a label, in the order of the first host of each label.
fn grouped(hosts: &[Host], by: &str, of: &LabelOf<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let label = of(index, host).unwrap_or_else(|| format!("no {by}"));
        match groups.iter_mut().find(|group| group.label == label) {
            Some(group) => group.nodes.push(index),
            None => groups.push(Group {
                label,
                nodes: vec![index],
            }),
        }
    }
    groups
}
