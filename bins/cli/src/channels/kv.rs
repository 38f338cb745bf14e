//! `phalanx kv`: a map that is replicated to every node.

use super::value::{cut, programs, shown, version};
use super::{declined, subscribe, text_or_input};
use crate::arguments::Ask;
use crate::arguments::channel::{Kv, KvCommand, OnlyIf, Txn};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Paint, Screen, Table, TableCell};
use phalanx_core::channel::ChannelName;
use phalanx_net::wire::proto::{self, compare::Expected, transact_reply::Outcome};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn kv(screen: &Screen, arguments: &Kv) -> Result<Completion, CommandError> {
    let map = &arguments.map;
    match &arguments.command {
        KvCommand::Get { key, ask } => get(screen, map, key, ask),
        KvCommand::Put {
            key,
            value,
            only,
            ask,
        } => {
            let value = text_or_input(&format!("put {key}"), value)?;
            let write = vec![put(key, Some(value))];
            transact(screen, map, ask, only_if(key, only), write)
        }
        KvCommand::Delete { key, only, ask } => {
            let write = vec![put(key, None)];
            transact(screen, map, ask, only_if(key, only), write)
        }
        KvCommand::List { prefix, ask } => list(screen, map, prefix, ask),
        KvCommand::Watch { listen } => {
            subscribe::listen(screen, map, proto::ChannelKind::Map, listen)
        }
        KvCommand::Txn(arguments) => txn(screen, map, arguments),
    }
}

fn put(key: &str, value: Option<Vec<u8>>) -> proto::Put {
    proto::Put {
        key: key.to_owned(),
        value,
    }
}

fn expected(key: &str, expected: Expected) -> proto::Compare {
    proto::Compare {
        key: key.to_owned(),
        expected: Some(expected),
    }
}

fn only_if(key: &str, only: &OnlyIf) -> Vec<proto::Compare> {
    let absent = only.if_absent.then_some(Expected::Absent(true));
    let value = only.if_value.as_ref();
    let value = value.map(|value| Expected::Value(value.as_bytes().to_vec()));
    let version = only.if_version.as_ref();
    let version = version.map(|version| Expected::Version(version.0.clone()));
    let conditions = [absent, value, version].into_iter().flatten();
    conditions.map(|it| expected(key, it)).collect()
}

fn txn(screen: &Screen, map: &ChannelName, arguments: &Txn) -> Result<Completion, CommandError> {
    let equal = arguments
        .equal
        .iter()
        .map(|pair| expected(&pair.key, Expected::Value(pair.value.as_bytes().to_vec())));
    let absent = arguments.if_absent.iter();
    let absent = absent.map(|key| expected(key, Expected::Absent(true)));
    let puts = arguments.put.iter();
    let puts = puts.map(|pair| put(&pair.key, Some(pair.value.as_bytes().to_vec())));
    let deletes = arguments.delete.iter().map(|key| put(key, None));
    transact(
        screen,
        map,
        &arguments.ask,
        equal.chain(absent).collect(),
        puts.chain(deletes).collect(),
    )
}

fn transact(
    screen: &Screen,
    map: &ChannelName,
    ask: &Ask,
    compare: Vec<proto::Compare>,
    write: Vec<proto::Put>,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&ask.access)?;
    let request = proto::TransactRequest {
        channel: map.to_string(),
        compare,
        write,
    };
    let asked = node.ask(Duration::ZERO, async |client| {
        client.channels().transact(request).await
    })?;
    let reply = asked.map_err(|status| declined(&node, &format!("write to {map}"), &status))?;
    match reply.outcome {
        Some(Outcome::Differs(key)) => {
            if ask.json {
                screen.json(&json!({ "committed": false, "differs": key }))?;
            } else {
                screen.note(format!(
                    "nothing was written: the condition on {key} does not hold"
                ));
            }
            Ok(Completion::No)
        }
        Some(Outcome::Committed(by)) => {
            if ask.json {
                screen.json(&json!({ "committed": true, "version": version(Some(by)) }))?;
            }
            Ok(Completion::Yes)
        }
        None => Err(CommandError::failed(format!(
            "{}: the node's reply has no result; it may run another version",
            node.address()
        ))),
    }
}

fn for_programs(found: proto::KeyValue) -> Value {
    let mut object = programs(&found.value);
    object["key"] = json!(found.key);
    object["version"] = json!(version(found.version));
    object
}

/// Prints a key's value, byte for byte unless standard output is a terminal; a missing value is a negative result.
fn get(
    screen: &Screen,
    map: &ChannelName,
    key: &str,
    ask: &Ask,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&ask.access)?;
    let request = proto::GetKeyRequest {
        channel: map.to_string(),
        key: key.to_owned(),
    };
    let asked = node.ask(Duration::ZERO, async |client| {
        client.channels().get_key(request).await
    })?;
    let reply = asked.map_err(|status| declined(&node, &format!("get {key}"), &status))?;
    let Some(found) = reply.found else {
        if ask.json {
            screen.json(&json!({ "key": key, "found": false }))?;
        } else {
            screen.note(format!("{key} has no value in {map}"));
        }
        return Ok(Completion::No);
    };
    if ask.json {
        screen.json(&for_programs(found))?;
    } else if !screen.is_terminal() {
        screen.bytes(&found.value)?;
    } else {
        screen.line(screen.painted(&shown(&found.value), Paint::Plain))?;
    }
    Ok(Completion::Yes)
}

fn list(
    screen: &Screen,
    map: &ChannelName,
    prefix: &str,
    ask: &Ask,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&ask.access)?;
    let request = proto::ListKeysRequest {
        channel: map.to_string(),
        prefix: prefix.to_owned(),
    };
    let what = format!("list {map}");
    let mut stream = node
        .ask(Duration::ZERO, async |client| {
            client.channels().list_keys(request).await
        })?
        .map_err(|status| declined(&node, &what, &status))?;
    let mut table = Table::new(&["key", "value", "version"]);
    let mut rows = 0;
    loop {
        let next = node.block_on(stream.message());
        let Some(found) = next.map_err(|status| declined(&node, &what, &status))? else {
            break;
        };
        rows += 1;
        if ask.json {
            screen.json(&for_programs(found))?;
        } else {
            table.row(vec![
                TableCell::new(&found.key).paint(Paint::Bold),
                TableCell::new(cut(&found.value)),
                TableCell::new(version(found.version).to_string()).paint(Paint::Dim),
            ]);
        }
    }
    if ask.json {
        return Ok(Completion::Yes);
    }
    if rows == 0 {
        screen.note(format!("no keys in {map}"));
    } else {
        screen.table(&table)?;
    }
    Ok(Completion::Yes)
}
