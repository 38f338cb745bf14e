//! What scenario files may have applications do with channels, in words.
//!
//! A command is read twice by the same code: when the file is read, so that a mistake names its line, and when it is
//! carried out.

use super::liar::{COUNT_MAX, Lie, Told};
use super::opening::Opening;
use super::publishing::Published;
use super::step_words::ANNOUNCE;
use crate::scenario::text;
use core::time::Duration;
use phalanx_core::channel::{ChannelName, Kind};
use phalanx_core::identity::NodeId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The words.
pub(super) const COMMANDS: [&str; 8] = [
    "open", "close", "publish", "send", "put", "delete", "cas", LIE,
];
/// The word of a daemon that lies.
pub(crate) const LIE: &str = "lie";
/// The conditions on channels.
pub(super) const CONDITIONS: [&str; 3] = ["channel-agrees", "all-heard", "value"];

/// The least bytes of a payload: it carries the number by which it is told from others.
pub(super) const BYTES_MIN: usize = 8;
/// The most bytes that a file may ask for; more than a node takes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The bytes of a payload unless the file says otherwise.
const BYTES: usize = 64;

/// Something an application does with a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Opens it.
    Open(ChannelName, Opening),
    /// Closes it.
    Close(ChannelName),
    /// Broadcasts so many bytes.
    Publish(ChannelName, usize),
    /// Sends to members.
    Send {
        /// On which channel.
        channel: ChannelName,
        /// To whom.
        to: Target,
        /// So many bytes.
        bytes: usize,
        /// Once, without an answer.
        datagram: bool,
    },
    /// Writes a map.
    Write {
        /// Which.
        channel: ChannelName,
        /// The key, and among how many of its beginning the writes are spread.
        key: (String, Option<u64>),
        /// What must stand there: nothing, or this value; without it: whatever.
        expects: Option<Option<Arc<[u8]>>>,
        /// What is written.
        value: Written,
    },
    /// Lies to its neighbours.
    Lie(Told),
    /// The daemon publishes other content.
    Announce(Published),
}

/// What is written under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing: it is deleted.
    Nothing,
    /// This.
    This(String),
    /// A value of its own for each write.
    Numbered,
}

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this id.
    Id(String),
    /// To one other after another, one with each command.
    Each,
    /// To another that is drawn.
    Any,
    /// To all others.
    Others,
}

/// Checks what goes with a command or a condition.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(name: &str, with: &Value) -> Result<(), String> {
    if CONDITIONS.contains(&name) {
        return Asked::read(name, with).map(|_| ());
    }
    Order::read(name, with).map(|_| ())
}

/// A condition on channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// All hold the same of it.
    Agrees(ChannelName),
    /// Every broadcast was handed to everyone who had the channel open and stayed.
    AllHeard(ChannelName),
    /// This stands under a key of it, or nothing.
    Value(ChannelName, String, Option<String>),
}

impl Asked {
    pub(super) fn read(name: &str, with: &Value) -> Result<Self, String> {
        let mut with = With::of(name, with)?;
        let channel = with.channel()?;
        let asked = match name {
            "channel-agrees" => Self::Agrees(channel),
            "all-heard" => Self::AllHeard(channel),
            "value" => Self::Value(channel, with.needed_text("key")?, with.text("is")?),
            _ => return Err(format!("`{name}` is no condition of channels")),
        };
        with.done().map(|()| asked)
    }
}

impl Order {
    /// Reads a command.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, with: &Value) -> Result<Self, String> {
        if name == ANNOUNCE {
            return Published::read(with).map(Self::Announce);
        }
        let mut with = With::of(name, with)?;
        if name == LIE {
            let told = with.lie()?;
            return with.done().map(|()| Self::Lie(told));
        }
        let channel = with.channel()?;
        let order = match name {
            "open" => Self::Open(channel, with.opening()?),
            "close" => Self::Close(channel),
            "publish" => Self::Publish(channel, with.bytes()?),
            "send" => Self::Send {
                channel,
                to: match with.needed_text("to")?.as_str() {
                    "each" => Target::Each,
                    "any" => Target::Any,
                    "others" => Target::Others,
                    id => Target::Id(node("to", id)?.to_string()),
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
            _ => return Err(format!("`{name}` is no command")),
        };
        with.done().map(|()| order)
    }
}

/// A node's id.
fn node(key: &str, id: &str) -> Result<NodeId, String> {
    NodeId::new(id).map_err(|why| format!("`{key}`: the name `{id}` {why}"))
}

/// What goes with a command, taken out key by key.
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
                if name == LIE { "how" } else { "channel" }
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

    fn lie(&mut self) -> Result<Told, String> {
        let how = self.needed_text("how")?;
        let found = Lie::ALL.iter().find(|(_, word)| *word == how);
        let (lie, _) = found.ok_or_else(|| {
            let words: Vec<&str> = Lie::ALL.iter().map(|(_, word)| *word).collect();
            format!("`how` is {how:?}; write one of {}", words.join(", "))
        })?;
        let about = self.text("about")?.map(|id| node("about", &id));
        let count = self.number("count", 1, COUNT_MAX)?.unwrap_or(1);
        Ok(Told {
            lie: *lie,
            about: about.transpose()?,
            count: usize::try_from(count).unwrap_or(1),
        })
    }

    fn opening(&mut self) -> Result<Opening, String> {
        let kind = self.text("kind")?.map_or(Ok(Kind::Messages), |word| {
            Opening::kind_named(&word).map_err(|why| format!("`kind`: {why}"))
        })?;
        let mut opening = Opening::of(kind);
        opening.interval = self.time("interval")?;
        let room = self.number("room", 1, u64::from(u32::MAX))?;
        opening.room = room.map(|room| u32::try_from(room).unwrap_or(u32::MAX));
        opening.takes = self.time("takes")?.unwrap_or_default();
        Ok(opening)
    }

    /// Every key must have been asked for.
    fn done(self) -> Result<(), String> {
        let Some(key) = self.left.keys().next() else {
            return Ok(());
        };
        let near = crate::scenario::suggestion(key, self.known);
        Err(format!("`{}` has no `{key}`{near}", self.name))
    }
}
