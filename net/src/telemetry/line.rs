//! The format of one log line: text or JSON, with the priority for the journal.

use super::queue::{LogQueue, Urgency};
use crate::printable::{FIELD_BYTES_MAX, Printable, printable};
use core::fmt::{self, Write as _};
use core::str::FromStr;
use std::io;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Maximum number of fields of one line.
const FIELDS_MAX: usize = 16;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs: one object per line.
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is not a valid log format; use \"text\" or \"json\""),
        }
    }
}

/// The format of all lines of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineFormat {
    pub(super) format: Format,
    /// Whether standard error is the systemd journal: lines then begin with a priority, and text has no time of its
    /// own.
    pub(super) journal: bool,
}

/// The value of a field.
enum Value {
    Text(String),
    /// A number or truth value, as JSON writes it.
    Literal(String),
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match value {
            Value::Text(text) if field.name() == "message" => self.message = text,
            value if self.others.len() < FIELDS_MAX => self.others.push((field.name(), value)),
            Value::Text(_) | Value::Literal(_) => {}
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Printable::new(FIELD_BYTES_MAX);
        // An error means that the text was cut.
        let _cut = write!(text, "{value:?}").is_err();
        self.add(field, Value::Text(text.finish()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(printable(value, FIELD_BYTES_MAX)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Literal(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Literal(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Literal(value.to_string()));
    }
}

/// The priority of a level, as syslog numbers it.
pub(super) const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A JSON string.
fn json(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                let _never = write!(quoted, "\\u{:04x}", u32::from(control)).is_err();
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

impl LineFormat {
    /// Writes one line.
    fn line(&self, out: &mut Writer<'_>, level: Level, fields: &Fields) -> fmt::Result {
        if self.journal {
            write!(out, "<{}>", priority(level))?;
        }
        match self.format {
            Format::Text => {
                if !self.journal {
                    SystemTime.format_time(out)?;
                    out.write_char(' ')?;
                }
                write!(out, "{level:>5} {}", fields.message)?;
                for (name, value) in &fields.others {
                    match value {
                        Value::Text(text) => write!(out, " {name}={}", json(text))?,
                        Value::Literal(text) => write!(out, " {name}={text}")?,
                    }
                }
            }
            Format::Json => {
                out.write_str("{\"timestamp\":\"")?;
                SystemTime.format_time(out)?;
                write!(out, "\",\"level\":\"{level}\"")?;
                write!(out, ",\"message\":{}", json(&fields.message))?;
                for (name, value) in &fields.others {
                    match value {
                        Value::Text(text) => write!(out, ",\"{name}\":{}", json(text))?,
                        Value::Literal(text) => write!(out, ",\"{name}\":{text}")?,
                    }
                }
                out.write_char('}')?;
            }
        }
        out.write_char('\n')
    }

    /// The line that reports a number of dropped lines.
    pub(super) fn dropped(&self, count: u64) -> Vec<u8> {
        let message = format!(
            "{count} log lines were dropped because standard error was not read fast enough"
        );
        let fields = Fields {
            message,
            others: vec![("event", Value::Text("log-lines-dropped".to_owned()))],
        };
        let mut text = String::new();
        let written = self.line(&mut Writer::new(&mut text), Level::WARN, &fields);
        if written.is_err() {
            text.clear();
        }
        text.into_bytes()
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.line(&mut out, *event.metadata().level(), &fields)
    }
}

/// Passes lines to the queue.
#[derive(Clone, Debug)]
pub(super) struct ToQueue(pub(super) LogQueue);

/// Passes one line to the queue.
#[derive(Debug)]
pub(super) struct LineToQueue<'a> {
    queue: &'a LogQueue,
    urgency: Urgency,
}

/// The share of the queue that a line of this level may fill.
pub(super) const fn urgency(level: Level) -> Urgency {
    match level {
        Level::ERROR => Urgency::Error,
        Level::WARN => Urgency::Warning,
        Level::INFO | Level::DEBUG | Level::TRACE => Urgency::Routine,
    }
}

impl<'a> MakeWriter<'a> for ToQueue {
    type Writer = LineToQueue<'a>;

    fn make_writer(&'a self) -> LineToQueue<'a> {
        LineToQueue {
            queue: &self.0,
            urgency: Urgency::Routine,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineToQueue<'a> {
        LineToQueue {
            queue: &self.0,
            urgency: urgency(*metadata.level()),
        }
    }
}

impl io::Write for LineToQueue<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line.to_vec(), self.urgency);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, journal: bool, level: Level) -> String {
        let fields = Fields {
            message: "n1 \"is\" down".to_owned(),
            others: vec![
                ("peer", Value::Text("n1\\".to_owned())),
                ("epoch", Value::Literal("7".to_owned())),
            ],
        };
        let mut text = String::new();
        let format = LineFormat { format, journal };
        format
            .line(&mut Writer::new(&mut text), level, &fields)
            .unwrap();
        text
    }

    #[test]
    fn a_format_is_text_or_json() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
    }

    #[test]
    fn lines_of_the_journal_begin_with_a_priority_and_have_no_time_of_their_own() {
        let text = line(Format::Text, true, Level::ERROR);
        assert_eq!(text, "<3>ERROR n1 \"is\" down peer=\"n1\\\\\" epoch=7\n");
        let text = line(Format::Json, true, Level::DEBUG);
        assert!(text.starts_with("<7>{\"timestamp\":\"20"), "{text}");
        let text = line(Format::Text, false, Level::WARN);
        assert!(
            text.starts_with("20") && text.contains("Z  WARN n1"),
            "{text}"
        );
    }

    #[test]
    fn a_line_is_one_json_object() {
        let text = line(Format::Json, false, Level::INFO);
        let (_, rest) = text.split_once("\"level\"").unwrap();
        assert_eq!(
            rest,
            ":\"INFO\",\"message\":\"n1 \\\"is\\\" down\",\"peer\":\"n1\\\\\",\"epoch\":7}\n"
        );
        assert_eq!(json("a\nb\u{7f}"), "\"a\\u000ab\\u007f\"");
    }
}
