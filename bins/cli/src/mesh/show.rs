//! Prints a node's replies for people.

use super::reply::{
    Certificate, Counts, DataPath, EndedLink, Event, FailedDial, KnownMember, Link, Member,
    OverlayStatus, Secret, Service, StatusReply, Target, Topology,
};
use super::unlinked::{self, edge_text};
use crate::calendar::{now_ms, time_of_day};
use crate::failure::CommandError;
use crate::screen::{Paint, Screen, Table, TableCell, count, size, span};
use phalanx_core::time::Wall;
use phalanx_net::identity::iso_8601;
use std::collections::BTreeMap;

/// A certificate that expires within this time is shown as a warning.
const WARN_BEFORE_MS: u64 = 7 * 86_400_000;

/// Returns the style of a member's status.
fn status_paint(status: &str) -> Paint {
    match status {
        "alive" => Paint::Good,
        "suspect" => Paint::Warn,
        "down" => Paint::Bad,
        _ => Paint::Dim,
    }
}

fn status_cell(status: &str) -> TableCell {
    TableCell::new(status).paint(status_paint(status))
}

fn or_dash(text: &str) -> TableCell {
    if text.is_empty() {
        TableCell::new("-").paint(Paint::Dim)
    } else {
        TableCell::new(text)
    }
}

fn since(seconds: u64) -> TableCell {
    TableCell::new(span(now_ms().saturating_sub(seconds.saturating_mul(1_000))))
}

pub(super) fn peers(screen: &Screen, members: &[&Member]) -> Result<(), CommandError> {
    let mut table = Table::new(&[
        "node", "short", "status", "kind", "address", "services", "epoch", "joined",
    ])
    .optional(&["epoch", "joined", "kind", "short"]);
    for peer in members.iter().map(|member| &member.peer) {
        let KnownMember {
            id,
            status,
            kind,
            address,
            services,
            epoch,
            joined,
            ..
        } = peer;
        table.row(vec![
            TableCell::new(id).paint(Paint::Bold),
            or_dash(&peer.short().unwrap_or_default()),
            status_cell(status),
            TableCell::new(kind),
            or_dash(address.as_deref().unwrap_or_default()),
            or_dash(&services.join(" ")),
            TableCell::number(epoch),
            if *joined == 0 {
                or_dash("")
            } else {
                since(*joined)
            },
        ]);
    }
    screen.table(&table)
}

pub(super) fn links(screen: &Screen, status: &StatusReply) -> Result<(), CommandError> {
    let links = &status.links;
    if links.is_empty() {
        screen.line("no links")?;
    } else {
        let mut table = Table::new(&[
            "peer",
            "address",
            "direction",
            "role",
            "broadcast",
            "heard",
            "round trip",
            "silent after",
            "encryption",
            "session",
        ])
        .optional(&["session", "broadcast", "direction", "role", "silent after"]);
        for link in links {
            let heard = TableCell::new(format!("{} ago", span(link.quiet_ms)));
            table.row(vec![
                TableCell::new(&link.peer).paint(Paint::Bold),
                or_dash(&link.address),
                TableCell::new(&link.direction),
                TableCell::new(if link.ring { "ring" } else { "extra" }),
                TableCell::new(if link.eager { "eager" } else { "lazy" }),
                if link.silent {
                    heard.paint(Paint::Bad)
                } else {
                    heard
                },
                or_dash(&link.round_trip()),
                TableCell::new(span(link.silent_after_ms)),
                TableCell::new(&link.encryption).paint(if link.is_unencrypted() {
                    Paint::Warn
                } else {
                    Paint::Plain
                }),
                TableCell::number(link.session),
            ]);
        }
        screen.table(&table)?;
        data_paths(screen, links)?;
    }
    unlinked::pairs(screen, &status.unreachable)?;
    failed_dials(screen, &status.failed_dials)
}

fn data_paths(screen: &Screen, links: &[Link]) -> Result<(), CommandError> {
    let paths = links.iter().filter_map(|link| {
        let path = link.data_path.as_ref()?;
        Some((&link.peer, path))
    });
    let paths: Vec<(&String, &DataPath)> = paths.collect();
    if paths.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = Table::new(&["data path", "state", "connection", "attributes"]);
    for (peer, path) in paths {
        table.row(vec![
            TableCell::new(peer).paint(Paint::Bold),
            path_cell(path),
            TableCell::new(&path.connection),
            or_dash(&words(&path.attributes)),
        ]);
    }
    screen.table(&table)
}

