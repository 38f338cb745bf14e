//! `phalanx registry watch`: the objects that exist, and then each change.

use super::{declined, show};
use crate::arguments::registry::{ObjectFormat, RegistryWatch};
use crate::calendar::{now_ms, time_of_day};
use crate::failure::{CommandError, Completion};
use crate::mesh::node_client::NodeClient;
use crate::screen::{Paint, Screen};
use phalanx_net::registry::proto::watch_change::Change;
use phalanx_net::registry::proto::watch_objects_reply::Reply;
use phalanx_net::registry::proto::watch_objects_request::Request;
use phalanx_net::registry::proto::{
    self, OpenWatch, SnapshotPart, WatchChanges, WatchObjectsReply, WatchObjectsRequest,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time;
use tonic::{Status, Streaming};

/// Prints objects and changes until the time is up, enough changes arrived, the user presses Ctrl-C, or the node ends.
pub(super) fn watch(
    screen: &Screen,
    arguments: &RegistryWatch,
) -> Result<Completion, CommandError> {
    let mut node = NodeClient::open_registry(screen, &arguments.ask.access)?;
    let open = WatchObjectsRequest {
        watch_id: 1,
        request: Some(Request::Open(OpenWatch {
            selector: arguments.wanted.selector.to_string(),
            filter: arguments.wanted.filter.to_string(),
            resume_token: arguments.resume.clone(),
            ..OpenWatch::default()
        })),
    };
    let opened = node.ask(Duration::ZERO, async |client| {
        client
            .objects()
            .watch_objects(StreamOfOne(Some(open)))
            .await
    })?;
    let mut stream = opened.map_err(|status| declined(&node, &status))?;
    let printer = Printer {
        screen,
        format: arguments.ask.format(),
    };
    let end = arguments.limit.end().map(time::Instant::from_std);
    let mut changes = 0;
    loop {
        if arguments.count.is_some_and(|count| changes >= count) {
            return Ok(Completion::Yes);
        }
        match next(&node, &mut stream, end) {
            None if arguments.count.is_some() => return Ok(Completion::No),
            None => return Ok(Completion::Yes),
            Some(Ok(Some(reply))) => {
                let left = arguments.count.map_or(u64::MAX, |count| count - changes);
                changes += printer.print(reply.reply, left)?;
            }
            Some(Ok(None)) => {
                let ended = format!("{}: the node ended", node.address());
                return Err(CommandError::failed(ended));
            }
            Some(Err(status)) => return Err(declined(&node, &status)),
        }
    }
}

/// Returns the next reply, or `None` when the time is up.
fn next(
    node: &NodeClient,
    stream: &mut Streaming<WatchObjectsReply>,
    end: Option<time::Instant>,
) -> Option<Result<Option<WatchObjectsReply>, Status>> {
    node.block_on(async {
        match end {
            Some(end) => time::timeout_at(end, stream.message()).await.ok(),
            None => Some(stream.message().await),
        }
    })
}

/// A stream of one request, which ends after it.
struct StreamOfOne(Option<WatchObjectsRequest>);

impl tokio_stream::Stream for StreamOfOne {
    type Item = WatchObjectsRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchObjectsRequest>> {
        std::task::Poll::Ready(self.0.take())
    }
}

/// Prints replies.
struct Printer<'a> {
    screen: &'a Screen,
    format: ObjectFormat,
}

impl Printer<'_> {
    /// Prints a reply; returns the number of changes, at most `left` of which are printed.
    fn print(&self, reply: Option<Reply>, left: u64) -> Result<u64, CommandError> {
        match reply {
            None | Some(Reply::Opened(_)) => Ok(0),
            Some(Reply::Snapshot(part)) => self.snapshot(part).map(|()| 0),
            Some(Reply::Changes(changes)) => self.changes(changes, left),
            Some(Reply::Bookmark(token)) => {
                let event = json!({ "event": "bookmark", "resume_token": token });
                self.note(&event, "", "").map(|()| 0)
            }
            Some(Reply::Reset(reset)) => {
                let reason = reset
                    .reason()
                    .as_str_name()
                    .to_lowercase()
                    .replace('_', "-");
                let text = format!("the registry sends what exists again: {reason}");
                let event = json!({ "event": "reset", "reason": reason });
                self.note(&event, "reset", &text).map(|()| 0)
            }
            Some(Reply::Refused(refused)) => {
                let is_wrong = refused.reason() == proto::WatchRefusalReason::InvalidRequest;
                Err(if is_wrong {
                    CommandError::usage(refused.text)
                } else {
                    CommandError::failed(refused.text)
                })
            }
        }
    }

    fn snapshot(&self, part: SnapshotPart) -> Result<(), CommandError> {
        for object in part.objects {
            self.current("exists", object)?;
        }
        let Some(end) = part.end else {
            return Ok(());
        };
        let text = format!("{} objects exist; changes follow", end.count);
        let event = json!({
            "event": "synced",
            "objects": end.count,
            "resume_token": end.resume_token,
        });
        self.note(&event, "synced", &text)
    }

    fn changes(&self, changes: WatchChanges, left: u64) -> Result<u64, CommandError> {
        let mut count = 0;
        for change in changes.changes.into_iter().filter_map(|it| it.change) {
            if count == left {
                break;
            }
            count += 1;
            match change {
                Change::Current(object) => self.current("changed", object)?,
                Change::Removed(name) => {
                    let event = json!({ "event": "removed", "name": name });
                    self.event(&event, &name, Paint::Bad, "removed")?;
                }
            }
        }
        let event = json!({ "event": "bookmark", "resume_token": changes.resume_token });
        self.note(&event, "", "")?;
        Ok(count)
    }

    fn current(&self, word: &str, object: proto::Object) -> Result<(), CommandError> {
        let generation = object.metadata.as_ref().map_or(0, |it| it.generation);
        let name = object.name.clone();
        let shown = serde_json::to_value(show::shown(object)).map_err(CommandError::failed)?;
        let event = json!({ "event": word, "object": shown });
        let text = format!("{word}, generation {generation}");
        self.event(&event, &name, Paint::Bold, &text)
    }

    /// Prints an event; for people, one line.
    fn event(
        &self,
        event: &Value,
        name: &str,
        paint: Paint,
        text: &str,
    ) -> Result<(), CommandError> {
        match self.format {
            ObjectFormat::Json => self.screen.json(event),
            ObjectFormat::Yaml => {
                show::yaml(self.screen, event)?;
                self.screen.bytes(b"---\n")
            }
            ObjectFormat::Table => {
                let time = self.screen.painted(&time_of_day(now_ms()), Paint::Dim);
                let name = self.screen.painted(name, paint);
                self.screen.line(format!("{time}  {name}  {text}"))
            }
        }
    }

    /// Prints an event that is not about an object; people read the text, if there is one.
    fn note(&self, event: &Value, name: &str, text: &str) -> Result<(), CommandError> {
        if self.format == ObjectFormat::Table && text.is_empty() {
            return Ok(());
        }
        self.event(event, name, Paint::Dim, text)
    }
}
