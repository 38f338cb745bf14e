//! The commands and conditions of scenario files for channels and applications.
//!
//! The same code reads a command twice: when the file is read, so that an error names its line, and when the command is
//! performed.

use super::byzantine::{COUNT_MAX, Forgery, ForgeryKind};
use super::opening::ChannelOpening;
use super::publishing::Published;
use super::step_words::ANNOUNCE;
use crate::scenario::text;
use core::time::Duration;
use phalanx_core::channel::{ChannelName, Kind};
use phalanx_core::identity::NodeId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The words of the commands.
pub(super) const COMMANDS: [&str; 9] = [
    "open", "close", "publish", "send", "put", "delete", "cas", FORGE, REVOKE,
];
/// The word of the command that revokes the certificates of a node.
pub(crate) const REVOKE: &str = "revoke";
/// The word of the command that sends forged messages.
pub(crate) const FORGE: &str = "forge";
/// The argument of a command that states that the channel or receiver is deliberately unknown in the scenario.
pub(super) const UNKNOWN: &str = "unknown";
/// The argument of a command that names the node whose certificates are revoked.
pub(super) const REVOKED: &str = "id";
/// The words of the conditions on channels.
pub(super) const CONDITIONS: [&str; 3] = ["channel-agrees", "all-received", "value"];

/// The minimum length of a payload, in bytes; a payload carries its number.
pub(super) const BYTES_MIN: usize = 8;
/// The maximum length of a payload that a file may request, in bytes. This maximum exceeds the limit of a node.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The default length of a payload, in bytes.
const BYTES: usize = 64;

/// An order to the applications or to the daemon of a host.
#[derive(Clone, Debug, PartialEq)]
pub enum AppCommand {
    /// Opens a channel.
    Open(ChannelName, ChannelOpening),
    /// Closes a channel.
    Close(ChannelName),
    /// Broadcasts a message with this length in bytes.
    Publish(ChannelName, usize),
    /// Sends a message to one or more members.
    Send {
        /// The channel.
        channel: ChannelName,
        /// The receivers.
        to: Receivers,
        /// The length of the payload, in bytes.
        bytes: usize,
        /// The message is sent at most once and is not acknowledged.
        datagram: bool,
    },
    /// Writes or deletes a key of a map.
    Write {
        /// The channel of the map.
        channel: ChannelName,
        /// The key. If a number is given, each write appends a random number below it to the key.
        key: (String, Option<u64>),
        /// The required condition: the key must have this value, or no value; without a condition, the write is
        /// unconditional.
        expects: Option<Option<Arc<[u8]>>>,
        /// The new value.
        value: Written,
    },
    /// Sends forged messages to all neighbours.
    Forge(Forgery),
    /// Publishes new services and metadata.
    Announce(Published),
    /// Revokes the certificates of a node.
    Revoke(NodeId),
}

/// The new value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The key is deleted.
    Nothing,
    /// The value is this text.
    This(String),
    /// A value that is unique to the write.
    Numbered,
}

/// The receivers of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receivers {
    /// The member with this id.
    Id(String),
    /// The other members in turn, one for each command.
    Each,
    /// One random other member.
    Any,
    /// All other members.
    Others,
}

/// Checks the arguments of a command or a condition.
///
/// # Errors
/// Returns an error if the name is unknown, or an argument is invalid.
pub(super) fn check(name: &str, with: &Value) -> Result<(), String> {
    if CONDITIONS.contains(&name) {
        return ChannelCondition::read(name, with).map(|_| ());
    }
    AppCommand::read(name, with).map(|_| ())
}

/// A condition on channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ChannelCondition {
    /// All nodes that hold the channel hold the same state of the channel.
    Agrees(ChannelName),
    /// Every broadcast was delivered to all hosts that have had the channel open since before the broadcast.
    AllReceived(ChannelName),
    /// The key of the map has this value, or has no value.
    Value(ChannelName, String, Option<String>),
}

impl ChannelCondition {
    pub(super) fn read(name: &str, with: &Value) -> Result<Self, String> {
        let mut with = With::of(name, with)?;
        let channel = with.channel()?;
        let asked = match name {
            "channel-agrees" => Self::Agrees(channel),
            "all-received" => Self::AllReceived(channel),
            "value" => Self::Value(channel, with.needed_text("key")?, with.text("is")?),
            _ => return Err(format!("`{name}` is not a condition of channels")),
        };
        with.done().map(|()| asked)
    }
}

