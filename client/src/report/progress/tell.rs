//! Messages about single names: results on standard output, messages on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Progress, View};

impl Progress {
    /// Source and server differ in a name. A result, so on standard output.
    pub fn differs(&self, what: &str, name: &dyn Display, why: Option<&str>) {
        self.different.fetch_add(1, Ordering::Relaxed);
        match self.view {
            View::Json => self.event(&serde_json::json!({
                "event": what, "name": name.to_string(), "why": why,
            })),
            _ => match why {
                Some(why) => self.result(&format_args!("{what} {name}: {why}")),
                None => self.result(&format_args!("{what} {name}")),
            },
        }
    }

    /// A line on standard output, above the bar if there is one.
    fn result(&self, line: &dyn Display) {
        // A reader who has had enough is no failure.
        self.bar.suspend(|| writeln!(io::stdout().lock(), "{line}").ok());
    }

    /// Something that the source lacks stays, because enough has been removed; told once.
    pub fn kept(&self, path: &Path) {
        if !self.limit_told.swap(true, Ordering::Relaxed) {
            self.failed(
                path,
                &"not removed, and more that the source lacks: --max-delete is reached",
            );
        }
    }

    /// In a dry run: what would be done with a name, and why. A result, so on standard output.
    pub fn would(&self, action: &str, name: &dyn Display, why: &str, size: Option<u64>) {
        match self.view {
            View::Json => self.event(&serde_json::json!({
                "event": "would", "do": action, "name": name.to_string(), "why": why, "size": size,
            })),
            View::Quiet => {}
            View::Bar | View::Lines => {
                let size = match size {
                    Some(1) => String::from(", 1 byte"),
                    Some(size) => format!(", {size} bytes"),
                    None => String::new(),
                };
                self.result(&format_args!("would {action} {name}: {why}{size}"));
            }
        }
    }

    pub(super) fn name(&self, name: &dyn Display) {
        if self.verbose {
            match self.view {
                View::Json => self.event(&serde_json::json!({
                    "event": "committed", "name": name.to_string(),
                })),
                _ => self.message(name),
            }
        }
    }

    /// An entry failed for good.
    pub fn failed(&self, path: &Path, error: &dyn Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let path = quote(path);
        match self.view {
            View::Json => self.event(&serde_json::json!({
                "event": "failed", "source": path, "error": error.to_string(),
            })),
            _ => self.message(&format_args!("haul: {path}: {error}")),
        }
    }

    /// An entry is gone since it was found.
    pub fn vanished(&self, path: &Path) {
        self.vanished.fetch_add(1, Ordering::Relaxed);
        self.skipped(path, "gone since it was found");
    }

    /// The source has changed, and is walked once more.
    pub fn restless(&self, path: &Path) {
        self.note(&format_args!(
            "haul: {} has changed meanwhile; haul looks through the source once more",
            quote(path)
        ));
    }

    /// A source stays here, though the user wanted its removal.
    pub fn stays(&self, path: &Path, what: &str) {
        self.note(&format_args!("haul: {} stays: {what}", quote(path)));
    }

    /// An entry is left out because the user said so; named only to a user who wants every name.
    pub fn left_out(&self, path: &Path, what: &str) {
        if self.verbose {
            self.skipped(path, what);
        } else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An entry is of a kind that is not carried.
    pub fn skipped(&self, path: &Path, what: &str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        let path = quote(path);
        match self.view {
            View::Json => self.event(&serde_json::json!({
                "event": "skipped", "source": path, "what": what,
            })),
            View::Quiet => {}
            View::Bar | View::Lines => {
                self.message(&format_args!("haul: skipped {path}: {what}"));
            }
        }
    }

    /// A line of a file of rules leaves nothing out.
    pub fn flawed(&self, path: &Path, line: usize, flaw: &dyn Display) {
        let path = quote(path);
        self.note(&format_args!("haul: {path}: line {line} fits no name: {flaw}"));
    }

    /// A message on standard error, above the bar if there is one.
    pub fn message(&self, text: &dyn Display) {
        // Nothing can be told if standard error is gone.
        self.bar.suspend(|| writeln!(io::stderr().lock(), "{text}").ok());
    }

    /// As [`message`](Self::message), for what a user may do without.
    pub fn note(&self, text: &dyn Display) {
        if self.view != View::Quiet {
            self.message(text);
        }
    }

    /// One line of JSON on standard output.
    pub fn event(&self, event: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(event) else {
            return;
        };
        line.push(b'\n');
        // A reader who has had enough is no failure of the upload.
        let _ = io::stdout().lock().write_all(&line);
    }
}

/// A path that never garbles a terminal.
fn quote(path: &Path) -> String {
    let mut text = String::new();
    for character in path.to_string_lossy().chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}
