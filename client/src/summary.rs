//! What a run came to: one line for people, one object for programs.

use std::io::{self, Write};
use std::time::Duration;

use humansize::{BINARY, format_size};
use serde::Serialize;

use crate::progress::Counts;

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    event: &'static str,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    /// What acknowledgements promised; `None` if no server was reached.
    durability: Option<String>,
    interrupted: bool,
    /// Nothing was done: the counts say what would be.
    dry_run: bool,
}

impl Summary {
    /// From the counts at the end.
    #[must_use]
    pub fn new(
        counts: Counts,
        elapsed: Duration,
        durability: Option<String>,
        interrupted: bool,
        dry_run: bool,
    ) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self { event: "summary", counts, seconds, durability, interrupted, dry_run }
    }

    /// As one object on standard output.
    pub fn print_json(&self) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            let _ = io::stdout().lock().write_all(&line);
        }
    }

    /// As one line on standard output.
    pub fn print(&self) {
        let _ = writeln!(io::stdout().lock(), "{self}");
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = &self.counts;
        let plural = |count: u64, one: &str, many: &str| {
            format!("{count} {}", if count == 1 { one } else { many })
        };
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
        let rate = per_second(counts.bytes_sent, self.seconds);
        write!(
            f,
            ", {} in {:.2} s ({}/s), {} failed",
            format_size(counts.bytes_total, BINARY),
            self.seconds,
            format_size(rate, BINARY),
            counts.failed,
        )?;
        if counts.bytes_resumed > 0 {
            write!(f, ", {} resumed", format_size(counts.bytes_resumed, BINARY))?;
        }
        for (count, what) in [(counts.unchanged, "unchanged"), (counts.removed, "removed")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if counts.skipped > 0 {
            write!(f, ", {} skipped", counts.skipped)?;
        }
        if counts.special_bits_dropped > 0 {
            let dropped = plural(counts.special_bits_dropped, "mode", "modes");
            write!(f, ", {dropped} without setuid, setgid or sticky")?;
        }
        match self.durability.as_deref() {
            Some(level) if !self.dry_run => write!(f, "; durability {level}"),
            _ => Ok(()),
        }
    }
}

/// Rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people, positive and far below 2^53"
)]
fn per_second(bytes: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 }
}
