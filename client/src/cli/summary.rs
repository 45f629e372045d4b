//! The result of a run: clauses for people, one object for programs, a table with all counts.

use humansize::{BINARY, format_size};
use serde::Serialize;

use super::console::Stream;
use super::exit::Reason;
use crate::report::Counts;
use crate::transfer::outcome::Report;

/// Bytes below which the rate would tell more of connecting than of sending.
const RATED_BYTES: u64 = 1024 * 1024;

/// Seconds below which it would.
const RATED_SECONDS: f64 = 0.1;

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    exit: u8,
    reason: Reason,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    /// The part of it in which bytes were on their way.
    seconds_sending: f64,
    /// The rate of these bytes in that time, if that is long enough.
    bytes_per_second: Option<u64>,
    /// The promise of acknowledgements; `None` if no server was reached.
    durability: Option<String>,
    interrupted: bool,
    /// The counts are those of a dry run: of changes that would be made.
    dry_run: bool,
    /// The next version has taken the present one's place. `None`: the server was asked for that, and has not answered.
    published: Option<bool>,
    /// `verify`: the server was asked to read every byte, also of files whose digest it knows.
    reread: bool,
    #[serde(skip)]
    verify: bool,
}

/// The meaning of the counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They count changes that were made.
    Run,
    /// They count entries that have come from a server.
    Get,
    /// They count changes that would be made.
    DryRun,
    /// They count comparisons.
    Verify,
}

impl Summary {
    /// The summary of a command that has ended, with the report of its run if one was begun.
    #[must_use]
    pub(super) fn new(report: Option<&Report>, reason: Reason, kind: Kind) -> Self {
        let counts = report.map(|report| report.counts).unwrap_or_default();
        let sending = report.map_or(0.0, |report| report.sending.as_secs_f64());
        Self {
            exit: reason.code(),
            reason,
            counts,
            seconds: report.map_or(0.0, |report| report.elapsed.as_secs_f64()),
            seconds_sending: sending,
            bytes_per_second: rate(counts.bytes_sent + counts.bytes_received, sending),
            durability: report.and_then(|report| report.durability.clone()),
            interrupted: reason == Reason::Interrupted,
            dry_run: kind == Kind::DryRun,
            published: match report {
                Some(report) if report.publish_unanswered => None,
                report => Some(report.is_some_and(|report| report.published)),
            },
            reread: report.is_some_and(|report| report.reread),
            verify: kind == Kind::Verify,
        }
    }

    /// With the exit code of a signal that will end the process, if there is one.
    #[must_use]
    pub(super) fn ended_by(self, signal: Option<u8>) -> Self {
        Self { exit: signal.unwrap_or(self.exit), ..self }
    }

    /// On standard output, in as few lines as fit.
    pub(super) fn print(&self) {
        Stream::Out.clauses(&self.clauses());
    }

    /// All counts on standard output, one a line.
    pub(super) fn print_stats(&self) {
        let counts = &self.counts;
        let bytes = |bytes: u64| match bytes {
            0..1024 => bytes.to_string(),
            _ => format!("{bytes} ({})", format_size(bytes, BINARY)),
        };
        let none = || String::from("-");
        let files = if self.seconds < RATED_SECONDS {
            none()
        } else {
            per_second(counts.files, self.seconds).to_string()
        };
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
            ("bytes received", bytes(counts.bytes_received)),
            ("bytes resumed", bytes(counts.bytes_resumed)),
            ("bytes held for the next run", bytes(counts.bytes_held)),
            ("bytes read to compare", bytes(counts.bytes_compared)),
            ("seconds", format!("{:.3}", self.seconds)),
            ("seconds in which bytes were sent", format!("{:.3}", self.seconds_sending)),
            ("files a second", files),
            ("bytes sent a second", self.bytes_per_second.map_or_else(none, bytes)),
            ("durability", self.durability.clone().unwrap_or_else(|| String::from("unknown"))),
        ];
        for (what, value) in rows {
            Stream::Out.line(&format_args!("{what:<40}{value}"));
        }
    }

    /// The parts of the summary for people, each with the punctuation after it.
    fn clauses(&self) -> Vec<String> {
        let counts = &self.counts;
        let mut clauses = Clauses::default();
        if self.verify {
            clauses.add(format!("{} the same", counts.unchanged));
            clauses.add(format!("{} different or missing or extra", counts.different));
            let compared = format_size(counts.bytes_compared, BINARY);
            clauses.add(format!("{compared} compared in {:.2} s", self.seconds));
            clauses.counted(counts.failed, "failed");
            return clauses.0;
        }
        let files = plural(counts.files, "file", "files");
        clauses.add(match self.dry_run {
            true => format!("dry run, nothing is changed: {files}"),
            false => files,
        });
        for (count, one, many) in
            [(counts.links, "link", "links"), (counts.directories, "directory", "directories")]
        {
            if count > 0 {
                clauses.add(plural(count, one, many));
            }
        }
        let rate = match self.bytes_per_second {
            Some(rate) => format!(" ({}/s)", format_size(rate, BINARY)),
            None => String::new(),
        };
        let total = format_size(counts.bytes_total, BINARY);
        let (moved, word) = match counts.bytes_received {
            0 => (counts.bytes_sent, "sent"),
            received => (received, "received"),
        };
        if moved == counts.bytes_total {
            clauses.add(format!("{total} in {:.2} s{rate}", self.seconds));
        } else {
            clauses.add(format!("{total} in {:.2} s", self.seconds));
            if moved > 0 {
                clauses.add(format!("{} {word}{rate}", format_size(moved, BINARY)));
            }
        }
        if counts.bytes_resumed > 0 {
            clauses.add(format!("{} resumed", format_size(counts.bytes_resumed, BINARY)));
        }
        if counts.bytes_held > 0 {
            clauses
                .add(format!("{} held for the next run", format_size(counts.bytes_held, BINARY)));
        }
        clauses.counted(counts.failed, "failed");
        clauses.counted(counts.unchanged, "unchanged");
        clauses.counted(counts.adjusted, "with only mode or mtime set");
        clauses.counted(counts.removed, "removed");
        clauses.counted(counts.skipped, "skipped");
        if counts.special_bits_dropped > 0 {
            let dropped = plural(counts.special_bits_dropped, "mode", "modes");
            clauses.add(format!("{dropped} without setuid, setgid or sticky"));
        }
        match self.published {
            Some(true) => clauses.after(";", String::from("published")),
            Some(false) => {}
            None => clauses.after(";", String::from("perhaps published")),
        }
        if let (Some(level), false) = (&self.durability, self.dry_run) {
            clauses.after(";", format!("durability {level}"));
        }
        clauses.0
    }

    /// One with a value in each field.
    #[cfg(test)]
    pub(super) fn full(kind: Kind) -> Self {
        let durability = Some(String::from("group"));
        Self { durability, published: Some(true), ..Self::new(None, Reason::Done, kind) }
    }
}

