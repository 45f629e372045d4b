//! The end of a command: whatever ends it, its last words are written here, and its exit code comes from here.

use std::fmt::Display as Show;

use haul_protocol::{Name, Refusal};

use super::aliases;
use super::console::{self, Stream, tell};
use super::events::{About, Event, Named};
use super::exit::{self, Reason};
use super::options::{BasicOutput, OutputOptions};
use super::signals::Signals;
use super::summary::{Kind, Summary};
use super::usage;
use crate::error::refused::Refused;
use crate::report::status::Attempt;
use crate::transfer::outcome::Report;

/// A command that has begun and has not ended.
pub(super) struct Ending<'a> {
    options: OutputOptions,
    /// `None`: a command without a run, which counts nothing.
    kind: Option<Kind>,
    signals: &'a Signals,
}

impl<'a> Ending<'a> {
    /// A command with a run begins.
    pub(super) fn new(options: OutputOptions, kind: Kind, signals: &'a Signals) -> Self {
        Self { options, kind: Some(kind), signals }.begun()
    }

    /// A command of a few requests without a run begins.
    pub(super) fn of_requests(basic: BasicOutput, signals: &'a Signals) -> Self {
        let options = OutputOptions { basic, ..OutputOptions::default() };
        Self { options, kind: None, signals }.begun()
    }

    /// If a signal ends the process before anything has begun, the last words are `--json`'s as well.
    fn begun(self) -> Self {
        if self.options.basic.json {
            let error = String::from("interrupted before anything was sent");
            let events = [Event::Error { error }, self.last(None, Reason::Interrupted)];
            let lines = events.iter().filter_map(console::json_line).flatten();
            self.signals.last_words(lines.collect());
        }
        self
    }

    /// The signals that end the command.
    pub(super) fn signals(&self) -> &Signals {
        self.signals
    }

    /// A text that is no failure of an entry and ends the command, or a request of it: as a message, and as an event.
    pub(super) fn error(&self, error: &dyn Show) {
        self.event(error);
        tell(&format_args!("haul: {error}"));
    }

    /// An entry of a server has failed, and the command goes on.
    pub(super) fn failed(&self, name: &Name, error: &dyn Show) {
        if self.options.basic.json {
            let about = About::Name(Named::of(name));
            console::json(&Event::Failed { about, error: error.to_string() });
        } else {
            tell(&format_args!("haul: {name}: {error}"));
        }
    }

    /// The same by a refusal.
    pub(super) fn refused(&self, name: &Name, refusal: &Refusal) {
        self.failed(name, &Refused(refusal));
    }

    /// The connection is lost, and an attempt to connect begins.
    pub(super) fn reconnecting(&self, attempt: &Attempt, error: &dyn Show) {
        let BasicOutput { json, quiet } = self.options.basic;
        if json {
            console::json(&Event::reconnecting(attempt, &error.to_string()));
        } else if !quiet {
            tell(&format_args!("haul: {error}; reconnecting {attempt}"));
        }
    }

    fn event(&self, error: &dyn Show) {
        if self.options.basic.json {
            console::json(&Event::Error { error: error.to_string() });
        }
    }

    /// The server was not reached, or the connection to it was lost for good.
    pub(super) fn unreached(&self, error: String) {
        self.error(&aliases::explained(error));
    }

    /// The command can't be carried out.
    pub(super) fn fail(&self, reason: Reason, error: &dyn Show) -> u8 {
        match reason {
            Reason::Usage => {
                let error = aliases::explained(error.to_string());
                self.event(&error);
                usage::tell(&error);
            }
            Reason::Interrupted | Reason::System => self.error(error),
            _ => self.unreached(error.to_string()),
        }
        self.asked(reason)
    }

    /// A run is over.
    pub(super) fn over(&self, report: Option<&Report>, reason: Reason) -> u8 {
        let reason = match reason {
            Reason::Done if console::has_failed() => Reason::Unwritten,
            reason => reason,
        };
        self.summary(report, reason);
        self.close(reason)
    }

    /// Requests without a run are over.
    pub(super) fn asked(&self, reason: Reason) -> u8 {
        match self.options.basic.json {
            true => self.over(None, reason),
            false => self.close(reason),
        }
    }

    /// The last line for programs.
    fn last(&self, report: Option<&Report>, reason: Reason) -> Event<'static> {
        let Some(kind) = self.kind else { return Event::over(reason) };
        let summary = Summary::new(report, reason, kind).ended_by(self.signals.deadly_code());
        Event::Summary(Box::new(summary))
    }

    fn summary(&self, report: Option<&Report>, reason: Reason) {
        let last = self.last(report, reason);
        match &last {
            Event::Summary(summary) if self.options.stats => {
                if !self.options.basic.quiet {
                    summary.print();
                }
                summary.print_stats();
            }
            _ if self.options.basic.json => console::json(&last),
            Event::Summary(summary) if !self.options.basic.quiet => summary.print(),
            _ => {}
        }
    }

    /// A line of a command that has no counts.
    pub(super) fn result(&self, text: &dyn Show) {
        if self.options.basic.json {
            console::json(&Event::Note { text: text.to_string() });
        } else if !self.options.basic.quiet {
            Stream::Out.line(text);
        }
    }

    /// The result of a command, as an event or as lines.
    pub(super) fn event_or(&self, event: &Event<'_>, lines: &[String]) {
        if self.options.basic.json {
            console::json(event);
        } else if !self.options.basic.quiet {
            lines.iter().for_each(|line| Stream::Out.line(line));
        }
    }

    /// A fact that a user may want to know.
    pub(super) fn hint(&self, text: &dyn Show) {
        if self.options.basic.json {
            console::json(&Event::Note { text: text.to_string() });
        } else if !self.options.basic.quiet {
            tell(&format_args!("haul: {text}"));
        }
    }

    /// The exit code.
    fn close(&self, reason: Reason) -> u8 {
        self.signals.last_words(Vec::new());
        after_all(reason.code())
    }
}

/// The exit code of a command that had this one. A report that could not be written is a failure as well.
pub(super) fn after_all(code: u8) -> u8 {
    let Some(error) = console::take_failure() else { return code };
    tell(&format_args!(
        "haul: could not write to standard output, so the report is not complete: {error}"
    ));
    if code == exit::OK { Reason::Unwritten.code() } else { code }
}
