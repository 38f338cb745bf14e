//! The metrics of a node, from its status.

use super::page::MetricsPage;
use crate::wire::proto::{Health, MemberCounts, NodeStatus, Phase, Traffic, health};
use std::time::Duration;

/// The phases, each with its label.
const PHASES: [(Phase, &str); 6] = [
    (Phase::Joining, "joining"),
    (Phase::Running, "running"),
    (Phase::Isolated, "isolated"),
    (Phase::Leaving, "leaving"),
    (Phase::Left, "left"),
    (Phase::NameTaken, "name-taken"),
];

/// Whether the node is a member of the mesh and can do its work.
pub(super) fn is_ready(health: &Health) -> bool {
    health.status() == health::Status::Healthy
}

pub(super) fn write(page: &mut MetricsPage, status: &NodeStatus) {
    let node = status.node.clone().unwrap_or_default();
    let id = node.record.unwrap_or_default().id;
    let labels = vec![
        ("id", id.as_str()),
        ("mesh", node.mesh.as_str()),
        ("version", node.program_version.as_str()),
    ];
    page.info("node", "The node and the version of its program", labels);
    let uptime = Duration::from_millis(status.uptime_ms).as_secs_f64();
    page.seconds("uptime_seconds", "Time since the start of the node", uptime);
    let phases = PHASES.map(|(phase, label)| {
        let is_current = u64::from(status.phase() == phase);
        (vec![("phase", label)], is_current)
    });
    page.gauges("phase", "1 for the phase of the node's life cycle", phases);
    let is_ready = u64::from(status.health.as_ref().is_some_and(is_ready));
    page.gauge("healthy", "1 if the node is a healthy member", is_ready);
    members(page, status);
    links(page, status);
    traffic(page, status);
    let channels = status.channels.into();
    page.gauge("channels", "Channels that the node knows", channels);
    let open = status.open_channels.into();
    let help = "Channels that applications on this node have open";
    page.gauge("open_channels", help, open);
    if let Some(certificate) = &status.certificate {
        let help = "End of the node's certificate, in seconds since 1970-01-01 UTC";
        page.gauge(
            "certificate_expiry_timestamp_seconds",
            help,
            certificate.not_after,
        );
    }
}

fn members(page: &mut MetricsPage, status: &NodeStatus) {
    let MemberCounts {
        alive,
        suspect,
        down,
        left,
    } = status.members.unwrap_or_default();
    let counts = [
        ("alive", alive),
        ("suspect", suspect),
        ("down", down),
        ("left", left),
    ];
    let counts = counts.map(|(label, count)| (vec![("status", label)], count.into()));
    page.gauges("members", "Members in the view of this node", counts);
    let help = "Live members that the node should have a link with and cannot reach";
    page.gauge("unreachable_members", help, status.unreachable.len() as u64);
    let undialable = status.undialable.as_ref().map_or(0, |it| it.count.into());
    let help = "Members that cannot reach the address that this node advertises";
    page.gauge("undialable_by_members", help, undialable);
}

fn links(page: &mut MetricsPage, status: &NodeStatus) {
    let count = |silent: bool| {
        let counted = status.links.iter().filter(|link| link.silent == silent);
        counted.count() as u64
    };
    let states = [("open", count(false)), ("silent", count(true))];
    let states = states.map(|(label, count)| (vec![("state", label)], count));
    page.gauges("links", "Links to other members", states);
    let measured = status.links.iter().filter_map(|link| {
        let seconds = Duration::from_micros(link.round_trip_us?).as_secs_f64();
        Some((vec![("peer", link.peer.as_str())], seconds))
    });
    let help = "Smoothed round-trip time of each link";
    page.seconds_each("link_round_trip_seconds", help, measured);
    let help = "Addresses that the node failed to reach";
    page.gauge("failed_dials", help, status.failed_dials.len() as u64);
    let help = "Connections of other nodes and tools to this node";
    page.gauge("connections", help, status.connections.into());
    let help = "Connected watchers of events";
    page.gauge("event_watchers", help, status.watchers.into());
}

fn traffic(page: &mut MetricsPage, status: &NodeStatus) {
    let Traffic {
        messages_sent,
        bytes_sent,
        messages_received,
        bytes_received,
    } = status.traffic.unwrap_or_default();
    let directions = |sent, received| {
        [
            (vec![("direction", "sent")], sent),
            (vec![("direction", "received")], received),
        ]
    };
    let messages = directions(messages_sent, messages_received);
    page.counters("link_messages", "Messages on links", messages);
    let bytes = directions(bytes_sent, bytes_received);
    page.counters("link_bytes", "Bytes of messages on links", bytes);
}