/// Parts of a sentence.
#[derive(Default)]
struct Clauses(Vec<String>);

impl Clauses {
    fn add(&mut self, clause: String) {
        self.after(",", clause);
    }

    fn after(&mut self, mark: &str, clause: String) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(mark);
        }
        self.0.push(clause);
    }

    fn counted(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.add(format!("{count} {what}"));
        }
    }
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The rate of bytes that were sent in so many seconds, if it means anything.
fn rate(bytes: u64, seconds: f64) -> Option<u64> {
    (bytes >= RATED_BYTES && seconds >= RATED_SECONDS).then(|| per_second(bytes, seconds))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::console::fold::{columns, fold};

    fn summary(counts: Counts, seconds_sending: f64) -> Summary {
        let bytes_per_second = rate(counts.bytes_sent, seconds_sending);
        let seconds = 2.0;
        let known = Summary {
            counts,
            seconds,
            seconds_sending,
            bytes_per_second,
            ..Summary::full(Kind::Run)
        };
        Summary { published: Some(false), ..known }
    }

    fn text(summary: &Summary) -> String {
        summary.clauses().join(" ")
    }

    #[test]
    fn rate_is_that_of_bytes_that_were_sent_in_the_time_of_sending() {
        let mut counts = Counts::default();
        (counts.files, counts.bytes_total, counts.bytes_sent) = (1, 30 << 20, 30 << 20);
        assert_eq!(
            text(&summary(counts, 1.0)),
            "1 file, 30 MiB in 2.00 s (30 MiB/s); durability group"
        );
        (counts.bytes_sent, counts.bytes_resumed) = (10 << 20, 20 << 20);
        assert_eq!(
            text(&summary(counts, 1.0)),
            "1 file, 30 MiB in 2.00 s, 10 MiB sent (10 MiB/s), 20 MiB resumed; durability group"
        );
    }

    #[test]
    fn rate_of_a_moment_or_of_a_few_bytes_is_not_told() {
        let mut counts = Counts::default();
        (counts.files, counts.bytes_total, counts.bytes_sent) = (1, 30 << 20, 30 << 20);
        assert_eq!(text(&summary(counts, 0.03)), "1 file, 30 MiB in 2.00 s; durability group");
        (counts.bytes_total, counts.bytes_sent) = (1000, 1000);
        assert!(!text(&summary(counts, 2.0)).contains("/s"));
    }

    #[test]
    fn nothing_failed_is_not_told() {
        let mut counts = Counts::default();
        assert!(!text(&summary(counts, 0.0)).contains("failed"));
        counts.failed = 2;
        assert!(text(&summary(counts, 0.0)).contains(", 2 failed"));
    }

    #[test]
    fn every_line_fits_80_and_40_columns() {
        let mut counts = Counts::default();
        let n = 123_456_789_012;
        (counts.files, counts.links, counts.directories, counts.failed) = (n, n, n, n);
        (counts.unchanged, counts.adjusted, counts.removed, counts.skipped) = (n, n, n, n);
        (counts.bytes_total, counts.bytes_sent, counts.bytes_resumed) = (n, n + 1, n);
        (counts.bytes_held, counts.special_bits_dropped) = (n, n);
        let clauses = Summary { published: Some(true), ..summary(counts, 3.0) }.clauses();
        for width in [80, 40, 30] {
            let lines = fold(clauses.iter().map(String::as_str), width);
            assert!(lines.iter().all(|line| columns(line) <= width), "{lines:#?}");
            let whole: Vec<_> = lines.iter().map(|line| line.trim_start()).collect();
            assert_eq!(whole.join(" "), clauses.join(" "));
        }
    }
}
