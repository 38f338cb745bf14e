//! `phalanx subscribe` and `phalanx kv watch`.

use super::declined;
use super::value::{programs, shown, version};
use crate::arguments::channel::{ChannelKind, Listen, Subscribe};
use crate::calendar::{now_ms, time_of_day};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Paint, Screen};
use phalanx_core::channel::ChannelName;
use phalanx_net::wire::proto::{self, channel_event::Event};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time;
use tonic::Streaming;

impl From<ChannelKind> for proto::ChannelKind {
    fn from(kind: ChannelKind) -> Self {
        match kind {
            ChannelKind::Messages => Self::Messages,
            ChannelKind::Map => Self::Map,
            ChannelKind::Custom => Self::Custom,
        }
    }
}

pub(crate) fn subscribe(
    screen: &Screen,
    arguments: &Subscribe,
) -> Result<Completion, CommandError> {
    listen(
        screen,
        &arguments.channel,
        arguments.kind.into(),
        &arguments.listen,
    )
}

/// Prints the events on a channel until the requested number has arrived, the time is up, the user
/// presses Ctrl-C, or the node ends.
pub(super) fn listen(
    screen: &Screen,
    channel: &ChannelName,
    kind: proto::ChannelKind,
    wanted: &Listen,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open(&wanted.ask.access)?;
    let what = format!("subscribe to {channel}");
    let request = proto::SubscribeRequest {
        channel: channel.to_string(),
        kind: kind.into(),
        with_history: wanted.history,
        interval_ms: u64::try_from(wanted.interval.0.as_millis()).unwrap_or(u64::MAX),
    };
    let mut stream = node
        .ask(Duration::ZERO, async |client| {
            client.channels().subscribe(request).await
        })?
        .map_err(|status| declined(&node, &what, &status))?;
    let end = wanted.limit.end().map(time::Instant::from_std);
    let mut heard = 0;
    loop {
        if wanted.count.is_some_and(|count| heard >= count) {
            return Ok(Completion::Yes);
        }
        match next(&node, &mut stream, end) {
            None => {
                let enough = wanted.count.is_none();
                return Ok(if enough {
                    Completion::Yes
                } else {
                    Completion::No
                });
            }
            Some(Ok(Some(event))) => {
                let last = wanted.count == Some(heard + 1);
                heard += u64::from(show(screen, wanted, event.event, last)?);
            }
            Some(Ok(None)) => {
                return Err(CommandError::failed(format!(
                    "{}: the node ended",
                    node.address()
                )));
            }
            Some(Err(status)) => return Err(declined(&node, &what, &status)),
        }
    }
}

/// Returns the next event, or `None` when the time is up.
fn next(
    node: &NodeClient,
    stream: &mut Streaming<proto::ChannelEvent>,
    end: Option<time::Instant>,
) -> Option<Result<Option<proto::ChannelEvent>, tonic::Status>> {
    node.block_on(async {
        match end {
            Some(end) => time::timeout_at(end, stream.message()).await.ok(),
            None => Some(stream.message().await),
        }
    })
}

/// Prints one event; returns whether it counts towards the requested number. `last` is whether it ends the command if it
/// counts.
fn show(
    screen: &Screen,
    wanted: &Listen,
    event: Option<Event>,
    last: bool,
) -> Result<bool, CommandError> {
    let Some(event) = event else {
        return Ok(false);
    };
    let counts = !matches!(
        event,
        Event::Subscribed(_) | Event::Lagged(_) | Event::Missed(_)
    );
    if wanted.ask.json {
        screen.json(&for_programs(event))?;
        return Ok(counts);
    }
    if !screen.is_terminal() {
        match &event {
            Event::Message(proto::Received { payload, .. })
            | Event::Broadcast(proto::Heard { payload, .. }) => {
                screen.bytes(payload)?;
                // Without a line end after the last message, one message is written byte for byte.
                if !last {
                    screen.bytes(b"\n")?;
                }
                return Ok(counts);
            }
            Event::Subscribed(_) | Event::Lagged(_) | Event::Missed(_) => {
                let (who, _, text) = for_people(event);
                screen.note(format!("{who}: {text}"));
                return Ok(counts);
            }
            Event::Changed(_) | Event::Conflict(_) => {}
        }
    }
    let (who, paint, text) = for_people(event);
    // Everything except the time comes from another machine and is escaped.
    let time = screen.painted(&time_of_day(now_ms()), Paint::Dim);
    let (who, text) = (
        screen.painted(&who, paint),
        screen.painted(&text, Paint::Plain),
    );
    screen.line(format!("{time}  {who}  {text}"))?;
    Ok(counts)
}

