//! The looks of the counts while a run goes on: a bar, a line, or an event.

use haul_protocol::Shown;
use humansize::{BINARY, format_size};

use super::super::console::{self, Stream};
use super::super::events::{Event, Progress};
use super::super::summary::Kind;
use super::bar::{self, Piece, joined};
use super::rate::Rate;
use super::{Display, View};
use crate::report::status::{Attempt, Status};

/// The columns of a terminal that does not tell.
const COLUMNS: usize = 80;
/// The words for an attempt to connect again.
pub(super) fn reconnecting(attempt: &Attempt) -> String {
    format!("reconnecting {attempt}")
}

impl Display {
    /// Shows how far the run is.
    pub(super) fn show(&mut self, status: &Status) {
        let counts = &status.counts;
        self.rate.take(
            moved(status, self.kind),
            files(status) + counts.removed,
            counts.bytes_compared,
        );
        self.moment += 1;
        match self.view {
            View::Json => console::json(&Event::Progress(Progress {
                files_done: files(status),
                files_total: status.files_total,
                bytes_sent: counts.bytes_sent,
                bytes_received: counts.bytes_received,
                bytes_resumed: counts.bytes_resumed,
                bytes_compared: counts.bytes_compared,
                removed: counts.removed,
                bytes_per_second: self.rate.per_second(),
                seconds_left: seconds_left(status, self.kind, &self.rate),
                stalled: self.rate.stalled(),
            })),
            View::Bar => {
                let width = Stream::Error.columns().unwrap_or(COLUMNS);
                let pieces = pieces(status, self.kind, &self.rate);
                let (bar, text) = bar::line(&pieces, part(status, self.kind), self.moment, width);
                self.bar.set_prefix(bar);
                self.bar.set_message(Shown(text).to_string());
                self.bar.tick();
            }
            View::Lines | View::Quiet => {
                self.message(&joined(&pieces(status, self.kind, &self.rate)));
            }
        }
    }
}

/// Files and links that are done.
fn files(status: &Status) -> u64 {
    let counts = &status.counts;
    let done = counts.files + counts.links + counts.unchanged + counts.adjusted + counts.different;
    status.files_total.map_or(done, |total| done.min(total))
}

/// The bytes that the run is about: that were sent, compared, or would be sent.
fn moved(status: &Status, kind: Kind) -> u64 {
    match kind {
        Kind::Run => status.counts.bytes_sent,
        Kind::Get => status.counts.bytes_received,
        Kind::Verify => status.counts.bytes_compared,
        Kind::DryRun => status.counts.bytes_total,
    }
}

/// Whether nothing was sent so far, and files are read to find out whether they have to be.
fn is_hashing(status: &Status, kind: Kind) -> bool {
    kind == Kind::Run && moved(status, kind) == 0 && status.counts.bytes_compared > 0
}

/// Bytes of all that are behind, whether they had to be sent or not.
fn behind(status: &Status, kind: Kind) -> u64 {
    let counts = &status.counts;
    match kind {
        Kind::Run if is_hashing(status, kind) => counts.bytes_compared.max(status.bytes_spared),
        Kind::Run => (counts.bytes_sent + counts.bytes_resumed + status.bytes_spared)
            .saturating_sub(status.bytes_lost),
        Kind::Get => counts.bytes_received + counts.bytes_resumed + status.bytes_spared,
        Kind::Verify => counts.bytes_compared,
        Kind::DryRun => counts.bytes_total + status.bytes_spared,
    }
}

/// The part that is done, once the walk is over.
#[expect(clippy::cast_precision_loss, reason = "for a bar of a few columns")]
fn part(status: &Status, kind: Kind) -> Option<f64> {
    match (status.bytes_found, status.files_total) {
        (Some(total @ 1..), _) => Some(behind(status, kind) as f64 / total as f64),
        (_, Some(total @ 1..)) => Some(files(status) as f64 / total as f64),
        _ => None,
    }
}

/// The time that the rest takes at the present speed, once the walk is over.
fn seconds_left(status: &Status, kind: Kind, rate: &Rate) -> Option<u64> {
    if status.reconnecting.is_some() || status.is_looking_for_extra || rate.stalled() {
        return None;
    }
    let left = |total: u64, done: u64, speed: u64| Some(total.saturating_sub(done).div_ceil(speed));
    let by_bytes = match (status.bytes_found, rate.per_second()) {
        (Some(total @ 1..), Some(speed @ 1..)) => left(total, behind(status, kind), speed),
        _ => None,
    };
    let by_files = match (status.files_total, rate.files_per_second()) {
        (Some(total @ 1..), Some(speed @ 1..)) => left(total, files(status), speed),
        _ => None,
    };
    // Large files take long by their bytes, small ones by their number.
    by_bytes.max(by_files)
}