/// Returns the state of a data path, or the reason why there is none.
fn path_cell(path: &DataPath) -> TableCell {
    let paint = match path.state.as_str() {
        "established" => Paint::Good,
        "failed" => Paint::Bad,
        "unfit" => Paint::Dim,
        _ => Paint::Warn,
    };
    let text = match path.reason.as_str() {
        "" => path.state.clone(),
        reason => format!("{}: {reason}", path.state),
    };
    TableCell::new(text).paint(paint)
}

fn words(map: &BTreeMap<String, String>) -> String {
    let words: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    words.join(" ")
}

fn failed_dials(screen: &Screen, failed: &[FailedDial]) -> Result<(), CommandError> {
    if failed.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = Table::new(&["failed address", "reason", "next retry"]);
    for dial in failed {
        let next = match dial.retry_at_ms {
            None => "no automatic retry".to_owned(),
            Some(at) => format!("in {}", span(at.saturating_sub(now_ms()))),
        };
        table.row(vec![
            TableCell::new(&dial.address).paint(Paint::Warn),
            TableCell::new(&dial.reason),
            TableCell::new(next),
        ]);
    }
    screen.table(&table)
}

pub(super) fn topology(screen: &Screen, topology: &Topology) -> Result<(), CommandError> {
    let (viewer, known) = (&topology.viewer, count(topology.members.len(), "member"));
    screen.line(format!(
        "{known} in the view of {viewer}, hash {}",
        topology.hash
    ))?;
    for member in &topology.members {
        let peer = &member.peer;
        screen.line("")?;
        screen.line(format!(
            "{}  {}  {}",
            screen.painted(&peer.id, Paint::Bold),
            screen.painted(&peer.status, status_paint(&peer.status)),
            peer.address.as_deref().unwrap_or("accepts no connections"),
        ))?;
        let updated = format!("{} ago", span(member.updated_ms));
        let mut facts = vec![
            ("  rank", TableCell::new(rank(peer))),
            ("  updated", TableCell::new(updated)),
        ];
        if !peer.nickname.is_empty() {
            facts.push(("  nickname", TableCell::new(&peer.nickname)));
        }
        if !peer.services.is_empty() {
            facts.push(("  serves", TableCell::new(peer.services.join(", "))));
        }
        for (key, value) in &peer.metadata {
            facts.push(("  metadata", TableCell::new(format!("{key} = {value}"))));
        }
        for edge in &member.edges {
            let paint = if edge.down { Paint::Warn } else { Paint::Good };
            facts.push(("  edge", TableCell::new(edge_text(edge)).paint(paint)));
        }
        screen.facts(&facts)?;
    }
    Ok(())
}

fn rank(peer: &KnownMember) -> String {
    let KnownMember {
        epoch,
        instance,
        incarnation,
        version,
        ..
    } = peer;
    format!("epoch {epoch}, instance {instance}, incarnation {incarnation}, publication {version}")
}

pub(super) fn services(screen: &Screen, services: &[Service]) -> Result<(), CommandError> {
    if services.is_empty() {
        return screen.line("no services");
    }
    let mut table = Table::new(&["service", "version", "providers"]);
    for service in services {
        table.row(vec![
            TableCell::new(&service.name).paint(Paint::Bold),
            or_dash(&service.version),
            TableCell::new(service.providers.join(" ")),
        ]);
    }
    screen.table(&table)
}

