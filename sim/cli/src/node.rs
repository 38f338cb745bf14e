//! Prints the state of a mesh node, as text and as JSON.

use crate::failure::CommandError;
use crate::screen::{Paint, Screen, Table, TableCell, span};
use phalanx_core::gossip::{MemberView, Status};
use phalanx_sim::mesh::{NodeState, NodeView};
use serde_json::{Value, json};
use std::time::Duration;

const fn status_paint(status: Status) -> Paint {
    match status {
        Status::Alive => Paint::Good,
        Status::Suspect => Paint::Warn,
        Status::Down => Paint::Bad,
        Status::Left => Paint::Dim,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn services(member: &MemberView) -> Vec<String> {
    let services = &member.record.content().services;
    services
        .iter()
        .map(|service| format!("{}/{}", service.name, service.version))
        .collect()
}

pub(crate) fn as_value(state: &NodeState) -> Value {
    let mut value =
        json!({ "node": state.name, "at_ms": millis(state.at), "running": state.view.is_some() });
    if let Some(view) = &state.view {
        value["phase"] = view.phase.word().into();
        value["hash"] = format!("{:016x}", view.hash).into();
        let member = |member: &MemberView| {
            let rank = member.record.rank();
            json!({
                "id": member.record.id().as_str(),
                "status": member.status.word(),
                "epoch": rank.epoch,
                "incarnation": rank.incarnation,
                "version": rank.version,
                "services": services(member),
            })
        };
        value["members"] = view.members.iter().map(member).collect();
        let links = view.links.iter().map(|link| {
            json!({
                "peer": link.peer.as_str(),
                "direction": if link.dialed { "out" } else { "in" },
                "ring": link.ring,
                "eager": link.eager,
                "silent": link.silent,
                "quiet_ms": millis(link.quiet),
                "round_trip_ms": link.round_trip.map(millis),
                "silent_after_ms": millis(link.silent_after),
                "session": link.session,
            })
        });
        value["links"] = links.collect();
    }
    value
}

pub(crate) fn overview(screen: &Screen, states: &[&NodeState]) -> Result<(), CommandError> {
    let mut table = Table::new(&[
        "node", "phase", "alive", "suspect", "down", "left", "links", "view",
    ]);
    for state in states {
        let name = TableCell::new(&state.name).paint(Paint::Bold);
        let Some(view) = &state.view else {
            let mut row = vec![name, TableCell::new("stopped").paint(Paint::Dim)];
            row.resize(8, TableCell::new(""));
            table.row(row);
            continue;
        };
        let many = |status: Status, paint: Paint| {
            let number = view
                .members
                .iter()
                .filter(|member| member.status == status)
                .count();
            TableCell::number(number).paint(if number == 0 { Paint::Dim } else { paint })
        };
        table.row(vec![
            name,
            TableCell::new(view.phase.word()),
            many(Status::Alive, Paint::Good),
            many(Status::Suspect, Paint::Warn),
            many(Status::Down, Paint::Bad),
            many(Status::Left, Paint::Plain),
            TableCell::number(view.links.len()),
            TableCell::new(format!("{:016x}", view.hash)).paint(Paint::Dim),
        ]);
    }
    screen.table(&table)
}

pub(crate) fn in_full(screen: &Screen, state: &NodeState) -> Result<(), CommandError> {
    let at = span(millis(state.at));
    let Some(view) = &state.view else {
        return screen.line(format!("{} is not running at {at}", state.name));
    };
    screen.line(format!(
        "{} at {at}: {}, view {:016x}",
        state.name,
        view.phase.word(),
        view.hash
    ))?;
    screen.line("")?;
    members(screen, view)?;
    screen.line("")?;
    let mut table = Table::new(&[
        "link to",
        "direction",
        "role",
        "broadcast",
        "heard",
        "session",
    ]);
    for link in &view.links {
        let heard = TableCell::new(format!("{} ago", span(millis(link.quiet))));
        table.row(vec![
            TableCell::new(link.peer.as_str()).paint(Paint::Bold),
            TableCell::new(if link.dialed { "out" } else { "in" }),
            TableCell::new(if link.ring { "ring" } else { "extra" }),
            TableCell::new(if link.eager { "eager" } else { "lazy" }),
            if link.silent {
                heard.paint(Paint::Bad)
            } else {
                heard
            },
            TableCell::number(link.session),
        ]);
    }
    screen.table(&table)
}

fn members(screen: &Screen, view: &NodeView) -> Result<(), CommandError> {
    let mut table = Table::new(&[
        "member",
        "status",
        "epoch",
        "publication",
        "no contact with",
        "in contact with",
        "services",
    ]);
    for member in &view.members {
        let rank = member.record.rank();
        let edges = |down: bool| {
            let edges = member
                .report
                .iter()
                .flat_map(|aged| &aged.report.edges)
                .filter(|edge| edge.down == down);
            edges
                .map(|edge| edge.peer.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        table.row(vec![
            TableCell::new(member.record.id().as_str()).paint(Paint::Bold),
            TableCell::new(member.status.word()).paint(status_paint(member.status)),
            TableCell::number(rank.epoch),
            TableCell::number(rank.version),
            TableCell::new(edges(true)),
            TableCell::new(edges(false)),
            TableCell::new(services(member).join(" ")),
        ]);
    }
    screen.table(&table)
}
