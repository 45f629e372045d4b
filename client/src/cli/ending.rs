//! The end of a command: whatever ends it, its last words are written here, and its exit code comes from here.

use std::fmt::Display as Show;

use super::console::{self, Stream, tell};
use super::events::Event;
use super::exit::{self, Reason};
use super::options::OutputOptions;
use super::signals::Signals;
use super::summary::{Kind, Summary};
use super::usage;
use crate::transfer::outcome::Report;

/// A command that has begun and has not ended.
pub(super) struct Ending<'a> {
    options: OutputOptions,
    kind: Kind,
    signals: &'a Signals,
}

impl<'a> Ending<'a> {
    /// A command begins. If a signal ends the process before a run has begun, the last words are `--json`'s as well.
    pub(super) fn new(options: OutputOptions, kind: Kind, signals: &'a Signals) -> Self {
        if options.json {
            let summary = Summary::new(None, Reason::Interrupted, kind);
            let error = String::from("interrupted before anything was sent");
            let events = [Event::Error { error }, Event::Summary(Box::new(summary))];
            signals.last_words(events.iter().filter_map(console::json_line).flatten().collect());
        }
        Self { options, kind, signals }
    }

    /// A text that is no failure of an entry and ends the command, or a request of it: as a message, and as an event.
    pub(super) fn error(&self, error: &dyn Show) {
        self.event(error);
        tell(&format_args!("haul: {error}"));
    }

    fn event(&self, error: &dyn Show) {
        if self.options.json {
            console::json(&Event::Error { error: error.to_string() });
        }
    }

    /// The command can't be carried out.
    pub(super) fn fail(&self, reason: Reason, error: &dyn Show) -> u8 {
        match reason {
            Reason::Usage => {
                self.event(error);
                usage::tell(&error.to_string());
            }
            _ => self.error(error),
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
        if self.options.json {
            self.summary(None, reason);
        }
        self.close(reason)
    }

    fn summary(&self, report: Option<&Report>, reason: Reason) {
        let summary = Summary::new(report, reason, self.kind).ended_by(self.signals.deadly_code());
        if self.options.stats {
            if !self.options.quiet {
                summary.print();
            }
            summary.print_stats();
        } else if self.options.json {
            console::json(&Event::Summary(Box::new(summary)));
        } else if !self.options.quiet {
            summary.print();
        }
    }

    /// A line of a command that has no counts.
    pub(super) fn result(&self, text: &dyn Show) {
        if self.options.json {
            console::json(&Event::Note { text: text.to_string() });
        } else if !self.options.quiet {
            Stream::Out.line(text);
        }
    }

    /// A fact that a user may want to know.
    pub(super) fn hint(&self, text: &dyn Show) {
        if self.options.json {
            console::json(&Event::Note { text: text.to_string() });
        } else if !self.options.quiet {
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
