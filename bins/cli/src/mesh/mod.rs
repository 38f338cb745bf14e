//! `phalanx status`, `peers`, `links`, `topology`, `services`, `watch`: query a live node; `targets`, `forget`: change it.
//!
//! - [`node_client`]: the identity of the tool, and the connection; start there.
//! - [`reply`]: a node's replies, as `--json` prints them.
//! - [`unlinked`]: live members without a link, in both forms.
//! - [`show`]: a node's replies, as the tool prints them for people.

pub(crate) mod node_client;
pub(crate) mod reply;
mod show;
pub(crate) mod unlinked;

use crate::arguments::{Ask, Forget, Peers, Ping, Services, Switched, Targets, Watch};
use crate::failure::{CommandError, Completion};
use crate::screen::{Paint, Screen};
use node_client::{NodeClient, refused};
use phalanx_core::link::Address;
use phalanx_net::wire::proto;
use reply::{Event, Member};
use serde_json::json;
use std::time::Duration;
use tokio::time;

/// Prints a node's status; an unhealthy node is a negative result.
pub(crate) fn status(screen: &Screen, ask: &Ask) -> Result<Completion, CommandError> {
    let status = NodeClient::open(&ask.access)?.status()?;
    if ask.json {
        screen.json(&status)?;
    } else {
        show::status(screen, &status)?;
    }
    Ok(if status.health == "healthy" {
        Completion::Yes
    } else {
        Completion::No
    })
}

/// Time between two round trips.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Measures round trips to a node over one connection, and prints each.
pub(crate) fn ping(screen: &Screen, arguments: &Ping) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&arguments.ask.access)?;
    for trip in 0..arguments.count {
        if trip > 0 {
            node.block_on(time::sleep(PING_INTERVAL));
        }
        let (id, time) = node.ping()?;
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if arguments.ask.json {
            screen.json(&json!({ "node": id, "address": node.address(), "micros": micros }))?;
        } else {
            let id = screen.painted(&id, Paint::Bold);
            let (millis, rest) = (micros / 1_000, micros % 1_000);
            screen.line(format!("{id} at {}: {millis}.{rest:03} ms", node.address()))?;
        }
    }
    Ok(Completion::Yes)
}

/// Lists the members, or only those with a given name; if no member has the name, the result is negative.
pub(crate) fn peers(screen: &Screen, arguments: &Peers) -> Result<Completion, CommandError> {
    let topology = NodeClient::open(&arguments.ask.access)?.topology()?;
    let wanted = |member: &&Member| {
        let who = arguments.who.as_deref();
        who.is_none_or(|who| member.peer.is_called(who))
    };
    let members: Vec<&Member> = topology.members.iter().filter(wanted).collect();
    if arguments.ask.json {
        let peers: Vec<_> = members.iter().map(|member| &member.peer).collect();
        screen.json(&json!({ "viewer": topology.viewer, "peers": peers }))?;
    } else {
        show::peers(screen, &members)?;
    }
    Ok(if members.is_empty() && arguments.who.is_some() {
        Completion::No
    } else {
        Completion::Yes
    })
}

/// Changes a node's seed addresses as requested, and prints them.
pub(crate) fn targets(screen: &Screen, arguments: &Targets) -> Result<Completion, CommandError> {
    let texts = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect();
    let request = proto::UpdateTargetsRequest {
        add: texts(&arguments.add),
        forget: texts(&arguments.forget),
        replace: arguments.replace,
        discovery: arguments.discovery.map(|it| it == Switched::On),
    };
    let (targets, discovery) = NodeClient::open(&arguments.ask.access)?.update_targets(request)?;
    if arguments.ask.json {
        screen.json(&json!({ "targets": targets, "discovery": discovery }))?;
    } else {
        show::targets(screen, &targets, discovery)?;
    }
    Ok(Completion::Yes)
}

/// Forgets a member that is down or left.
pub(crate) fn forget(screen: &Screen, arguments: &Forget) -> Result<Completion, CommandError> {
    let id = arguments.id.to_string();
    let request = proto::ForgetMemberRequest { id: id.clone() };
    let mut node = NodeClient::open(&arguments.ask.access)?;
    node.call(async |client| client.calls().forget_member(request).await)?;
    if arguments.ask.json {
        screen.json(&json!({ "forgotten": id }))?;
    } else {
        screen.line(format!(
            "{id} is forgotten. It is a member again if it comes back."
        ))?;
    }
    Ok(Completion::Yes)
}

pub(crate) fn links(screen: &Screen, ask: &Ask) -> Result<Completion, CommandError> {
    let status = NodeClient::open(&ask.access)?.status()?;
    if ask.json {
        screen.json(&json!({
            "links": status.links,
            "failed_dials": status.failed_dials,
            "unreachable": status.unreachable,
        }))?;
    } else {
        show::links(screen, &status)?;
    }
    Ok(Completion::Yes)
}

pub(crate) fn topology(screen: &Screen, ask: &Ask) -> Result<Completion, CommandError> {
    let topology = NodeClient::open(&ask.access)?.topology()?;
    if ask.json {
        screen.json(&topology)?;
    } else {
        show::topology(screen, &topology)?;
    }
    Ok(Completion::Yes)
}

/// Lists services and their providers; if a requested service has no provider, the result is negative.
pub(crate) fn services(screen: &Screen, arguments: &Services) -> Result<Completion, CommandError> {
    let wanted = arguments.service.as_ref();
    let services = NodeClient::open(&arguments.ask.access)?.services(wanted)?;
    if arguments.ask.json {
        screen.json(&json!({ "services": services }))?;
    } else {
        show::services(screen, &services)?;
    }
    Ok(if services.is_empty() && wanted.is_some() {
        Completion::No
    } else {
        Completion::Yes
    })
}

/// Prints events until the time is up, the user presses Ctrl-C, or the node ends.
pub(crate) fn watch(screen: &Screen, arguments: &Watch) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&arguments.ask.access)?;
    let mut stream = node.watch()?;
    let end = arguments.limit.end().map(time::Instant::from_std);
    loop {
        let next = node.block_on(async {
            match end {
                Some(end) => time::timeout_at(end, stream.message()).await,
                None => Ok(stream.message().await),
            }
        });
        match next {
            Err(_) => return Ok(Completion::Yes),
            Ok(Ok(Some(event))) => {
                let event = Event::from(event);
                if arguments.ask.json {
                    screen.json(&event)?;
                } else {
                    show::event(screen, &event)?;
                }
            }
            Ok(Ok(None)) => {
                return Err(CommandError::failed(format!(
                    "{}: the node ended",
                    node.address()
                )));
            }
            Ok(Err(status)) => return Err(refused(node.address(), &status)),
        }
    }
}
