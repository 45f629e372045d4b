//! The result of a run: one line for people, one object for programs, a table with all counts.

use std::io::{self, Write};

use humansize::{BINARY, format_size};
use serde::Serialize;

use super::console;
use crate::report::Counts;
use crate::transfer::outcome::Report;

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    event: &'static str,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    /// The promise of acknowledgements; `None` if no server was reached.
    durability: Option<String>,
    interrupted: bool,
    /// The counts are those of a dry run: of changes that would be made.
    dry_run: bool,
    /// The next version has taken the present one's place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    published: bool,
    #[serde(skip)]
    verify: bool,
}

/// The meaning of the counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They count changes that were made.
    Run,
    /// They count changes that would be made.
    DryRun,
    /// They count comparisons.
    Verify,
}

impl Summary {
    /// The summary of a run that has ended.
    #[must_use]
    pub(super) fn new(report: &Report, interrupted: bool, kind: Kind) -> Self {
        Self {
            event: "summary",
            counts: report.counts,
            seconds: report.elapsed.as_secs_f64(),
            durability: report.durability.clone(),
            interrupted,
            dry_run: kind == Kind::DryRun,
            published: report.published,
            verify: kind == Kind::Verify,
        }
    }

    /// As one object on standard output.
    pub(super) fn print_json(&self) {
        if let Some(line) = console::json_line(self) {
            let _ = io::stdout().lock().write_all(&line);
        }
    }

    /// As one line on standard output.
    pub(super) fn print(&self) {
        console::line(&mut io::stdout().lock(), self);
    }

    /// All counts on standard output, one a line.
    pub(super) fn print_stats(&self) {
        let counts = &self.counts;
        let bytes = |bytes: u64| match bytes {
            0..1024 => bytes.to_string(),
            _ => format!("{bytes} ({})", format_size(bytes, BINARY)),
        };
        let rate = |count: u64| per_second(count, self.seconds);
        let rows = [
            ("files committed", counts.files.to_string()),
            ("links committed", counts.links.to_string()),
            ("directories committed", counts.directories.to_string()),
            ("files with only mode or mtime set", counts.adjusted.to_string()),
            ("unchanged", counts.unchanged.to_string()),
            ("different", counts.different.to_string()),
            ("removed at the server", counts.removed.to_string()),
            ("skipped", counts.skipped.to_string()),
            ("failed", counts.failed.to_string()),
            ("modes without setuid, setgid or sticky", counts.special_bits_dropped.to_string()),
            ("bytes of files committed", bytes(counts.bytes_total)),
            ("bytes sent", bytes(counts.bytes_sent)),
            ("bytes resumed", bytes(counts.bytes_resumed)),
            ("bytes read to compare", bytes(counts.bytes_compared)),
            ("seconds", format!("{:.3}", self.seconds)),
            ("files a second", rate(counts.files).to_string()),
            ("bytes sent a second", bytes(rate(counts.bytes_sent))),
            ("durability", self.durability.clone().unwrap_or_else(|| String::from("unknown"))),
        ];
        let mut out = io::stdout().lock();
        for (what, value) in rows {
            console::line(&mut out, &format_args!("{what:<40}{value}"));
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = &self.counts;
        if self.verify {
            return write!(
                f,
                "{} the same, {} different or missing or extra, {} compared in {:.2} s, {} failed",
                counts.unchanged,
                counts.different,
                format_size(counts.bytes_compared, BINARY),
                self.seconds,
                counts.failed,
            );
        }
        if self.dry_run {
            f.write_str("dry run, nothing is changed: ")?;
        }
        write!(f, "{}", plural(counts.files, "file", "files"))?;
        for (count, one, many) in
            [(counts.links, "link", "links"), (counts.directories, "directory", "directories")]
        {
            if count > 0 {
                write!(f, ", {}", plural(count, one, many))?;
            }
        }
        write!(f, ", {} in {:.2} s", format_size(counts.bytes_total, BINARY), self.seconds)?;
        if counts.bytes_sent > 0 {
            let rate = per_second(counts.bytes_sent, self.seconds);
            write!(f, " ({}/s)", format_size(rate, BINARY))?;
        }
        write!(f, ", {} failed", counts.failed)?;
        if counts.bytes_resumed > 0 {
            write!(f, ", {} resumed", format_size(counts.bytes_resumed, BINARY))?;
        }
        for (count, what) in [
            (counts.unchanged, "unchanged"),
            (counts.adjusted, "with only mode or mtime set"),
            (counts.removed, "removed"),
            (counts.skipped, "skipped"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if counts.special_bits_dropped > 0 {
            let dropped = plural(counts.special_bits_dropped, "mode", "modes");
            write!(f, ", {dropped} without setuid, setgid or sticky")?;
        }
        if self.published {
            f.write_str("; published")?;
        }
        match self.durability.as_deref() {
            Some(level) if !self.dry_run => write!(f, "; durability {level}"),
            _ => Ok(()),
        }
    }
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people, positive and far below 2^53"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (count as f64 / seconds) as u64 } else { 0 }
}
