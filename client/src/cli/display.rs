//! The display of a run on a terminal or for a script: results on standard output, messages and progress on
//! standard error; with `--json` all on standard output.

mod alike;
mod bar;
mod rate;
mod status;

use std::fmt::Display as Show;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use haul_protocol::Name;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{self, Stream};
use super::events::{About, Event, Finding, Named, Sourced};
use super::options::OutputOptions;
use super::summary::Kind;
use crate::connection::classic;
use crate::error::FileError;
use crate::net::destination::Destination;
use crate::report::note::{Note, quote};
use crate::report::observer::Observer;
use crate::report::status::{Attempt, Status};
use alike::Alike;
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
        if options.basic.json {
            Self::Json
        } else if options.basic.quiet {
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
    kind: Kind,
    /// The run speaks the classic dialect, in which nobody knows how far it is.
    classic: bool,
    bar: ProgressBar,
    rate: Rate,
    alike: Alike,
    /// How often progress was shown.
    moment: usize,
    /// ssh may be asking the user on the terminal.
    waits: bool,
}

impl Display {
    /// Shows nothing yet.
    pub(super) fn new(options: OutputOptions, kind: Kind, classic: bool) -> Self {
        let view = View::choose(options);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if view == View::Bar {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:.cyan}{wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self {
            view,
            options,
            kind,
            classic,
            bar,
            rate: Rate::new(),
            alike: Alike::new(options.verbose),
            moment: 0,
            waits: false,
        }
    }

    /// Shows no progress before the server has answered if ssh leads there: ssh may ask for a password.
    pub(super) fn to(self, destination: &Destination) -> Self {
        Self { waits: destination.is_over_ssh(), ..self }
    }

    /// The bar, which is not there unless a person watches.
    pub(super) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Whether the run speaks the classic dialect.
    pub(super) fn is_classic(&self) -> bool {
        self.classic
    }

    /// Ends showing progress, and tells the number of failures that were not told one by one.
    pub(super) fn end(&self) {
        if !self.classic {
            self.bar.finish_and_clear();
        }
        for (cause, more) in self.alike.rest() {
            self.message(&format_args!("haul: {more} more failed: {cause}"));
        }
    }

    /// A line on standard output, above the bar if there is one.
    fn result(&self, before: &str, name: &Name, after: &dyn Show) {
        self.bar.suspend(|| Stream::Out.named(before, name, after));
    }

    /// A message on standard error, above the bar if there is one.
    fn message(&self, text: &dyn Show) {
        self.bar.suspend(|| Stream::Error.line(text));
    }

    /// The same about a name.
    fn message_about(&self, before: &str, name: &dyn Show, after: &dyn Show) {
        self.bar.suspend(|| Stream::Error.named(before, name, after));
    }

    /// The name of an entry that is committed.
    fn committed(&self, name: &Name, size: Option<u64>) {
        match self.view {
            View::Json => console::json(&Event::Committed { name: Named::of(name), size }),
            _ => self.message_about("", name, &""),
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
        match self.view {
            _ if !self.classic => {}
            View::Json => console::json(&Event::Note { text: classic::NOTICE.to_owned() }),
            View::Quiet => {}
            View::Bar | View::Lines => self.message(&format_args!("haul: {}", classic::NOTICE)),
        }
    }

    fn status(&mut self, status: &Status) {
        if !self.waits {
            self.show(status);
        }
    }

    fn file_done(&mut self, name: &Name, size: u64) {
        self.committed(name, Some(size));
    }

    fn symlink_done(&mut self, name: &Name) {
        self.committed(name, None);
    }

    fn directory_done(&mut self, name: &Name) {
        self.committed(name, None);
    }

    fn adjusted(&mut self, name: &Name) {
        self.committed(name, None);
    }

    fn removed(&mut self, name: &Name) {
        match self.view {
            View::Json => console::json(&Event::Removed { name: Named::of(name) }),
            _ => self.message_about("removed ", name, &""),
        }
    }

    fn left_out(&mut self, path: &Path, why: &str) {
        self.skipped(path, why);
    }

    fn skipped(&mut self, path: &Path, why: &str) {
        match self.view {
            View::Json => console::json(&Event::Skipped { source: Sourced::of(path), why }),
            View::Quiet => {}
            View::Bar | View::Lines => {
                self.message_about("haul: skipped ", &quote(path), &format_args!(": {why}"));
            }
        }
    }

    fn failed(&mut self, path: &Path, error: &FileError) {
        if self.view == View::Json {
            let about = About::Source(Sourced::of(path));
            console::json(&Event::Failed { about, error: error.to_string() });
        } else if self.alike.is_told(error) {
            self.message_about("haul: ", &quote(path), &format_args!(": {error}"));
        }
    }

    fn would(&mut self, action: &str, name: &Name, why: &str, bytes: Option<u64>) {
        match self.view {
            View::Json => console::json(&Event::Would {
                r#do: action,
                name: Named::of(name),
                why,
                size: bytes,
            }),
            View::Quiet => {}
            View::Bar | View::Lines => {
                let size = match bytes {
                    Some(1) => String::from(", 1 byte"),
                    Some(size) => format!(", {size} bytes"),
                    None => String::new(),
                };
                self.result(&format!("would {action} "), name, &format_args!(": {why}{size}"));
            }
        }
    }

    fn differs(&mut self, finding: &str, name: &Name, why: Option<&str>) {
        if self.view == View::Json {
            let found = Finding { name: Named::of(name), why };
            return console::json(&match finding {
                "missing" => Event::Missing(found),
                "extra" => Event::Extra(found),
                _ => Event::Differs(found),
            });
        }
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        self.result(&format!("{finding} "), name, &why);
    }

    fn reconnecting(&mut self, attempt: &Attempt, why: &str) {
        match self.view {
            View::Json => console::json(&Event::reconnecting(attempt, why)),
            View::Lines => {
                self.message(&format_args!("haul: {why}; {}", status::reconnecting(attempt)));
            }
            // The bar says it as long as it is so.
            View::Bar | View::Quiet => {}
        }
    }

    fn note(&mut self, note: &Note) {
        self.waits &= !matches!(note, Note::OverSsh { .. });
        if note.is_for_the_curious() && !self.options.verbose {
            return;
        }
        if self.view == View::Json {
            console::json(&Event::Note { text: note.to_string() });
        } else if self.view != View::Quiet || matches!(note, Note::NotPublished(_)) {
            // `NotPublished` tells the consequence of a failure.
            self.message(&format_args!("haul: {note}"));
        }
    }
}
