//! The looks of the counts: a bar, a line, or an object.

use std::sync::atomic::Ordering;

use humansize::{BINARY, format_size};

use super::rate::Rate;
use super::{Progress, View};

impl Progress {
    /// Shows how far it is.
    pub(super) fn show(&self, rate: &mut Rate) {
        let counts = self.counts();
        let done = counts.files + counts.links + counts.unchanged + counts.adjusted;
        let hashed = self.hashed.load(Ordering::Relaxed);
        rate.take(counts.bytes_sent, done + counts.removed, hashed);
        let found = self.found_files.load(Ordering::Relaxed);
        // Totals are known when the walk is over, and bytes only where sizes were asked for.
        let known = self.walk_ended.load(Ordering::Relaxed);
        let total = self.found_bytes.load(Ordering::Relaxed);
        if self.view == View::Json {
            self.event(&serde_json::json!({
                "event": "progress",
                "files": done,
                "files_total": known.then_some(found),
                "bytes_sent": counts.bytes_sent,
                "bytes_resumed": counts.bytes_resumed,
                "removed": counts.removed,
                "bytes_per_second": rate.per_second(),
                "stalled": rate.stalled(),
            }));
            return;
        }
        let of = if known { format!("{done} of {found} files") } else { format!("{done} files") };
        let attempt = self.connections().attempt();
        let speed = match (attempt, rate.per_second()) {
            (Some((attempt, of)), _) => format!("reconnecting ({attempt} of {of})"),
            _ if self.removing.load(Ordering::Relaxed) => {
                String::from("looking for what the source lacks")
            }
            _ if rate.stalled() => String::from("stalled"),
            (None, Some(0)) if rate.hashing() => String::from("comparing what is there already"),
            (None, Some(speed)) => format!("{}/s", format_size(speed, BINARY)),
            (None, None) => String::from("starting"),
        };
        let mut text = format!("{of}, {}", format_size(counts.bytes_sent, BINARY));
        if counts.bytes_resumed > 0 {
            text.push_str(&format!(" and {} resumed", format_size(counts.bytes_resumed, BINARY)));
        }
        if counts.removed > 0 {
            text.push_str(&format!(", {} removed", counts.removed));
        }
        text.push_str(&format!(", {speed}"));
        if self.view == View::Lines {
            self.message(&text);
            return;
        }
        if known && total > 0 {
            let lost = self.lost.load(Ordering::Relaxed);
            let there = (counts.bytes_sent + counts.bytes_resumed).saturating_sub(lost);
            self.bar.set_length(total);
            self.bar.set_position(there.min(total));
            let left = total.saturating_sub(there);
            if let (None, Some(speed @ 1..), false) = (attempt, rate.per_second(), rate.stalled()) {
                let seconds = left / speed;
                text.push_str(&format!(", {}:{:02} left", seconds / 60, seconds % 60));
            }
        }
        self.bar.set_message(text);
        self.bar.tick();
    }
}