pub(super) fn status(screen: &Screen, status: &StatusReply) -> Result<(), CommandError> {
    let sent = &status.traffic;
    let messages = usize::try_from(sent.messages_sent).unwrap_or(usize::MAX);
    let mut facts = vec![
        ("node", TableCell::new(&status.node.id).paint(Paint::Bold)),
        ("mesh", TableCell::new(&status.mesh)),
        ("health", health_cell(status)),
        ("phase", TableCell::new(&status.phase)),
        ("started by", start_cell(status)),
        ("members", TableCell::new(counts_text(&status.members))),
        ("links", TableCell::new(links_text(status))),
        (
            "channels",
            TableCell::new(format!(
                "{}, {} open on this node",
                status.channels, status.open_channels
            )),
        ),
        ("view", TableCell::new(&status.hash)),
        ("listens", TableCell::new(&status.listen)),
        (
            "encryption",
            TableCell::new(&status.encryption).paint(if status.trusted_subnets.is_empty() {
                Paint::Plain
            } else {
                Paint::Warn
            }),
        ),
        ("trust", TableCell::new(&status.trust)),
        ("discovery", TableCell::new(&status.discovery)),
        (
            "sent",
            TableCell::new(format!(
                "{} in {}",
                size(sent.bytes_sent),
                count(messages, "message")
            )),
        ),
        ("rank", TableCell::new(rank(&status.node))),
        ("running for", TableCell::new(span(status.uptime_ms))),
        ("program", program_cell(status)),
    ];
    facts.splice(1..1, own_names(status));
    facts.extend(
        status
            .targets
            .iter()
            .map(|target| ("target", target_cell(target))),
    );
    if let Some(certificate) = &status.certificate {
        facts.push(("certificate", certificate_cell(certificate)));
    }
    facts.extend(
        status
            .overlay
            .as_ref()
            .map(|it| ("overlay", overlay_cell(it, &status.links))),
    );
    // A single secret that all members accept is already described in the line `trust`.
    if status.secrets.len() > 1 || status.secrets.iter().any(|it| !it.lacking.is_empty()) {
        facts.extend(status.secrets.iter().map(|it| ("secret", secret_cell(it))));
    }
    facts.extend(status.undialable.iter().flat_map(unlinked::address));
    screen.facts(&facts)?;
    unlinked::pairs(screen, &status.unreachable)?;
    failed_dials(screen, &status.failed_dials)?;
    ended_links(screen, &status.ended_links)
}

fn program_cell(status: &StatusReply) -> TableCell {
    TableCell::new(format!(
        "{}, link protocol {} to {}",
        status.program_version, status.protocol_min, status.protocol_max
    ))
}

/// Returns the further names of the node: its nickname, class and short id.
fn own_names(status: &StatusReply) -> Vec<(&'static str, TableCell)> {
    let node = &status.node;
    let mut facts = Vec::new();
    if !node.nickname.is_empty() {
        facts.push(("nickname", TableCell::new(&node.nickname)));
    }
    facts.push(("kind", TableCell::new(&node.kind)));
    let short = node.short().unwrap_or_else(|| "none is free".to_owned());
    let short = match status.without_short_id {
        0 => TableCell::new(short),
        without => TableCell::new(format!(
            "{short}; all short ids are taken: {} without one",
            count(usize::try_from(without).unwrap_or(usize::MAX), "member")
        ))
        .paint(Paint::Warn),
    };
    facts.push(("short id", short));
    facts
}

/// Maximum number of ended links that a status shows; `--json` has all that the node kept.
const ENDED_SHOWN: usize = 5;

fn ended_links(screen: &Screen, ended: &[EndedLink]) -> Result<(), CommandError> {
    if ended.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let mut table = Table::new(&["ended link", "when", "reason"]);
    for link in ended.iter().rev().take(ENDED_SHOWN) {
        let ago = span(now_ms().saturating_sub(link.ended_at_ms));
        table.row(vec![
            TableCell::new(&link.peer).paint(Paint::Bold),
            TableCell::new(format!("{ago} ago")),
            TableCell::new(&link.reason),
        ]);
    }
    screen.table(&table)
}

fn health_cell(status: &StatusReply) -> TableCell {
    let text = match (status.health.as_str(), status.message.as_str()) {
        (word, "") => word.to_owned(),
        (word, message) => format!("{word}: {message}"),
    };
    let healthy = status.health == "healthy";
    TableCell::new(text).paint(if healthy { Paint::Good } else { Paint::Bad })
}

/// Returns the text of an overlay: its data paths, its features and its diagnostics.
fn overlay_cell(overlay: &OverlayStatus, links: &[Link]) -> TableCell {
    let paths = || links.iter().filter_map(|link| link.data_path.as_ref());
    let established = paths().filter(|path| path.state == "established").count();
    let failed = paths().filter(|path| path.state == "failed").count();
    let mut text = format!(
        "{}, {established} of {} established",
        overlay.name,
        count(paths().count(), "data path")
    );
    if failed > 0 {
        text += &format!(", {failed} failed");
    }
    for map in [&overlay.features, &overlay.diagnostics] {
        if !map.is_empty() {
            text += &format!("; {}", words(map));
        }
    }
    let paint = if failed > 0 {
        Paint::Warn
    } else {
        Paint::Plain
    };
    TableCell::new(text).paint(paint)
}