/// The counts for people.
fn pieces(status: &Status, kind: Kind, rate: &Rate) -> Vec<Piece> {
    let counts = &status.counts;
    let done = files(status);
    let mut pieces = Vec::new();
    let mut add = |rank, text: String| pieces.push(Piece { text, rank });
    add(
        0,
        match status.files_total {
            Some(1) => format!("{done} of 1 file"),
            Some(found) => format!("{done} of {found} files"),
            None if done == 1 => String::from("1 file"),
            None => format!("{done} files"),
        },
    );
    let bytes = format_size(moved(status, kind), BINARY);
    let hashed = counts.bytes_compared;
    add(
        3,
        match kind {
            Kind::Run if is_hashing(status, kind) => match status.bytes_found {
                Some(total @ 1..) => format!(
                    "{} of {} compared",
                    format_size(hashed.min(total), BINARY),
                    format_size(total, BINARY)
                ),
                _ => format!("{} compared", format_size(hashed, BINARY)),
            },
            Kind::Run | Kind::Get => bytes,
            Kind::Verify => format!("{bytes} compared"),
            Kind::DryRun => format!("{bytes} to send"),
        },
    );
    if counts.bytes_resumed > 0 {
        add(5, format!("{} resumed", format_size(counts.bytes_resumed, BINARY)));
    }
    if counts.removed > 0 {
        add(4, format!("{} removed", counts.removed));
    }
    add(
        1,
        match (status.reconnecting, rate.per_second()) {
            (Some(attempt), _) => reconnecting(&attempt),
            _ if status.is_looking_for_extra => String::from("looking for what the source lacks"),
            _ if rate.stalled() => String::from("stalled"),
            (None, Some(0)) if rate.hashing() => String::from("comparing what is there already"),
            (None, Some(0)) if done == 0 && moved(status, kind) == 0 => String::from("starting"),
            (None, Some(speed)) => format!("{}/s", format_size(speed, BINARY)),
            (None, None) => String::from("starting"),
        },
    );
    if let Some(left) = seconds_left(status, kind, rate) {
        add(
            2,
            match left / 3600 {
                0 => format!("{}:{:02} left", left / 60, left % 60),
                hours => format!("{hours}:{:02}:{:02} left", left / 60 % 60, left % 60),
            },
        );
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// 10 files and 5 MiB a second for two seconds.
    fn rate() -> Rate {
        let begun = Instant::now();
        let mut rate = Rate::new_at(begun);
        for second in 0..=2 {
            let at = begun + Duration::from_secs(second);
            rate.take_at(at, (second * 5) << 20, second * 10, 0);
        }
        rate
    }

    fn status() -> Status {
        let mut status = Status::default();
        (status.counts.files, status.counts.bytes_sent) = (20, 10 << 20);
        status
    }

    #[test]
    fn before_the_total_is_known_counts_and_rate_are_shown_and_no_end() {
        let (status, rate) = (status(), rate());
        assert_eq!(joined(&pieces(&status, Kind::Run, &rate)), "20 files, 10 MiB, 5 MiB/s");
        assert_eq!(part(&status, Kind::Run), None);
    }

    #[test]
    fn time_that_is_left_is_told_as_soon_as_the_walk_is_over() {
        let rate = rate();
        let known = Status { files_total: Some(200), bytes_found: Some(20 << 20), ..status() };
        let text = joined(&pieces(&known, Kind::Run, &rate));
        assert_eq!(text, "20 of 200 files, 10 MiB, 5 MiB/s, 0:18 left");
        assert_eq!(part(&known, Kind::Run), Some(0.5));
        // Without sizes, by the number of files.
        let lines = Status { files_total: Some(40), bytes_found: None, ..status() };
        assert_eq!(seconds_left(&lines, Kind::Run, &rate), Some(2));
        let lost = Status {
            reconnecting: Some(Attempt { number: 1, of: Some(10), left: Duration::from_secs(9) }),
            ..known
        };
        assert_eq!(seconds_left(&lost, Kind::Run, &rate), None);
    }

    #[test]
    fn files_that_are_the_same_already_are_behind() {
        let spared = Status { bytes_found: Some(40 << 20), bytes_spared: 30 << 20, ..status() };
        assert_eq!(part(&spared, Kind::Run), Some(1.0));
    }

    #[test]
    fn files_that_are_read_before_anything_is_sent_are_counted() {
        let mut status =
            Status { files_total: Some(1), bytes_found: Some(4 << 20), ..Status::default() };
        status.counts.bytes_compared = 1 << 20;
        let text = joined(&pieces(&status, Kind::Run, &Rate::new()));
        assert!(text.starts_with("0 of 1 file, 1 MiB of 4 MiB compared, "), "{text}");
        assert_eq!(part(&status, Kind::Run), Some(0.25));
    }

    #[test]
    fn verify_counts_the_bytes_that_it_compares() {
        let mut status =
            Status { files_total: Some(4), bytes_found: Some(4 << 20), ..Status::default() };
        status.counts.unchanged = 1;
        status.counts.different = 1;
        status.counts.bytes_compared = 2 << 20;
        let text = joined(&pieces(&status, Kind::Verify, &rate()));
        assert!(text.starts_with("2 of 4 files, 2 MiB compared, "), "{text}");
        assert_eq!(part(&status, Kind::Verify), Some(0.5));
    }
}
