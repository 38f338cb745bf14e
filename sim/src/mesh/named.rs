//! The channels and nodes that commands and conditions name: the scenario must have them.

use super::host_words::channels;
use crate::scenario::{Host, Usage, suggestion};
use std::collections::BTreeSet;

/// The command that opens a channel.
const OPEN: &str = "open";

/// Words in `to` of the command `send` that stand for other members.
const OTHERS: [&str; 3] = ["each", "any", "others"];

/// Checks that every channel is one that a node has at its start or that a command opens, and every receiver is a node.
pub(super) fn check(usages: &[Usage<'_>], hosts: &[Host]) -> Result<(), (usize, String)> {
    let opened = usages.iter().filter(|usage| usage.word == OPEN);
    let opened = opened.filter_map(|usage| usage.with["channel"].as_str().map(str::to_owned));
    let at_start = hosts.iter().flat_map(|host| channels(host).into_keys());
    let at_start = at_start.map(|name| name.to_string());
    let known: BTreeSet<String> = at_start.chain(opened).collect();
    let names: Vec<&str> = hosts.iter().map(|host| host.id.as_str()).collect();
    for (index, usage) in usages.iter().enumerate() {
        if let Some(name) = usage.with["channel"].as_str()
            && !known.contains(name)
        {
            let near = suggestion(name, known.iter().map(String::as_str));
            let message =
                format!("no node has the channel `{name}`, and no command opens it{near}");
            return Err((index, message));
        }
        if let Some(to) = usage.with["to"].as_str()
            && !OTHERS.contains(&to)
            && !names.contains(&to)
        {
            let near = suggestion(to, names.iter().copied());
            return Err((index, format!("there is no node `{to}`{near}")));
        }
    }
    Ok(())
}