impl AppCommand {
    /// Parses a command.
    ///
    /// # Errors
    /// Returns an error if the name is unknown, or an argument is invalid.
    pub fn read(name: &str, with: &Value) -> Result<Self, String> {
        if name == ANNOUNCE {
            return Published::read(with).map(Self::Announce);
        }
        let mut with = With::of(name, with)?;
        if name == FORGE {
            let told = with.forgery()?;
            return with.done().map(|()| Self::Forge(told));
        }
        if name == REVOKE {
            let id = with.needed_text(REVOKED)?;
            let id = node(REVOKED, &id)?;
            return with.done().map(|()| Self::Revoke(id));
        }
        let channel = with.channel()?;
        let order = match name {
            "open" => Self::Open(channel, with.opening()?),
            "close" => Self::Close(channel),
            "publish" => Self::Publish(channel, with.bytes()?),
            "send" => Self::Send {
                channel,
                to: match with.needed_text("to")?.as_str() {
                    "each" => Receivers::Each,
                    "any" => Receivers::Any,
                    "others" => Receivers::Others,
                    id => Receivers::Id(node("to", id)?.to_string()),
                },
                bytes: with.bytes()?,
                datagram: with.flag("datagram")?,
            },
            "put" | "delete" | "cas" => {
                let key = (with.needed_text("key")?, with.number("keys", 1, 1 << 20)?);
                let expects = match name {
                    "cas" => Some(with.text("old")?.map(|old| Arc::from(old.into_bytes()))),
                    _ => None,
                };
                let value = match name {
                    "delete" => Written::Nothing,
                    _ => with.text("value")?.map_or(Written::Numbered, Written::This),
                };
                Self::Write {
                    channel,
                    key,
                    expects,
                    value,
                }
            }
            _ => return Err(format!("`{name}` is not a command")),
        };
        with.done().map(|()| order)
    }
}

/// Parses a node's id.
fn node(key: &str, id: &str) -> Result<NodeId, String> {
    NodeId::new(id).map_err(|why| format!("`{key}`: the name `{id}` {why}"))
}

/// The arguments of a command, which are removed one by one as they are read.
struct With<'a> {
    name: &'a str,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> With<'a> {
    fn of(name: &'a str, with: &Value) -> Result<Self, String> {
        let Value::Object(left) = with else {
            return Err(format!(
                "`{name}` needs `with`, a table with at least `{}`",
                match name {
                    FORGE => "how",
                    REVOKE => REVOKED,
                    _ => "channel",
                }
            ));
        };
        Ok(Self {
            name,
            left: left.clone(),
            known: Vec::new(),
        })
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{key}` is {other}; write a text in quotes")),
        }
    }

    fn needed_text(&mut self, key: &'static str) -> Result<String, String> {
        let name = self.name;
        self.text(key)?
            .ok_or_else(|| format!("`{name}` needs `{key}` in `with`"))
    }

    fn channel(&mut self) -> Result<ChannelName, String> {
        // The check of the whole scenario reads this argument.
        self.flag(UNKNOWN)?;
        let name = self.needed_text("channel")?;
        ChannelName::new(&name).map_err(|why| format!("the channel name `{name}` {why}"))
    }

    fn number(&mut self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>, String> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        let number = found.as_u64();
        let number = number.filter(|number| (min..=max).contains(number));
        number
            .map(Some)
            .ok_or_else(|| format!("`{key}` is {found}; write a whole number from {min} to {max}"))
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(format!("`{key}` is {other}; write true or false")),
        }
    }

    fn bytes(&mut self) -> Result<usize, String> {
        let bytes = self.number("bytes", BYTES_MIN as u64, BYTES_MAX)?;
        Ok(bytes.map_or(BYTES, |bytes| usize::try_from(bytes).unwrap_or(BYTES)))
    }

    fn time(&mut self, key: &'static str) -> Result<Option<Duration>, String> {
        let text = self.text(key)?;
        let read = |text: String| text::duration(&text).map_err(|why| format!("`{key}`: {why}"));
        text.map(read).transpose()
    }

    fn forgery(&mut self) -> Result<Forgery, String> {
        let how = self.needed_text("how")?;
        let found = ForgeryKind::ALL.iter().find(|(_, word)| *word == how);
        let (kind, _) = found.ok_or_else(|| {
            let words: Vec<&str> = ForgeryKind::ALL.iter().map(|(_, word)| *word).collect();
            format!("`how` is {how:?}; write one of {}", words.join(", "))
        })?;
        let about = self.text("about")?.map(|id| node("about", &id));
        let count = self.number("count", 1, COUNT_MAX)?.unwrap_or(1);
        Ok(Forgery {
            kind: *kind,
            about: about.transpose()?,
            count: usize::try_from(count).unwrap_or(1),
        })
    }

    fn opening(&mut self) -> Result<ChannelOpening, String> {
        let kind = self.text("kind")?.map_or(Ok(Kind::Messages), |word| {
            ChannelOpening::kind_named(&word).map_err(|why| format!("`kind`: {why}"))
        })?;
        let mut opening = ChannelOpening::of(kind);
        opening.interval = self.time("interval")?;
        let room = self.number("room", 1, u64::from(u32::MAX))?;
        opening.room = room.map(|room| u32::try_from(room).unwrap_or(u32::MAX));
        opening.takes = self.time("takes")?.unwrap_or_default();
        Ok(opening)
    }

    /// Checks that no argument is left.
    fn done(self) -> Result<(), String> {
        let Some(key) = self.left.keys().next() else {
            return Ok(());
        };
        let near = crate::scenario::suggestion(key, self.known);
        Err(format!("`{}` has no `{key}`{near}", self.name))
    }
}
