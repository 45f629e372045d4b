//! The looks of the counts: a bar, a line, or an object.

use haul_protocol::Shown;
use humansize::{BINARY, format_size};
use serde_json::json;

use super::{Display, View};
use crate::report::status::{Attempt, Status};

/// The words for an attempt to connect again.
pub(super) fn reconnecting(attempt: &Attempt) -> String {
    format!("reconnecting {attempt}")
}

impl Display {
    /// Shows how far the run is.
    pub(super) fn show(&mut self, status: &Status) {
        let Status { counts, files_total, bytes_total, .. } = status;
        let done = counts.files + counts.links + counts.unchanged + counts.adjusted;
        self.rate.take(counts.bytes_sent, done + counts.removed, counts.bytes_compared);
        let rate = &self.rate;
        if self.view == View::Json {
            self.event(&json!({
                "event": "progress",
                "files": done,
                "files_total": files_total,
                "bytes_sent": counts.bytes_sent,
                "bytes_resumed": counts.bytes_resumed,
                "removed": counts.removed,
                "bytes_per_second": rate.per_second(),
                "stalled": rate.stalled(),
            }));
            return;
        }
        let of = match files_total {
            Some(found) => format!("{done} of {found} files"),
            None => format!("{done} files"),
        };
        let attempt = status.reconnecting;
        let speed = match (attempt, rate.per_second()) {
            (Some(attempt), _) => reconnecting(&attempt),
            _ if status.is_removing => String::from("looking for what the source lacks"),
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
        if let Some(total @ 1..) = *bytes_total {
            let there =
                (counts.bytes_sent + counts.bytes_resumed).saturating_sub(status.bytes_lost);
            self.bar.set_length(total);
            self.bar.set_position(there.min(total));
            let left = total.saturating_sub(there);
            if let (None, Some(speed @ 1..), false) = (attempt, rate.per_second(), rate.stalled()) {
                let seconds = left / speed;
                text.push_str(&format!(", {}:{:02} left", seconds / 60, seconds % 60));
            }
        }
        self.bar.set_message(Shown(text).to_string());
        self.bar.tick();
    }
}
