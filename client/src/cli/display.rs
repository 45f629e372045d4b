//! The display of a run on a terminal or for a script: results on standard output, messages and progress on
//! standard error; with `--json` all but messages on standard output.

mod rate;
mod status;

use std::fmt::Display as Show;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use haul_protocol::Name;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::console;
use super::options::OutputOptions;
use crate::connection::classic;
use crate::error::FileError;
use crate::report::note::{Note, quote};
use crate::report::observer::Observer;
use crate::report::status::{Attempt, Status};
use rate::Rate;

/// Interval at which a bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Interval at which a line is written where no bar is.
const LINE: Duration = Duration::from_secs(5);

/// The way in which progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// A bar, for a person who watches.
    Bar,
    /// A line every few seconds.
    Lines,
    /// JSON, a line every few seconds.
    Json,
    /// Failures only.
    Quiet,
}

impl View {
    /// The view that fits the options and the terminal.
    fn choose(options: OutputOptions) -> Self {
        if options.json {
            Self::Json
        } else if options.quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() {
            Self::Bar
        } else {
            Self::Lines
        }
    }
}

/// The observer of the runs of `haul`.
pub(super) struct Display {
    view: View,
    options: OutputOptions,
    /// The run speaks the classic dialect, in which nobody knows how far it is.
    classic: bool,
    bar: ProgressBar,
    rate: Rate,
}

impl Display {
    /// Shows nothing yet.
    pub(super) fn new(options: OutputOptions, classic: bool) -> Self {
        let view = View::choose(options);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if view == View::Bar {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_bar:.cyan/blue} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self { view, options, classic, bar, rate: Rate::new() }
    }

    /// Ends showing progress.
    pub(super) fn end(&self) {
        if !self.classic {
            self.bar.finish_and_clear();
        }
    }

    /// A line on standard output, above the bar if there is one.
    fn result(&self, line: &dyn Show) {
        self.bar.suspend(|| console::line(&mut io::stdout().lock(), line));
    }

    /// A message on standard error, above the bar if there is one.
    fn message(&self, text: &dyn Show) {
        self.bar.suspend(|| console::line(&mut io::stderr().lock(), text));
    }

    /// One line of JSON on standard output.
    fn event(&self, event: &impl Serialize) {
        let Some(line) = console::json_line(event) else {
            return;
        };
        // A reader who has had enough is no failure of the upload.
        let _ = io::stdout().lock().write_all(&line);
    }

    /// The name of an entry that is committed.
    fn committed(&self, name: &Name) {
        match self.view {
            View::Json => self.event(&json!({ "event": "committed", "name": name.to_string() })),
            _ => self.message(name),
        }
    }
}

impl Observer for Display {
    fn wants_names(&self) -> bool {
        self.options.verbose
    }

    fn wants_sizes(&self) -> bool {
        self.view == View::Bar
    }

    fn interval(&self) -> Option<Duration> {
        match self.view {
            _ if self.classic => None,
            View::Bar => Some(TICK),
            View::Lines | View::Json => Some(LINE),
            View::Quiet => None,
        }
    }

    fn begun(&mut self) {
        self.rate = Rate::new();
        if self.classic && !self.options.quiet {
            self.message(&classic::NOTICE);
        }
    }

    fn status(&mut self, status: &Status) {
        self.show(status);
    }

    fn file_done(&mut self, name: &Name, _: u64) {
        self.committed(name);
    }

    fn symlink_done(&mut self, name: &Name) {
        self.committed(name);
    }

    fn directory_done(&mut self, name: &Name) {
        self.committed(name);
    }

    fn adjusted(&mut self, name: &Name) {
        self.committed(name);
    }

    fn removed(&mut self, name: &Name) {
        match self.view {
            View::Json => self.event(&json!({ "event": "removed", "name": name.to_string() })),
            _ => self.message(&format_args!("removed {name}")),
        }
    }

    fn left_out(&mut self, path: &Path, why: &str) {
        self.skipped(path, why);
    }

    fn skipped(&mut self, path: &Path, why: &str) {
        let path = quote(path);
        match self.view {
            View::Json => {
                self.event(&json!({ "event": "skipped", "source": path, "what": why }));
            }
            View::Quiet => {}
            View::Bar | View::Lines => {
                self.message(&format_args!("haul: skipped {path}: {why}"));
            }
        }
    }

    fn failed(&mut self, path: &Path, error: &FileError) {
        let path = quote(path);
        match self.view {
            View::Json => self.event(&json!({
                "event": "failed", "source": path, "error": error.to_string(),
            })),
            _ => self.message(&format_args!("haul: {path}: {error}")),
        }
    }

    fn would(&mut self, action: &str, name: &Name, why: &str, bytes: Option<u64>) {
        match self.view {
            View::Json => self.event(&json!({
                "event": "would", "do": action, "name": name.to_string(), "why": why, "size": bytes,
            })),
            View::Quiet => {}
            View::Bar | View::Lines => {
                let size = match bytes {
                    Some(1) => String::from(", 1 byte"),
                    Some(size) => format!(", {size} bytes"),
                    None => String::new(),
                };
                self.result(&format_args!("would {action} {name}: {why}{size}"));
            }
        }
    }

    fn differs(&mut self, finding: &str, name: &Name, why: Option<&str>) {
        match self.view {
            View::Json => self.event(&json!({
                "event": finding, "name": name.to_string(), "why": why,
            })),
            _ => match why {
                Some(why) => self.result(&format_args!("{finding} {name}: {why}")),
                None => self.result(&format_args!("{finding} {name}")),
            },
        }
    }

    fn reconnecting(&mut self, attempt: &Attempt, why: &str) {
        match self.view {
            View::Json => self.event(&json!({
                "event": "reconnecting", "attempt": attempt.number, "of": attempt.of,
                "seconds_left": attempt.left.as_secs(), "error": why,
            })),
            View::Lines => {
                self.message(&format_args!("haul: {why}; {}", status::reconnecting(attempt)));
            }
            // The bar says it as long as it is so.
            View::Bar | View::Quiet => {}
        }
    }

    fn note(&mut self, note: &Note) {
        // `NotPublished` tells the consequence of a failure.
        if self.view != View::Quiet || matches!(note, Note::NotPublished(_)) {
            self.message(&format_args!("haul: {note}"));
        }
    }
}
