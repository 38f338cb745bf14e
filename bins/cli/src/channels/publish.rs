//! `phalanx publish` and `phalanx send`.

use super::{all_input, declined, payload, text_or_input};
use crate::arguments::channel::{Publish, Send};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::Screen;
use phalanx_net::wire::proto;
use serde_json::json;
use std::io::BufRead as _;
use std::time::{Duration, Instant};
use tonic::Code;

/// Maximum time that the node retries the delivery of a message.
const DELIVERY_MAX: Duration = Duration::from_secs(20);
/// Pause before a publish is retried on a node whose links are full.
const FULL_AFTER: Duration = Duration::from_millis(100);

/// Publishes one message; retries while the node's links are full.
fn publish_one(
    screen: &Screen,
    node: &mut NodeClient,
    arguments: &Publish,
    bytes: Vec<u8>,
) -> Result<(), CommandError> {
    let channel = arguments.channel.as_str();
    let what = format!("publish on {channel}");
    let begun = Instant::now();
    let reply = loop {
        let request = proto::PublishRequest {
            channel: channel.to_owned(),
            kind: proto::ChannelKind::Messages.into(),
            payload: payload(&what, bytes.clone())?,
        };
        let asked = node.ask(Duration::ZERO, async |client| {
            client.channels().publish(request).await
        })?;
        match asked {
            Ok(reply) => break reply,
            Err(status)
                if status.code() == Code::ResourceExhausted && begun.elapsed() < DELIVERY_MAX =>
            {
                std::thread::sleep(FULL_AFTER);
            }
            Err(status) => return Err(declined(node, &what, &status)),
        }
    };
    if arguments.ask.json {
        let id = reply.id.unwrap_or_default();
        screen.json(&json!({
            "channel": channel,
            "origin": id.origin,
            "epoch": id.epoch,
            "sequence": id.sequence,
        }))?;
    }
    Ok(())
}

/// Publishes a text, all of standard input, or each line of it.
pub(crate) fn publish(screen: &Screen, arguments: &Publish) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&arguments.ask.access)?;
    let what = format!("publish on {}", arguments.channel);
    match &arguments.text {
        Some(text) if text != "-" => {
            publish_one(screen, &mut node, arguments, text.as_bytes().to_vec())?;
        }
        Some(_) | None if arguments.whole => {
            let bytes = all_input(&what)?;
            publish_one(screen, &mut node, arguments, bytes)?;
        }
        Some(_) | None => {
            for line in std::io::stdin().lock().split(b'\n') {
                let line = line.map_err(|error| {
                    CommandError::failed(format!("standard input cannot be read: {error}"))
                })?;
                publish_one(screen, &mut node, arguments, line)?;
            }
        }
    }
    Ok(Completion::Yes)
}

/// Sends a message to one member; a failed delivery is a failure with its reason.
pub(crate) fn send(screen: &Screen, arguments: &Send) -> Result<Completion, CommandError> {
    let Send { to, channel, .. } = arguments;
    let what = format!("send to {to}");
    let bytes = text_or_input(&what, &arguments.text)?;
    let mut node = NodeClient::open(&arguments.ask.access)?;
    let request = proto::SendRequest {
        to: to.to_string(),
        channel: channel.to_string(),
        payload: bytes,
        datagram: arguments.datagram,
    };
    let asked = node.ask(DELIVERY_MAX, async |client| {
        client.channels().send(request).await
    })?;
    if let Err(status) = asked {
        return Err(declined(&node, &what, &status));
    }
    if arguments.ask.json {
        let done = if arguments.datagram {
            "sent"
        } else {
            "delivered"
        };
        screen.json(&json!({ "to": to.as_str(), "channel": channel.as_str(), "result": done }))?;
    }
    Ok(Completion::Yes)
}
