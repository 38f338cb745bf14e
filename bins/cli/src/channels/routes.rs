//! `phalanx routes` and `phalanx channels`.

use super::declined;
use crate::arguments::Ask;
use crate::arguments::channel::RoutesCommand;
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Paint, Screen, Table, TableCell};
use phalanx_net::wire::proto;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Prints the next hop to each member, or the broadcast tree of one source if requested.
pub(crate) fn routes(
    screen: &Screen,
    arguments: &RoutesCommand,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&arguments.ask.access)?;
    let source = arguments.from.as_ref().map(ToString::to_string);
    let request = proto::GetRoutesRequest {
        source: source.clone().unwrap_or_default(),
    };
    let asked = node.ask(Duration::ZERO, async |client| {
        client.channels().get_routes(request).await
    })?;
    let reply = asked.map_err(|status| declined(&node, "routes", &status))?;
    if arguments.ask.json {
        let route = |route: &proto::Way| json!({ "to": route.to, "first": route.first, "last": route.last, "hops": route.hops });
        screen.json(&json!({
            "source": reply.source,
            "routes": reply.ways.iter().map(route).collect::<Vec<_>>(),
            "unreachable": reply.unreachable,
        }))?;
        return Ok(Completion::Yes);
    }
    if source.is_some() {
        tree(screen, &reply)?;
    } else {
        table(screen, &reply)?;
    }
    if !reply.unreachable.is_empty() {
        let to = reply.unreachable.join(" ");
        screen.line(screen.painted(&format!("no route to {to}"), Paint::Warn))?;
    }
    Ok(Completion::Yes)
}

fn table(screen: &Screen, reply: &proto::GetRoutesReply) -> Result<(), CommandError> {
    if reply.ways.is_empty() {
        return screen.line("no routes: this node has no neighbours");
    }
    let mut table = Table::new(&["to", "next hop", "hops"]);
    for route in &reply.ways {
        let first = TableCell::new(&route.first);
        table.row(vec![
            TableCell::new(&route.to).paint(Paint::Bold),
            if route.first == route.to {
                first.paint(Paint::Dim)
            } else {
                first
            },
            TableCell::number(route.hops),
        ]);
    }
    screen.table(&table)
}

/// Prints the broadcast tree, each member indented by its distance from the source in links.
fn tree(screen: &Screen, reply: &proto::GetRoutesReply) -> Result<(), CommandError> {
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for route in &reply.ways {
        below.entry(&route.last).or_default().push(&route.to);
    }
    let mut lines = Vec::new();
    let mut open = vec![(0, reply.source.as_str())];
    while let Some((depth, id)) = open.pop() {
        let paint = if depth == 0 {
            Paint::Bold
        } else {
            Paint::Plain
        };
        lines.push(format!(
            "{:indent$}{}",
            "",
            screen.painted(id, paint),
            indent = depth * 2
        ));
        let next = below.remove(id).unwrap_or_default();
        open.extend(next.into_iter().rev().map(|id| (depth + 1, id)));
    }
    screen.block(&lines)
}

fn word(kind: proto::ChannelKind) -> &'static str {
    match kind {
        proto::ChannelKind::Messages => "messages",
        proto::ChannelKind::Map => "map",
        proto::ChannelKind::Custom => "custom",
        proto::ChannelKind::Unspecified => "unknown",
    }
}

/// Lists the channels that the node knows.
pub(crate) fn channels(screen: &Screen, ask: &Ask) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&ask.access)?;
    let asked = node.ask(Duration::ZERO, async |client| {
        let request = proto::ListChannelsRequest {};
        client.channels().list_channels(request).await
    })?;
    let reply = asked.map_err(|status| declined(&node, "channels", &status))?;
    if ask.json {
        let channel = |it: &proto::KnownChannel| json!({ "name": it.name, "kind": word(it.kind()), "open": it.open, "held": it.held });
        let channels: Vec<_> = reply.channels.iter().map(channel).collect();
        screen.json(&json!({ "channels": channels }))?;
        return Ok(Completion::Yes);
    }
    if reply.channels.is_empty() {
        screen.line("no channels")?;
        return Ok(Completion::Yes);
    }
    let mut table = Table::new(&["channel", "kind", "here", "held"]);
    for channel in &reply.channels {
        table.row(vec![
            TableCell::new(&channel.name).paint(Paint::Bold),
            TableCell::new(word(channel.kind())),
            TableCell::new(if channel.open { "open" } else { "relayed" }),
            TableCell::number(channel.held),
        ]);
    }
    screen.table(&table)?;
    Ok(Completion::Yes)
}
