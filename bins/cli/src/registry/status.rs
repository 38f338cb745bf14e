//! `phalanx registry status`: the state of a registry, of its copies of other regions, and of their copies of it.

use super::{call, show};
use crate::arguments::registry::{ObjectFormat, RegistryAsk};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Paint, Screen, Table, TableCell, size, span};
use phalanx_net::registry::proto;
use serde_json::{Value, json};

fn copy_value(copy: &proto::RegionCopy) -> Value {
    json!({
        "region": copy.region,
        "following": copy.following,
        "epoch": copy.epoch,
        "revision": copy.revision,
        "lag": copy.lag,
        "age_ms": copy.age_ms,
        "node": copy.node,
        "address": copy.address,
        "obstacle": copy.obstacle,
    })
}

fn follower_value(follower: &proto::RegionFollower) -> Value {
    json!({
        "region": follower.region,
        "connected": follower.connected,
        "confirmed": follower.confirmed,
        "lag": follower.lag,
    })
}

fn value(status: &proto::RegistryStatus) -> Value {
    json!({
        "region": status.region,
        "primary": status.primary,
        "serving": status.serving,
        "obstacle": status.obstacle,
        "epoch": status.epoch,
        "revision": status.head,
        "compacted": status.floor,
        "objects": status.objects,
        "watches": status.watches,
        "waiting": status.waiting,
        "store": status.store,
        "store_bytes": status.store_bytes,
        "store_uid": status.store_uid,
        "lease_holder": status.lease_holder,
        "copies": status.copies.iter().map(copy_value).collect::<Vec<_>>(),
        "followers": status.followers.iter().map(follower_value).collect::<Vec<_>>(),
    })
}

fn linked(is_linked: bool) -> TableCell {
    match is_linked {
        true => TableCell::new("yes").paint(Paint::Good),
        false => TableCell::new("no").paint(Paint::Bad),
    }
}

fn copies(screen: &Screen, copies: &[proto::RegionCopy]) -> Result<(), CommandError> {
    let mut table = Table::new(&[
        "owner", "linked", "epoch", "revision", "lag", "age", "node", "address",
    ])
    .optional(&["epoch", "address"]);
    for copy in copies {
        let age = copy.age_ms.map_or_else(|| "unknown".to_owned(), span);
        table.row(vec![
            TableCell::new(&copy.region).paint(Paint::Bold),
            linked(copy.following),
            TableCell::number(copy.epoch),
            TableCell::number(copy.revision),
            TableCell::number(copy.lag),
            TableCell::new(age),
            TableCell::new(&copy.node),
            TableCell::new(&copy.address).paint(Paint::Dim),
        ]);
    }
    screen.line("")?;
    screen.line("copies of other regions' objects")?;
    screen.table(&table)?;
    for copy in copies.iter().filter(|it| !it.obstacle.is_empty()) {
        screen.line(format!("{}: {}", copy.region, copy.obstacle))?;
    }
    Ok(())
}

fn followers(screen: &Screen, followers: &[proto::RegionFollower]) -> Result<(), CommandError> {
    let mut table = Table::new(&["follower", "linked", "confirmed", "lag"]);
    for follower in followers {
        table.row(vec![
            TableCell::new(&follower.region).paint(Paint::Bold),
            linked(follower.connected),
            TableCell::number(follower.confirmed),
            TableCell::number(follower.lag),
        ]);
    }
    screen.line("")?;
    screen.line("regions with a copy of this one")?;
    screen.table(&table)
}

fn facts(screen: &Screen, status: &proto::RegistryStatus) -> Result<(), CommandError> {
    let serving = match status.serving {
        true => "yes".to_owned(),
        false => format!("no: {}", status.obstacle),
    };
    let mut facts = vec![
        ("region", TableCell::new(&status.region)),
        ("primary", TableCell::new(&status.primary)),
        ("takes writes", TableCell::new(serving)),
        ("epoch", TableCell::number(status.epoch)),
        ("revision", TableCell::number(status.head)),
        ("compacted", TableCell::number(status.floor)),
        ("objects", TableCell::number(status.objects)),
        ("watches", TableCell::number(status.watches)),
        ("waiting", TableCell::number(status.waiting)),
        ("store", TableCell::new(&status.store)),
        ("store uid", TableCell::new(&status.store_uid)),
        ("size", TableCell::new(size(status.store_bytes))),
    ];
    if !status.lease_holder.is_empty() {
        facts.push(("lease holder", TableCell::new(&status.lease_holder)));
    }
    screen.facts(&facts)
}

pub(super) fn status(screen: &Screen, ask: &RegistryAsk) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &ask.access)?;
    let status = call(&mut node, async |client| {
        let request = proto::GetRegistryStatusRequest {};
        client.objects().get_registry_status(request).await
    })?;
    match ask.format() {
        ObjectFormat::Json => screen.json(&value(&status))?,
        ObjectFormat::Yaml => show::yaml(screen, &value(&status))?,
        ObjectFormat::Table => {
            facts(screen, &status)?;
            if !status.copies.is_empty() {
                copies(screen, &status.copies)?;
            }
            if !status.followers.is_empty() {
                followers(screen, &status.followers)?;
            }
        }
    }
    Ok(match status.serving {
        true => Completion::Yes,
        false => Completion::No,
    })
}
