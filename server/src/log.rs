//! The log of `hauld`, on standard error: lines of text for people, or of JSON for programs. Peers and file names have a say in
//! most of them, so no line takes a character as it is that does something to a terminal or begins a line.
//!
//! Each line is one write, so none is torn by another thread.

use std::fmt::{self, Debug, Display};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::PanicHookInfo;
use std::path::Path;

use clap::ValueEnum;
use haul_protocol::{Shown, ShownBytes};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::json_line::Line;

/// The field whose bytes are paths, each with a NUL behind it, as no path has one. In JSON it is a list. `tracing` knows no lists.
const PATHS: &str = "also";

/// The value of the field with paths.
pub(crate) fn paths<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<u8> {
    let with_end = |path: &'a Path| path.as_os_str().as_bytes().iter().copied().chain([0]);
    paths.into_iter().flat_map(with_end).collect()
}

/// The paths of such a value.
fn each(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split_inclusive(|byte| *byte == 0).map(|path| path.strip_suffix(&[0]).unwrap_or(path))
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of words for people.
    Text,
    /// An object of JSON a line.
    Json,
}

impl LogFormat {
    /// From now on the log is written in this form, also what a thread that panics says. `usual`: the lines that are written
    /// if `HAUL_LOG` names no others.
    pub fn start(self, usual: &str) {
        let filter = EnvFilter::try_from_env("HAUL_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            // Otherwise an error of standard error is told on standard error, and that it can't be told there ends the process.
            .log_internal_errors(false)
            .fmt_fields(TextFields);
        match self {
            Self::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            Self::Json => {
                log.event_format(JsonEvents).init();
                std::panic::set_hook(Box::new(|panic| write(panicked(panic))));
            }
        }
    }

    /// Says why there is no server, whatever the log leaves out.
    pub fn tell(self, text: &dyn Display) {
        match self {
            Self::Text => write(format!("hauld: {}\n", Shown(text))),
            Self::Json => write(line(Level::ERROR, &text.to_string(), &Line::default())),
        }
    }
}

/// Writes a line in one piece.
fn write(line: impl AsRef<str>) {
    // Nothing can be told if standard error is gone.
    let _ = std::io::stderr().write_all(line.as_ref().as_bytes());
}

fn line(level: Level, message: &str, fields: &Line) -> String {
    let level = level.as_str().to_lowercase();
    Line::now().text("level", &level).text("message", message).object("fields", fields).end()
}

fn panicked(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string);
    let fields = Line::default().maybe("thread", thread.name()).maybe("place", place.as_deref());
    line(Level::ERROR, panic.payload_as_str().unwrap_or("a thread has panicked"), &fields)
}

/// The fields of a line of text.
struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = Text { writer, separator: "", result: Ok(()) };
        fields.record(&mut text);
        text.result
    }
}

struct Text<'writer> {
    writer: Writer<'writer>,
    separator: &'static str,
    result: fmt::Result,
}

impl Text<'_> {
    fn add(&mut self, field: &Field, value: &dyn Display) {
        let separator = std::mem::replace(&mut self.separator, " ");
        let written = match field.name() {
            "message" => write!(self.writer, "{separator}{value}"),
            name => write!(self.writer, "{separator}{name}={value}"),
        };
        self.result = self.result.and(written);
    }
}

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Debug leaves what is Display for people as it is.
        self.add(field, &Shown(format_args!("{value:?}")));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        match field.name() {
            PATHS => {
                let paths: Vec<String> = each(value).map(|it| ShownBytes(it).to_string()).collect();
                self.add(field, &format_args!("[{}]", paths.join(", ")));
            }
            _ => self.add(field, &ShownBytes(value)),
        }
    }
}

/// A line of JSON.
struct JsonEvents;

impl<S, N> FormatEvent<S, N> for JsonEvents
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut json = Json::default();
        event.record(&mut json);
        writer.write_str(&line(*event.metadata().level(), &json.message, &json.fields))
    }
}

#[derive(Default)]
struct Json {
    message: String,
    fields: Line,
}

impl Json {
    fn add(&mut self, add: impl FnOnce(Line) -> Line) {
        self.fields = add(std::mem::take(&mut self.fields));
    }
}

impl Visit for Json {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.add(|line| line.text(name, &text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.add(|line| line.text(name, value)),
        }
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        match field.name() {
            PATHS => self.add(|line| line.list(PATHS, &each(value).collect::<Vec<_>>())),
            name => self.add(|line| line.bytes(name, value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(|line| line.number(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(|line| line.value(field.name(), &value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(|line| line.value(field.name(), &value));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process in which the test panics on purpose.
    const PANICS: &str = "HAUL_TEST_PANICS";

    /// The hook is one for the whole process, so the panic has a process of its own.
    #[test]
    fn thread_that_panics_says_so_in_one_line_of_json() {
        if std::env::var_os(PANICS).is_some() {
            LogFormat::Json.start("info");
            let thread = std::thread::Builder::new().name(String::from("worker-0"));
            let panics = || panic!("{}", "a\nb\u{1b}[2J");
            assert!(thread.spawn(panics).unwrap().join().is_err());
            return;
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "--nocapture"]);
        again.arg("log::tests::thread_that_panics_says_so_in_one_line_of_json");
        // Also if the log leaves everything out.
        let output = again.env(PANICS, "1").env("HAUL_LOG", "off").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = &lines[..] else { panic!("{text}") };
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"a\nb\u{1b}[2J".into()));
        assert_eq!(line["fields"]["thread"], "worker-0");
        assert!(line["fields"]["place"].as_str().unwrap().contains("log.rs:"), "{line}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