fn links_text(status: &StatusReply) -> String {
    let silent = status.links.iter().filter(|link| link.silent).count();
    let mut links = status.links.len().to_string();
    if silent > 0 {
        links += &format!(", {silent} silent");
    }
    let unencrypted = status.links.iter().filter(|link| link.is_unencrypted());
    match unencrypted.count() {
        0 => {}
        unencrypted => links += &format!(", {unencrypted} unencrypted"),
    }
    if status.outdated_links > 0 {
        let outdated = status.outdated_links;
        links += &format!(", {outdated} with a replaced certificate");
    }
    links
}

pub(super) fn targets(
    screen: &Screen,
    targets: &[Target],
    discovery: bool,
) -> Result<(), CommandError> {
    let discovery = if discovery { "on" } else { "off" };
    let mut facts = vec![("discovery", TableCell::new(discovery))];
    facts.extend(targets.iter().map(|target| ("target", target_cell(target))));
    screen.facts(&facts)
}

fn secret_cell(secret: &Secret) -> TableCell {
    let Secret {
        fingerprint,
        accepted_by,
        lacking,
    } = secret;
    if lacking.is_empty() {
        TableCell::new(format!(
            "{fingerprint} is accepted by all {accepted_by} live members"
        ))
    } else {
        let lacking = lacking.join(", ");
        let text = format!(
            "{fingerprint} is accepted by {accepted_by} live members, but not by {lacking}"
        );
        TableCell::new(text).paint(Paint::Warn)
    }
}

fn counts_text(counts: &Counts) -> String {
    let mut text = format!("{} alive", counts.alive);
    for (number, word) in [
        (counts.suspect, "suspect"),
        (counts.down, "down"),
        (counts.left, "left"),
    ] {
        if number > 0 {
            text += &format!(", {number} {word}");
        }
    }
    text
}

/// Returns how the node was started. A node without targets that knows no other member is a warning: the setting may
/// have been forgotten.
fn start_cell(status: &StatusReply) -> TableCell {
    if status.start != "bootstrap" {
        return TableCell::new(format!("{} (through its targets)", status.start));
    }
    let Counts {
        alive,
        suspect,
        down,
        left,
    } = status.members;
    let alone = alive + suspect + down + left <= 1;
    let text = "bootstrap (without targets; other nodes join through it)";
    TableCell::new(text).paint(if alone { Paint::Warn } else { Paint::Plain })
}

fn target_cell(target: &Target) -> TableCell {
    if target.myself {
        return TableCell::new(format!("{} {}", target.address, target.failure));
    }
    let (found, paint) = match (target.peer.as_str(), target.failure.as_str()) {
        ("", "") => ("not reached yet".to_owned(), Paint::Warn),
        ("", failure) => (failure.to_owned(), Paint::Bad),
        (peer, "") => (format!("is {peer}"), Paint::Plain),
        (peer, failure) => (format!("was {peer}: {failure}"), Paint::Warn),
    };
    TableCell::new(format!("{} {found}", target.address)).paint(paint)
}

fn certificate_cell(certificate: &Certificate) -> TableCell {
    let left = certificate
        .not_after
        .saturating_mul(1_000)
        .saturating_sub(now_ms());
    let until = iso_8601(Wall(certificate.not_after));
    let paint = if left < WARN_BEFORE_MS {
        Paint::Warn
    } else {
        Paint::Plain
    };
    TableCell::new(format!(
        "{} until {until} ({} left)",
        certificate.subject,
        span(left)
    ))
    .paint(paint)
}

pub(super) fn event(screen: &Screen, event: &Event) -> Result<(), CommandError> {
    let paint = match event.kind.as_str() {
        "peer-up" | "peer-cleared" | "link-up" | "rejoined" | "data-path-up" => Paint::Good,
        "peer-down" | "peers-down" | "address-undialable" | "isolated" | "guarded"
        | "name-taken" | "duplicate-id" | "rejected" | "data-path-down" => Paint::Bad,
        "unreachable" | "version-refused" | "peer-suspected" | "dial-failed" | "wrong-peer"
        | "lagged" | "paused" => Paint::Warn,
        _ => Paint::Plain,
    };
    let time = screen.painted(&time_of_day(event.at_ms), Paint::Dim);
    let kind = screen.painted(&format!("{:14}", event.kind), paint);
    // Part of the text may come from another machine and is escaped.
    let text = screen.painted(&event.text, Paint::Plain);
    screen.line(format!("{time}  {kind}  {text}"))
}