fn for_people(event: Event) -> (String, Paint, String) {
    match event {
        Event::Subscribed(it) => (
            it.node,
            Paint::Dim,
            "subscribed; press Ctrl-C to stop".to_owned(),
        ),
        Event::Message(it) => (
            format!("{} (to you)", it.from),
            Paint::Good,
            shown(&it.payload),
        ),
        Event::Broadcast(it) => (
            it.id.unwrap_or_default().origin,
            Paint::Bold,
            shown(&it.payload),
        ),
        Event::Changed(it) => {
            let by = version(it.version);
            let text = match &it.value {
                Some(value) => format!("= {}  ({by})", shown(value)),
                None => format!("deleted  ({by})"),
            };
            (it.key, Paint::Bold, text)
        }
        Event::Conflict(it) => {
            let (lost, won) = (version(it.lost), version(it.won));
            let text = format!("conflict: this node's write {lost} lost against {won}");
            (it.key, Paint::Bad, text)
        }
        Event::Lagged(it) => {
            let text = format!(
                "{} events were missed: this subscriber reads too slowly",
                it.missed
            );
            ("lagged".to_owned(), Paint::Warn, text)
        }
        Event::Missed(it) => (it.origin.clone(), Paint::Warn, missed_text(&it)),
    }
}

/// The number of messages that the node missed.
const fn missed_count(missed: &proto::Missed) -> u64 {
    missed.last.saturating_sub(missed.first).saturating_add(1)
}

fn missed_text(missed: &proto::Missed) -> String {
    let count = missed_count(missed);
    let messages = if count == 1 {
        "message was"
    } else {
        "messages were"
    };
    if missed.restarted {
        return format!(
            "{count} {messages} missed after a restart of the sender, and an unknown number before it"
        );
    }
    format!("{count} {messages} missed")
}

/// Returns an object with the fields of both objects.
fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn for_programs(event: Event) -> Value {
    match event {
        Event::Subscribed(it) => json!({ "event": "subscribed", "node": it.node }),
        Event::Message(it) => with(
            json!({ "event": "message", "from": it.from, "datagram": it.datagram }),
            programs(&it.payload),
        ),
        Event::Broadcast(it) => {
            let id = it.id.unwrap_or_default();
            with(
                json!({
                    "event": "broadcast",
                    "from": id.origin,
                    "epoch": id.epoch,
                    "sequence": id.sequence,
                    "retained": it.retained,
                }),
                programs(&it.payload),
            )
        }
        Event::Changed(it) => {
            let by = version(it.version);
            let object = json!({
                "event": if it.value.is_some() { "changed" } else { "deleted" },
                "key": it.key,
                "version": by,
                "retained": it.retained,
            });
            match &it.value {
                Some(value) => with(object, programs(value)),
                None => object,
            }
        }
        Event::Conflict(it) => json!({
            "event": "conflict",
            "key": it.key,
            "lost": version(it.lost),
            "won": version(it.won),
        }),
        Event::Lagged(it) => json!({ "event": "lagged", "missed": it.missed }),
        Event::Missed(it) => json!({
            "event": "missed",
            "from": it.origin,
            "epoch": it.epoch,
            "first": it.first,
            "last": it.last,
            "count": missed_count(&it),
            "restarted": it.restarted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(first: u64, last: u64, restarted: bool) -> proto::Missed {
        proto::Missed {
            origin: "n1".to_owned(),
            epoch: 7,
            first,
            last,
            restarted,
        }
    }

    #[test]
    fn a_notice_of_missed_messages_names_their_number_and_sender() {
        let text = |notice| {
            let (who, _, text) = for_people(Event::Missed(notice));
            format!("{who}: {text}")
        };
        assert_eq!(text(missed(11, 136, false)), "n1: 126 messages were missed");
        assert_eq!(text(missed(4, 4, false)), "n1: 1 message was missed");
        assert_eq!(
            text(missed(1, 36, true)),
            "n1: 36 messages were missed after a restart of the sender, and an unknown number before it"
        );
        assert_eq!(
            for_programs(Event::Missed(missed(11, 136, false))),
            json!({
                "event": "missed", "from": "n1", "epoch": 7, "first": 11, "last": 136, "count": 126, "restarted": false,
            })
        );
    }
}
