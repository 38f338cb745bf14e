//! Checks the channels and nodes that commands and conditions name: the scenario must contain them.

use super::host_words::channels;
use super::workload::{REVOKE, REVOKED, UNKNOWN};
use crate::scenario::{Host, Usage, suggestion};
use phalanx_core::channel::Kind;
use std::collections::BTreeSet;

/// The command that opens a channel.
const OPEN: &str = "open";

/// The condition on the value of a key.
const VALUE: &str = "value";

/// Words in `to` of the command `send` that stand for other members.
const OTHERS: [&str; 3] = ["each", "any", "others"];

/// Checks that every channel is opened by a node at its start or by a command, and that every receiver is a node. A
/// command with `unknown = true` is the exception: its channel or its receiver is unknown.
pub(super) fn check(usages: &[Usage<'_>], hosts: &[Host]) -> Result<(), (usize, String)> {
    let opened = usages.iter().filter(|usage| usage.word == OPEN);
    let opened = opened.filter_map(|usage| usage.with["channel"].as_str().map(str::to_owned));
    let at_start = hosts.iter().flat_map(|host| channels(host).into_keys());
    let at_start = at_start.map(|name| name.to_string());
    let known: BTreeSet<String> = at_start.chain(opened).collect();
    let names: Vec<&str> = hosts.iter().map(|host| host.id.as_str()).collect();
    let unknown = |usage: &Usage<'_>| -> Option<String> {
        let channel = usage.with["channel"].as_str();
        if let Some(name) = channel.filter(|name| !known.contains(*name)) {
            let near = suggestion(name, known.iter().map(String::as_str));
            return Some(format!(
                "no node has the channel `{name}`, and no command opens it{near}"
            ));
        }
        let to = if usage.word == REVOKE {
            usage.with[REVOKED].as_str()
        } else {
            let to = usage.with["to"].as_str();
            to.filter(|to| !OTHERS.contains(to))
        };
        let to = to.filter(|to| !names.contains(to))?;
        let near = suggestion(to, names.iter().copied());
        Some(format!("there is no node `{to}`{near}"))
    };
    let has_keys = with_keys(usages, hosts);
    for (index, usage) in usages.iter().enumerate() {
        let channel = usage.with["channel"].as_str().unwrap_or_default();
        if usage.word == VALUE && known.contains(channel) && !has_keys.contains(channel) {
            let message = format!("the channel `{channel}` is not a map: it has no keys");
            return Err((index, message));
        }
        let deliberate = usage.with[UNKNOWN] == true;
        match unknown(usage) {
            Some(message) if !deliberate => {
                let message = format!("{message}; if that is intended, add `{UNKNOWN} = true`");
                return Err((index, message));
            }
            None if deliberate => {
                let message = format!("`{UNKNOWN}` is true, and channel and receiver are known");
                return Err((index, message));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// The names of the channels that are maps at a node.
fn with_keys(usages: &[Usage<'_>], hosts: &[Host]) -> BTreeSet<String> {
    let at_start = hosts.iter().flat_map(channels);
    let at_start = at_start.filter(|(_, opening)| opening.kind == Kind::Map);
    let at_start = at_start.map(|(name, _)| name.to_string());
    let opened = usages.iter().filter(|usage| usage.word == OPEN);
    let opened = opened.filter(|usage| usage.with["kind"] == "map");
    let opened = opened.filter_map(|usage| usage.with["channel"].as_str().map(str::to_owned));
    at_start.chain(opened).collect()
}
